-- title:   Data quality
-- answers: What in the data limits what the report can say, and how much of it?
-- inputs:  sessions, orders, persons, journeys, rejects
-- output:  one row a finding: what it is about, what was found, how many rows have it of how many. In
--          the order of areas, the most rows first
with orders_not_counted as (
    select
        'orders' as area,
        concat('not counted: ', not_counted) as finding,
        count(*) as found
    from orders
    where not_counted is not null
    group by not_counted
),
orders_without_touches as (
    select
        'orders' as area,
        'counted, and no touch leads to it' as finding,
        sum(case when touches = 0 then 1 else 0 end) as found
    from journeys
),
orders_worth_nothing as (
    select
        'orders' as area,
        'counted, and worth nothing or less' as finding,
        sum(case when amount <= 0 then 1 else 0 end) as found
    from journeys
),
persons_without_profile as (
    select
        'persons' as area,
        'known from other tables only' as finding,
        sum(case when is_stub then 1 else 0 end) as found
    from persons
),
touches_without_channel as (
    select
        'touches' as area,
        'no channel rule takes it' as finding,
        sum(case when channel_group = 'not-mapped' then 1 else 0 end) as found
    from sessions
),
touches_without_device as (
    select
        'touches' as area,
        'no type of device' as finding,
        sum(case when device_type is null then 1 else 0 end) as found
    from sessions
),
touches_without_page as (
    select
        'touches' as area,
        'a session without a landing page' as finding,
        sum(case when touch_kind = 'session' and landing_page is null then 1 else 0 end) as found
    from sessions
),
rejected as (
    select
        concat('rejected ', "table") as area,
        rule as finding,
        count(*) as found
    from rejects
    group by "table", rule
),
findings as (
    select area, finding, cast(found as bigint) as found from orders_not_counted
    union all
    select area, finding, cast(found as bigint) as found from orders_without_touches
    union all
    select area, finding, cast(found as bigint) as found from orders_worth_nothing
    union all
    select area, finding, cast(found as bigint) as found from persons_without_profile
    union all
    select area, finding, cast(found as bigint) as found from touches_without_channel
    union all
    select area, finding, cast(found as bigint) as found from touches_without_device
    union all
    select area, finding, cast(found as bigint) as found from touches_without_page
    union all
    select area, finding, cast(found as bigint) as found from rejected
),
wholes as (
    select 'orders' as area, count(*) as of_rows from orders
    union all
    select 'persons' as area, count(*) as of_rows from persons
    union all
    select 'touches' as area, count(*) as of_rows from sessions
)
select
    findings.area,
    findings.finding,
    findings.found,
    wholes.of_rows,
    findings.found / wholes.of_rows as found_ratio
from findings
left join wholes
    on findings.area = wholes.area
where findings.found > 0
order by findings.area, findings.found desc, findings.finding
