//! One row per session, view and order.
//!
//! Not for which version of a value wins; that is `merge`.

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;

use super::lean::Rows;
use super::{DEFAULT_CONVERSION_TYPE, People, Tables, looked_at};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::identity::{Keep, Merged, one_row_per_id};
use crate::schema::Table;
use crate::summary::Summary;
use crate::touchpoints;

/// One row per session, view and order.
#[derive(Clone)]
pub(super) struct MergedTables {
    /// Sessions, then views; the looks of touches, where those are lean.
    pub(super) touches: RecordBatch,
    /// The person of each touch, where they are whole.
    pub(super) touch_persons: Vec<u32>,
    /// The user of each touch, where users are kept.
    pub(super) touch_users: Vec<u32>,
    /// Ids of touches that occurred under two users of one person.
    pub(super) touch_user_conflicts: u64,
    pub(super) sessions: usize,
    /// The touches themselves, where they are lean.
    pub(super) rows: Option<Rows>,
    pub(super) orders: Merged,
}

/// One row per order.
pub(super) fn merge_orders(
    config: &Config,
    tables: &mut Tables,
    people: &People,
    keep: Keep,
    summary: &mut Summary,
) -> Result<Merged> {
    let Some(orders) = merge_table(config, tables, people, Table::Orders, keep)? else {
        return Err(Error::Contradiction("a run needs orders".to_owned()));
    };
    let rows = touchpoints::with_default(&orders.rows, "conversion_type", DEFAULT_CONVERSION_TYPE)?;
    let rows = touchpoints::with_default(&rows, "currency", config.currency.code())?;
    summary.orders.versions = orders.versions;
    summary.orders.person_conflicts = orders.conflicts;
    Ok(Merged { rows, ..orders })
}

/// One row per id of a table that is given; its rows are gone from the tables then.
pub(super) fn merge_table(
    config: &Config,
    tables: &mut Tables,
    people: &People,
    table: Table,
    keep: Keep,
) -> Result<Option<Merged>> {
    let Some(loaded) = tables.get_mut(&table) else { return Ok(None) };
    let schema = loaded.rows.schema();
    let rows = std::mem::replace(&mut loaded.rows, RecordBatch::new_empty(schema));
    let users = &people.users[&table];
    one_row_per_id(&people.identity, rows, users, config.currency, keep).map(Some)
}

/// One row per session, view and order; the touches that there are.
pub(super) fn merge(
    config: &Config,
    tables: &mut Tables,
    people: &People,
    keep: Keep,
    summary: &mut Summary,
) -> Result<MergedTables> {
    let merged = merge_every(config, tables, people, keep, summary)?;
    match touches_asked_for(config, &merged)? {
        Some(holds) => keep_touches(merged, &holds),
        None => Ok(merged),
    }
}

/// Whether each touch is one that there is to be, where a filter says so.
pub(super) fn touches_asked_for(
    config: &Config,
    merged: &MergedTables,
) -> Result<Option<Vec<bool>>> {
    let filter = config.where_touches.as_ref();
    filter.map(|filter| filter.holds(&merged.touches, Some(config.currency))).transpose()
}

/// One row per session, view and order, whatever a filter says of touches.
pub(super) fn merge_every(
    config: &Config,
    tables: &mut Tables,
    people: &People,
    keep: Keep,
    summary: &mut Summary,
) -> Result<MergedTables> {
    let orders = merge_orders(config, tables, people, keep, summary)?;
    let mut one = |table: Table| merge_table(config, tables, people, table, keep);
    let (sessions, views) = (one(Table::Sessions)?, one(Table::Postviews)?);
    let Some(sessions) = sessions else {
        return Err(Error::Contradiction("a run needs sessions".to_owned()));
    };
    for merged in [Some(&sessions), views.as_ref()].into_iter().flatten() {
        summary.touches.versions += merged.versions;
        summary.touches.person_conflicts += merged.conflicts;
    }
    summary.touches.sessions = sessions.rows.num_rows() as u64;
    summary.touches.postviews = views.as_ref().map_or(0, |views| views.rows.num_rows() as u64);
    let count = sessions.rows.num_rows();
    let touch_user_conflicts =
        sessions.user_conflicts + views.as_ref().map_or(0, |views| views.user_conflicts);
    let (mut touch_persons, mut touch_users) = (sessions.person, sessions.user);
    let mut touches = sessions.rows;
    if let Some(views) = views {
        touches = touchpoints::append(&touches, &views.rows)?;
        touch_persons.extend(views.person);
        touch_users.extend(views.user);
    }
    let touches = derived(config, &touches, tables)?;
    let columns: Vec<&str> = looked_at(config).collect();
    let touches = touchpoints::with_local_time(&touches, &columns, config.zone)?;
    Ok(MergedTables {
        touches,
        touch_persons,
        touch_users,
        touch_user_conflicts,
        sessions: count,
        rows: None,
        orders,
    })
}

/// Touches with what follows from their columns: where they came from, their device, the kind of
/// their domain.
pub(super) fn derived(
    config: &Config,
    touches: &RecordBatch,
    tables: &Tables,
) -> Result<RecordBatch> {
    let touches = touchpoints::with_origin(touches)?;
    let touches = match tables.get(&Table::Devices) {
        Some(devices) => touchpoints::with_devices(&touches, &devices.rows)?,
        None => touches,
    };
    touchpoints::with_domain_type(&touches, &config.domain_types)
}

/// Leaves out the touches that a filter does not hold for.
pub(super) fn keep_touches(merged: MergedTables, holds: &[bool]) -> Result<MergedTables> {
    let kept = |of_rows: &[u32]| {
        let rows = of_rows.iter().zip(holds).filter(|(_, holds)| **holds);
        rows.map(|(of_row, _)| *of_row).collect()
    };
    Ok(MergedTables {
        touch_persons: kept(&merged.touch_persons),
        touch_users: kept(&merged.touch_users),
        sessions: holds[..merged.sessions].iter().filter(|holds| **holds).count(),
        touches: filter_record_batch(&merged.touches, &BooleanArray::from(holds.to_vec()))?,
        ..merged
    })
}
