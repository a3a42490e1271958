//! Discount codes that say where an order came from.
//!
//! A code that the workspace maps to an origin re-attributes the last session of its order's
//! journey to it. The session itself stays as it was: the order gets a touch of its own in the
//! session's place, with the original values in `via_utm_*`, so that a second run gives the same
//! and the session's other orders are not touched.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringViewArray, UInt32Array};
use arrow::compute::{concat_batches, take};

use crate::error::{Error, Result};
use crate::journeys::{DirectPolicy, Orders, Selected, Touches, Window, previous_orders};
use crate::schema::UTM;
use crate::touchpoints::{NO_MEDIUM, is_direct, with_column};

/// The utm fields that a code stands for, by their names.
pub type Origin = BTreeMap<String, String>;

/// The origin of each discount code; codes are compared without case and blanks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Vouchers(BTreeMap<String, Origin>);

impl Vouchers {
    /// Reads codes and their origins.
    ///
    /// # Errors
    ///
    /// A field that is no utm field, or an origin without a source.
    pub fn new(origins: &BTreeMap<String, Origin>) -> Result<Self> {
        let mut vouchers = BTreeMap::new();
        for (code, origin) in origins {
            for field in origin.keys() {
                if !UTM.contains(&field.as_str()) {
                    return Err(Error::Unknown {
                        kind: "utm field",
                        name: field.clone(),
                        known: UTM.map(str::to_owned).to_vec(),
                    });
                }
            }
            if !origin.contains_key("utm_source") {
                let why = "an origin needs a `utm_source`";
                return Err(Error::setting("vouchers", code, why));
            }
            vouchers.insert(normalized(code), origin.clone());
        }
        Ok(Self(vouchers))
    }

    /// Whether no code is mapped.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The origin of the first code in an order's list that is mapped; codes are divided by commas.
    ///
    /// # Example
    ///
    /// ```
    /// # use std::collections::BTreeMap;
    /// use apportion::vouchers::{Origin, Vouchers};
    /// let anna: Origin = [("utm_source".to_owned(), "anna".to_owned())].into();
    /// let vouchers = Vouchers::new(&BTreeMap::from([("ANNA10".to_owned(), anna)]))?;
    /// assert_eq!(vouchers.origin("WELCOME, anna10").unwrap()["utm_source"], "anna");
    /// assert_eq!(vouchers.origin("WELCOME"), None);
    /// # Ok::<(), apportion::Error>(())
    /// ```
    pub fn origin(&self, codes: &str) -> Option<&Origin> {
        codes.split(',').find_map(|code| self.0.get(&normalized(code)))
    }
}

fn normalized(code: &str) -> String {
    code.trim().to_uppercase()
}

/// The touch that stands in the place of another in one order's journey.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replacement {
    /// The order, as a position in [`Orders`].
    pub order: u32,
    /// The session, as a position in [`Touches`].
    pub from: u32,
    /// What stands in its place.
    pub to: u32,
}

/// Gives every order with a mapped code a touch of its own in the place of its last session.
///
/// `touches` and `rows` get those touches at their end, outside of every person's range. Returns
/// the replacements in the order of the orders. An order without a session keeps its journey.
pub fn reattribute(
    vouchers: &Vouchers,
    window: &Window,
    touches: &mut Touches,
    rows: &mut RecordBatch,
    orders: &Orders,
    order_rows: &RecordBatch,
) -> Result<Vec<Replacement>> {
    let codes = order_rows.column_by_name("discount_codes").map(|codes| codes.as_string_view());
    let Some(codes) = codes.filter(|_| !vouchers.is_empty()) else { return Ok(Vec::new()) };
    // Which session is last does not depend on whether direct ones count beside others.
    let window = Window { direct: DirectPolicy::Include, ..*window };
    let (mut replacements, mut origins, mut originals) = (Vec::new(), Vec::new(), Vec::new());
    let (mut selected, mut previous) = (Selected::default(), Vec::new());
    for person in (0_u32..).take(orders.starts.len().saturating_sub(1)) {
        let range = orders.of(person);
        let origin = |order: usize| {
            let row = orders.row[order] as usize;
            vouchers.origin(codes.is_valid(row).then(|| codes.value(row))?)
        };
        if !range.clone().any(|order| orders.counted[order] && origin(order).is_some()) {
            continue;
        }
        previous_orders(orders, range.clone(), &mut previous);
        for (at, order) in range.enumerate().filter(|(_, order)| orders.counted[*order]) {
            let Some(origin) = origin(order) else { continue };
            let of = touches.of(person);
            selected.select(&window, touches, of, orders.at[order], previous[at], None);
            let mut sessions = selected.touches.iter().rev();
            let Some(from) = sessions.find(|touch| !touches.view[**touch as usize]) else {
                continue;
            };
            let row = touches.row[*from as usize];
            originals.push(row);
            origins.push(origin);
            #[expect(clippy::cast_possible_truncation, reason = "rows are numbered in 32 bits")]
            let (order, to) = (order as u32, (touches.row.len() + replacements.len()) as u32);
            replacements.push(Replacement { order, from: *from, to });
        }
    }
    if replacements.is_empty() {
        return Ok(replacements);
    }
    for (at, replacement) in replacements.iter().enumerate() {
        touches.at.push(touches.at[replacement.from as usize]);
        touches.view.push(false);
        touches.direct.push(origins[at].get("utm_source").is_some_and(|source| is_direct(source)));
        #[expect(clippy::cast_possible_truncation, reason = "rows are numbered in 32 bits")]
        touches.row.push((rows.num_rows() + at) as u32);
    }
    replacements.sort_unstable_by_key(|replacement| replacement.order);
    *rows = with_origins(rows, &UInt32Array::from(originals), &origins)?;
    Ok(replacements)
}

/// The rows, then copies of the `originals` that come from the `origins`.
fn with_origins(
    rows: &RecordBatch,
    originals: &UInt32Array,
    origins: &[&Origin],
) -> Result<RecordBatch> {
    let mut all = rows.clone();
    for name in UTM {
        for name in [name.to_owned(), format!("via_{name}")] {
            if all.column_by_name(&name).is_none() {
                all =
                    with_column(&all, &name, Arc::new(StringViewArray::new_null(rows.num_rows())))?;
            }
        }
    }
    let columns = all.columns().iter().map(|column| Ok(take(column, originals, None)?));
    let mut copies = RecordBatch::try_new(all.schema(), columns.collect::<Result<_>>()?)?;
    for name in UTM {
        let Some(original) = copies.column_by_name(name).map(Arc::clone) else { continue };
        // An origin says all of where an order came from: what it leaves open is not set.
        let said: StringViewArray = origins
            .iter()
            .map(|origin| {
                origin
                    .get(name)
                    .map(String::as_str)
                    .or_else(|| (name == "utm_medium").then_some(NO_MEDIUM))
            })
            .collect();
        copies = with_column(&copies, &format!("via_{name}"), original)?;
        copies = with_column(&copies, name, Arc::new(said) as ArrayRef)?;
    }
    Ok(concat_batches(&all.schema(), [&all, &copies])?)
}
