-- title:  Every touch that earns is a session or a view of the export
-- inputs: credits, sessions
-- output: touches that earn and are none, by their ids
with known as (
    select
        touch_external_id,
        touch_kind,
        true as is_known
    from sessions
),
earning as (
    select
        touch_external_id,
        touch_kind,
        count(distinct order_external_id) as orders
    from credits
    where touch_external_id is not null
    group by touch_external_id, touch_kind
)
select
    earning.touch_external_id,
    earning.touch_kind,
    earning.orders
from earning
left join known
    on earning.touch_external_id = known.touch_external_id
    and earning.touch_kind = known.touch_kind
where known.is_known is null
order by earning.touch_external_id, earning.touch_kind
