//! `apportion diff`: why numbers changed between two kept runs.

use std::io;
use std::path::PathBuf;

use clap::Args;

use super::{Status, in_pool, publish};
use crate::diff::{self, Asked};
use crate::error::Result;
use crate::kept::Kept;
use crate::output::{self, Staged};

/// Two kept runs, and what of them is compared.
#[derive(Args)]
pub(super) struct DiffArgs {
    /// The folder of the first run, as `apportion run --keep` wrote it
    before: PathBuf,
    /// The folder of the second run
    after: PathBuf,
    /// What the difference is by: columns of credits, or none [default: channel]
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    by: Vec<String>,
    /// The models to compare [default: all that both runs have]
    #[arg(long, value_name = "MODELS", value_delimiter = ',')]
    model: Vec<String>,
    /// The first day of the orders that are compared
    #[arg(long, value_name = "DATE")]
    from: Option<String>,
    /// The last day of the orders that are compared
    #[arg(long, value_name = "DATE")]
    to: Option<String>,
    /// The format: table, csv, spreadsheet, json, ndjson, parquet, arrow or markdown
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Where to write it [default: standard output]
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,
}

/// Compares two runs that are open, as the command does that is given nothing else.
pub(super) fn of_kept(before: &Kept, after: &Kept) -> Result<Status> {
    let asked = Asked::new(&[], &[], (None, None))?;
    let differences = in_pool(None, || diff::compare_kept(before, after, &asked))??;
    let text = || diff::render(&differences);
    let table = || differences.table();
    output::write_result(output::format("table")?, Box::new(io::stdout()), text, table)?;
    Ok(Status::Done)
}

pub(super) fn run(args: &DiffArgs) -> Result<Status> {
    let format = output::chosen(args.format.as_deref(), args.output.as_deref())?;
    let asked = Asked::new(&args.by, &args.model, (args.from.as_deref(), args.to.as_deref()))?;
    let staged = args.output.as_deref().map(Staged::new).transpose()?;
    let differences = in_pool(None, || diff::compare(&args.before, &args.after, &asked))??;
    publish(staged, None, |sink| {
        let (text, table) = (|| diff::render(&differences), || differences.table());
        output::write_result(format, sink, text, table)
    })?;
    Ok(Status::Done)
}
