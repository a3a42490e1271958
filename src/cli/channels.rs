//! `apportion channels`: which rule takes what, what none takes, and what is likely misspelt.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::{ChannelsArgs, Status, configure, in_pool, publish, say_rejected};
use crate::channels::{Channels, Spelling, near_misses, not_mapped};
use crate::config::{Config, DateBy};
use crate::error::{Error, Result};
use crate::models;
use crate::output::{self, Staged};
use crate::pipeline::{self, Silent, refuse_inputs};
use crate::report::{Coverage, coverage_dimensions, render_coverage};
use crate::schema::Table;
use crate::touchpoints::{DIRECT, NO_MEDIUM};
use crate::validate::MaxRejects;

pub(super) fn run(args: &ChannelsArgs) -> Result<Status> {
    let mut config = configure(&args.run)?;
    if let Some(origin) = &args.explain {
        let failed = |error: io::Error| Error::Output { format: "text", why: error.to_string() };
        let text = explained(&config.channels, origin);
        io::stdout().lock().write_all(text.as_bytes()).map_err(failed)?;
        return Ok(Status::Done);
    }
    let place = config.outputs.report.take();
    refuse_inputs(&config, place.as_slice())?;
    let staged = place.as_deref().map(Staged::new).transpose()?;
    prepare(&mut config)?;
    let finished = in_pool(config.threads, || pipeline::cover(&config, &Silent))??;
    let given = |table| config.inputs.contains_key(&table);
    let orders = given(Table::Orders) || given(Table::Items);
    let coverage = Coverage::new(&finished.report, &config.channels, orders);
    publish(staged, None, |sink| {
        let (text, table) = (|| render_coverage(&coverage), || coverage.table());
        output::write_result(config.outputs.format, sink, text, table)
    })?;
    if !args.run.quiet {
        say_rejected(finished.summary.rejected);
    }
    Ok(Status::Done)
}

/// Makes of the settings of a run one whose report is coverage: it writes nothing else, and rows
/// that are rejected do not end it, because they are another command's finding.
fn prepare(config: &mut Config) -> Result<()> {
    config.by = coverage_dimensions();
    config.models = vec![models::ask("last_click", &BTreeMap::new())?];
    config.date_by = DateBy::Order;
    config.max_rejects = MaxRejects::Percent(100.0);
    config.ask_one_thing();
    Ok(())
}

/// Which rule would take a touch, given as `SOURCE/MEDIUM/CAMPAIGN`.
fn explained(channels: &Channels, origin: &str) -> String {
    let mut parts = origin.splitn(3, '/').map(str::trim);
    let mut part = || parts.next().unwrap_or_default();
    let (source, medium, campaign) = (part(), part(), part());
    let medium = if source.is_empty() || medium.is_empty() { NO_MEDIUM } else { medium };
    let source = if source.is_empty() { DIRECT } else { source };
    let value = |column: &str| match column {
        "utm_source" => source,
        "utm_medium" => medium,
        "utm_campaign" => campaign,
        _ => "",
    };
    let mut text = format!("{source} / {medium}");
    if !campaign.is_empty() {
        text.push_str(&format!(" / {campaign}"));
    }
    text.push('\n');
    if let Some(taken) = channels.take(&value) {
        text.push_str(&format!("  rule     {}\n", taken.rule));
        text.push_str(&format!("  channel  {}\n", taken.channel));
        text.push_str(&format!("  group    {}\n", taken.group));
        for (at, condition) in taken.conditions.iter().enumerate() {
            let title = if at == 0 { "because" } else { "and" };
            text.push_str(&format!("  {title:<8} {condition}\n"));
        }
    } else {
        text.push_str("  rule     none takes it\n");
        text.push_str(&format!("  channel  {}\n", not_mapped(source, medium)));
    }
    for (field, written) in [("utm_source", source), ("utm_medium", medium)] {
        let known = channels.known(field);
        let is_source = field == "utm_source";
        let recognised = known.contains(&written.to_lowercase())
            || (is_source && channels.is_known_source(written));
        let spelling = Spelling { text: written.to_owned(), sessions: 1, recognised };
        if let Some(near) = near_misses(&[spelling], &known, is_source).get(written) {
            let (to, by) = (&near.to, near.by);
            text.push_str(&format!("  spelling {field} is near to `{to}` (differs by {by})\n"));
        }
    }
    text
}
