-- title:   Path length
-- answers: How many touches does it take until an order, and are longer journeys worth more?
-- inputs:  journeys
-- amounts: amount
-- output:  one row a currency and number of touches, in that order; orders without touches have none
with lengths as (
    select
        currency,
        minor_units,
        touches,
        count(*) as orders,
        sum(amount) as amount
    from journeys
    group by currency, minor_units, touches
),
totals as (
    select
        currency,
        sum(orders) as orders
    from lengths
    group by currency
)
select
    lengths.currency,
    lengths.touches,
    lengths.orders,
    lengths.orders / totals.orders as orders_share,
    lengths.amount,
    lengths.amount / (lengths.minor_units * lengths.orders) as average_order
from lengths
join totals
    on lengths.currency = totals.currency
order by lengths.currency, lengths.touches
