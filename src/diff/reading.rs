//! What a comparison reads of a kept run: its orders, the credits of each, and what is known of touches.
//!
//! Both runs are numbered by one set of names, so that numbers compare. Not for what differs.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, AsArray, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Int64Type, TimestampMicrosecondType};

use crate::diff::Asked;
use crate::error::{Error, Result};
use crate::ids::Interner;
use crate::journeys::{Labels, NOT_SET, UNATTRIBUTED};
use crate::kept::{Frame, Kept};
use crate::schema::UTM;

/// The columns of credits that are no dimension of a touch.
const NO_DIMENSIONS: [&str; 10] = [
    "order_external_id",
    "touch_external_id",
    "person",
    "user_external_id",
    "model",
    "currency",
    "order_day",
    "order_month",
    "touch_day",
    "touch_month",
];

/// Fields of a touch beside utm that a channel can follow from.
const FIELDS: [&str; 4] = ["referrer", "landing_page", "domain_id", "device_type"];

/// What divides texts that are put together: in no text of an export.
const BETWEEN: &str = "\u{1f}";

/// The names that both runs are numbered by.
#[derive(Default)]
pub(super) struct Numbers {
    pub(super) models: Interner,
    pub(super) touches: Interner,
    pub(super) labels: Interner,
    pub(super) texts: Interner,
}

impl Numbers {
    /// The values of a label.
    pub(super) fn values(&self, label: u32) -> Vec<String> {
        self.labels.name(label).split(BETWEEN).map(str::to_owned).collect()
    }
}

/// An order of a run, whether it counts or not.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub(super) at: i64,
    pub(super) day: String,
    pub(super) person: String,
    pub(super) kind: String,
    pub(super) amount: Option<i64>,
    pub(super) currency: Option<String>,
    pub(super) price: Option<i64>,
    pub(super) refunded: Option<i64>,
    pub(super) cancelled: bool,
    /// Why it is not reported; none where it is.
    pub(super) not_counted: Option<String>,
}

impl Order {
    /// Whether it ends the windows of later orders: it counts, reported or not.
    fn ends_windows(&self) -> bool {
        !matches!(self.not_counted.as_deref(), Some("cancelled" | "without_rate"))
    }
}

/// What one touch gets of an order under a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Credit {
    /// The touch; none of an order without touches.
    pub(super) touch: Option<u32>,
    /// The values of the dimensions.
    pub(super) label: u32,
    /// Its utm fields, as the order has them.
    pub(super) tags: u32,
    /// When it was.
    pub(super) at: Option<i64>,
    /// Billionths of a conversion.
    pub(super) share: i64,
    /// Minor units.
    pub(super) amount: i64,
}

/// What is known of a touch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Touch {
    pub(super) person: String,
    pub(super) at: Option<i64>,
    pub(super) tags: u32,
    pub(super) fields: u32,
}

/// The credits of one order: those of each model, in the order of the journey.
pub(super) type OfOrder = BTreeMap<u32, Vec<Credit>>;

/// One of the two runs.
pub(super) struct Side {
    pub(super) orders: BTreeMap<String, Order>,
    /// The credits of the orders of the period.
    pub(super) credits: BTreeMap<String, OfOrder>,
    /// When orders were that end windows, by person and conversion type, ascending, with their ids.
    ends: BTreeMap<(String, String), Vec<(i64, String)>>,
    /// Whether a previous order ends nothing.
    overlap: bool,
}

impl Side {
    /// Reads orders and credits of a kept run.
    ///
    /// # Errors
    ///
    /// A table that it does not have, a dimension that its credits do not have.
    pub(super) fn read(kept: &Kept, asked: &Asked, numbers: &mut Numbers) -> Result<Self> {
        let orders = orders(&kept.frame(Frame::Orders)?);
        let overlap = kept.account().settings.get("overlap").and_then(serde_json::Value::as_bool);
        let mut ends: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (id, order) in orders.iter().filter(|(_, order)| order.ends_windows()) {
            let of_kind: &mut Vec<_> =
                ends.entry((order.person.clone(), order.kind.clone())).or_default();
            of_kind.push((order.at, id.clone()));
        }
        for of_kind in ends.values_mut() {
            of_kind.sort_unstable();
        }
        let credits = credits(kept, asked, &orders, numbers)?;
        Ok(Self { orders, credits, ends, overlap: overlap.unwrap_or_default() })
    }

    /// When the previous order of an order was that ends its window, and its id.
    pub(super) fn previous(&self, id: &str) -> Option<&(i64, String)> {
        let order = self.orders.get(id).filter(|_| !self.overlap)?;
        let of_kind = self.ends.get(&(order.person.clone(), order.kind.clone()))?;
        of_kind[..of_kind.partition_point(|(at, _)| *at < order.at)].last()
    }

    /// Whose an order is.
    pub(super) fn person(&self, id: &str) -> Option<&str> {
        self.orders.get(id).map(|order| order.person.as_str())
    }
}

/// A column of text; of nothing where there is none.
fn texts(rows: &RecordBatch, name: &str) -> StringViewArray {
    Labels::texts(rows, name)
}

fn text(texts: &StringViewArray, row: usize) -> Option<String> {
    texts.is_valid(row).then(|| texts.value(row).to_owned())
}

/// A column of whole numbers; of nothing where there is none.
fn whole(rows: &RecordBatch, name: &str) -> Int64Array {
    let column = rows.column_by_name(name);
    let known = column.filter(|column| *column.data_type() == DataType::Int64);
    known.map_or_else(
        || Int64Array::new_null(rows.num_rows()),
        |column| column.as_primitive::<Int64Type>().clone(),
    )
}

/// The instants of a column; of nothing where there is none.
fn instants(rows: &RecordBatch, name: &str) -> Vec<Option<i64>> {
    let column = rows.column_by_name(name);
    let times = column.and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
    times.map_or_else(|| vec![None; rows.num_rows()], |times| times.iter().collect())
}

fn orders(rows: &RecordBatch) -> BTreeMap<String, Order> {
    let column = |name: &str| texts(rows, name);
    let (ids, days, persons) = (column("order_external_id"), column("order_day"), column("person"));
    let (kinds, currencies) = (column("conversion_type"), column("currency"));
    let not_counted = column("not_counted");
    let (amounts, prices) = (whole(rows, "amount"), whole(rows, "price"));
    let refunds = whole(rows, "refunded");
    let (at, cancelled) = (instants(rows, "order_at"), instants(rows, "cancelled_at"));
    let number =
        |numbers: &Int64Array, row: usize| numbers.is_valid(row).then(|| numbers.value(row));
    let order = |row: usize| Order {
        at: at[row].unwrap_or_default(),
        day: text(&days, row).unwrap_or_default(),
        person: text(&persons, row).unwrap_or_default(),
        kind: text(&kinds, row).unwrap_or_default(),
        amount: number(&amounts, row),
        currency: text(&currencies, row),
        price: number(&prices, row),
        refunded: number(&refunds, row),
        cancelled: cancelled[row].is_some(),
        not_counted: text(&not_counted, row),
    };
    (0..rows.num_rows()).map(|row| (ids.value(row).to_owned(), order(row))).collect()
}

/// The credits of the orders of a period, by order and model.
fn credits(
    kept: &Kept,
    asked: &Asked,
    orders: &BTreeMap<String, Order>,
    numbers: &mut Numbers,
) -> Result<BTreeMap<String, OfOrder>> {
    let schema = kept.schema(Frame::Credits)?;
    let is_dimension = |field: &&arrow::datatypes::FieldRef| {
        *field.data_type() == DataType::Utf8View && !NO_DIMENSIONS.contains(&field.name().as_str())
    };
    let known: Vec<String> =
        schema.fields().iter().filter(is_dimension).map(|field| field.name().clone()).collect();
    if let Some(name) = asked.by.iter().find(|name| !known.contains(name)) {
        return Err(Error::Unknown { kind: "dimension of credits", name: name.clone(), known });
    }
    let needed = ["order_external_id", "touch_external_id", "touch_kind", "model", "touch_at"];
    let rows = kept.columns(Frame::Credits, |name| {
        needed.contains(&name)
            || ["share_billionths", "amount"].contains(&name)
            || UTM.contains(&name)
            || asked.by.iter().any(|by| by == name)
    })?;
    let [ids, touches, kinds, models] =
        ["order_external_id", "touch_external_id", "touch_kind", "model"]
            .map(|name| texts(&rows, name));
    let times = instants(&rows, "touch_at");
    let (shares, amounts) = (whole(&rows, "share_billionths"), whole(&rows, "amount"));
    let dimensions: Vec<StringViewArray> = asked.by.iter().map(|by| texts(&rows, by)).collect();
    let tags: Vec<StringViewArray> = UTM.iter().map(|name| texts(&rows, name)).collect();
    let mut credits: BTreeMap<String, OfOrder> = BTreeMap::new();
    for (row, at) in times.into_iter().enumerate() {
        let (id, model) = (ids.value(row), models.value(row));
        let wanted = asked.models.is_empty() || asked.models.iter().any(|name| name == model);
        if !wanted || !orders.get(id).is_some_and(|order| asked.holds(&order.day)) {
            continue;
        }
        let missing = if touches.is_valid(row) { NOT_SET } else { UNATTRIBUTED };
        let credit = Credit {
            touch: touches
                .is_valid(row)
                .then(|| numbers.touches.intern(&touch_key(kinds.value(row), touches.value(row)))),
            label: numbers.labels.intern(&joined(&dimensions, row, missing)),
            tags: numbers.texts.intern(&joined(&tags, row, "")),
            at,
            share: shares.value(row),
            amount: amounts.value(row),
        };
        let model = numbers.models.intern(model);
        credits.entry(id.to_owned()).or_default().entry(model).or_default().push(credit);
    }
    Ok(credits)
}

fn touch_key(kind: &str, id: &str) -> String {
    format!("{kind}{BETWEEN}{id}")
}

/// The cells of a row in one text.
fn joined(columns: &[StringViewArray], row: usize, missing: &str) -> String {
    let cell = |column: &StringViewArray| {
        if column.is_valid(row) { column.value(row).to_owned() } else { missing.to_owned() }
    };
    columns.iter().map(cell).collect::<Vec<_>>().join(BETWEEN)
}

/// What a run knows of some touches.
pub(super) fn touches(
    kept: &Kept,
    wanted: &BTreeSet<u32>,
    numbers: &mut Numbers,
) -> Result<BTreeMap<u32, Touch>> {
    if wanted.is_empty() {
        return Ok(BTreeMap::new());
    }
    // A store keeps no touches but those that credit was given for.
    let frame = if kept.has(Frame::Sessions) { Frame::Sessions } else { Frame::Credits };
    let needed = ["touch_external_id", "touch_kind", "person"];
    let rows = kept.columns(frame, |name| {
        needed.contains(&name)
            || name == "touch_at"
            || UTM.contains(&name)
            || FIELDS.contains(&name)
    })?;
    let [ids, kinds, persons] = needed.map(|name| texts(&rows, name));
    let tags: Vec<StringViewArray> = UTM.iter().map(|name| texts(&rows, name)).collect();
    let fields: Vec<StringViewArray> = FIELDS.iter().map(|name| texts(&rows, name)).collect();
    let times = instants(&rows, "touch_at");
    let mut known = BTreeMap::new();
    for (row, at) in times.into_iter().enumerate() {
        if ids.is_null(row) {
            continue;
        }
        let number = numbers.touches.get(&touch_key(kinds.value(row), ids.value(row)));
        let Some(number) = number.filter(|number| wanted.contains(number)) else { continue };
        let touch = Touch {
            person: text(&persons, row).unwrap_or_default(),
            at,
            tags: numbers.texts.intern(&joined(&tags, row, "")),
            fields: numbers.texts.intern(&joined(&fields, row, "")),
        };
        known.insert(number, touch);
    }
    Ok(known)
}
