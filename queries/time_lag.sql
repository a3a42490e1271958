-- title:     Time lag
-- answers:   How many days lie between the first touch of a journey and its order?
-- inputs:    journeys
-- parameter: most_days (integer, 30): this many days and more are one row
-- amounts:   amount
-- output:    one row a currency and number of whole days, in that order; orders without touches are left
--            out
with lagged as (
    select
        journeys.currency,
        case
            when journeys.time_to_conversion >= 86400 * params.most_days then params.most_days
            else journeys.time_to_conversion // 86400
        end as days,
        journeys.amount
    from journeys
    cross join params
    where journeys.touches > 0
),
lags as (
    select
        currency,
        days,
        count(*) as orders,
        sum(amount) as amount
    from lagged
    group by currency, days
),
totals as (
    select
        currency,
        sum(orders) as orders
    from lags
    group by currency
)
select
    lags.currency,
    lags.days,
    lags.orders,
    lags.orders / totals.orders as orders_share,
    lags.amount
from lags
join totals
    on lags.currency = totals.currency
order by lags.currency, lags.days
