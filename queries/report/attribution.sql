-- title:  Attribution by the dimensions of the report
-- inputs: cells (one row a model, currency and combination of dimension values: exact sums, and
--         the sums of its model and currency)
-- output: one row a cell, in the order of the report, with what follows from its sums
--
-- Totals arrive with the cells, because a floating-point sum depends on the order in which a query
-- engine takes its rows; here every figure is one division of exact numbers.
select
    cell,
    case when total_conversions > 0 then conversions / total_conversions end as conversions_share,
    case when total_amount <> 0 then amount / total_amount end as amount_share,
    case when timed_conversions > 0 then conversion_seconds / timed_conversions end as average_time_to_conversion,
    case when sessions > 0 then bounced / sessions end as bounce_rate,
    case when sessions > 0 then conversions / sessions end as conversion_rate,
    case when timed_sessions > 0 then duration / timed_sessions end as average_duration,
    case when counted_sessions > 0 then pageviews / counted_sessions end as average_pageviews,
    case when conversions > 0 then cost / (minor_units * conversions) end as cpa,
    case when cost > 0 then amount / cost end as roas,
    case when clicks > 0 then cost / (minor_units * clicks) end as cpc,
    case when impressions > 0 then clicks / impressions end as ctr
from cells
order by
    model,
    currency,
    period,
    unattributed,
    amount desc,
    conversions desc,
    label
