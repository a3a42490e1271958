//! `apportion explain`: why one order was divided as it was.

use clap::Args;

use super::identity::offered;
use super::progress::Bar;
use super::{RunArgs, Status, configure, in_pool, publish, say, say_rejected};
use crate::error::{Error, Result};
use crate::explain;
use crate::output::Staged;
use crate::pipeline::{Explainer, refuse_inputs};

/// An order, and the settings of the run that divides it.
#[derive(Args)]
#[command(mut_args(offered))]
pub(super) struct ExplainArgs {
    /// The `external_id` of the order
    order: String,
    #[command(flatten)]
    run: RunArgs,
}

pub(super) fn run(args: &ExplainArgs) -> Result<Status> {
    let mut config = configure(&args.run)?;
    let place = config.outputs.report.take();
    refuse_inputs(&config, place.as_slice())?;
    let format = config.outputs.format;
    if !explain::FORMATS.contains(&format.name) {
        let why = "an explanation is no table; write `table` or `json`";
        return Err(Error::setting("--format", format.name, why));
    }
    let staged = place.as_deref().map(Staged::new).transpose()?;
    let bar = Bar::unless(args.run.quiet);
    let explained = in_pool(config.threads, || {
        let explainer = Explainer::new(config, &bar)?;
        Ok::<_, Error>((explainer.explain(&args.order)?, explainer.summary().clone()))
    });
    drop(bar);
    let (explanation, summary) = explained??;
    publish(staged, None, |sink| explain::write(&explanation, format, sink))?;
    for warning in summary.warnings.iter().filter(|_| !args.run.quiet) {
        say(&format!("warning: {warning}\n"));
    }
    if !args.run.quiet {
        say_rejected(summary.rejected);
    }
    Ok(Status::Done)
}
