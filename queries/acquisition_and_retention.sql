-- title:     Acquisition against retention
-- answers:   Which channels bring persons to their first order, and which bring them back?
-- inputs:    credits
-- parameter: model (text): only this model; every one where it is empty
-- amounts:   acquisition_amount, retention_amount
-- output:    one row a model, currency and channel: the greatest amount of first orders first, orders
--            without touches last
with lines as (
    select
        credits.model,
        credits.currency,
        credits.role = 'unattributed' as is_unattributed,
        coalesce(credits.channel, '(unattributed)') as channel,
        sum(case when credits.is_first_conversion then credits.share_billionths else 0 end) as acquisition_billionths,
        sum(case when credits.is_first_conversion then 0 else credits.share_billionths end) as retention_billionths,
        sum(case when credits.is_first_conversion then credits.amount else 0 end) as acquisition_amount,
        sum(case when credits.is_first_conversion then 0 else credits.amount end) as retention_amount
    from credits
    cross join params
    where params.model = '' or credits.model = params.model
    group by
        credits.model,
        credits.currency,
        credits.role = 'unattributed',
        coalesce(credits.channel, '(unattributed)')
)
select
    model,
    currency,
    channel,
    acquisition_billionths / 1000000000 as acquisition_conversions,
    retention_billionths / 1000000000 as retention_conversions,
    acquisition_amount,
    retention_amount,
    case
        when acquisition_billionths + retention_billionths > 0
        then acquisition_billionths / (acquisition_billionths + retention_billionths)
    end as acquisition_ratio
from lines
order by
    model,
    currency,
    is_unattributed,
    acquisition_amount desc,
    retention_amount desc,
    channel
