-- title:     Attribution by source and medium
-- answers:   Which part of orders and revenue did each source and medium earn, under each model?
-- inputs:    credits
-- parameter: model (text): only this model; every one where it is empty
-- amounts:   amount
-- output:    one row a model, currency, source and medium: the greatest amount first, orders without
--            touches last
with parts as (
    select
        credits.model,
        credits.currency,
        credits.role = 'unattributed' as is_unattributed,
        coalesce(credits.utm_source, '(unattributed)') as utm_source,
        coalesce(credits.utm_medium, '(unattributed)') as utm_medium,
        credits.order_external_id,
        credits.person,
        credits.share_billionths,
        credits.amount
    from credits
    cross join params
    where params.model = '' or credits.model = params.model
),
lines as (
    select
        model,
        currency,
        is_unattributed,
        utm_source,
        utm_medium,
        sum(share_billionths) as billionths,
        sum(amount) as amount,
        count(distinct order_external_id) as orders,
        count(distinct person) as persons
    from parts
    group by model, currency, is_unattributed, utm_source, utm_medium
),
totals as (
    select
        model,
        currency,
        sum(billionths) as billionths,
        sum(amount) as amount
    from lines
    group by model, currency
)
select
    lines.model,
    lines.currency,
    lines.utm_source,
    lines.utm_medium,
    lines.billionths / 1000000000 as conversions,
    lines.billionths / totals.billionths as conversions_share,
    lines.amount,
    case when totals.amount <> 0 then lines.amount / totals.amount end as amount_share,
    lines.orders,
    lines.persons
from lines
join totals
    on lines.model = totals.model
    and lines.currency = totals.currency
order by
    lines.model,
    lines.currency,
    lines.is_unattributed,
    lines.amount desc,
    lines.billionths desc,
    lines.utm_source,
    lines.utm_medium
