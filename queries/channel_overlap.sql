-- title:   Channel overlap
-- answers: Which channels meet in the same journeys?
-- inputs:  credits
-- output:  one row a pair of channels, in the order of their names: orders with both, and their part of
--          the orders of each: the most orders first
with one_model as (
    -- Every model sees the same journeys; they are counted once.
    select min(model) as model
    from credits
),
present as (
    select distinct
        credits.channel,
        credits.order_external_id
    from credits
    join one_model
        on credits.model = one_model.model
    where credits.role <> 'unattributed'
),
reached as (
    select
        channel,
        count(*) as orders
    from present
    group by channel
),
partners as (
    select
        channel as other_channel,
        order_external_id
    from present
),
pairs as (
    select
        present.channel,
        partners.other_channel,
        count(*) as orders
    from present
    join partners
        on present.order_external_id = partners.order_external_id
    where present.channel < partners.other_channel
    group by present.channel, partners.other_channel
),
others as (
    select
        channel as other_channel,
        orders as other_orders
    from reached
)
select
    pairs.channel,
    pairs.other_channel,
    pairs.orders,
    pairs.orders / reached.orders as part_of_channel,
    pairs.orders / others.other_orders as part_of_other
from pairs
join reached
    on pairs.channel = reached.channel
join others
    on pairs.other_channel = others.other_channel
order by pairs.orders desc, pairs.channel, pairs.other_channel
