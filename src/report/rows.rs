//! Credits and journeys as tables.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringViewArray,
    TimestampMicrosecondArray, UInt32Array, UInt64Array, new_null_array,
};
use arrow::compute::take;
use arrow::datatypes::DataType;

use crate::credits::share;
use crate::engine::{CreditRows, JourneyRows};
use crate::error::Result;
use crate::journeys::{Combined, Labels, NOT_SET, Orders, Path, Role, Touches};
use crate::merge::external_ids;
use crate::money::Currency;
use crate::report::{decimals, texts};
use crate::schema::UTM;

/// The columns that every table of credits has; touch dimensions of other names are added.
pub const CREDIT_COLUMNS: [&str; 27] = [
    "order_external_id",
    "touch_external_id",
    "touch_kind",
    "person",
    "user_external_id",
    "model",
    "position",
    "touches",
    "role",
    "share",
    "amount",
    "currency",
    "touch_at",
    "order_at",
    "time_to_conversion",
    "is_first_conversion",
    "utm_source",
    "utm_medium",
    "utm_campaign",
    "utm_content",
    "utm_term",
    "utm_id",
    "utm_id_from",
    "channel",
    "channel_group",
    "domain_id",
    "device_type",
];

/// Everything that the rows of credits and journeys refer to.
#[derive(Clone, Copy)]
pub struct CreditTable<'a> {
    /// Touches in order.
    pub touches: &'a Touches,
    /// The merged rows of touches.
    pub touch_rows: &'a RecordBatch,
    /// Orders in order.
    pub orders: &'a Orders,
    /// The merged rows of orders.
    pub order_rows: &'a RecordBatch,
    /// The person of each order, as text, by its position.
    pub persons: &'a (dyn Fn(u32) -> &'a str + Sync),
    /// The models' names.
    pub models: &'a [String],
    /// The currencies of the orders.
    pub currencies: &'a [Currency],
    /// Touch columns to add beside the usual ones.
    pub extra: &'a [String],
}

impl CreditTable<'_> {
    fn currency(&self, order: u32) -> Currency {
        self.currencies[self.orders.currency[order as usize] as usize]
    }

    fn scale(&self) -> u32 {
        self.currencies.iter().map(|currency| currency.exponent()).max().unwrap_or(2)
    }

    fn order_rows_of(&self, orders: &[u32]) -> UInt32Array {
        orders.iter().map(|order| Some(self.orders.row[*order as usize])).collect()
    }

    fn order_ids(&self, orders: &[u32]) -> Result<ArrayRef> {
        let ids = external_ids(self.order_rows);
        Ok(take(ids, &self.order_rows_of(orders), None)?)
    }

    fn order_times(&self, orders: &[u32]) -> ArrayRef {
        let times = orders.iter().map(|order| self.orders.at[*order as usize]);
        Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC"))
    }

    fn persons_of(&self, orders: &[u32]) -> ArrayRef {
        texts(orders.iter().map(|order| (self.persons)(*order)))
    }

    fn currencies_of(&self, orders: &[u32]) -> ArrayRef {
        let codes: Vec<Currency> = orders.iter().map(|order| self.currency(*order)).collect();
        texts(codes.iter().map(Currency::code))
    }
}

/// The credits of a partition: one row an order, model and touch, in that order.
///
/// An order without touches has one row a model, with an empty touch. Columns: `order_external_id`,
/// `touch_external_id`, `touch_kind`, `person`, `user_external_id`, `model`, `position`, `touches`,
/// `role`, `share`, `amount`, `currency`, `touch_at`, `order_at`, `time_to_conversion` (seconds),
/// `is_first_conversion`, the utm fields, `domain_id`, `device_type` and the touch dimensions of
/// the report.
pub fn credit_rows(table: &CreditTable<'_>, rows: &CreditRows) -> Result<RecordBatch> {
    let models = table.models.len();
    let Layout { from, orders, of_order, of_model } = Layout::new(rows, models);
    // What an order has is looked up once, and not for each of its rows.
    let by_order = |column: &ArrayRef| take(column, &of_order, None);
    let touched: Vec<Option<u32>> = from.iter().map(|(row, _)| rows.touch[*row]).collect();
    let touch_rows: UInt32Array =
        touched.iter().map(|touch| touch.map(|touch| table.touches.row[touch as usize])).collect();
    let of_touch = |name: &str| -> Result<ArrayRef> {
        Ok(match table.touch_rows.column_by_name(name) {
            Some(column) => take(column, &touch_rows, None)?,
            None => new_null_array(&DataType::Utf8View, from.len()),
        })
    };
    let numbers = |number: &dyn Fn(usize) -> Option<u64>| -> ArrayRef {
        Arc::new(from.iter().map(|(row, _)| number(*row)).collect::<UInt64Array>())
    };
    let touched_at = |touch: Option<u32>| touch.map(|touch| table.touches.at[touch as usize]);
    let of_kind = touched
        .iter()
        .map(|touch| touch.map(|touch| u32::from(table.touches.view[touch as usize])));
    let of_role = from.iter().map(|(row, _)| match rows.touch[*row] {
        Some(_) => Role::of(rows.position[*row] as usize, rows.touches[*row] as usize) as u32,
        None => small(Role::ALL.len()),
    });
    let seconds = of_order.values().iter().zip(&touched).map(|(order, touch)| {
        let order = table.orders.at[orders[*order as usize] as usize];
        touched_at(*touch).map(|at| (order - at).div_euclid(1_000_000))
    });
    let cell = |(row, model): &(usize, usize)| row * models + model;
    let amounts = from.iter().zip(of_order.values()).map(|(at, order)| {
        let currency = table.currency(orders[*order as usize]);
        Some((i128::from(rows.amounts[cell(at)]), currency))
    });
    let touch_times = touched.iter().map(|touch| touched_at(*touch));
    let roles = Role::ALL.map(Role::name).into_iter().chain(["unattributed"]);
    let mut columns: Vec<(String, ArrayRef)> = vec![
        ("order_external_id".into(), by_order(&table.order_ids(&orders)?)?),
        ("touch_external_id".into(), of_touch("external_id")?),
        (
            "touch_kind".into(),
            take(
                &texts(["session", "postview"].into_iter()),
                &of_kind.collect::<UInt32Array>(),
                None,
            )?,
        ),
        ("person".into(), by_order(&table.persons_of(&orders))?),
        (
            "user_external_id".into(),
            users(&of_touch("user_external_id")?, || Ok(by_order(&order_users(table, &orders)?)?))?,
        ),
        (
            "model".into(),
            take(
                &texts(table.models.iter().map(String::as_str)),
                &UInt32Array::from(of_model),
                None,
            )?,
        ),
        (
            "position".into(),
            numbers(&|row| rows.touch[row].map(|_| u64::from(rows.position[row]) + 1)),
        ),
        ("touches".into(), numbers(&|row| Some(u64::from(rows.touches[row])))),
        ("role".into(), take(&texts(roles), &UInt32Array::from_iter_values(of_role), None)?),
        (
            "share".into(),
            Arc::new(Float64Array::from_iter_values(
                from.iter().map(|at| share(i128::from(rows.shares[cell(at)]))),
            )),
        ),
        ("amount".into(), decimals(amounts, table.scale())?),
        ("currency".into(), by_order(&table.currencies_of(&orders))?),
        (
            "touch_at".into(),
            Arc::new(touch_times.collect::<TimestampMicrosecondArray>().with_timezone("UTC")),
        ),
        ("order_at".into(), by_order(&table.order_times(&orders))?),
        ("time_to_conversion".into(), Arc::new(seconds.collect::<Int64Array>())),
        (
            "is_first_conversion".into(),
            Arc::new(from.iter().map(|(row, _)| Some(rows.first[*row])).collect::<BooleanArray>()),
        ),
    ];
    let usual = UTM.iter().copied().chain(["channel", "channel_group", "domain_id", "device_type"]);
    for name in usual.chain(table.extra.iter().map(String::as_str)) {
        columns.push((name.to_owned(), of_touch(name)?));
    }
    Ok(RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, column)| (name, column, true)),
    )?)
}

/// The rows of a table of credits: model by model within an order, where a partition has touch by touch.
struct Layout {
    /// The row of the partition and the model of each.
    from: Vec<(usize, usize)>,
    /// The orders, each once for as long as it goes on.
    orders: Vec<u32>,
    /// Which of these each row is of.
    of_order: UInt32Array,
    of_model: UInt32Array,
}

impl Layout {
    fn new(rows: &CreditRows, models: usize) -> Self {
        let count = rows.order.len() * models;
        let (mut from, mut orders) = (Vec::with_capacity(count), Vec::new());
        let (mut of_order, mut of_model) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let mut start = 0;
        for of_one in rows.order.chunk_by(|left, right| left == right) {
            let end = start + of_one.len();
            for model in 0..models {
                from.extend((start..end).map(|row| (row, model)));
                of_model.resize(from.len(), small(model));
            }
            of_order.resize(from.len(), small(orders.len()));
            orders.push(of_one[0]);
            start = end;
        }
        Self { from, orders, of_order: of_order.into(), of_model: of_model.into() }
    }
}

/// A position in a table of some rows.
fn small(position: usize) -> u32 {
    u32::try_from(position).expect("a batch of credits has fewer rows")
}

/// The original user of each touch; of the order where there is no touch.
fn users(of_touches: &ArrayRef, of_orders: impl FnOnce() -> Result<ArrayRef>) -> Result<ArrayRef> {
    let of_touches = of_touches.as_string_view();
    if of_touches.null_count() == 0 {
        return Ok(Arc::new(of_touches.clone()));
    }
    let of_orders = of_orders()?;
    let either = of_touches.iter().zip(of_orders.as_string_view());
    Ok(Arc::new(either.map(|(touch, order)| touch.or(order)).collect::<StringViewArray>()))
}

fn order_users(table: &CreditTable<'_>, orders: &[u32]) -> Result<ArrayRef> {
    Ok(match table.order_rows.column_by_name("user_external_id") {
        Some(users) => take(users, &table.order_rows_of(orders), None)?,
        None => new_null_array(&DataType::Utf8View, orders.len()),
    })
}

/// What the journeys of a run are made of, for each touch by its position.
#[derive(Debug, Clone, Default)]
pub struct Steps {
    /// What paths are made of.
    pub path: Combined,
    /// The touch's device type.
    pub device_types: Labels,
    /// The touch's device.
    pub devices: Labels,
    /// The touch's domain.
    pub domains: Labels,
    /// What kind of place that is.
    pub domain_types: Labels,
}

/// The journeys of a partition: one row an order.
///
/// Device types and domains have paths of their own, and the number of distinct ones: of types,
/// of devices, of domains and of their types, not counting touches that name none. Columns:
/// `order_external_id`, `person`, `user_external_id`, `order_at`, `conversion_type`, `amount`,
/// `currency`, `touches`, `path`, `path_hash`, `time_to_conversion` (seconds, of the first touch),
/// `is_first_conversion`, `device_type_path`, `device_types`, `devices`, `domain_path`, `domains`,
/// `domain_type_path`, `domain_types`.
pub fn journey_rows(
    table: &CreditTable<'_>,
    rows: &JourneyRows,
    steps: &Steps,
    kinds: &[String],
) -> Result<RecordBatch> {
    let labels: Vec<String> = steps.path.values.iter().map(|values| values.join(" / ")).collect();
    let orders = &rows.order;
    let journeys: Vec<&[u32]> =
        rows.starts.windows(2).map(|range| &rows.touches[range[0]..range[1]]).collect();
    let mut path = Path::default();
    let (mut paths, mut hashes) = (Vec::new(), Vec::new());
    for journey in &journeys {
        path.take(journey.iter().map(|touch| steps.path.codes[*touch as usize]));
        paths.push(path.text(&labels));
        hashes.push(path.hash(&steps.path.values));
    }
    let seconds = orders.iter().zip(&journeys).map(|(order, journey)| {
        let first = table.touches.at[*journey.first()? as usize];
        Some((table.orders.at[*order as usize] - first).div_euclid(1_000_000))
    });
    let amounts = orders.iter().map(|order| {
        Some((i128::from(table.orders.amount[*order as usize]), table.currency(*order)))
    });
    let kinds =
        orders.iter().map(|order| kinds[table.orders.kind[*order as usize] as usize].as_str());
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("order_external_id", table.order_ids(orders)?),
        ("person", table.persons_of(orders)),
        ("user_external_id", order_users(table, orders)?),
        ("order_at", table.order_times(orders)),
        ("conversion_type", texts(kinds)),
        ("amount", decimals(amounts, table.scale())?),
        ("currency", table.currencies_of(orders)),
        (
            "touches",
            Arc::new(UInt64Array::from_iter_values(
                journeys.iter().map(|journey| journey.len() as u64),
            )),
        ),
        ("path", texts(paths.iter().map(String::as_str))),
        ("path_hash", texts(hashes.iter().map(String::as_str))),
        ("time_to_conversion", Arc::new(seconds.collect::<Int64Array>())),
        (
            "is_first_conversion",
            Arc::new(rows.first.iter().map(|first| Some(*first)).collect::<BooleanArray>()),
        ),
        ("device_type_path", funnel(&journeys, &steps.device_types)),
        ("device_types", distinct(&journeys, &steps.device_types)),
        ("devices", distinct(&journeys, &steps.devices)),
        ("domain_path", funnel(&journeys, &steps.domains)),
        ("domains", distinct(&journeys, &steps.domains)),
        ("domain_type_path", funnel(&journeys, &steps.domain_types)),
        ("domain_types", distinct(&journeys, &steps.domain_types)),
    ];
    Ok(RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, column)| (name, column, true)),
    )?)
}

/// The path of each journey through the channels of its touches.
pub(crate) fn channel_paths(rows: &JourneyRows, channels: &Labels) -> ArrayRef {
    let journeys = rows.starts.windows(2).map(|range| &rows.touches[range[0]..range[1]]);
    funnel(&journeys.collect::<Vec<_>>(), channels)
}

/// The path of each journey through labels.
fn funnel(journeys: &[&[u32]], labels: &Labels) -> ArrayRef {
    let mut path = Path::default();
    let mut text = |journey: &&[u32]| {
        path.take(journey.iter().map(|touch| labels.codes[*touch as usize]));
        Some(path.text(&labels.values))
    };
    Arc::new(journeys.iter().map(&mut text).collect::<StringViewArray>())
}

/// How many distinct labels each journey has, not counting what is not set.
fn distinct(journeys: &[&[u32]], labels: &Labels) -> ArrayRef {
    let mut seen = Vec::new();
    let counts = journeys.iter().map(|journey| distinct_labels(journey, labels, &mut seen));
    Arc::new(UInt64Array::from_iter_values(counts))
}

/// How many distinct labels a journey has, not counting what is not set; `seen` is space to use.
pub(super) fn distinct_labels(journey: &[u32], labels: &Labels, seen: &mut Vec<u32>) -> u64 {
    seen.clear();
    seen.extend(journey.iter().map(|touch| labels.codes[*touch as usize]));
    seen.sort_unstable();
    seen.dedup();
    seen.iter().filter(|code| labels.values[**code as usize] != NOT_SET).count() as u64
}
