-- title:     Cross-domain paths
-- answers:   Which domains, one after the other, lead to an order?
-- inputs:    journeys
-- parameter: least (integer, 2): paths through fewer domains are left out
-- amounts:   amount
-- output:    one row a currency and path of counted orders with touches, with its part of all of those:
--            the most orders first
with paths as (
    select
        currency,
        domain_path,
        domains,
        count(*) as orders,
        sum(amount) as amount
    from journeys
    where touches > 0
    group by currency, domain_path, domains
),
totals as (
    select
        currency,
        sum(orders) as orders
    from paths
    group by currency
)
select
    paths.currency,
    paths.domain_path,
    paths.domains,
    paths.orders,
    paths.orders / totals.orders as orders_share,
    paths.amount
from paths
join totals
    on paths.currency = totals.currency
cross join params
where paths.domains >= params.least
order by paths.currency, paths.orders desc, paths.amount desc, paths.domain_path, paths.domains
