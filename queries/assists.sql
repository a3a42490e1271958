-- title:   Assisted conversions
-- answers: How many orders does a channel help along, for each that it closes?
-- inputs:  credits
-- output:  one row a channel, whatever the model: orders that it closed (as the last touch, or the only
--          one), orders that it only assisted, and their ratio: the highest first
with one_model as (
    -- Every model sees the same journeys; they are counted once.
    select min(model) as model
    from credits
),
present as (
    select
        credits.channel,
        credits.order_external_id,
        max(case when credits.role in ('closer', 'alone') then 1 else 0 end) as closed
    from credits
    join one_model
        on credits.model = one_model.model
    where credits.role <> 'unattributed'
    group by credits.channel, credits.order_external_id
),
lines as (
    select
        channel,
        count(*) as orders,
        sum(closed) as closed,
        sum(1 - closed) as assisted
    from present
    group by channel
)
select
    channel,
    orders,
    closed,
    assisted,
    case when closed > 0 then assisted / closed end as assisted_ratio
from lines
order by assisted_ratio desc nulls first, orders desc, channel
