//! What has changed in the input files since a run: which rows came and went, and whose they are.
//!
//! Not for what follows from it; that is `renewal`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use arrow::array::{Array, AsArray, RecordBatch};
use hashbrown::{HashMap, HashSet};
use rayon::prelude::*;
use tempfile::TempDir;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::ids::text_hash;
use crate::input::{self, Needs, Source};
use crate::kept::{Kept, checksum};
use crate::objects::Object;
use crate::pipeline::{Progress, reading};
use crate::schema::Table;
use crate::store::index::{self, Entry, INDEXED};
use crate::store::{FileState, STATE_FOLDER, State};
use crate::touchpoints::instants;
use crate::validate::Rule;

/// The input files of a run as they were found.
pub(super) struct Looked {
    pub(super) state: State,
    /// The files of entries: their names, and where they are.
    pub(super) indexes: Vec<(String, PathBuf)>,
    /// Where those lie that were made.
    _scratch: TempDir,
}

/// An input file on the disk.
struct Found {
    table: Table,
    source: Source,
    state: FileState,
}

impl Looked {
    /// Looks at every input file. Of those that the last run does not know as they are the rows are
    /// read, and their entries written to a folder.
    pub(super) fn at(
        config: &Config,
        last: Option<&(Kept, State)>,
        scratch: TempDir,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let found = found(config)?;
        let known = |found: &Found| {
            let (kept, state) = last?;
            let known = state.files.iter().find(|known| known.is_same_place(&found.state))?;
            Some((kept, state, known))
        };
        let look = |mut found: Found| -> Result<(FileState, Option<(String, PathBuf)>)> {
            let last = known(&found);
            let surely =
                last.filter(|(_, state, known)| known.is_surely(&found.state, state.looked_at));
            found.state.checksum = match surely {
                Some((_, _, known)) => known.checksum.clone(),
                None => version(&found.source)?,
            };
            if !INDEXED.contains(&found.table) {
                return Ok((found.state, None));
            }
            // Rows that lay after one clock may not lie after the next.
            let same = last.filter(|(_, _, known)| {
                known.checksum == found.state.checksum && !known.has_future
            });
            if let Some((kept, _, known)) = same
                && let Some(name) = &known.index
            {
                let place = kept.folder().join(STATE_FOLDER).join(name);
                found.state.index = Some(name.clone());
                return Ok((found.state, Some((name.clone(), place))));
            }
            let (entries, has_future) = entries_of(config, found.table, &found.source, progress)?;
            let place = tempfile::Builder::new().tempfile_in(scratch.path());
            let place = place.map_err(Error::io("write", scratch.path()))?.into_temp_path();
            index::write(&place, &entries)?;
            let name = format!("{}.index", checksum(&place)?);
            let named = scratch.path().join(&name);
            place.persist(&named).map_err(|error| Error::io("write", &named)(error.error))?;
            found.state.has_future = has_future;
            found.state.index = Some(name.clone());
            Ok((found.state, Some((name, named))))
        };
        let looked: Vec<_> = found.into_par_iter().map(look).collect::<Result<_>>()?;
        let (files, indexes): (Vec<FileState>, Vec<_>) = looked.into_iter().unzip();
        let mut indexes: Vec<(String, PathBuf)> = indexes.into_iter().flatten().collect();
        indexes.sort();
        indexes.dedup_by(|left, right| left.0 == right.0);
        let state = State { looked_at: config.started_at, files };
        Ok(Self { state, indexes, _scratch: scratch })
    }

    /// An error if an input file is not what it was when it was looked at: a run of both is none.
    pub(super) fn check_unchanged(&self, config: &Config) -> Result<()> {
        let now = found(config)?;
        let changed = |(known, now): &(&FileState, &Found)| {
            !known.is_same_place(&now.state)
                || (known.bytes, known.modified) != (now.state.bytes, now.state.modified)
        };
        let mut pairs = self.state.files.iter().zip(&now);
        match pairs.find(changed) {
            Some((known, _)) => {
                let how = "it is not what it was when the run began".to_owned();
                Err(Error::Changed { path: PathBuf::from(&known.path), how })
            }
            None if self.state.files.len() != now.len() => {
                let more = now.get(self.state.files.len()).map(|found| found.source.path.clone());
                let gone = || self.state.files.get(now.len()).map(|file| PathBuf::from(&file.path));
                let how = if more.is_some() { "it is new" } else { "it is gone" }.to_owned();
                Err(Error::Changed { path: more.or_else(gone).unwrap_or_default(), how })
            }
            None => Ok(()),
        }
    }

    fn place(&self, name: &str) -> Option<&Path> {
        let at = self.indexes.binary_search_by(|(known, _)| known.as_str().cmp(name)).ok()?;
        Some(&self.indexes[at].1)
    }
}

/// What tells the content of a file from others.
fn version(source: &Source) -> Result<String> {
    let Some(object) = &source.object else { return checksum(&source.path) };
    object.version().ok_or_else(|| {
        let path = source.path.display();
        Error::Contradiction(format!(
            "`--store` cannot tell whether `{path}` changes: its server says neither a tag nor a time; download it first"
        ))
    })
}

/// The input files, in the order of tables and paths.
fn found(config: &Config) -> Result<Vec<Found>> {
    let mut all = Vec::new();
    for (table, patterns) in &config.inputs {
        if *table == Table::Items {
            continue;
        }
        for source in input::find_anew(*table, patterns)? {
            let bytes = source.bytes()?;
            let here = source.object.is_none().then(|| fs::metadata(&source.path).ok()).flatten();
            let since = here.and_then(|known| known.modified().ok());
            let since = since.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
            let since = since.and_then(|since| i64::try_from(since.as_micros()).ok());
            let of_object = source.object.as_ref().and_then(Object::modified);
            let folders: Vec<String> =
                source.hive.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let state = FileState {
                table: table.name().to_owned(),
                path: source.path.to_string_lossy().into_owned(),
                folders: folders.join("/"),
                bytes,
                modified: since.or(of_object),
                checksum: String::new(),
                has_future: false,
                index: None,
            };
            all.push(Found { table: *table, source, state });
        }
    }
    Ok(all)
}

/// The entries of the accepted rows of a file, in their order, and whether rows lay after the clock.
fn entries_of(
    config: &Config,
    table: Table,
    source: &Source,
    progress: &dyn Progress,
) -> Result<(Vec<Entry>, bool)> {
    let all = Mutex::new(Vec::new());
    let reading = reading(config, table, Needs::All)?;
    let take = |rows: RecordBatch| {
        let entries = index::entries(table, &rows)?;
        all.lock().unwrap_or_else(PoisonError::into_inner).extend(entries);
        Ok(())
    };
    let loaded =
        input::each(&reading, std::slice::from_ref(source), &|rows| progress.rows(rows), &take)?;
    let has_future = loaded.rejects.iter().any(|reject| reject.rule == Rule::Future);
    let mut entries = all.into_inner().unwrap_or_else(PoisonError::into_inner);
    entries.par_sort_unstable();
    Ok((entries, has_future))
}

/// What has changed between two runs, by the hashes of ids.
#[derive(Default)]
pub(super) struct Changes {
    /// The users of whom rows came or went, and the earliest time of one.
    pub(super) users: HashMap<u64, i64>,
    /// Those of whom rows went: what they were part of may be earlier than they were.
    pub(super) lost: HashSet<u64>,
    /// The touches of which rows came or went.
    pub(super) touches: HashSet<u64>,
    /// The orders of which rows, or rows of their items, came or went.
    pub(super) orders: HashSet<u64>,
    /// Since when exchange rates are others.
    pub(super) rates: Option<i64>,
}

impl Changes {
    /// Compares what was found of the input files with what the last run knew.
    pub(super) fn between(
        config: &Config,
        (kept, then): (&Kept, &State),
        now: &Looked,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let mut changes = Self::default();
        let mut devices = HashSet::new();
        for table in INDEXED {
            let names = |state: &State| -> Vec<String> {
                let of_table = state.files.iter().filter(|file| file.table == table.name());
                let mut names: Vec<String> =
                    of_table.filter_map(|file| file.index.clone()).collect();
                names.sort_unstable();
                names
            };
            let (before, after) = (names(then), names(&now.state));
            let gone = index::missing(&before, &after);
            let gone = gone.iter().map(|name| kept.folder().join(STATE_FOLDER).join(name));
            let gone = read_all(gone.collect())?;
            let come = index::missing(&after, &before);
            let come = come.iter().filter_map(|name| now.place(name).map(Path::to_path_buf));
            let come = read_all(come.collect())?;
            let went = index::missing(&gone, &come);
            changes.lost.extend(went.iter().map(|entry| entry.user));
            for entry in went.into_iter().chain(index::missing(&come, &gone)) {
                match table {
                    Table::Sessions | Table::Postviews => {
                        changes.change(entry.user, entry.at);
                        changes.touches.insert(entry.thing);
                    }
                    Table::Orders => {
                        changes.change(entry.user, entry.at);
                        changes.orders.insert(entry.thing);
                    }
                    Table::OrderItems => {
                        changes.orders.insert(entry.thing);
                    }
                    Table::Devices => {
                        devices.insert(entry.thing);
                    }
                    _ => {
                        changes.rates = Some(changes.rates.map_or(entry.at, |at| at.min(entry.at)));
                    }
                }
            }
        }
        if !devices.is_empty() {
            changes.touches_of(config, &devices, progress)?;
        }
        Ok(changes)
    }

    fn change(&mut self, user: u64, at: i64) {
        self.users.entry(user).and_modify(|known| *known = at.min(*known)).or_insert(at);
    }

    /// Counts the touches that were made with some devices as changed.
    fn touches_of(
        &mut self,
        config: &Config,
        devices: &HashSet<u64>,
        progress: &dyn Progress,
    ) -> Result<()> {
        const DEVICE: &str = "device_external_id";
        for table in [Table::Sessions, Table::Postviews] {
            let Some(patterns) = config.inputs.get(&table) else { continue };
            let needs = Needs::Named(BTreeSet::from([DEVICE.to_owned()]));
            let reading = reading(config, table, needs)?;
            let met = Mutex::new(Vec::new());
            let take = |rows: RecordBatch| {
                let texts = |name: &str| rows.column_by_name(name)?.as_string_view_opt();
                let (Some(of), Some(ids)) = (texts(DEVICE), texts("external_id")) else {
                    return Ok(());
                };
                let Some(users) = texts("user_external_id") else { return Ok(()) };
                let at = instants(&rows);
                let with =
                    |row: &usize| of.is_valid(*row) && devices.contains(&text_hash(of.value(*row)));
                let found = (0..rows.num_rows()).filter(with);
                let found = found
                    .map(|row| (text_hash(users.value(row)), text_hash(ids.value(row)), at[row]));
                met.lock().unwrap_or_else(PoisonError::into_inner).extend(found);
                Ok(())
            };
            let sources = input::find(table, patterns)?;
            input::each(&reading, &sources, &|rows| progress.rows(rows), &take)?;
            for (user, touch, at) in met.into_inner().unwrap_or_else(PoisonError::into_inner) {
                self.change(user, at);
                self.touches.insert(touch);
            }
        }
        Ok(())
    }
}

/// The entries of several files, in their order.
fn read_all(files: Vec<PathBuf>) -> Result<Vec<Entry>> {
    let read: Vec<Vec<Entry>> =
        files.into_par_iter().map(|file| read_one(&file)).collect::<Result<_>>()?;
    let mut entries = read.concat();
    entries.par_sort_unstable();
    Ok(entries)
}

/// The entries of a file, which is named by what it holds.
fn read_one(file: &Path) -> Result<Vec<Entry>> {
    let named = file.file_stem().unwrap_or_default().to_string_lossy();
    if checksum(file)? != named {
        return Err(Error::BeginAnew(format!("`{}` is damaged", file.display())));
    }
    index::read(file)
}
