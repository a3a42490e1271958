-- title:   From the first touch to the last
-- answers: Where do journeys begin, and where do those end?
-- inputs:  credits
-- amounts: amount
-- output:  one row a currency, first and last channel of counted orders with touches: the most orders
--          first
with one_model as (
    -- Every model sees the same journeys; they are counted once.
    select min(model) as model
    from credits
),
touched as (
    select
        credits.order_external_id,
        credits.currency,
        credits.channel,
        credits.position,
        credits.touches,
        credits.amount
    from credits
    join one_model
        on credits.model = one_model.model
    where credits.role <> 'unattributed'
),
orders_worth as (
    select
        order_external_id,
        sum(amount) as amount
    from touched
    group by order_external_id
),
first_touches as (
    select order_external_id, currency, channel
    from touched
    where position = 1
),
last_touches as (
    select order_external_id, channel
    from touched
    where position = touches
),
journeys_ends as (
    select
        first_touches.currency,
        first_touches.channel as first_channel,
        last_touches.channel as last_channel,
        orders_worth.amount
    from first_touches
    join last_touches
        on first_touches.order_external_id = last_touches.order_external_id
    join orders_worth
        on first_touches.order_external_id = orders_worth.order_external_id
),
pairs as (
    select
        currency,
        first_channel,
        last_channel,
        count(*) as orders,
        sum(amount) as amount
    from journeys_ends
    group by currency, first_channel, last_channel
)
select
    currency,
    first_channel,
    last_channel,
    orders,
    amount
from pairs
order by currency, orders desc, amount desc, first_channel, last_channel
