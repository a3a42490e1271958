-- title:     Sources that no channel rule takes
-- answers:   Which sources and mediums have no channel yet, and how much revenue hangs on each?
-- inputs:    sessions, credits
-- parameter: model (text): only this model; every one where it is empty
-- amounts:   amount
-- output:    one row a model, currency, source and medium, with the touches of the whole export: the
--            greatest amount first, those that earned nothing last
with unknown_touches as (
    select
        utm_source,
        utm_medium,
        count(*) as touches
    from sessions
    where channel_group = 'not-mapped'
    group by utm_source, utm_medium
),
earnings as (
    select
        credits.utm_source,
        credits.utm_medium,
        credits.model,
        credits.currency,
        sum(credits.share_billionths) as billionths,
        sum(credits.amount) as amount
    from credits
    cross join params
    where credits.channel_group = 'not-mapped'
        and (params.model = '' or credits.model = params.model)
    group by credits.utm_source, credits.utm_medium, credits.model, credits.currency
),
lines as (
    -- A discount code can name a source that no session has.
    select
        coalesce(unknown_touches.utm_source, earnings.utm_source) as utm_source,
        coalesce(unknown_touches.utm_medium, earnings.utm_medium) as utm_medium,
        coalesce(unknown_touches.touches, 0) as touches,
        earnings.model,
        earnings.currency,
        coalesce(earnings.billionths, 0) as billionths,
        earnings.amount
    from unknown_touches
    full join earnings
        on unknown_touches.utm_source = earnings.utm_source
        and unknown_touches.utm_medium = earnings.utm_medium
)
select
    utm_source,
    utm_medium,
    touches,
    model,
    currency,
    billionths / 1000000000 as conversions,
    amount
from lines
order by
    model nulls last,
    currency nulls last,
    amount desc,
    touches desc,
    utm_source,
    utm_medium
