//! `apportion effects`: what channels are worth over all journeys, beside what orders credit to them.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::{RunArgs, Status, configure, in_pool, say};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::models;
use crate::output::{self, Sink, Staged, counted};
use crate::pipeline::{self, Silent, refuse_inputs};
use crate::report::{EffectsReport, MeasureSet, render_effects};

/// The models whose effects are told where none that learns is asked for.
const DEFAULT: [&str; 2] = ["markov", "shapley"];

pub(super) fn run(args: &RunArgs) -> Result<Status> {
    let mut config = configure(args)?;
    let place = config.outputs.report.take();
    refuse_inputs(&config, place.as_slice())?;
    let staged = place.as_deref().map(Staged::new).transpose()?;
    prepare(&mut config)?;
    let finished = in_pool(config.threads, || pipeline::run(&config, &Silent))??;
    match staged {
        Some(staged) => {
            write(&config, &finished.effects, staged.sink()?)?;
            staged.commit()?;
        }
        None => write(&config, &finished.effects, Box::new(io::stdout()))?,
    }
    for warning in finished.summary.warnings.iter().filter(|_| !args.quiet) {
        say(&format!("warning: {warning}\n"));
    }
    let rejected = finished.summary.rejected;
    if rejected > 0 && !args.quiet {
        let rejected = counted(rejected, "row is", "rows are");
        say(&format!("{rejected} rejected and left out; `apportion check` names them\n"));
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
    config.compare = None;
    config.measures = MeasureSet::default();
    config.outputs = config.outputs.without_files();
    Ok(())
}

fn write(config: &Config, effects: &EffectsReport, mut sink: Sink) -> Result<()> {
    let format = config.outputs.format;
    if format.name != "table" {
        return output::write(format, sink, &effects.table()?);
    }
    sink.write_all(render_effects(effects).as_bytes())
        .and_then(|()| sink.flush())
        .map_err(|error| Error::Output { format: "table", why: error.to_string() })
}
