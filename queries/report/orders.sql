-- title:  Orders by what is known of them
-- inputs: lines (one row a currency and combination of order dimensions: exact sums)
-- output: one row a line, in the order of the table, with what follows from its sums
select
    line,
    case when orders > 0 then revenue / (minor_units * orders) end as average_cart,
    case when persons > 0 then orders / persons end as orders_per_person,
    case when orders > 0 then repeat_orders / orders end as retention_ratio,
    case when attributed > 0 then seconds / attributed end as average_time_to_conversion,
    case when attributed > 0 then touches / attributed end as touches_per_order,
    case when attributed > 0 then device_types / attributed end as average_device_types,
    case when attributed > 0 then domains / attributed end as average_domains,
    case when attributed > 0 then cross_device_orders / attributed end as cross_device_ratio,
    case when attributed > 0 then cross_domain_orders / attributed end as cross_domain_ratio
from lines
order by
    currency,
    period,
    revenue desc,
    orders desc,
    label
