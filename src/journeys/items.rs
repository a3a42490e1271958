//! The items of each order, as parts that its credit is divided into.

use arrow::array::{Array, AsArray, Float64Array, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};

use crate::ids::{Interner, group_rows};
use crate::journeys::{Labels, NOT_SET, Orders};
use crate::merge::{external_ids, field_times};
use crate::schema::ITEMS_AT;

/// The items of all orders, order by order.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Items {
    /// Where each order's items begin, by its position; one more entry than there are orders.
    pub starts: Vec<u32>,
    /// The item's row in its table; none for the one part of an order without items.
    pub row: Vec<Option<u32>>,
    /// Price times quantity.
    pub weight: Vec<f64>,
}

impl Items {
    /// Gathers the items of every order.
    ///
    /// `rows` has one row an item. Of the items of an order, those of its newest time hold (all,
    /// where there is no time); none, where the order itself knows of a newer set, which is empty. An item without a quantity is one; without a price it weighs
    /// nothing.
    pub fn new(rows: &RecordBatch, orders: &Orders, order_rows: &RecordBatch) -> Self {
        let mut ids = Interner::default();
        let numbers = ids.intern_column(external_ids(order_rows), "");
        let known = ids.len();
        let of_items = rows
            .column_by_name("order_external_id")
            .map(|of| ids.intern_column(of.as_string_view(), ""))
            .unwrap_or_default();
        let (by_order, starts) = group_rows(&of_items, ids.len());
        let times = field_times(rows);
        let names = external_ids(rows);
        let prices = rows.column_by_name("price").map(|prices| prices.as_primitive::<Int64Type>());
        let quantities =
            rows.column_by_name("quantity").map(|numbers| numbers.as_primitive::<Float64Type>());
        let sets = order_rows.column_by_name(ITEMS_AT);
        let sets = sets.map(|at| at.as_primitive::<TimestampMicrosecondType>());
        let weight = |row: usize| {
            let price = prices.filter(|prices| prices.is_valid(row));
            let quantity = quantities.filter(|quantities| quantities.is_valid(row));
            let of = |numbers: &Float64Array| numbers.value(row).max(0.0);
            price.map_or(0.0, |prices| prices.value(row) as f64) * quantity.map_or(1.0, of)
        };
        let mut items = Self { starts: vec![0], ..Self::default() };
        for order_row in &orders.row {
            let order = numbers[*order_row as usize] as usize;
            debug_assert!(order < known, "orders are numbered first");
            let mut own = by_order[starts[order] as usize..starts[order + 1] as usize].to_vec();
            let newest = own.iter().map(|row| times[*row as usize]).max().flatten();
            let set = sets.filter(|sets| sets.is_valid(*order_row as usize));
            let newest = newest.max(set.map(|sets| sets.value(*order_row as usize)));
            own.retain(|row| times[*row as usize] == newest);
            own.sort_unstable_by(|left, right| {
                names.value(*left as usize).cmp(names.value(*right as usize))
            });
            if own.is_empty() {
                items.row.push(None);
                items.weight.push(1.0);
            }
            for row in own {
                items.row.push(Some(row));
                items.weight.push(weight(row as usize));
            }
            #[expect(clippy::cast_possible_truncation, reason = "rows are numbered in 32 bits")]
            items.starts.push(items.row.len() as u32);
        }
        items
    }

    /// A label of every order for each of its items.
    pub fn of_orders(&self, labels: &Labels) -> Labels {
        let counts = self.starts.windows(2).map(|range| (range[1] - range[0]) as usize);
        let codes = labels.codes.iter().zip(counts);
        Labels {
            codes: codes.flat_map(|(code, count)| std::iter::repeat_n(*code, count)).collect(),
            values: labels.values.clone(),
        }
    }

    /// The labels of a column of the items; an order without items has none set.
    pub fn of_column(&self, rows: &RecordBatch, column: &str) -> Labels {
        let mut labels = Labels::of_column(rows, column);
        let missing = labels.values.iter().position(|value| value == NOT_SET);
        let missing = missing.unwrap_or_else(|| {
            labels.values.push(NOT_SET.to_owned());
            labels.values.len() - 1
        });
        #[expect(clippy::cast_possible_truncation, reason = "labels are numbered in 32 bits")]
        let missing = missing as u32;
        let code = |row: &Option<u32>| row.map_or(missing, |row| labels.codes[row as usize]);
        Labels { codes: self.row.iter().map(code).collect(), values: labels.values }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, StringViewArray};

    use super::*;

    #[test]
    fn every_item_has_a_label_of_its_order_and_its_own() {
        let items = Items {
            starts: vec![0, 2, 3],
            row: vec![Some(1), Some(0), None],
            weight: vec![1.0; 3],
        };
        let orders = Labels { codes: vec![4, 7], values: vec!["order".to_owned(); 8] };
        assert_eq!(items.of_orders(&orders).codes, [4, 4, 7]);
        let labelled = |brands: [Option<&str>; 2]| {
            let brands: ArrayRef = Arc::new(brands.into_iter().collect::<StringViewArray>());
            let rows = RecordBatch::try_from_iter([("brand", brands)]).unwrap();
            let Labels { codes, values } = items.of_column(&rows, "brand");
            codes.into_iter().map(|code| values[code as usize].clone()).collect::<Vec<_>>()
        };
        // The last order has no items.
        assert_eq!(labelled([Some("acme"), Some("brio")]), ["brio", "acme", NOT_SET]);
        assert_eq!(labelled([None, Some("brio")]), ["brio", NOT_SET, NOT_SET]);
    }
}
