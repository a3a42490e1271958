//! What persons ordered, as columns of the persons table.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringViewArray,
    TimestampMicrosecondArray, UInt64Array,
};
use arrow::datatypes::TimestampMicrosecondType;

use crate::error::Result;
use crate::identity::Identity;
use crate::ids::UNKNOWN;
use crate::journeys::Orders;
use crate::money::Currency;
use crate::report::decimals;

/// What one person ordered: counted orders only, whatever the period that is reported.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ordered {
    pub(super) orders: u64,
    first_at: i64,
    last_at: i64,
    /// The currency and the sum of all orders and of the first instant's first; none where orders
    /// are in several currencies, which are never added.
    pub(super) value: Option<(Currency, i128, i128)>,
}

/// Adds what each person ordered.
///
/// `orders_count`, `orders_currency`, `lifetime_value`, `average_cart`, `repeat_cart` (the average
/// of the orders after the first), `first_order_at`, `last_order_at`, `time_to_first_order`
/// (seconds from the person's creation). Values are missing where the person's orders are in
/// several currencies.
pub fn with_orders(
    persons: &RecordBatch,
    identity: &Identity,
    orders: &Orders,
    currencies: &[Currency],
) -> Result<RecordBatch> {
    let names = persons.column_by_name("person").map(|names| names.as_string_view().clone());
    let names = names.unwrap_or_else(|| StringViewArray::new_null(persons.num_rows()));
    let created = persons
        .column_by_name("created_at")
        .map(|at| at.as_primitive::<TimestampMicrosecondType>().clone());
    let ordered: Vec<Option<Ordered>> = identity
        .users
        .look_up(&names)
        .into_iter()
        .map(|person| (person != UNKNOWN).then(|| ordered(orders, currencies, person))?)
        .collect();
    let times = |time: &dyn Fn(&Ordered) -> i64| -> ArrayRef {
        let times: TimestampMicrosecondArray =
            ordered.iter().map(|ordered| ordered.as_ref().map(time)).collect();
        Arc::new(times.with_timezone("UTC"))
    };
    let average = |average: &dyn Fn(&Ordered, Currency, i128, i128) -> Option<f64>| -> ArrayRef {
        let averages = ordered.iter().map(|ordered| {
            let ordered = ordered.as_ref()?;
            let (currency, sum, first) = ordered.value?;
            average(ordered, currency, sum, first)
        });
        Arc::new(averages.collect::<Float64Array>())
    };
    let major = |minor: i128, currency: Currency, of: u64| {
        (of > 0).then(|| minor as f64 / 10_f64.powi(currency.exponent().cast_signed()) / of as f64)
    };
    let scale = currencies.iter().map(|currency| currency.exponent()).max().unwrap_or(2);
    let values = ordered.iter().map(|ordered| {
        let (currency, sum, _) = ordered.as_ref()?.value?;
        Some((sum, currency))
    });
    let codes: Vec<Option<Currency>> =
        ordered.iter().map(|ordered| Some(ordered.as_ref()?.value?.0)).collect();
    let seconds = ordered.iter().enumerate().map(|(row, ordered)| {
        let created = created.as_ref().filter(|created| created.is_valid(row))?.value(row);
        Some((ordered.as_ref()?.first_at - created).div_euclid(1_000_000))
    });
    let added: Vec<(&str, ArrayRef)> = vec![
        (
            "orders_count",
            Arc::new(UInt64Array::from_iter_values(
                ordered.iter().map(|ordered| ordered.map_or(0, |ordered| ordered.orders)),
            )),
        ),
        (
            "orders_currency",
            Arc::new(
                codes
                    .iter()
                    .map(|code| code.as_ref().map(Currency::code))
                    .collect::<StringViewArray>(),
            ),
        ),
        ("lifetime_value", decimals(values, scale)?),
        (
            "average_cart",
            average(&|ordered, currency, sum, _| major(sum, currency, ordered.orders)),
        ),
        (
            "repeat_cart",
            average(&|ordered, currency, sum, first| {
                major(sum - first, currency, ordered.orders - 1)
            }),
        ),
        ("first_order_at", times(&|ordered| ordered.first_at)),
        ("last_order_at", times(&|ordered| ordered.last_at)),
        ("time_to_first_order", Arc::new(seconds.collect::<Int64Array>())),
    ];
    let schema = persons.schema();
    let known = schema.fields().iter().zip(persons.columns());
    let known = known.map(|(field, column)| (field.name().as_str(), Arc::clone(column), true));
    // A profile's own column of the same name would be two columns: what was counted holds.
    let known = known.filter(|(name, ..)| !added.iter().any(|(other, _)| other == name));
    let all = known.chain(added.iter().map(|(name, column)| (*name, Arc::clone(column), true)));
    Ok(RecordBatch::try_from_iter_with_nullable(all)?)
}

pub(super) fn ordered(orders: &Orders, currencies: &[Currency], person: u32) -> Option<Ordered> {
    let mut counted = orders.of(person).filter(|order| orders.counted[*order]);
    let first = counted.next()?;
    let amount = |order: usize| i128::from(orders.amount[order]);
    let currency = orders.currency[first];
    let mut ordered = Ordered {
        orders: 1,
        first_at: orders.at[first],
        last_at: orders.at[first],
        value: Some((currencies[currency as usize], amount(first), amount(first))),
    };
    for order in counted {
        ordered.orders += 1;
        ordered.last_at = orders.at[order];
        ordered.value = ordered
            .value
            .filter(|_| orders.currency[order] == currency)
            .map(|(code, sum, first)| (code, sum + amount(order), first));
    }
    Some(ordered)
}
