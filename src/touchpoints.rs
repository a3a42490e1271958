//! Sessions and views as one table of touches, with what follows from a touch filled in: where it
//! came from, its device, the kind of its domain, its local time.
//!
//! Done after merging, so that a default never overwrites a real value.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, RecordBatch, StringViewArray, UInt32Array, new_null_array,
};
use arrow::compute::{cast, concat, take};
use arrow::datatypes::{Field, Schema, TimestampMicrosecondType};
use chrono::{Datelike, Timelike};
use chrono_tz::Tz;

use crate::calendar::{local_time, parse_zone};
use crate::error::Result;
use crate::ids::Interner;
use crate::merge::{external_ids, merge_rows};

/// The source of a touch that names none.
pub const DIRECT: &str = "direct";
/// The medium of a touch that names none.
pub const NO_MEDIUM: &str = "none";

/// What a device says of a touch.
pub const DEVICE_COLUMNS: [&str; 3] = ["device_type", "browser", "os"];

/// When a touch was, by the clock of where it was made; Monday is 0.
pub const LOCAL_COLUMNS: [&str; 5] =
    ["local_year", "local_month", "local_day", "local_weekday", "local_hour"];

/// What kind of place a touch's domain is: `web`, `app`, `marketplace`, `telephone`, `retail`.
pub const DOMAIN_TYPE: &str = "domain_type";

/// When each row of a table was, in microseconds.
pub(crate) fn instants(rows: &RecordBatch) -> Vec<i64> {
    rows.column_by_name("created_at")
        .map(|at| at.as_primitive::<TimestampMicrosecondType>().values().to_vec())
        .unwrap_or_default()
}

/// Whether a source is a direct visit, given as such or for want of one.
pub fn is_direct(source: &str) -> bool {
    matches!(source, "direct" | "(direct)")
}

/// Sessions, then views, with the columns of both.
pub fn append(sessions: &RecordBatch, views: &RecordBatch) -> Result<RecordBatch> {
    let mut fields: Vec<Arc<Field>> = sessions.schema().fields().iter().map(Arc::clone).collect();
    for field in views.schema().fields() {
        if sessions.column_by_name(field.name()).is_none() {
            fields.push(Arc::clone(field));
        }
    }
    let of = |rows: &RecordBatch, field: &Field| {
        let none = || new_null_array(field.data_type(), rows.num_rows());
        // What one table knows as a number may pass through the other as text.
        let as_field = |column: &ArrayRef| cast(column, field.data_type()).ok();
        rows.column_by_name(field.name()).and_then(as_field).unwrap_or_else(none)
    };
    let columns = fields
        .iter()
        .map(|field| Ok(concat(&[&of(sessions, field), &of(views, field)])?))
        .collect::<Result<Vec<ArrayRef>>>()?;
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

/// Fills in source and medium: `direct` / `none` without a source, `none` without a medium.
pub fn with_origin(touches: &RecordBatch) -> Result<RecordBatch> {
    let rows = touches.num_rows();
    let column =
        |name: &str| touches.column_by_name(name).map(|texts| texts.as_string_view().clone());
    let sources = column("utm_source").unwrap_or_else(|| StringViewArray::new_null(rows));
    let mediums = column("utm_medium").unwrap_or_else(|| StringViewArray::new_null(rows));
    let filled: StringViewArray = mediums
        .iter()
        .zip(&sources)
        .map(|(medium, source)| Some(medium.filter(|_| source.is_some()).unwrap_or(NO_MEDIUM)))
        .collect();
    let sources: StringViewArray =
        sources.iter().map(|source| Some(source.unwrap_or(DIRECT))).collect();
    let touches = with_column(touches, "utm_source", Arc::new(sources))?;
    with_column(&touches, "utm_medium", Arc::new(filled))
}

/// Fills in a column of text where it is missing.
pub fn with_default(rows: &RecordBatch, name: &str, default: &str) -> Result<RecordBatch> {
    let texts = rows.column_by_name(name).map(|texts| texts.as_string_view().clone());
    let texts = texts.unwrap_or_else(|| StringViewArray::new_null(rows.num_rows()));
    let filled = texts.iter().map(|text| Some(text.unwrap_or(default)));
    with_column(rows, name, Arc::new(filled.collect::<StringViewArray>()))
}

/// Adds type, browser and system of each touch's device, where the touch does not say them itself.
pub fn with_devices(touches: &RecordBatch, devices: &RecordBatch) -> Result<RecordBatch> {
    let Some(used) = touches.column_by_name("device_external_id") else {
        return Ok(touches.clone());
    };
    let devices = merge_rows(devices)?;
    let mut ids = Interner::default();
    ids.intern_column(external_ids(&devices), "");
    let device: UInt32Array = used.as_string_view().iter().map(|id| ids.get(id?)).collect();
    let mut touches = touches.clone();
    for name in DEVICE_COLUMNS {
        let Some(column) = devices.column_by_name(name) else { continue };
        let of_device = take(column, &device, None)?;
        let of_device = of_device.as_string_view();
        let known: ArrayRef = match touches.column_by_name(name) {
            Some(own) => Arc::new(
                own.as_string_view()
                    .iter()
                    .zip(of_device)
                    .map(|(own, other)| own.or(other))
                    .collect::<StringViewArray>(),
            ),
            None => Arc::new(of_device.clone()),
        };
        touches = with_column(&touches, name, known)?;
    }
    Ok(touches)
}

/// Adds the wanted parts of the local date: in the touch's own time zone, else in `zone`.
pub fn with_local_time(touches: &RecordBatch, wanted: &[&str], zone: Tz) -> Result<RecordBatch> {
    if !LOCAL_COLUMNS.iter().any(|name| wanted.contains(name)) {
        return Ok(touches.clone());
    }
    let times = touches.column_by_name("created_at");
    let zones = touches.column_by_name("timezone").map(|zones| zones.as_string_view());
    let times = times.map(|times| times.as_primitive::<TimestampMicrosecondType>().values());
    let mut known: (Option<&str>, Tz) = (None, zone);
    let local: Vec<_> = times
        .into_iter()
        .flatten()
        .enumerate()
        .map(|(row, at)| {
            let own = zones.filter(|zones| zones.is_valid(row)).map(|zones| zones.value(row));
            if own != known.0 {
                known = (own, own.and_then(parse_zone).unwrap_or(zone));
            }
            local_time(*at, known.1)
        })
        .collect();
    let mut touches = touches.clone();
    for name in LOCAL_COLUMNS.into_iter().filter(|name| wanted.contains(name)) {
        let parts: StringViewArray = local
            .iter()
            .map(|at| {
                Some(match name {
                    "local_year" => at.year().to_string(),
                    "local_month" => at.month().to_string(),
                    "local_day" => at.day().to_string(),
                    "local_weekday" => at.weekday().num_days_from_monday().to_string(),
                    _ => at.hour().to_string(),
                })
            })
            .collect();
        touches = with_column(&touches, name, Arc::new(parts))?;
    }
    Ok(touches)
}

/// Adds the type of each touch's domain, where the workspace says it.
pub fn with_domain_type(
    touches: &RecordBatch,
    types: &BTreeMap<String, String>,
) -> Result<RecordBatch> {
    let Some(domains) = touches.column_by_name("domain_id") else { return Ok(touches.clone()) };
    let domains = domains.as_string_view().iter();
    let of_domain: StringViewArray =
        domains.map(|domain| types.get(domain?).map(String::as_str)).collect();
    with_column(touches, DOMAIN_TYPE, Arc::new(of_domain))
}

/// The batch with a column put in the place of the one of its name, or at the end.
pub(crate) fn with_column(rows: &RecordBatch, name: &str, column: ArrayRef) -> Result<RecordBatch> {
    let mut fields: Vec<Arc<Field>> = rows.schema().fields().iter().map(Arc::clone).collect();
    let mut columns = rows.columns().to_vec();
    let field = Arc::new(Field::new(name, column.data_type().clone(), true));
    if let Ok(at) = rows.schema().index_of(name) {
        (fields[at], columns[at]) = (field, column);
    } else {
        fields.push(field);
        columns.push(column);
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}
