-- title:     Landing pages
-- answers:   On which pages do sessions begin, how many leave at once, and what do the others earn?
-- inputs:    sessions, credits
-- parameter: model (text): only this model; every one where it is empty
-- parameter: least_sessions (integer, 1): pages with fewer sessions are left out
-- amounts:   amount
-- output:    one row a page, and a model and currency where it earned: the greatest amount first, pages
--            that earned nothing last. Sessions are those of the period; credit is that of all sessions
--            in the journeys of counted orders
with pages as (
    select
        coalesce(landing_page, '(not set)') as landing_page,
        sum(case when in_period then 1 else 0 end) as sessions,
        sum(case when in_period and bounced then 1 else 0 end) as bounced,
        sum(case when in_period and bounced is not null then 1 else 0 end) as telling
    from sessions
    where touch_kind = 'session'
    group by coalesce(landing_page, '(not set)')
),
landed as (
    select
        touch_external_id,
        coalesce(landing_page, '(not set)') as landing_page
    from sessions
    where touch_kind = 'session'
),
earnings as (
    select
        landed.landing_page,
        credits.model,
        credits.currency,
        sum(credits.share_billionths) as billionths,
        sum(credits.amount) as amount
    from credits
    join landed
        on credits.touch_external_id = landed.touch_external_id
    cross join params
    where credits.touch_kind = 'session'
        and (params.model = '' or credits.model = params.model)
    group by landed.landing_page, credits.model, credits.currency
)
select
    pages.landing_page,
    pages.sessions,
    case when pages.telling > 0 then pages.bounced end as bounced,
    case when pages.telling > 0 then pages.bounced / pages.telling end as bounce_rate,
    earnings.model,
    earnings.currency,
    coalesce(earnings.billionths, 0) / 1000000000 as conversions,
    earnings.amount
from pages
left join earnings
    on pages.landing_page = earnings.landing_page
cross join params
where pages.sessions >= params.least_sessions
order by
    earnings.model nulls last,
    earnings.currency nulls last,
    earnings.amount desc,
    pages.sessions desc,
    pages.landing_page
