-- title:  Attribution by the dimensions of the report
-- inputs: cells  (one row a model, currency and combination of dimension values: exact sums)
--         totals (one row a model and currency: the sums of its cells)
-- output: one row a cell, in the order of the report, with what follows from its sums
--
-- Totals arrive summed, because floating-point sums depend on the order in which a query engine
-- takes its rows; here every figure is one division.
select
    cells.cell,
    case when totals.conversions > 0 then cells.conversions / totals.conversions end as conversions_share,
    case when totals.amount <> 0 then cells.amount / totals.amount end as amount_share,
    case when cells.conversions > 0 then cells.conversion_seconds / cells.conversions end as average_time_to_conversion,
    case when cells.sessions > 0 then cells.bounced / cells.sessions end as bounce_rate,
    case when cells.sessions > 0 then cells.conversions / cells.sessions end as conversion_rate,
    case when cells.conversions > 0 then cells.cost / cells.minor_units / cells.conversions end as cpa,
    case when cells.cost > 0 then cells.amount / cells.cost end as roas
from cells
inner join totals
    on cells.model = totals.model and cells.currency = totals.currency
order by
    cells.model,
    cells.currency,
    cells.period,
    cells.unattributed,
    cells.amount desc,
    cells.conversions desc,
    cells.label
