-- title:  The touches of a journey are numbered from one to the last, each once, as its journey says
-- inputs: credits, journeys
-- output: orders and models of which that does not hold, by their names
with numbered as (
    select
        order_external_id,
        model,
        count(distinct position) as positions,
        count(*) as rows_of_order,
        coalesce(min(position), 0) as first_position,
        coalesce(max(position), 0) as last_position,
        max(touches) as touches
    from credits
    group by order_external_id, model
)
select
    numbered.order_external_id,
    numbered.model,
    numbered.positions,
    numbered.last_position,
    numbered.touches,
    journeys.touches as touches_of_journey
from numbered
left join journeys
    on numbered.order_external_id = journeys.order_external_id
where journeys.touches is null
    or numbered.touches <> journeys.touches
    or numbered.positions <> numbered.touches
    or numbered.last_position <> numbered.touches
    or (numbered.touches > 0 and (numbered.first_position <> 1 or numbered.rows_of_order <> numbered.touches))
order by numbered.order_external_id, numbered.model
