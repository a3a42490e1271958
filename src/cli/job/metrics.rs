//! Figures of a run in the text format of Prometheus, for a textfile collector.
//!
//! Every figure is a gauge: the file says how the last run went, and is written whole by each.

use std::time::Duration;

use prometheus::{Encoder, GaugeVec, Opts, Registry, TextEncoder};

use crate::cli::stats::peak_memory;
use crate::error::{Error, Result};
use crate::summary::Summary;

/// The label that tells jobs apart whose files one collector reads.
const JOB: &str = "job_name";

/// What a file of metrics begins with.
pub(super) const BEGINS: &str = "# HELP apportion_";

struct Gauges<'a> {
    registry: Registry,
    job: &'a str,
}

impl Gauges<'_> {
    /// Adds a figure, once for each combination of `labels`.
    fn add<const N: usize>(
        &self,
        name: &str,
        help: &str,
        labels: [&str; N],
        values: impl IntoIterator<Item = ([String; N], f64)>,
    ) -> prometheus::Result<()> {
        let names: Vec<&str> = std::iter::once(JOB).chain(labels).collect();
        let gauges = GaugeVec::new(Opts::new(format!("apportion_{name}"), help), &names)?;
        self.registry.register(Box::new(gauges.clone()))?;
        for (values, value) in values {
            let values: Vec<&str> =
                std::iter::once(self.job).chain(values.iter().map(String::as_str)).collect();
            gauges.get_metric_with_label_values(&values)?.set(value);
        }
        Ok(())
    }

    fn one(&self, name: &str, help: &str, value: f64) -> prometheus::Result<()> {
        self.add(name, help, [], [([], value)])
    }
}

/// The file of a job that ended at `now` with an exit code.
pub(super) fn text(
    job: &str,
    summary: Option<&Summary>,
    stages: &[(String, Duration)],
    exit_code: u8,
    now: i64,
) -> Result<String> {
    let failed = |why: String| Error::Output { format: "metrics", why };
    let gauges = Gauges { registry: Registry::new(), job };
    let added = of_job(&gauges, stages, exit_code, now)
        .and_then(|()| summary.map_or(Ok(()), |summary| of_run(&gauges, summary)));
    added.map_err(|error| failed(error.to_string()))?;
    let mut text = Vec::new();
    let encoded = TextEncoder::new().encode(&gauges.registry.gather(), &mut text);
    encoded.map_err(|error| failed(error.to_string()))?;
    String::from_utf8(text).map_err(|error| failed(error.to_string()))
}

fn of_job(
    gauges: &Gauges<'_>,
    stages: &[(String, Duration)],
    exit_code: u8,
    now: i64,
) -> prometheus::Result<()> {
    let version = [env!("CARGO_PKG_VERSION").to_owned()];
    gauges.add("build_info", "The version that ran.", ["version"], [(version, 1.0)])?;
    let success = f64::from(exit_code == 0);
    gauges.one("success", "Whether the run ended with exit code 0.", success)?;
    gauges.one("exit_code", "The exit code of the run.", f64::from(exit_code))?;
    gauges.one("end_timestamp_seconds", "When the run ended.", now as f64 / 1e6)?;
    let whole = stages.iter().map(|(_, took)| took.as_secs_f64()).sum();
    gauges.one("duration_seconds", "How long the run took.", whole)?;
    let of_stages = stages.iter().map(|(stage, took)| ([stage.clone()], took.as_secs_f64()));
    gauges.add("stage_duration_seconds", "How long each stage took.", ["stage"], of_stages)?;
    if let Some(bytes) = peak_memory() {
        let help = "The most memory that the run had at a time.";
        gauges.one("peak_memory_bytes", help, bytes as f64)?;
    }
    Ok(())
}

fn of_run(gauges: &Gauges<'_>, summary: &Summary) -> prometheus::Result<()> {
    let tables = |of: fn(&crate::summary::TableRead) -> u64| {
        let rows = summary.tables.iter();
        rows.map(move |table| ([table.table.to_owned()], of(table) as f64))
    };
    gauges.add("rows_read", "Rows read, by table.", ["table"], tables(|table| table.read))?;
    let accepted = tables(|table| table.accepted);
    gauges.add("rows_accepted", "Rows accepted, by table.", ["table"], accepted)?;
    let rejected = summary.rejects.iter();
    let rejected = rejected.map(|by| ([by.table.to_owned(), by.rule.to_owned()], by.rows as f64));
    let help = "Rows rejected, by table and rule.";
    gauges.add("rows_rejected", help, ["table", "rule"], rejected)?;
    gauges.one("rejected", "Rows rejected, over all tables.", summary.rejected as f64)?;
    let orders = &summary.orders;
    let states = [
        ("counted", orders.counted),
        ("attributed", orders.attributed),
        ("unattributed", orders.unattributed),
        ("cancelled", orders.cancelled),
        ("filtered", orders.filtered),
        ("outside_period", orders.outside_period),
        ("without_rate", orders.without_rate),
    ];
    let states = states.map(|(state, orders)| ([state.to_owned()], orders as f64));
    gauges.add("orders", "Orders by what became of them.", ["state"], states)?;
    let touches = [
        ("sessions", summary.touches.sessions),
        ("postviews", summary.touches.postviews),
        ("in_journeys", summary.touches.in_journeys),
    ];
    let touches = touches.map(|(kind, touches)| ([kind.to_owned()], touches as f64));
    gauges.add("touches", "Touches by kind.", ["kind"], touches)?;
    gauges.one("persons", "Distinct persons.", summary.identity.persons as f64)?;
    gauges.one("warnings", "Warnings of the run.", summary.warnings.len() as f64)
}
