-- title:   Cohorts of the first order
-- answers: Of persons who ordered first in the same month, how many order again, and when?
-- inputs:  orders
-- amounts: amount
-- output:  one row a currency, month of the first order (of any currency) and months since: persons,
--          orders, and their part of the cohort's persons, in that order. Orders that are not counted
--          take no part; a person whose first order is not among them is in no cohort
with counted as (
    select
        person,
        currency,
        order_month,
        amount,
        12 * cast(substr(order_month, 1, 4) as bigint) + cast(substr(order_month, 6, 2) as bigint) as months,
        is_first_conversion
    from orders
    where is_counted
),
firsts as (
    select
        person,
        order_month as cohort,
        months as first_months
    from counted
    where is_first_conversion
),
sizes as (
    select
        cohort,
        count(*) as cohort_persons
    from firsts
    group by cohort
),
lines as (
    select
        counted.currency,
        firsts.cohort,
        counted.months - firsts.first_months as months_since,
        count(distinct counted.person) as persons,
        count(*) as orders,
        sum(counted.amount) as amount
    from counted
    join firsts
        on counted.person = firsts.person
    group by
        counted.currency,
        firsts.cohort,
        counted.months - firsts.first_months
)
select
    lines.currency,
    lines.cohort,
    lines.months_since,
    sizes.cohort_persons,
    lines.persons,
    lines.persons / sizes.cohort_persons as persons_ratio,
    lines.orders,
    lines.amount
from lines
join sizes
    on lines.cohort = sizes.cohort
order by lines.currency, lines.cohort, lines.months_since
