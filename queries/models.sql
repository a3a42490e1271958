-- title:     Models compared by channel
-- answers:   How much does what a channel earned depend on the model, and by which does it earn most?
-- inputs:    credits
-- amounts:   amount, least_amount, greatest_amount, range
-- beside:    amount by model
-- output:    one row a currency and channel, the amount of every model in a column of its own, and how
--            far they lie apart: the widest range first, orders without touches last
with lines as (
    select
        model,
        currency,
        role = 'unattributed' as is_unattributed,
        coalesce(channel, '(unattributed)') as channel,
        sum(amount) as amount
    from credits
    group by
        model,
        currency,
        role = 'unattributed',
        coalesce(channel, '(unattributed)')
),
ranges as (
    select
        currency,
        channel,
        min(amount) as least_amount,
        max(amount) as greatest_amount
    from lines
    group by currency, channel
)
select
    lines.currency,
    lines.channel,
    lines.model,
    lines.amount,
    ranges.least_amount,
    ranges.greatest_amount,
    ranges.greatest_amount - ranges.least_amount as range,
    case
        when ranges.greatest_amount > 0
        then (ranges.greatest_amount - ranges.least_amount) / ranges.greatest_amount
    end as range_ratio
from lines
join ranges
    on lines.currency = ranges.currency
    and lines.channel = ranges.channel
order by
    lines.currency,
    lines.is_unattributed,
    range desc,
    lines.channel,
    lines.model
