//! `apportion runs`: lists the runs of a store, shows one, says why two differ, removes old ones.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Status, diff, now, say};
use crate::calendar::{parse_duration, parse_instant};
use crate::error::{Error, Result};
use crate::kept::Kept;
use crate::output::table::aligned;
use crate::output::{Align, counted, thousands};
use crate::store::Store;

/// What `runs` takes.
#[derive(Args)]
pub(super) struct RunsArgs {
    /// The store
    #[arg(long, value_name = "FOLDER", global = true, default_value = "store")]
    store: PathBuf,
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Subcommand)]
enum What {
    /// Say what a run was asked, of which files, and what came of it, as JSON
    Show {
        /// The run: its name or how it begins, `current` or `previous`
        #[arg(default_value = "current")]
        run: String,
    },
    /// Say why numbers changed between two runs
    Diff {
        /// The earlier run
        #[arg(default_value = "previous")]
        then: String,
        /// The later run
        #[arg(default_value = "current")]
        now: String,
    },
    /// Remove old runs; the current one always stays
    Prune {
        /// How many of the latest runs stay
        #[arg(long, value_name = "N")]
        keep: Option<usize>,
        /// Runs that were stored longer ago are removed, such as 90d
        #[arg(long, value_name = "DURATION")]
        older_than: Option<String>,
        /// Say what would be removed, and remove nothing
        #[arg(long)]
        dry_run: bool,
    },
}

pub(super) fn run(args: &RunsArgs) -> Result<Status> {
    let store = Store::open(&args.store)?;
    match &args.what {
        None => list(&store),
        Some(What::Show { run }) => show(&store.run(run)?),
        Some(What::Diff { then, now }) => {
            let [then, now] = [then, now].map(|run| store.run(run));
            diff::of_kept(&then?, &now?)
        }
        Some(What::Prune { keep, older_than, dry_run }) => {
            prune(&store, *keep, older_than.as_deref(), *dry_run)
        }
    }
}

/// A run's name.
fn name(kept: &Kept) -> &str {
    kept.account().run.as_deref().unwrap_or_default()
}

fn list(store: &Store) -> Result<Status> {
    let current = store.current();
    let number = |kept: &Kept, of: &str, what: &str| {
        let figure = kept.account().summary.get(of).and_then(|of| of.get(what));
        thousands(&figure.and_then(serde_json::Value::as_u64).unwrap_or_default().to_string())
    };
    let row = |kept: &Kept| {
        let account = kept.account();
        let stored = account.stored_at.as_deref().unwrap_or_default();
        let files = account.frames.iter().flat_map(|frame| &frame.files);
        let bytes: u64 = files.map(|file| file.bytes).sum();
        vec![
            if current.as_deref() == Some(name(kept)) { "*" } else { "" }.to_owned(),
            name(kept).to_owned(),
            stored.get(..19).unwrap_or(stored).replace('T', " "),
            number(kept, "orders", "counted"),
            number(kept, "touches", "sessions"),
            bytesize::ByteSize(bytes).display().iec().to_string(),
            if account.anew.is_some() { "in full" } else { "changes" }.to_owned(),
        ]
    };
    let header = [
        ("", Align::Left),
        ("run", Align::Left),
        ("stored (UTC)", Align::Left),
        ("orders", Align::Right),
        ("sessions", Align::Right),
        ("size", Align::Right),
        ("worked out", Align::Left),
    ];
    let rows: Vec<_> = store.runs()?.iter().map(row).collect();
    print(&aligned(&header, rows))
}

fn show(kept: &Kept) -> Result<Status> {
    let failed =
        |error: serde_json::Error| Error::Output { format: "json", why: error.to_string() };
    let text = serde_json::to_string_pretty(kept.account()).map_err(failed)?;
    print(&format!("{text}\n"))
}

fn print(text: &str) -> Result<Status> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).map_err(Error::io("write", "standard output".as_ref()))?;
    Ok(Status::Done)
}

fn prune(
    store: &Store,
    keep: Option<usize>,
    older_than: Option<&str>,
    dry_run: bool,
) -> Result<Status> {
    let before = older_than.map(|text| {
        let age = parse_duration(text)
            .ok_or_else(|| Error::setting("--older-than", text, "write a duration such as `90d`"));
        age.map(|age| now().saturating_sub(age))
    });
    let before = before.transpose()?;
    if keep.is_none() && before.is_none() {
        let why = "`prune` needs `--keep N`, `--older-than DURATION` or both";
        return Err(Error::Contradiction(why.to_owned()));
    }
    let lock = store.lock(std::time::Duration::ZERO, &|_| ())?;
    let current = store.current();
    let is_old = |kept: &Kept| {
        let stored = kept.account().stored_at.as_deref().and_then(parse_instant);
        before.is_none_or(|before| stored.is_some_and(|stored| stored < before))
    };
    let runs = store.runs()?;
    let beyond = runs.iter().enumerate().filter(|(at, _)| keep.is_none_or(|keep| *at >= keep));
    let others = beyond.map(|(_, kept)| kept).filter(|kept| current.as_deref() != Some(name(kept)));
    let gone: Vec<&Kept> = others.filter(|kept| is_old(kept)).collect();
    for kept in &gone {
        if !dry_run {
            store.remove(name(kept))?;
        }
        let done = if dry_run { "would remove" } else { "removed" };
        say(&format!("{done} {}\n", name(kept)));
    }
    let stay = runs.len() - gone.len();
    say(&format!("{}\n", counted(stay as u64, "run stays", "runs stay")));
    drop(lock);
    Ok(Status::Done)
}
