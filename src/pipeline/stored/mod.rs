//! A run that is put in a store: in full, or, where the run before it knew the same settings, only what
//! has changed since.
//!
//! Sums are worked out of all rows every time, in the little space that they take. What is written row by
//! row, the credits and journeys of orders, is worked out again only of orders that may have changed;
//! the weeks of all others are taken over as they are. Either way gives the same bytes.
//!
//! Not for how a store is laid out; that is the crate's `store`.

mod changes;
mod renewal;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use rayon::prelude::*;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use self::changes::{Changes, Looked};
use super::keep::Filled;
use super::{Finished, Progress, Ready, every_stage, require};
use crate::calendar::{format_micros, parse_instant};
use crate::config::{Config, StoreSettings};
use crate::error::{Error, Result};
use crate::kept::{self, Account, Frame, FrameRows, InputFile, Keep, Kept, StageTime, Writing};
use crate::output::UNFINISHED;
use crate::schema::Table;
use crate::stop;
use crate::store::{Lock, STATE_FOLDER, State, Store};
use crate::summary::Summary;
use crate::validate::Rule;

/// The tables of a run that a store keeps.
const FRAMES: [Frame; 9] = [
    Frame::Orders,
    Frame::Persons,
    Frame::Identity,
    Frame::Credits,
    Frame::Journeys,
    Frame::Spend,
    Frame::Effects,
    Frame::Rejects,
    Frame::Report,
];

/// A run on its way into a store.
pub(super) struct Stored {
    store: Store,
    /// Held until the run is in its place.
    _lock: Lock,
    /// What was found of the input files, with the entries of those that are new in a folder.
    looked: Looked,
    /// What the run goes on from, where it need not begin anew.
    since: Option<Since>,
    /// Why the run begins anew, where it does.
    anew: Option<String>,
}

/// What a run goes on from.
struct Since {
    kept: Kept,
    changes: Changes,
}

/// Does a run that is put in the store of the settings; `again` makes sense of the same settings once
/// more, for what is done in a second pass.
///
/// # Errors
///
/// As of [`run`](super::run); a store that another run holds, or that cannot be written to.
pub fn run_stored(
    mut config: Config,
    again: &dyn Fn() -> Result<Config>,
    progress: &dyn Progress,
) -> Result<Finished> {
    require(&config, &[Table::Sessions, Table::Orders])?;
    let Some(settings) = config.store.clone() else { return super::run(&config, progress) };
    let (mut stored, last) = begin(&config, &settings, progress)?;
    if let Some((kept, state)) = last {
        match Changes::between(&config, (&kept, &state), &stored.looked, progress) {
            Ok(changes) => stored.since = Some(Since { kept, changes }),
            Err(Error::BeginAnew(why)) => stored.anew = Some(why),
            Err(error) => return Err(error),
        }
    }
    if stored.since.is_some() {
        config.outputs.kept = Some(stored.keep(&config, |frame| !frame.is_of_orders()));
        match every_stage(&config, Some((&stored, again)), progress) {
            Ok(finished) => return Ok(Finished { stored: Some(Arc::new(stored)), ..finished }),
            Err(Error::BeginAnew(why)) => (stored.since, stored.anew) = (None, Some(why)),
            Err(error) => return Err(error),
        }
    }
    config.outputs.kept = Some(stored.keep(&config, |_| true));
    let finished = every_stage(&config, Some((&stored, again)), progress)?;
    Ok(Finished { stored: Some(Arc::new(stored)), ..finished })
}

/// Opens the store, and looks at the inputs and at the run that it could go on from.
fn begin(
    config: &Config,
    settings: &StoreSettings,
    progress: &dyn Progress,
) -> Result<(Stored, Option<(Kept, State)>)> {
    let store = Store::open_or_begin(&settings.folder)?;
    let lock = store.lock(settings.wait, &|holder| {
        progress.note(&format!("waiting: {holder} holds the store"));
    })?;
    progress.stage("looking at inputs");
    let (last, anew) = match last_run(config, &store, settings.full) {
        Ok(last) => (Some(last), None),
        Err(why) => (None, Some(why)),
    };
    let scratch = scratch(&store)?;
    let looked = Looked::at(config, last.as_ref(), scratch, progress)?;
    Ok((Stored { store, _lock: lock, looked, since: None, anew }, last))
}

/// Begins a run that is put in the store of the settings, where they name one, and that is worked out
/// elsewhere: in full, and so that the next can go on from it.
///
/// # Errors
///
/// A store that another run holds, or that cannot be written to.
pub(super) fn begin_elsewhere(
    config: &mut Config,
    progress: &dyn Progress,
) -> Result<Option<Stored>> {
    let Some(settings) = config.store.take() else { return Ok(None) };
    let (mut stored, _) = begin(config, &settings, progress)?;
    stored.anew.get_or_insert_with(|| "it was worked out on a cluster".to_owned());
    config.outputs.kept = Some(stored.keep(config, |_| true));
    Ok(Some(stored))
}

/// An empty folder in a store, gone with what is returned.
fn scratch(store: &Store) -> Result<TempDir> {
    let place = store.unfinished();
    let parent = place.parent().map(PathBuf::from).unwrap_or_default();
    let made = tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(&parent);
    let made = made.map_err(Error::io("write", &parent))?;
    stop::temporary(made.path());
    Ok(made)
}

/// The last run with what it knew of its inputs, or why a run cannot go on from it.
fn last_run(config: &Config, store: &Store, full: bool) -> Result<(Kept, State), String> {
    if full {
        return Err("it was asked for".to_owned());
    }
    if let Some(why) = whole_only(config) {
        return Err(why.to_owned());
    }
    let Some(current) = store.current() else {
        return Err("it is the first of its store".to_owned());
    };
    let place = store.place(&current);
    let damaged = |error: Error| format!("the last run cannot be gone on from: {error}");
    let kept = Kept::open(&place).map_err(damaged)?;
    kept.verify().map_err(damaged)?;
    let state = State::read(&place).map_err(damaged)?;
    let account = kept.account();
    if account.version != env!("CARGO_PKG_VERSION") {
        return Err(format!("the last run was by version {}", account.version));
    }
    if let Some(key) = changed_setting(config, account) {
        return Err(format!("`{key}` is not what it was"));
    }
    let clock = account.settings.get("as_of").and_then(serde_json::Value::as_str);
    if clock.and_then(parse_instant).is_none_or(|clock| clock > config.as_of) {
        return Err("the clock lies before the last run's".to_owned());
    }
    if FRAMES.iter().any(|frame| frame.is_of_orders() && !kept.has(*frame)) {
        return Err("the last run did not keep every table".to_owned());
    }
    if has_person_conflicts(&account.summary) {
        return Err(SHARED_IDS.to_owned());
    }
    Ok((kept, state))
}

/// Why ids of one touch or order under two persons ask for everything.
const SHARED_IDS: &str = "an id occurs under two persons, so that whose it is depends on both";

/// Whether ids occurred under two persons in a run.
fn has_person_conflicts(summary: &serde_json::Value) -> bool {
    let conflicts = ["touches", "orders"].into_iter();
    conflicts.filter_map(|of| summary.get(of)?.get("person_conflicts")?.as_u64()).any(|ids| ids > 0)
}

/// Why a run cannot but work out everything, whatever has changed.
fn whole_only(config: &Config) -> Option<&'static str> {
    let outputs = &config.outputs;
    let reasons = [
        (
            config.inputs.contains_key(&Table::Items),
            "items are read whole: `apportion ingest` makes tables of them",
        ),
        (config.needs_everybody(), "what a model learns depends on everybody"),
        (!config.reconcile.is_empty(), "`--reconcile` may join anybody"),
        (config.where_persons.is_some(), "`--where-persons` may look at all that a person ordered"),
        (config.bootstrap.is_some(), "resamples are drawn of everybody"),
        (
            outputs.credits.is_some() || outputs.journeys.is_some() || outputs.loads_credits(),
            "`--credits`, `--journeys` and the credits of a database are of every order",
        ),
    ];
    reasons.into_iter().find(|(holds, _)| *holds).map(|(_, why)| why)
}

/// The setting that is not what it was, of those that an answer depends on.
fn changed_setting(config: &Config, account: &Account) -> Option<String> {
    let (now, then) = (&config.understood, &account.settings);
    let keys = now.keys().chain(then.keys()).filter(|key| key.as_str() != "as_of");
    keys.into_iter().find(|key| now.get(*key) != then.get(*key)).cloned()
}

impl Stored {
    /// What is kept of the run in one pass.
    fn keep(&self, config: &Config, wanted: impl Fn(Frame) -> bool) -> Keep {
        let frames = FRAMES.into_iter().filter(|frame| wanted(*frame)).collect();
        Keep { folder: self.store.unfinished(), frames, by_week: Some(config.zone) }
    }

    /// Adds to a run what is taken over from the last one, or worked out again of orders that may have
    /// changed.
    pub(super) fn renew(
        &self,
        again: &dyn Fn() -> Result<Config>,
        ready: &Ready,
        summary: &Summary,
        writing: &mut Writing,
        progress: &dyn Progress,
    ) -> Result<()> {
        let Some(since) = &self.since else { return Ok(()) };
        if summary.touches.person_conflicts + summary.orders.person_conflicts > 0 {
            return Err(Error::BeginAnew(SHARED_IDS.to_owned()));
        }
        progress.stage("renewing orders");
        renewal::renew(again()?, (&since.kept, &since.changes), ready, writing)
    }

    /// Lets a run take its place, and be the current one.
    pub(super) fn shelve(&self, filled: Filled) -> Result<()> {
        let Filled { mut folder, run } = filled;
        let Some(run) = run else { return folder.commit() };
        // The same run again is the run that there is: it stays in its place, unless it is damaged.
        let there = Kept::open(&self.store.place(&run)).and_then(|kept| kept.verify());
        if there.is_err() {
            folder.rename(&run);
            folder.commit()?;
        }
        self.store.switch(&run)
    }

    /// Ends what is kept: the files that were read, what is known of them, and the run's name.
    pub(super) fn end(
        &self,
        config: &Config,
        summary: &Summary,
        (frames, timings): (Vec<FrameRows>, Vec<(String, f64)>),
        writing: &Writing,
    ) -> Result<Account> {
        self.looked.check_unchanged(config)?;
        let folder = writing.folder();
        let (name, text) = self.looked.state.file()?;
        let place = folder.place(name)?;
        fs::write(&place, text).map_err(Error::io("write", &place))?;
        for (index, from) in &self.looked.indexes {
            folder.link(from, &format!("{STATE_FOLDER}/{index}"))?;
        }
        let inputs = self.inputs(config)?;
        let mut account = Account::new(config, summary, frames, inputs)?;
        account.run = Some(name_of(&account)?);
        account.number = Some(self.store.next_number()?);
        account.stored_at = Some(format_micros(config.started_at));
        account.anew.clone_from(&self.anew);
        account.timings = timings
            .into_iter()
            .map(|(stage, seconds)| StageTime { stage, seconds: (seconds * 1e3).round() / 1e3 })
            .collect();
        Ok(account)
    }

    /// The input files, with what they hold.
    fn inputs(&self, config: &Config) -> Result<Vec<InputFile>> {
        let mut inputs = kept::inputs(config)?;
        inputs.par_iter_mut().try_for_each(|input| -> Result<()> {
            let known = self.looked.state.files.iter();
            let mut known =
                known.filter(|file| (&file.table, &file.path) == (&input.table, &input.path));
            input.checksum = match known.next() {
                Some(file) => Some(file.checksum.clone()),
                None if input.bytes.is_some() => Some(kept::checksum(input.path.as_ref())?),
                None => None,
            };
            Ok(())
        })?;
        Ok(inputs)
    }
}

/// The name of a run: what it was asked, of what, and by which version. The clock takes part where rows
/// lay after it.
fn name_of(account: &Account) -> Result<String> {
    let mut settings = account.settings.clone();
    let future = Rule::Future.name();
    let rejects = account.summary.get("rejects").and_then(serde_json::Value::as_array);
    let has_future = rejects.is_some_and(|rejects| {
        rejects.iter().any(|by| by.get("rule").and_then(serde_json::Value::as_str) == Some(future))
    });
    if !has_future {
        settings.remove("as_of");
    }
    let inputs: Vec<_> =
        account.inputs.iter().map(|input| (&input.table, &input.path, &input.checksum)).collect();
    let said = serde_json::to_vec(&(&account.version, settings, inputs))
        .map_err(|error| Error::Output { format: "json", why: error.to_string() })?;
    let digest = Sha256::digest(said);
    let mut number = [0; 8];
    number[2..].copy_from_slice(&digest[..6]);
    Ok(format!("{:012x}", u64::from_be_bytes(number)))
}
