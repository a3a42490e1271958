-- title:  The credit of an order is what it is worth, under every model
-- inputs: credits, orders
-- output: orders and models whose credited amounts do not sum to the order's, by their names
with credited as (
    select
        order_external_id,
        model,
        sum(amount) as amount
    from credits
    group by order_external_id, model
)
select
    credited.order_external_id,
    credited.model,
    credited.amount as credited,
    orders.amount as owed
from credited
join orders
    on credited.order_external_id = orders.order_external_id
where credited.amount <> orders.amount
order by credited.order_external_id, credited.model
