//! The tables of a kept run: what queries over them, and comparisons of two runs, go by.
//!
//! The same name means the same in every table. Amounts are whole minor units, whole numbers are
//! signed, every instant stands beside its day and month in the run's time zone, and a column is there
//! whether or not an export has it. Not for what a row is worth: tables that a run writes for others
//! come in as they are, and are only put differently.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, StringViewArray,
    TimestampMicrosecondArray, UInt32Array, new_null_array,
};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, TimeUnit, TimestampMicrosecondType};
use chrono_tz::Tz;

use crate::calendar::{Span, start_of_day};
use crate::config::Bounce;
use crate::credits::Divider;
use crate::engine::JourneyRows;
use crate::error::{Error, Result};
use crate::journeys::{Amounts, Labels, Orders, Rates};
use crate::money::Currency;
use crate::report::{Session, channel_paths, cost_of, texts};
use crate::schema::{Kind, UTM};
use crate::touchpoints::{DEVICE_COLUMNS, DOMAIN_TYPE, instants, with_column};

/// What the shares of an order sum to in `share_billionths`.
pub const SHARE_WHOLE: i64 = 1_000_000_000;

/// By which clock instants have a day, and which of them are reported.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dated {
    /// The zone that days are counted in.
    pub(crate) zone: Tz,
    /// The instants that are reported: from the first, before the second.
    pub(crate) period: (i64, i64),
}

impl Dated {
    fn holds(self, at: i64) -> bool {
        (self.period.0..self.period.1).contains(&at)
    }
}

/// The columns of a table as they are put together.
type Columns = Vec<(String, ArrayRef)>;

fn table(columns: Columns) -> Result<RecordBatch> {
    let columns = columns.into_iter().map(|(name, column)| (name, column, true));
    Ok(RecordBatch::try_from_iter_with_nullable(columns)?)
}

/// How many minor units make one unit of a currency.
///
/// # Example
///
/// `EUR` has 100, `JPY` has one.
pub(crate) fn minor_units_of(currency: Currency) -> i64 {
    10_i64.pow(currency.exponent())
}

/// A table in which decimals of major units are whole minor units, with `minor_units` at its end;
/// `code` names the column of each row's currency.
pub(crate) fn in_minor_units(
    rows: &RecordBatch,
    amounts: &[&str],
    code: &str,
) -> Result<RecordBatch> {
    let codes = Labels::texts(rows, code);
    let currencies: Vec<Option<Currency>> =
        codes.iter().map(|code| code.and_then(|code| code.parse().ok())).collect();
    let mut rows = rows.clone();
    for name in amounts {
        let Some(column) = rows.column_by_name(name) else { continue };
        let DataType::Decimal128(_, scale) = column.data_type() else { continue };
        let scale = u32::try_from(*scale).unwrap_or_default();
        let decimals = column.as_primitive::<Decimal128Type>();
        let whole = decimals.iter().zip(&currencies).map(|(decimal, currency)| {
            let (Some(decimal), Some(currency)) = (decimal, currency) else { return Ok(None) };
            let minor = decimal / 10_i128.pow(scale.saturating_sub(currency.exponent()));
            let overflow = |_| Error::Overflow { what: format!("a sum in `{name}`") };
            i64::try_from(minor).map(Some).map_err(overflow)
        });
        let whole: Int64Array = whole.collect::<Result<_>>()?;
        rows = with_column(&rows, name, Arc::new(whole))?;
    }
    let units: Int64Array =
        currencies.iter().map(|currency| currency.map(minor_units_of)).collect();
    with_column(&rows, "minor_units", Arc::new(units))
}

/// A table whose counts are signed, so that their differences can be below zero.
pub(crate) fn narrowed(rows: &RecordBatch) -> Result<RecordBatch> {
    let schema = rows.schema();
    let columns = schema.fields().iter().zip(rows.columns()).map(|(field, column)| {
        let column = match column.data_type() {
            DataType::UInt64 => cast(column, &DataType::Int64)?,
            _ => ArrayRef::clone(column),
        };
        Ok((field.name().clone(), column))
    });
    table(columns.collect::<Result<_>>()?)
}

/// A table with the day and the month of an instant: `at` is a column, and they are called
/// `NAME_day` and `NAME_month`.
pub(crate) fn with_days(rows: &RecordBatch, at: &str, name: &str, zone: Tz) -> Result<RecordBatch> {
    let Some(column) = rows.column_by_name(at) else { return Ok(rows.clone()) };
    let times = column.as_primitive::<TimestampMicrosecondType>();
    let (day, month) = days(times, zone);
    let rows = with_column(rows, &format!("{name}_day"), day)?;
    with_column(&rows, &format!("{name}_month"), month)
}

/// The day and the month of instants, as text that sorts as they do.
fn days(times: &TimestampMicrosecondArray, zone: Tz) -> (ArrayRef, ArrayRef) {
    let spans = [Span::Day, Span::Month].map(|span| {
        let known = Labels::of_span(times.iter().flatten(), span, zone);
        let mut codes = known.codes.iter();
        let texts = times.iter().map(|at| at.and_then(|_| codes.next()));
        let texts = texts.map(|code| code.map(|code| known.values[*code as usize].as_str()));
        Arc::new(texts.collect::<StringViewArray>()) as ArrayRef
    });
    let [day, month] = spans;
    (day, month)
}

/// Rows of credits as they are kept: with `share_billionths`, whole parts that sum to
/// [`SHARE_WHOLE`] for each order and model.
pub(crate) fn credits(rows: &RecordBatch, zone: Tz) -> Result<RecordBatch> {
    let orders = Labels::texts(rows, "order_external_id");
    let models = Labels::texts(rows, "model");
    let shares = rows.column_by_name("share").map(|shares| shares.as_primitive::<Float64Type>());
    let shares = shares.map(|shares| shares.values().to_vec()).unwrap_or_default();
    let mut parts = vec![0; rows.num_rows()];
    let mut divider = Divider::default();
    let mut start = 0;
    while start < rows.num_rows() {
        let same = |row: &usize| {
            orders.value(*row) == orders.value(start) && models.value(*row) == models.value(start)
        };
        let end = start + (start..rows.num_rows()).take_while(same).count();
        divider.weigh(&shares[start..end]);
        divider.divide(SHARE_WHOLE, &mut parts[start..end]);
        start = end;
    }
    let rows = with_column(rows, "share_billionths", Arc::new(Int64Array::from(parts)))?;
    let rows = with_days(&rows, "order_at", "order", zone)?;
    let rows = with_days(&rows, "touch_at", "touch", zone)?;
    narrowed(&in_minor_units(&rows, &["amount"], "currency")?)
}

/// Rows of journeys as they are kept: with `channel_path`, whatever the report is by.
pub(crate) fn journeys(
    rows: &RecordBatch,
    journeys: &JourneyRows,
    channels: &Labels,
    zone: Tz,
) -> Result<RecordBatch> {
    let rows = with_column(rows, "channel_path", channel_paths(journeys, channels))?;
    let rows = with_days(&rows, "order_at", "order", zone)?;
    narrowed(&in_minor_units(&rows, &["amount"], "currency")?)
}

/// Touches that are to be kept.
pub(crate) struct KeptSessions<'a> {
    /// The merged rows: sessions, then views, with their channels.
    pub(crate) rows: &'a RecordBatch,
    /// How many of them are sessions.
    pub(crate) sessions: usize,
    /// The rows in the order in which they are to be written.
    pub(crate) order: Vec<u32>,
    /// The person of a row.
    pub(crate) person: &'a dyn Fn(u32) -> &'a str,
    /// When a session bounced.
    pub(crate) bounce: Bounce,
}

/// The sessions table: one row a session or view.
///
/// `touch_external_id`, `touch_kind`, `user_external_id`, `person`, `touch_at`, `touch_day`,
/// `touch_month`, `in_period`, the utm fields, `channel`, `channel_group`, `channel_rule`,
/// `device_external_id`, `device_type`, `browser`, `os`, `domain_id`, `domain_type`, `landing_page`,
/// `referrer`, `timezone`, `duration`, `pageviews_count`, `interactions_count`, `bounced`, and the
/// export's own `app_*`.
pub(crate) fn sessions(kept: &KeptSessions<'_>, dated: Dated) -> Result<RecordBatch> {
    let KeptSessions { rows, sessions, order, .. } = kept;
    let at = UInt32Array::from(order.clone());
    let is_view = |row: u32| row as usize >= *sessions;
    let times = instants(rows);
    let touch_at = order.iter().map(|row| times[*row as usize]);
    let touch_at = TimestampMicrosecondArray::from_iter_values(touch_at).with_timezone("UTC");
    let (day, month) = days(&touch_at, dated.zone);
    let kinds = order.iter().map(|row| if is_view(*row) { "postview" } else { "session" });
    let in_period = touch_at.values().iter().map(|at| Some(dated.holds(*at)));
    let in_period: BooleanArray = in_period.collect();
    let mut columns: Columns = vec![
        ("touch_external_id".into(), column(rows, "external_id", Kind::Id, &at)?),
        ("touch_kind".into(), texts(kinds)),
        ("user_external_id".into(), column(rows, "user_external_id", Kind::Id, &at)?),
        ("person".into(), texts(order.iter().map(|row| (kept.person)(*row)))),
        ("touch_at".into(), Arc::new(touch_at)),
        ("touch_day".into(), day),
        ("touch_month".into(), month),
        ("in_period".into(), Arc::new(in_period)),
    ];
    let labels = ["channel", "channel_group", "channel_rule", "device_external_id"];
    let labels = UTM.into_iter().chain(labels).chain(DEVICE_COLUMNS);
    let places = ["domain_id", DOMAIN_TYPE, "landing_page", "referrer", "timezone"];
    for name in labels.chain(places) {
        columns.push((name.to_owned(), column(rows, name, Kind::Text, &at)?));
    }
    for name in ["duration", "pageviews_count", "interactions_count"] {
        columns.push((name.to_owned(), column(rows, name, Kind::Number, &at)?));
    }
    let tell = ["duration", "interactions_count"];
    let tells = tell.iter().any(|name| rows.column_by_name(name).is_some());
    let nobody = vec![0; rows.num_rows()];
    let session = Session::reader(rows, &times, &nobody);
    let bounced = |row: &u32| {
        let known = tells && !is_view(*row);
        known.then(|| session(*row as usize).bounced(kept.bounce))
    };
    columns.push(("bounced".into(), Arc::new(order.iter().map(bounced).collect::<BooleanArray>())));
    columns.extend(own(rows, &at)?);
    table(columns)
}

/// Orders that are to be kept.
pub(crate) struct KeptOrders<'a> {
    /// The merged rows.
    pub(crate) rows: &'a RecordBatch,
    /// What the run made of them.
    pub(crate) orders: &'a Orders,
    /// What they are worth.
    pub(crate) amounts: &'a Amounts,
    /// The orders in the order in which they are to be written, as positions in `orders`.
    pub(crate) order: Vec<u32>,
    /// The person of a row.
    pub(crate) person: &'a dyn Fn(u32) -> &'a str,
    /// The column that amounts are taken from.
    pub(crate) amount: &'a str,
    /// The workspace's currency.
    pub(crate) currency: Currency,
}

/// The orders table: one row an order, whether it counts or not.
///
/// `order_external_id`, `user_external_id`, `person`, `order_at`, `order_day`, `order_month`,
/// `conversion_type`, `amount` (net of refunds, in `currency`; missing where there is no rate),
/// `currency`, `minor_units`, `is_counted`, `not_counted` (why not: `cancelled`, `without_rate`,
/// `filtered` or `outside_period`), `is_first_conversion`, `price` and `refunded` (in
/// `price_currency`, `price_minor_units` of which make one unit), `cancelled_at`, `domain_id`,
/// `session_external_id`, `discount_codes`, and the export's own `app_*`.
pub(crate) fn orders(kept: &KeptOrders<'_>, zone: Tz) -> Result<RecordBatch> {
    let KeptOrders { rows, orders, amounts, order, .. } = kept;
    let row_of = |order: &u32| orders.row[*order as usize];
    let at: UInt32Array = order.iter().map(|order| Some(row_of(order))).collect();
    let order_at = order.iter().map(|order| orders.at[*order as usize]);
    let order_at = TimestampMicrosecondArray::from_iter_values(order_at).with_timezone("UTC");
    let (day, month) = days(&order_at, zone);
    let kinds =
        order.iter().map(|order| amounts.kinds[orders.kind[*order as usize] as usize].as_str());
    let has_rate = |order: &u32| {
        amounts.without_rate.binary_search_by_key(&row_of(order), |(row, _)| *row).is_err()
    };
    let why = |order: &u32| {
        let place = *order as usize;
        match (orders.counted[place], orders.wanted[place], orders.reported[place]) {
            (false, ..) if !has_rate(order) => Some("without_rate"),
            (false, ..) => Some("cancelled"),
            (_, false, _) => Some("filtered"),
            (.., false) => Some("outside_period"),
            _ => None,
        }
    };
    let currency = |order: &u32| {
        let known = has_rate(order).then(|| orders.currency[*order as usize]);
        known.and_then(|place| amounts.currencies.get(usize::from(place)).copied())
    };
    let price_currency = Labels::texts(rows, "currency");
    let price_currency = |order: &u32| {
        let row = row_of(order) as usize;
        let own = price_currency.is_valid(row).then(|| price_currency.value(row).parse().ok());
        own.flatten().unwrap_or(kept.currency)
    };
    let codes = |code: &dyn Fn(&u32) -> Option<Currency>| -> ArrayRef {
        let codes: Vec<Option<Currency>> = order.iter().map(code).collect();
        let codes = codes.iter().map(|code| code.as_ref().map(Currency::code));
        Arc::new(codes.collect::<StringViewArray>())
    };
    let whole = |value: &dyn Fn(&u32) -> Option<i64>| -> ArrayRef {
        Arc::new(order.iter().map(value).collect::<Int64Array>())
    };
    let amount = |order: &u32| currency(order).map(|_| orders.amount[*order as usize]);
    let reasons: StringViewArray = order.iter().map(why).collect();
    let counted: BooleanArray = order.iter().map(|order| Some(why(order).is_none())).collect();
    let mut columns: Columns = vec![
        ("order_external_id".into(), column(rows, "external_id", Kind::Id, &at)?),
        ("user_external_id".into(), column(rows, "user_external_id", Kind::Id, &at)?),
        ("person".into(), texts(order.iter().map(|order| (kept.person)(row_of(order))))),
        ("order_at".into(), Arc::new(order_at)),
        ("order_day".into(), day),
        ("order_month".into(), month),
        ("conversion_type".into(), texts(kinds)),
        ("amount".into(), whole(&amount)),
        ("currency".into(), codes(&currency)),
        ("minor_units".into(), whole(&|order| currency(order).map(minor_units_of))),
        ("is_counted".into(), Arc::new(counted)),
        ("not_counted".into(), Arc::new(reasons)),
        ("is_first_conversion".into(), Arc::new(firsts(orders, order))),
        ("price".into(), column(rows, kept.amount, Kind::Money, &at)?),
        ("refunded".into(), column(rows, "refunded_price", Kind::Money, &at)?),
        ("price_currency".into(), codes(&|order| Some(price_currency(order)))),
        ("price_minor_units".into(), whole(&|order| Some(minor_units_of(price_currency(order))))),
        ("cancelled_at".into(), column(rows, "cancelled_at", Kind::Time, &at)?),
    ];
    for name in ["domain_id", "session_external_id", "discount_codes"] {
        columns.push((name.to_owned(), column(rows, name, Kind::Text, &at)?));
    }
    columns.extend(own(rows, &at)?);
    table(columns)
}

/// Whether each order is its person's first that counts; not known of orders that do not.
fn firsts(orders: &Orders, order: &[u32]) -> BooleanArray {
    let mut is_first = vec![false; orders.row.len()];
    for person in orders.starts.windows(2) {
        let mut of_person = person[0] as usize..person[1] as usize;
        if let Some(first) = of_person.find(|order| orders.counted[*order]) {
            is_first[first] = true;
        }
    }
    let known = order.iter().map(|order| *order as usize);
    known.map(|order| orders.counted[order].then_some(is_first[order])).collect()
}

/// The spend table: one row as it was given.
///
/// `spend_day`, `spend_month`, `in_period`, `utm_source`, `utm_medium`, `utm_campaign`, `channel`,
/// `channel_group`, `cost` (in the workspace's currency where a rate leads to it), `currency`,
/// `minor_units`, `clicks`, `impressions`. Rows are in the order of these columns.
pub(crate) fn spend(
    rows: &RecordBatch,
    to: Currency,
    rates: Option<&Rates>,
    dated: Dated,
) -> Result<RecordBatch> {
    let costs = (0..rows.num_rows()).map(|row| cost_of(rows, row, to, rates));
    let costs: Vec<_> = costs.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
    let span = |span: Span| {
        let labels: Vec<String> = costs.iter().map(|(day, ..)| span.label(*day)).collect();
        texts(labels.iter().map(String::as_str))
    };
    let in_period = costs.iter().map(|(day, ..)| Some(dated.holds(start_of_day(*day, dated.zone))));
    let at: UInt32Array = (0..).take(rows.num_rows()).map(Some).collect();
    let mut columns: Columns = vec![
        ("spend_day".into(), span(Span::Day)),
        ("spend_month".into(), span(Span::Month)),
        ("in_period".into(), Arc::new(in_period.collect::<BooleanArray>())),
    ];
    for name in ["utm_source", "utm_medium", "utm_campaign", "channel", "channel_group"] {
        columns.push((name.to_owned(), column(rows, name, Kind::Text, &at)?));
    }
    let whole = |values: &dyn Fn(i64, Currency) -> i64| -> ArrayRef {
        let values = costs.iter().map(|(_, cost, currency)| values(*cost, *currency));
        Arc::new(Int64Array::from_iter_values(values))
    };
    columns.push(("cost".into(), whole(&|cost, _| cost)));
    columns.push(("currency".into(), texts(costs.iter().map(|(.., currency)| currency.code()))));
    columns.push(("minor_units".into(), whole(&|_, currency| minor_units_of(currency))));
    for name in ["clicks", "impressions"] {
        columns.push((name.to_owned(), column(rows, name, Kind::Number, &at)?));
    }
    sorted(&table(columns)?)
}

/// A table in the order of all its columns, the first before the others.
fn sorted(rows: &RecordBatch) -> Result<RecordBatch> {
    let keys = rows.columns().iter().map(|column| arrow::compute::SortColumn {
        values: ArrayRef::clone(column),
        options: None,
    });
    let order = arrow::compute::lexsort_to_indices(&keys.collect::<Vec<_>>(), None)?;
    Ok(arrow::compute::take_record_batch(rows, &order)?)
}

/// A column of merged rows at some of them; empty where there is none of that name, or none of its
/// kind.
fn column(rows: &RecordBatch, name: &str, kind: Kind, at: &UInt32Array) -> Result<ArrayRef> {
    let needed = match kind {
        Kind::Money => DataType::Int64,
        Kind::Number => DataType::Float64,
        Kind::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        _ => DataType::Utf8View,
    };
    Ok(match rows.column_by_name(name) {
        Some(column) if *column.data_type() == needed => take(column, at, None)?,
        Some(_) if needed == DataType::Utf8View => take(&Labels::texts(rows, name), at, None)?,
        _ => new_null_array(&needed, at.len()),
    })
}

/// The columns that are an export's own, under their names.
fn own(rows: &RecordBatch, at: &UInt32Array) -> Result<Columns> {
    let schema = rows.schema();
    let named = schema.fields().iter().zip(rows.columns());
    let own = named.filter(|(field, _)| field.name().starts_with("app_"));
    own.map(|(field, column)| Ok((field.name().clone(), take(column, at, None)?))).collect()
}

#[cfg(test)]
mod tests {
    use arrow::array::Float64Array;
    use arrow::datatypes::Int64Type;

    use super::*;
    use crate::report::decimals;

    #[test]
    fn amounts_are_whole_minor_units_of_their_own_currency() {
        let [euro, yen] = ["EUR", "JPY"].map(|code| code.parse::<Currency>().unwrap());
        let amounts = decimals([Some((12_345, euro)), Some((678, yen)), None].into_iter(), 2);
        let rows = RecordBatch::try_from_iter_with_nullable([
            ("amount", amounts.unwrap(), true),
            (
                "currency",
                Arc::new(StringViewArray::from(vec![Some("EUR"), Some("JPY"), None])),
                true,
            ),
        ]);
        let rows = in_minor_units(&rows.unwrap(), &["amount"], "currency").unwrap();
        let of = |name: &str| -> Vec<Option<i64>> {
            rows.column_by_name(name).unwrap().as_primitive::<Int64Type>().iter().collect()
        };
        assert_eq!(of("amount"), [Some(12_345), Some(678), None]);
        assert_eq!(of("minor_units"), [Some(100), Some(1), None]);
    }

    #[test]
    fn shares_are_whole_parts_that_sum_to_one_for_each_order_and_model() {
        let third = 1.0 / 3.0;
        let rows = RecordBatch::try_from_iter([
            ("order_external_id", texts(["a", "a", "a", "b"].into_iter())),
            ("model", texts(["linear"; 4].into_iter())),
            ("share", Arc::new(Float64Array::from(vec![third, third, third, 1.0])) as ArrayRef),
        ]);
        let rows = credits(&rows.unwrap(), Tz::UTC).unwrap();
        let parts = rows.column_by_name("share_billionths").unwrap();
        let parts = parts.as_primitive::<Int64Type>().values().to_vec();
        assert_eq!(parts, [333_333_334, 333_333_333, 333_333_333, SHARE_WHOLE]);
    }
}
