-- title:  No touch earns from an order that was before it
-- inputs: credits
-- output: touches that do, by order, touch and model
select
    order_external_id,
    touch_external_id,
    touch_kind,
    model,
    touch_at,
    order_at,
    time_to_conversion
from credits
where touch_at > order_at or time_to_conversion < 0
order by order_external_id, touch_external_id, touch_kind, model
