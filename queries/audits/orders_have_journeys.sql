-- title:  Every order that counts has a journey, and is worth there what it is worth
-- inputs: orders, journeys
-- output: orders that count and have no journey, or one of another amount, by their ids
with counted as (
    select
        order_external_id,
        person,
        amount
    from orders
    where is_counted
)
select
    counted.order_external_id,
    counted.person,
    counted.amount,
    journeys.amount as amount_of_journey
from counted
left join journeys
    on counted.order_external_id = journeys.order_external_id
where journeys.amount is null or journeys.amount <> counted.amount
order by counted.order_external_id
