-- title:  Every model divides every order that counts, and no other
-- inputs: credits, orders
-- output: orders that a model divides and that do not count, and orders that count and a model does not
--         divide, by their ids
with models as (
    select distinct model
    from credits
),
owed as (
    select
        orders.order_external_id,
        models.model,
        true as is_owed
    from orders
    cross join models
    where orders.is_counted
),
divided as (
    select distinct
        order_external_id,
        model,
        true as is_divided
    from credits
),
both_sides as (
    select
        coalesce(owed.order_external_id, divided.order_external_id) as order_external_id,
        coalesce(owed.model, divided.model) as model,
        owed.is_owed,
        divided.is_divided
    from owed
    full join divided
        on owed.order_external_id = divided.order_external_id
        and owed.model = divided.model
)
select
    order_external_id,
    model,
    coalesce(is_owed, false) as counts,
    coalesce(is_divided, false) as is_divided
from both_sides
where is_owed is null or is_divided is null
order by order_external_id, model
