-- title:  A person has as many orders as it is said to have, and one first
-- inputs: persons, orders
-- output: persons of whom that does not hold, by their ids
with ordered as (
    select
        person,
        count(*) as orders,
        sum(case when is_first_conversion then 1 else 0 end) as firsts
    from orders
    where is_first_conversion is not null
    group by person
)
select
    persons.person,
    persons.orders_count,
    ordered.orders,
    ordered.firsts
from persons
left join ordered
    on persons.person = ordered.person
where persons.orders_count <> coalesce(ordered.orders, 0)
    or coalesce(ordered.firsts, 0) <> case when persons.orders_count > 0 then 1 else 0 end
order by persons.person
