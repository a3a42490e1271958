-- title:   New against repeat revenue
-- answers: How much of each month comes from persons who never ordered before?
-- inputs:  orders
-- amounts: new_amount, repeat_amount
-- output:  one row a currency and month of counted orders, in that order
with months as (
    select
        currency,
        order_month as month,
        sum(case when is_first_conversion then 1 else 0 end) as new_orders,
        sum(case when is_first_conversion then 0 else 1 end) as repeat_orders,
        sum(case when is_first_conversion then amount else 0 end) as new_amount,
        sum(case when is_first_conversion then 0 else amount end) as repeat_amount
    from orders
    where is_counted
    group by currency, order_month
)
select
    currency,
    month,
    new_orders,
    repeat_orders,
    new_amount,
    repeat_amount,
    case
        when new_amount + repeat_amount > 0
        then new_amount / (new_amount + repeat_amount)
    end as new_amount_ratio
from months
order by currency, month
