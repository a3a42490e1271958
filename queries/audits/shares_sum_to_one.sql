-- title:  The shares of an order sum to one, under every model
-- inputs: credits
-- output: orders and models whose shares do not, by their names
with shared as (
    select
        order_external_id,
        model,
        sum(share_billionths) as billionths,
        min(share) as least_share
    from credits
    group by order_external_id, model
)
select
    order_external_id,
    model,
    billionths,
    least_share
from shared
where billionths <> 1000000000 or least_share < 0
order by order_external_id, model
