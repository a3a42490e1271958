-- title:  A touch earns only from orders of its own person
-- inputs: credits, sessions
-- output: touches that earn from an order of somebody else, by order, touch and model
select
    credits.order_external_id,
    credits.touch_external_id,
    credits.touch_kind,
    credits.model,
    credits.person,
    sessions.person as person_of_touch
from credits
join sessions
    on credits.touch_external_id = sessions.touch_external_id
    and credits.touch_kind = sessions.touch_kind
where credits.person <> sessions.person
order by credits.order_external_id, credits.touch_external_id, credits.touch_kind, credits.model
