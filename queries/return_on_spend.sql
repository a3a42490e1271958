-- title:     Return on spend by channel and month
-- answers:   What does each channel cost month by month, and what does it bring?
-- inputs:    credits, spend
-- parameter: model (text): only this model; every one where it is empty
-- amounts:   cost, amount
-- output:    one row a model, currency, month and channel that costs or earns: the months in their order,
--            the most expensive channel first. Orders without touches are left out
with asked_models as (
    select distinct credits.model
    from credits
    cross join params
    where params.model = '' or credits.model = params.model
),
costs as (
    select
        asked_models.model,
        spend.currency,
        spend.minor_units,
        spend.spend_month as month,
        spend.channel,
        sum(spend.cost) as cost,
        0 as billionths,
        0 as amount
    from spend
    cross join asked_models
    where spend.in_period
    group by
        asked_models.model,
        spend.currency,
        spend.minor_units,
        spend.spend_month,
        spend.channel
),
earnings as (
    select
        credits.model,
        credits.currency,
        credits.minor_units,
        credits.order_month as month,
        credits.channel,
        0 as cost,
        sum(credits.share_billionths) as billionths,
        sum(credits.amount) as amount
    from credits
    join asked_models
        on credits.model = asked_models.model
    where credits.role <> 'unattributed'
    group by
        credits.model,
        credits.currency,
        credits.minor_units,
        credits.order_month,
        credits.channel
),
both_sides as (
    select model, currency, minor_units, month, channel, cost, billionths, amount
    from costs
    union all
    select model, currency, minor_units, month, channel, cost, billionths, amount
    from earnings
),
lines as (
    select
        model,
        currency,
        minor_units,
        month,
        channel,
        sum(cost) as cost,
        sum(billionths) as billionths,
        sum(amount) as amount
    from both_sides
    group by model, currency, minor_units, month, channel
)
select
    model,
    currency,
    month,
    channel,
    cost,
    billionths / 1000000000 as conversions,
    amount,
    case when billionths > 0 and cost > 0 then cost / minor_units / (billionths / 1000000000) end as cpa,
    case when cost > 0 then amount / cost end as roas
from lines
order by model, currency, month, cost desc, amount desc, channel
