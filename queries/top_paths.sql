-- title:     Top conversion paths
-- answers:   Through which channels, in which order, do persons come to an order?
-- inputs:    journeys
-- parameter: paths (integer, 20): how many paths of each currency
-- parameter: least_orders (integer, 1): paths with fewer orders are left out
-- amounts:   amount
-- output:    one row a path and currency: the most orders first
with paths as (
    select
        currency,
        channel_path,
        count(*) as orders,
        sum(amount) as amount,
        sum(touches) as touches,
        sum(time_to_conversion) as seconds
    from journeys
    where touches > 0
    group by currency, channel_path
),
ranked as (
    select
        currency,
        channel_path,
        orders,
        amount,
        touches,
        seconds,
        row_number() over (partition by currency order by orders desc, amount desc, channel_path desc) as place
    from paths
)
select
    ranked.currency,
    ranked.channel_path,
    ranked.orders,
    ranked.amount,
    ranked.touches / ranked.orders as average_touches,
    ranked.seconds / ranked.orders / 86400 as average_days
from ranked
cross join params
where ranked.place <= params.paths
    and ranked.orders >= params.least_orders
order by ranked.currency, ranked.place
