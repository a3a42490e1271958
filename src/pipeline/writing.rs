//! The files of a run: begun before the work, written as it goes, and in their places at the end.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::PathBuf;

use arrow::array::RecordBatch;

use super::{Named, Ordered, People, Published, Tables, all_persons, each_part, in_order, work};
use crate::config::{Config, Output};
use crate::databases::Loading;
use crate::engine::{PathSums, Work};
use crate::error::{Error, Result};
use crate::identity::audit_table;
use crate::kept::{Frame, Writing};
use crate::money::Currency;
use crate::output::{Staged, TableWriter, plain_schema};
use crate::page::Page;
use crate::paths::{Paths, SEPARATOR, is_direct};
use crate::report::{EffectsReport, Overview, Report};
use crate::summary::Summary;
use crate::validate::{Reject, rejects_table};
use crate::{engine, input, output, report};

/// What journeys add up to by path, where that is to be written.
pub(super) fn paths(
    config: &Config,
    ordered: &Ordered,
    named: &Named,
    people: &People,
) -> Result<Option<Paths>> {
    let Some(channels) = named.path_channels.as_ref() else { return Ok(None) };
    let work = work(config, ordered, named);
    let mut currencies = ordered.amounts.currencies.clone();
    if currencies.is_empty() {
        currencies.push(config.currency);
    }
    let work = Work { currencies: currencies.len(), ..work };
    let mut sums = PathSums::new(work.currencies);
    let of_part = |work: &Work<'_>, persons: &[u32]| {
        let partitions = engine::partitions(work, persons);
        match ordered.waiting {
            // Touches that wait are called by their looks.
            Some(_) => {
                let channels = in_order(channels.clone(), &work.touches.row);
                engine::path_sums(work, &partitions, &channels)
            }
            None => engine::path_sums(work, &partitions, channels),
        }
    };
    each_part(&work, (ordered, named), people, of_part, |part| sums.merge(&part))?;
    Ok(Some(named_paths(channels.values.clone(), currencies, sums)))
}

/// Paths with the names of their channels.
pub(super) fn named_paths(
    channels: Vec<String>,
    currencies: Vec<Currency>,
    sums: PathSums,
) -> Paths {
    let direct = channels.iter().map(|channel| is_direct(channel)).collect();
    Paths { channels, direct, currencies, sums }
}

/// Paths as rows, where they are to be written.
pub(super) fn paths_table(
    config: &Config,
    paths: Option<Paths>,
) -> Result<Option<(&Output, RecordBatch)>> {
    let output = config.outputs.paths.as_ref().zip(paths);
    output.map(|(output, paths)| Ok((output, paths.table(SEPARATOR)?))).transpose()
}

/// What models learnt of channels, as rows where they are to be written.
pub(super) fn effects_table<'c>(
    config: &'c Config,
    effects: &EffectsReport,
) -> Result<Option<(&'c Output, RecordBatch)>> {
    let output = config.outputs.effects.as_ref();
    output.map(|output| Ok((output, effects.table()?))).transpose()
}

/// An error if one of the places to write to is a file that is read.
pub(crate) fn refuse_inputs(config: &Config, places: &[PathBuf]) -> Result<()> {
    for (table, paths) in &config.inputs {
        for source in input::find(*table, paths)? {
            let input = fs::canonicalize(&source.path).ok();
            let same = |place: &&PathBuf| match &source.object {
                Some(object) => object.path() == **place,
                None => input.is_some() && fs::canonicalize(place).ok() == input,
            };
            if let Some(place) = places.iter().find(same) {
                let place = place.display();
                return Err(Error::Contradiction(format!(
                    "`{place}` is both an output and a file of {table}; name another output"
                )));
            }
        }
    }
    Ok(())
}

/// An error if the run is to be kept in the place of a folder that it reads from.
pub(super) fn refuse_folder_of_inputs(config: &Config) -> Result<()> {
    let kept = config.outputs.kept.as_ref().map(|kept| &kept.folder);
    let Some(folder) = kept.and_then(|folder| fs::canonicalize(folder).ok()) else { return Ok(()) };
    for (table, paths) in &config.inputs {
        for source in input::find(*table, paths)? {
            if fs::canonicalize(&source.path).is_ok_and(|path| path.starts_with(&folder)) {
                let (folder, input) = (folder.display(), source.path.display());
                return Err(Error::Contradiction(format!(
                    "`--keep` would replace the folder `{folder}`, and `{input}` in it is read as {table}; name another folder"
                )));
            }
        }
    }
    Ok(())
}

/// The files of a run while they are written.
pub(super) struct Writers {
    pub(super) credits: Option<Box<dyn TableWriter>>,
    pub(super) journeys: Option<Box<dyn TableWriter>>,
    pub(super) changed: Option<Box<dyn TableWriter>>,
    /// Every file of the run, by its place.
    pub(super) staged: BTreeMap<PathBuf, Staged>,
    /// The folder that the run is kept in.
    pub(super) kept: Option<Writing>,
    /// Rows of orders as they are kept, where they are gathered and not written.
    pub(super) gathered: Option<BTreeMap<Frame, Vec<RecordBatch>>>,
    /// What is loaded into a database.
    pub(super) loading: Option<Loading>,
}

impl Writers {
    /// No files: of a period that is only compared with.
    pub(super) fn none() -> Self {
        Self {
            credits: None,
            journeys: None,
            changed: None,
            staged: BTreeMap::new(),
            kept: None,
            gathered: None,
            loading: None,
        }
    }

    /// Begins every file of the run, so that a place that cannot be written to is known before
    /// the work.
    pub(super) fn begin(config: &Config) -> Result<Self> {
        let outputs = &config.outputs;
        let places = || {
            let files = outputs.files().map(|output| &output.path);
            files.chain(&outputs.report).chain(&outputs.summary)
        };
        let taken: Vec<PathBuf> = places().cloned().collect();
        refuse_inputs(config, &taken)?;
        let staged = places()
            .map(|path| {
                let staged = match outputs.partitions.get(path) {
                    Some(partitioning) => Staged::divided(path, partitioning.clone()),
                    None => Staged::new(path),
                };
                Ok((path.clone(), staged?))
            })
            .collect::<Result<BTreeMap<PathBuf, Staged>>>()?;
        let begin = |output: &Option<Output>| -> Result<Option<Box<dyn TableWriter>>> {
            output.as_ref().map(|output| begin_table(&staged, output)).transpose()
        };
        let (credits, journeys) = (begin(&outputs.credits)?, begin(&outputs.journeys)?);
        let loading = outputs.database.as_ref().map(Loading::begin).transpose()?;
        let loaded = loading.as_ref().map(Loading::credits).transpose()?.flatten();
        let loaded = loaded.map(|(sink, format)| Late::begin(sink, format));
        let credits = both(credits, loaded);
        let changed = begin(&outputs.changed)?;
        let kept = outputs.kept.as_ref().map(Writing::begin).transpose()?;
        refuse_folder_of_inputs(config)?;
        Ok(Self { credits, journeys, changed, staged, kept, gathered: None, loading })
    }

    /// Whether a table of the run is kept.
    pub(super) fn keeps(&self, frame: Frame) -> bool {
        self.kept.as_ref().is_some_and(|kept| kept.keeps(frame))
            || self.gathered.as_ref().is_some_and(|gathered| gathered.contains_key(&frame))
    }

    /// Writes a table that is worked out beside the report, where it is to be written.
    pub(super) fn table(&self, table: Option<(&Output, RecordBatch)>) -> Result<()> {
        let Some((output, rows)) = table else { return Ok(()) };
        write_table(&self.staged, output, &rows)
    }

    /// Begins a table that is written to its place.
    pub(super) fn begin_table(&self, output: &Output) -> Result<Box<dyn TableWriter>> {
        begin_table(&self.staged, output)
    }

    /// Writes who is who, where that is to be written.
    pub(super) fn people(
        &self,
        config: &Config,
        tables: &Tables,
        people: &People,
        ordered: &Ordered,
    ) -> Result<()> {
        let outputs = &config.outputs;
        if let Some(output) = &outputs.persons {
            write_table(&self.staged, output, &all_persons(tables, people, ordered)?)?;
        }
        if let Some(output) = &outputs.identity {
            write_table(&self.staged, output, &audit_table(&people.identity)?)?;
        }
        Ok(())
    }

    /// Writes what is known at the end, and ends every table.
    pub(super) fn finish(
        self,
        config: &Config,
        rejects: &[Reject],
        report: impl FnOnce(&Staged) -> Result<()>,
        summary: &Summary,
    ) -> Result<Vec<Staged>> {
        // All that was read is of one moment only if nothing has changed since.
        input::check_unchanged(config.inputs.values().flatten())?;
        let Self { credits, journeys, staged, .. } = self;
        for writer in [credits, journeys].into_iter().flatten() {
            writer.finish()?;
        }
        let outputs = &config.outputs;
        if let Some(output) = &outputs.rejects {
            write_table(&staged, output, &rejects_table(rejects)?)?;
        }
        if let Some(path) = &outputs.report {
            report(&staged[path])?;
        }
        if let Some(path) = &outputs.summary {
            let mut sink = staged[path].sink()?;
            let failed = |why: &dyn std::fmt::Display| Error::Output {
                format: "json",
                why: why.to_string(),
            };
            serde_json::to_writer_pretty(&mut sink, summary).map_err(|error| failed(&error))?;
            sink.write_all(b"\n").and_then(|()| sink.flush()).map_err(|error| failed(&error))?;
        }
        Ok(staged.into_values().collect())
    }
}

/// Begins a table that is written to its place, and to that of its copy.
fn begin_table(
    staged: &BTreeMap<PathBuf, Staged>,
    output: &Output,
) -> Result<Box<dyn TableWriter>> {
    let place = &staged[&output.path];
    let writer = match place.divider() {
        Some(divider) => divider,
        None => Late::begin(place.sink()?, output.format),
    };
    let Some(copy) = &output.copy else { return Ok(writer) };
    let file = File::create(copy).map_err(Error::io("write", copy))?;
    let copied = Late::begin(Box::new(BufWriter::new(file)), output::format("arrow")?);
    Ok(Box::new(Both(writer, copied)))
}

/// Writes a whole table to its place, and to that of its copy.
fn write_table(
    staged: &BTreeMap<PathBuf, Staged>,
    output: &Output,
    rows: &RecordBatch,
) -> Result<()> {
    let mut writer = begin_table(staged, output)?;
    writer.write(rows)?;
    writer.finish()
}

/// What came of a run, for whoever writes it down.
#[derive(Clone, Copy)]
pub struct Outcome<'a> {
    /// The report.
    pub report: &'a Report,
    /// What was done.
    pub summary: &'a Summary,
    /// What a page shows beside the report, where one is wanted.
    pub overview: Option<&'a Overview>,
}

impl Published {
    /// What came of the run.
    pub fn outcome(&self) -> Outcome<'_> {
        let Self { report, summary, overview, .. } = self;
        Outcome { report, summary, overview: overview.as_ref() }
    }
}

/// Writes the report in the run's format: a page, text for people, or one table.
pub fn write_report(config: &Config, outcome: Outcome<'_>, sink: output::Sink) -> Result<()> {
    let Outcome { report, summary, overview } = outcome;
    let format = config.outputs.format;
    match (format.name, overview) {
        ("html", Some(overview)) => {
            let page = Page::new(report, overview, summary, config)?;
            output::write_text(format, sink, &page.html()?)
        }
        ("markdown", _) => {
            output::write_text(format, sink, &report::markdown(report, summary, config.wide))
        }
        _ => {
            let text =
                || if config.wide { report::render_wide(report) } else { report::render(report) };
            let table = || if config.wide { report.wide() } else { report.long() };
            output::write_result(format, sink, text, table)
        }
    }
}

/// Writes the report in its place: a file, or a folder of partitions.
pub(super) fn stage_report(config: &Config, outcome: Outcome<'_>, staged: &Staged) -> Result<()> {
    let Some(mut divider) = staged.divider() else {
        return write_report(config, outcome, staged.sink()?);
    };
    let report = outcome.report;
    divider.write(&if config.wide { report.wide()? } else { report.long()? })?;
    divider.finish()
}

/// One writer where there are two of the same table.
fn both(
    one: Option<Box<dyn TableWriter>>,
    other: Option<Box<dyn TableWriter>>,
) -> Option<Box<dyn TableWriter>> {
    match (one, other) {
        (Some(one), Some(other)) => Some(Box::new(Both(one, other))),
        (one, other) => one.or(other),
    }
}

/// Two writers of the same table.
struct Both(Box<dyn TableWriter>, Box<dyn TableWriter>);

impl TableWriter for Both {
    fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        self.0.write(rows)?;
        self.1.write(rows)
    }

    fn write_listed(&mut self, rows: &RecordBatch) -> Result<()> {
        self.0.write_listed(rows)?;
        self.1.write_listed(rows)
    }

    fn finish(self: Box<Self>) -> Result<()> {
        self.0.finish()?;
        self.1.finish()
    }
}

/// A writer that begins its table with the first rows, which bring their schema.
pub(super) struct Late {
    pub(super) sink: Option<output::Sink>,
    pub(super) format: &'static output::Format,
    pub(super) writer: Option<Box<dyn TableWriter>>,
}

impl Late {
    fn begin(sink: output::Sink, format: &'static output::Format) -> Box<dyn TableWriter> {
        Box::new(Self { sink: Some(sink), format, writer: None })
    }

    /// The writer, begun with the first rows; none where it could not begin.
    fn begun(&mut self, rows: &RecordBatch) -> Result<Option<&mut Box<dyn TableWriter>>> {
        if let Some(sink) = self.sink.take() {
            self.writer = Some((self.format.begin)(sink, &plain_schema(&rows.schema()))?);
        }
        Ok(self.writer.as_mut())
    }
}

impl TableWriter for Late {
    fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        self.begun(rows)?.map_or(Ok(()), |writer| writer.write(rows))
    }

    fn write_listed(&mut self, rows: &RecordBatch) -> Result<()> {
        self.begun(rows)?.map_or(Ok(()), |writer| writer.write_listed(rows))
    }

    fn finish(self: Box<Self>) -> Result<()> {
        self.writer.map_or(Ok(()), TableWriter::finish)
    }
}
