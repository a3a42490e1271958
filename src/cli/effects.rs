//! `apportion effects`: what channels are worth over all journeys, beside what orders credit to them.

use std::collections::BTreeMap;

use super::{RunArgs, Status, configure, in_pool, publish, say, say_rejected};
use crate::config::Config;
use crate::error::Result;
use crate::models;
use crate::output::{self, Staged};
use crate::pipeline::{self, Silent, refuse_inputs};
use crate::report::render_effects;

/// The models whose effects are told where none that learns is asked for.
const DEFAULT: [&str; 2] = ["markov", "shapley"];

pub(super) fn run(args: &RunArgs) -> Result<Status> {
    let mut config = configure(args)?;
    config.refuse_smaller_groups("a table of effects")?;
    let place = config.outputs.report.take();
    refuse_inputs(&config, place.as_slice())?;
    let staged = place.as_deref().map(Staged::new).transpose()?;
    prepare(&mut config)?;
    let finished = in_pool(config.threads, || pipeline::run(&config, &Silent))??;
    let effects = &finished.effects;
    publish(staged, None, |sink| {
        let (text, table) = (|| render_effects(effects), || effects.table());
        output::write_result(config.outputs.format, sink, text, table)
    })?;
    for warning in finished.summary.warnings.iter().filter(|_| !args.quiet) {
        say(&format!("warning: {warning}\n"));
    }
    if !args.quiet {
        say_rejected(finished.summary.rejected);
    }
    Ok(Status::Done)
}

/// Makes of the settings of a run one whose answer is effects: only models that learn, and no files.
fn prepare(config: &mut Config) -> Result<()> {
    config.models.retain(|asked| asked.model.learns());
    if config.models.is_empty() {
        let named = BTreeMap::new();
        let models = DEFAULT.iter().map(|name| models::ask(name, &named));
        config.models = models.collect::<Result<_>>()?;
    }
    let bootstrap = config.bootstrap;
    config.ask_one_thing();
    config.effects_bootstrap = bootstrap;
    Ok(())
}
