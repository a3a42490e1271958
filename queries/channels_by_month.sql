-- title:     Channels by month
-- answers:   What did each channel earn month by month, dated by the orders?
-- inputs:    credits
-- parameter: model (text): only this model; every one where it is empty
-- amounts:   amount
-- output:    one row a model, currency, month and channel: months in their order, the greatest amount
--            first, orders without touches last
with lines as (
    select
        credits.model,
        credits.currency,
        credits.order_month as month,
        credits.role = 'unattributed' as is_unattributed,
        coalesce(credits.channel, '(unattributed)') as channel,
        sum(credits.share_billionths) as billionths,
        sum(credits.amount) as amount,
        count(distinct credits.order_external_id) as orders
    from credits
    cross join params
    where params.model = '' or credits.model = params.model
    group by
        credits.model,
        credits.currency,
        credits.order_month,
        credits.role = 'unattributed',
        coalesce(credits.channel, '(unattributed)')
)
select
    model,
    currency,
    month,
    channel,
    billionths / 1000000000 as conversions,
    amount,
    orders
from lines
order by
    model,
    currency,
    month,
    is_unattributed,
    amount desc,
    billionths desc,
    channel
