//! Credits and journeys as tables.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, DictionaryArray, Float64Array,
    Int64Array, RecordBatch, StringViewArray, TimestampMicrosecondArray, UInt32Array, UInt64Array,
    new_null_array,
};
use arrow::compute::take;
use arrow::datatypes::DataType;
use hashbrown::HashMap;

use crate::credits::share;
use crate::engine::{CreditRows, JourneyRows};
use crate::error::Result;
use crate::journeys::{Combined, Labels, NOT_SET, Orders, Path, Role, TouchNames, Touches};
use crate::merge::external_ids;
use crate::money::Currency;
use crate::report::{decimal_column, decimals, texts, unit};
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

/// What something is called, by its number.
pub type TextOf<'a> = &'a (dyn Fn(u32) -> &'a str + Sync);

/// Everything that the rows of credits and journeys refer to.
#[derive(Clone, Copy)]
pub struct CreditTable<'a> {
    /// Touches in order.
    pub touches: &'a Touches,
    /// The merged rows of touches.
    pub touch_rows: &'a RecordBatch,
    /// What touches are called, where their rows do not say so, and what users are, by their number.
    pub names: Option<(&'a TouchNames, TextOf<'a>)>,
    /// Orders in order.
    pub orders: &'a Orders,
    /// The merged rows of orders.
    pub order_rows: &'a RecordBatch,
    /// The person of each order, as text, by its position.
    pub persons: TextOf<'a>,
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
///
/// What repeats is listed once, in dictionary arrays: an order's values for all of its rows, a touch's for
/// every order and model.
pub fn credit_rows(table: &CreditTable<'_>, rows: &CreditRows) -> Result<RecordBatch> {
    let models = table.models.len();
    let Layout { of_row, of_order, of_model, touch_of_row, orders, touches } =
        Layout::new(rows, models);
    let each_row = |numbers: &UInt32Array| -> Result<UInt32Array> {
        Ok(take(numbers, &of_row, None)?.as_primitive().clone())
    };
    let of_touch = each_row(&touch_of_row)?;
    let of_row_and_model = || of_row.values().iter().zip(of_model.values());
    let cell = |(row, model): (&u32, &u32)| *row as usize * models + *model as usize;
    let touch_rows: UInt32Array =
        touches.iter().map(|touch| Some(table.touches.row[(*touch)? as usize])).collect();
    let about_touches = |name: &str| -> Result<ArrayRef> {
        Ok(match (name, table.names, table.touch_rows.column_by_name(name)) {
            ("external_id", Some((names, _)), _) => {
                let id = touches.iter().map(|touch| Some(names.id[(*touch)? as usize]));
                take(&names.ids, &id.collect::<UInt32Array>(), None)?
            }
            ("user_external_id", Some((names, user)), _) => {
                let user = touches.iter().map(|touch| Some(user(names.user[(*touch)? as usize])));
                Arc::new(user.collect::<StringViewArray>())
            }
            (_, _, Some(column)) => take(column, &touch_rows, None)?,
            (_, _, None) => new_null_array(&DataType::Utf8View, touches.len()),
        })
    };
    let kinds = touches.iter().map(|touch| Some(table.touches.view[(*touch)? as usize].into()));
    let kinds =
        take(&texts(["session", "postview"].into_iter()), &kinds.collect::<UInt32Array>(), None)?;
    let touch_times = touches.iter().map(|touch| Some(table.touches.at[(*touch)? as usize]));
    let touch_times: TimestampMicrosecondArray = touch_times.collect();
    let seconds = rows.order.iter().zip(&rows.touch).map(|(order, touch)| {
        let touched_at = table.touches.at[(*touch)? as usize];
        Some((table.orders.at[*order as usize] - touched_at).div_euclid(1_000_000))
    });
    let seconds: ArrayRef = Arc::new(seconds.collect::<Int64Array>());
    // The first is none, of a row without a touch.
    let place = |(touch, position): (&Option<u32>, &u32)| touch.map_or(0, |_| position + 1);
    let places = UInt32Array::from_iter_values(rows.touch.iter().zip(&rows.position).map(place));
    let last = places.values().iter().max().copied().unwrap_or_default();
    let positions = (0..=last).map(|place| (place > 0).then_some(u64::from(place)));
    let counts = orders.iter().map(|(_, row)| u64::from(rows.touches[*row]));
    let roles = rows.touch.iter().enumerate().map(|(row, touch)| match touch {
        Some(_) => Role::of(rows.position[row] as usize, rows.touches[row] as usize) as u32,
        None => small(Role::ALL.len()),
    });
    let shares = of_row_and_model().map(|at| share(i128::from(rows.shares[cell(at)])));
    let scale = table.scale();
    let units = orders.iter().map(|(order, _)| unit(table.currency(*order), scale));
    let units: Vec<i128> = units.collect();
    let amounts = of_row_and_model()
        .zip(of_order.values())
        .map(|(at, order)| i128::from(rows.amounts[cell(at)]) * units[*order as usize]);
    let first = of_row.values().iter().map(|row| Some(rows.first[*row as usize]));
    let ordered: Vec<u32> = orders.iter().map(|(order, _)| *order).collect();
    let (users, of_users) = match about_touches("user_external_id")? {
        // One is that there is no touch, which mostly no row has.
        users if users.null_count() == 1 && !rows.touch.contains(&None) => (users, &of_touch),
        users => (users_of_rows(table, rows, &users, &touch_of_row)?, &of_row),
    };
    let names = Role::ALL.map(Role::name).into_iter().chain(["unattributed"]);
    let mut columns: Vec<(&str, ArrayRef)> = vec![
        ("order_external_id", listed(&of_order, table.order_ids(&ordered)?)?),
        ("touch_external_id", listed(&of_touch, about_touches("external_id")?)?),
        ("touch_kind", listed(&of_touch, kinds)?),
        ("person", listed(&of_order, table.persons_of(&ordered))?),
        ("user_external_id", listed(of_users, users)?),
        ("model", listed(&of_model, texts(table.models.iter().map(String::as_str)))?),
        ("position", listed(&each_row(&places)?, Arc::new(positions.collect::<UInt64Array>()))?),
        ("touches", listed(&of_order, Arc::new(UInt64Array::from_iter_values(counts)))?),
        ("role", listed(&each_row(&UInt32Array::from_iter_values(roles))?, texts(names))?),
        ("share", Arc::new(Float64Array::from_iter_values(shares))),
        ("amount", decimal_column(Decimal128Array::from_iter_values(amounts), scale)?),
        ("currency", listed(&of_order, table.currencies_of(&ordered))?),
        ("touch_at", listed(&of_touch, Arc::new(touch_times.with_timezone("UTC")))?),
        ("order_at", listed(&of_order, table.order_times(&ordered))?),
        ("time_to_conversion", listed(&of_row, seconds)?),
        ("is_first_conversion", Arc::new(first.collect::<BooleanArray>())),
    ];
    let usual = UTM.iter().copied().chain(["channel", "channel_group", "domain_id", "device_type"]);
    for name in usual.chain(table.extra.iter().map(String::as_str)) {
        columns.push((name, listed(&of_touch, about_touches(name)?)?));
    }
    Ok(RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, column)| (name, column, true)),
    )?)
}

/// A column whose values are listed once, with which of them each row has.
fn listed(numbers: &UInt32Array, values: ArrayRef) -> Result<ArrayRef> {
    Ok(Arc::new(DictionaryArray::try_new(numbers.clone(), values)?))
}

/// The rows of a table of credits: model by model within an order, where a partition has touch by touch.
struct Layout {
    /// The row of the partition that each is of.
    of_row: UInt32Array,
    /// Which of the orders.
    of_order: UInt32Array,
    of_model: UInt32Array,
    /// Which of the touches each row of the partition has.
    touch_of_row: UInt32Array,
    /// The orders, each once for as long as it goes on, with the first row of each.
    orders: Vec<(u32, usize)>,
    /// That there is no touch, and the touches, each once.
    touches: Vec<Option<u32>>,
}

impl Layout {
    fn new(rows: &CreditRows, models: usize) -> Self {
        let count = rows.order.len() * models;
        let space = || Vec::with_capacity(count);
        let (mut of_row, mut of_order, mut of_model) = (space(), space(), space());
        let (mut orders, mut touches, mut places) = (Vec::new(), vec![None], HashMap::new());
        let mut start = 0;
        for of_one in rows.order.chunk_by(|left, right| left == right) {
            let end = start + of_one.len();
            for model in 0..models {
                of_row.extend(small(start)..small(end));
                of_model.resize(of_row.len(), small(model));
            }
            of_order.resize(of_row.len(), small(orders.len()));
            orders.push((of_one[0], start));
            start = end;
        }
        let place = |touch: &Option<u32>| {
            touch.map_or(0, |touch| {
                *places.entry(touch).or_insert_with(|| {
                    touches.push(Some(touch));
                    small(touches.len() - 1)
                })
            })
        };
        let touch_of_row = UInt32Array::from_iter_values(rows.touch.iter().map(place));
        let (of_row, of_order, of_model) = (of_row.into(), of_order.into(), of_model.into());
        Self { of_row, of_order, of_model, touch_of_row, orders, touches }
    }
}

/// A position in a table of some rows.
fn small(position: usize) -> u32 {
    u32::try_from(position).expect("a batch of credits has fewer rows")
}

/// The original user of each row of a partition: of the touch, or of the order where that has none.
fn users_of_rows(
    table: &CreditTable<'_>,
    rows: &CreditRows,
    of_touches: &ArrayRef,
    touch_of_row: &UInt32Array,
) -> Result<ArrayRef> {
    let of_touches = take(of_touches, touch_of_row, None)?;
    let of_orders = order_users(table, &rows.order)?;
    let either = of_touches.as_string_view().iter().zip(of_orders.as_string_view());
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
