//! `apportion query`: asks the library, or a user's own SQL, of a run.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use tempfile::TempDir;

use super::{RunArgs, Status, configure, in_pool, publish, say, say_rejected};
use crate::config::{Config, check_kept};
use crate::error::{Error, Result};
use crate::kept::{Frame, Keep, Kept};
use crate::output::{self, Format, Staged, counted};
use crate::pipeline::{self, Silent, refuse_inputs};
use crate::queries::{Answer, Query, Statement, ask};
use crate::schema::Table;
use crate::stop;

/// What `apportion query` is to answer.
#[derive(Args)]
pub(super) struct QueryArgs {
    /// A query of the library (`apportion queries` lists them), or a file that ends with .sql
    #[arg(value_name = "NAME|FILE.sql", required_unless_present = "audits")]
    query: Option<String>,
    /// Answer from a run that was kept (`apportion run --keep FOLDER`), and read no inputs
    #[arg(long = "run", value_name = "FOLDER", help_heading = "Query")]
    kept: Option<PathBuf>,
    /// Ask for something else than the query does by itself
    #[arg(long = "param", value_name = "NAME=VALUE", help_heading = "Query")]
    parameters: Vec<String>,
    /// Ask every audit: each must return no rows
    #[arg(long, conflicts_with = "query", help_heading = "Query")]
    audits: bool,
    #[command(flatten)]
    run: RunArgs,
}

pub(super) fn run(args: &QueryArgs) -> Result<Status> {
    let queries = match &args.query {
        Some(name) => vec![Query::named(name)?],
        None => Query::audits()?,
    };
    let mut frames = BTreeSet::new();
    for query in &queries {
        frames.extend(Statement::parse(&query.name, &query.sql)?.frames());
    }
    let source = match &args.kept {
        Some(folder) => Source::kept(args, folder)?,
        None => Source::inputs(args, &queries[0], frames)?,
    };
    let Source { kept, format, place, .. } = &source;
    let place = place.as_deref().map(Staged::new).transpose()?;
    let answer =
        |query: &Query| in_pool(args.run.settings.threads, || ask(query, &args.parameters, kept))?;
    if args.audits {
        return audits(&queries, answer, format, place, args.run.quiet);
    }
    let query = &queries[0];
    let found = answer(query)?;
    publish(place, None, |sink| {
        output::write_result(format, sink, || found.text(), || Ok(found.rows.clone()))
    })?;
    let is_finding = query.is_audit && found.rows.num_rows() > 0;
    Ok(if is_finding { Status::Findings } else { Status::Done })
}

/// What a query is asked of.
struct Source {
    kept: Kept,
    format: &'static Format,
    place: Option<PathBuf>,
    /// A run that is kept for this answer only.
    _temporary: Option<TempDir>,
}

impl Source {
    /// A run that was kept.
    fn kept(args: &QueryArgs, folder: &Path) -> Result<Self> {
        let settings = &args.run.settings;
        if let Some(table) = settings.given().first() {
            return Err(Error::Contradiction(format!(
                "`--run` answers from a run that was kept, and `--{table}` names an input; leave one out"
            )));
        }
        let place = settings.output.clone();
        refuse_kept(folder, place.as_deref())?;
        Ok(Self {
            kept: Kept::open(folder)?,
            format: output::chosen(settings.format.as_deref(), place.as_deref())?,
            place,
            _temporary: None,
        })
    }

    /// A run over inputs that keeps what the queries name.
    fn inputs(args: &QueryArgs, query: &Query, frames: BTreeSet<Frame>) -> Result<Self> {
        let mut config = configure(&args.run)?;
        config.refuse_smaller_groups("a query")?;
        let place = config.outputs.report.take();
        refuse_inputs(&config, place.as_slice())?;
        check_kept(config.date_by)?;
        check_frames(&config, query, &frames)?;
        let temporary = tempfile::tempdir().map_err(Error::io("write", &std::env::temp_dir()))?;
        stop::temporary(temporary.path());
        let folder = temporary.path().join("run");
        config.ask_one_thing();
        config.outputs.kept = Some(Keep { folder: folder.clone(), frames, by_week: None });
        let finished = in_pool(config.threads, || pipeline::run(&config, &Silent))??;
        let published = finished.publish()?;
        for warning in published.summary.warnings.iter().filter(|_| !args.run.quiet) {
            say(&format!("warning: {warning}\n"));
        }
        if !args.run.quiet {
            say_rejected(published.summary.rejected);
        }
        let format = config.outputs.format;
        Ok(Self { kept: Kept::open(&folder)?, format, place, _temporary: Some(temporary) })
    }
}

/// An error if an answer would be written into the kept run that it is taken from.
fn refuse_kept(folder: &Path, place: Option<&Path>) -> Result<()> {
    let there = |path: &Path| fs::canonicalize(path).ok();
    let parent = place.and_then(Path::parent).and_then(there);
    match parent.zip(there(folder)) {
        Some((parent, kept)) if parent.starts_with(&kept) => Err(Error::Contradiction(format!(
            "the answer would be written into the kept run `{}`; name another output",
            folder.display()
        ))),
        _ => Ok(()),
    }
}

/// An error if a query names a frame that a run over these inputs does not have.
fn check_frames(config: &Config, query: &Query, frames: &BTreeSet<Frame>) -> Result<()> {
    let has = |frame: Frame| match frame {
        Frame::Spend => config.inputs.contains_key(&Table::Spend),
        Frame::Effects => config.models.iter().any(|asked| asked.model.learns()),
        _ => true,
    };
    match frames.iter().find(|frame| !has(**frame)) {
        None => Ok(()),
        Some(frame) => Err(Error::Contradiction(format!(
            "the query `{}` asks of `{frame}`, which this run does not have: {}",
            query.name,
            frame.needs().unwrap_or_default()
        ))),
    }
}

/// Asks every audit, and shows the rows of those that return some.
fn audits(
    queries: &[Query],
    answer: impl Fn(&Query) -> Result<Answer>,
    format: &Format,
    place: Option<Staged>,
    quiet: bool,
) -> Result<Status> {
    let answers: Vec<Answer> = queries.iter().map(answer).collect::<Result<_>>()?;
    let findings = || queries.iter().zip(&answers).filter(|(_, found)| found.rows.num_rows() > 0);
    publish(place, None, |sink| {
        let text = || {
            let mut text = String::new();
            for (query, found) in findings() {
                let title = &query.header.title;
                text.push_str(&format!("{}: {title}\n\n{}\n", query.name, found.text()));
            }
            text
        };
        output::write_result(format, sink, text, || Answer::of_audits(queries, &answers))
    })?;
    let found = findings().count();
    if !quiet {
        let asked = counted(queries.len() as u64, "audit", "audits");
        let returned = counted(found as u64, "returns rows", "return rows");
        say(&format!("{asked}: {returned}\n"));
    }
    Ok(if found > 0 { Status::Findings } else { Status::Done })
}
