//! `apportion diff`: why numbers changed between two kept runs.

use std::io;
use std::path::PathBuf;

use chrono::NaiveDate;
use clap::Args;

use super::{Status, in_pool, publish};
use crate::calendar::parse_day;
use crate::diff::{self, Asked};
use crate::error::{Error, Result};
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
    /// The format: table, csv, json, ndjson, parquet, arrow or markdown
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Where to write it [default: standard output]
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,
}

/// Compares two runs that are open, as the command does that is given nothing else.
pub(super) fn of_kept(before: &Kept, after: &Kept) -> Result<Status> {
    let asked = Asked { by: vec!["channel".to_owned()], models: Vec::new(), from: None, to: None };
    let differences = in_pool(None, || diff::compare_kept(before, after, &asked))??;
    let text = || diff::render(&differences);
    let table = || differences.table();
    output::write_result(output::format("table")?, Box::new(io::stdout()), text, table)?;
    Ok(Status::Done)
}

pub(super) fn run(args: &DiffArgs) -> Result<Status> {
    let format = output::chosen(args.format.as_deref(), args.output.as_deref())?;
    let day = |flag: &str, text: &Option<String>| -> Result<Option<NaiveDate>> {
        let Some(text) = text else { return Ok(None) };
        let wrong = || Error::setting(flag, text, "write a day such as `2024-03-31`");
        parse_day(text).ok_or_else(wrong).map(Some)
    };
    let by = match args.by.as_slice() {
        [] => vec!["channel".to_owned()],
        [none] if none.trim() == "none" => Vec::new(),
        columns => columns.iter().map(|column| column.trim().to_owned()).collect(),
    };
    let asked = Asked {
        by,
        models: args.model.iter().map(|model| model.trim().to_owned()).collect(),
        from: day("--from", &args.from)?,
        to: day("--to", &args.to)?,
    };
    let staged = args.output.as_deref().map(Staged::new).transpose()?;
    let differences = in_pool(None, || diff::compare(&args.before, &args.after, &asked))??;
    publish(staged, None, |sink| {
        let (text, table) = (|| diff::render(&differences), || differences.table());
        output::write_result(format, sink, text, table)
    })?;
    Ok(Status::Done)
}
