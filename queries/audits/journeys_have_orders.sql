-- title:  Every journey is of an order that counts, and no order has two
-- inputs: orders, journeys
-- output: journeys of other orders, and orders with several, by their ids
with journeys_of_orders as (
    select
        order_external_id,
        count(*) as journeys
    from journeys
    group by order_external_id
),
counted as (
    select
        order_external_id,
        is_counted
    from orders
    where is_counted
)
select
    journeys_of_orders.order_external_id,
    journeys_of_orders.journeys
from journeys_of_orders
left join counted
    on journeys_of_orders.order_external_id = counted.order_external_id
where counted.is_counted is null or journeys_of_orders.journeys > 1
order by journeys_of_orders.order_external_id
