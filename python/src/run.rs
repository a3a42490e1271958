//! A run that was done, and what can be asked of it later: tables that it did not write, why an order was
//! divided so, what another run has otherwise, charts.
//!
//! What the first run did not do is done by running again: the same tables, the same clock, and a report
//! that must be the same. The state is locked by threads that work, never by one that holds the
//! interpreter's lock, or two of them could wait for each other.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use apportion::charts::{self, MOST_PIXELS, Theme, USUAL_WIDTH, check_pixels};
use apportion::config::{Config, Output, Outputs, Settings};
use apportion::diff::{self, Asked};
use apportion::explain;
use apportion::input::MemoryTable;
use apportion::output::Staged;
use apportion::page::{ChartName, Page};
use apportion::pipeline::{self, Explainer, Progress, Published, in_pool};
use apportion::report::{self, SweepReport};
use apportion::schema::Table;
use apportion::summary::Summary;
use apportion::{Error, stop};
use arrow::array::RecordBatch;
use pyo3::prelude::{Bound, PyAny, Python, pyclass, pyfunction, pymethods};
use pyo3::types::PyDict;
use tempfile::TempDir;

use crate::errors::Failure;
use crate::frame::Frame;
use crate::working::{locked, work};
use crate::{arguments, tables};

/// A run.
#[pyclass(frozen, module = "apportion._native")]
pub(crate) struct Run {
    plan: Plan,
    state: Mutex<State>,
}

/// What is needed to do it again.
struct Plan {
    settings: Settings,
    tables: Vec<(Table, MemoryTable)>,
    /// The clock of a run that names none.
    began: i64,
    folder: Arc<TempDir>,
}

/// What is known of it.
struct State {
    /// The tables that every run has.
    frames: BTreeMap<&'static str, RecordBatch>,
    /// The files of those that were asked for.
    files: BTreeMap<String, PathBuf>,
    /// The report, as people read it.
    text: String,
    /// The summary, as JSON.
    summary: String,
    /// What of it is about rows that were read.
    read: String,
    /// The folder that the run is kept in.
    kept: Option<PathBuf>,
    page: Option<Page>,
    explainer: Option<Explainer>,
}

/// What is asked of one pass.
#[derive(Default)]
struct Wanted<'a> {
    /// Tables that are written.
    tables: &'a [String],
    /// The folder that the run is kept in.
    kept: Option<PathBuf>,
    page: bool,
    /// Whether the user's own files are written: once.
    first: bool,
}

/// What came of one pass.
pub(crate) struct Passed {
    pub(crate) frames: BTreeMap<&'static str, RecordBatch>,
    pub(crate) text: String,
    pub(crate) summary: Summary,
    page: Option<Page>,
}

/// Does a run of `tables` under `settings`, over those of `config`; writes the tables that are `wanted`,
/// and keeps at most `stream_memory` of a stream in memory.
#[pyfunction]
pub(crate) fn run(
    py: Python<'_>,
    tables: &Bound<'_, PyDict>,
    settings: &Bound<'_, PyDict>,
    config: Option<&Bound<'_, PyAny>>,
    wanted: Vec<String>,
    stream_memory: &str,
    progress: Option<&Bound<'_, PyAny>>,
) -> Result<Run, Failure> {
    let most = tables::limit(stream_memory)?;
    let mut file = config.map(arguments::workspace).transpose()?.unwrap_or_default();
    let mut settings = arguments::settings(settings)?;
    let mut given = tables::given(tables)?;
    for given in &mut given {
        // What is given replaces what the workspace says, whichever of both it is.
        file.paths_of(given.table).clear();
        settings.paths_of(given.table).append(&mut given.paths);
    }
    let settings = settings.over(file);
    // Where ids are hashed no raw one may be written, not even for a while.
    let most = if settings.hash_ids.is_some() { u64::MAX } else { most };
    let tables = tables::gather(py, &given, most, progress)?;
    Ok(work(py, progress, |told| Run::new(settings, tables, wanted, told))?)
}

impl Run {
    fn new(
        settings: Settings,
        tables: Vec<(Table, MemoryTable)>,
        mut wanted: Vec<String>,
        told: &dyn Progress,
    ) -> Result<Self, Error> {
        let folder = tempfile::Builder::new().prefix("apportion-").tempdir();
        let folder = folder.map_err(Error::io("write", &std::env::temp_dir()))?;
        stop::temporary(folder.path());
        let plan = Plan { settings, tables, began: now(), folder: Arc::new(folder) };
        // Rejects are known anyway, and what the user writes can be read as well.
        wanted.push("rejects".to_owned());
        let mut settings = plan.settings.clone();
        let places =
            TABLES.iter().filter(|name| place(&mut settings, name).is_some_and(|at| at.is_some()));
        wanted.extend(places.map(|name| (*name).to_owned()));
        wanted.sort_unstable();
        wanted.dedup();
        let asked = Wanted { tables: &wanted, first: true, ..Wanted::default() };
        let Passed { frames, text, summary, page } = plan.pass(&asked, told)?;
        let state = State {
            frames,
            files: plan.files(&wanted),
            text,
            read: written(&summary.tables)?,
            summary: written(&summary)?,
            kept: plan.settings.keep.clone(),
            page,
            explainer: None,
        };
        Ok(Self { plan, state: Mutex::new(state) })
    }

    /// The file of a table, which is written now if it was not asked for before.
    fn file(&self, name: &str, told: &dyn Progress) -> Result<PathBuf, Error> {
        let mut state = locked(&self.state);
        if let Some(path) = state.files.get(name) {
            return Ok(path.clone());
        }
        let wanted: Vec<String> = together(name).map(str::to_owned).collect();
        self.again(&state, &Wanted { tables: &wanted, ..Wanted::default() }, told)?;
        state.files.extend(self.plan.files(&wanted));
        Ok(self.plan.place_of(name))
    }

    /// Does the run again, for what it did not do before.
    fn again(
        &self,
        state: &State,
        wanted: &Wanted<'_>,
        told: &dyn Progress,
    ) -> Result<Passed, Error> {
        let passed = self.plan.pass(wanted, told)?;
        let same_report = passed.frames.get("report") == state.frames.get("report");
        if same_report && written(&passed.summary.tables)? == state.read {
            return Ok(passed);
        }
        Err(Error::Contradiction(
            "the inputs have changed since the run, so that it cannot be gone on with; run again, and name what you want among `tables`".to_owned(),
        ))
    }

    /// The folder that the run is kept in, which is written now if it was not.
    fn kept(&self, told: &dyn Progress) -> Result<PathBuf, Error> {
        let mut state = locked(&self.state);
        if let Some(kept) = &state.kept {
            return Ok(kept.clone());
        }
        let folder = self.plan.folder.path().join("kept");
        let wanted = Wanted { kept: Some(folder.clone()), ..Wanted::default() };
        self.again(&state, &wanted, told)?;
        state.kept = Some(folder.clone());
        Ok(folder)
    }

    /// The page of the run.
    fn page<T>(
        &self,
        told: &dyn Progress,
        of: impl FnOnce(&Page) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut state = locked(&self.state);
        if state.page.is_none() {
            let wanted = Wanted { page: true, ..Wanted::default() };
            state.page = self.again(&state, &wanted, told)?.page;
        }
        match &state.page {
            Some(page) => of(page),
            None => Err(Error::Contradiction("there is nothing to draw".to_owned())),
        }
    }

    fn explained(&self, order: &str, told: &dyn Progress) -> Result<(String, String), Error> {
        let mut state = locked(&self.state);
        let explainer = if let Some(explainer) = state.explainer.take() {
            explainer
        } else {
            let mut settings = self.plan.settings.clone();
            settings.forget_outputs();
            let config = self.plan.config(settings)?;
            in_pool(config.threads, || Explainer::new(config, told))??
        };
        let explanation = explainer.explain(order);
        state.explainer = Some(explainer);
        let explanation = explanation?;
        Ok((written(&explanation)?, explain::render(&explanation)))
    }
}

impl Plan {
    fn config(&self, settings: Settings) -> Result<Config, Error> {
        Config::with_tables(settings, &self.tables, self.began)
    }

    /// Where a table of the run is written.
    fn place_of(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.arrow"))
    }

    fn files(&self, wanted: &[String]) -> BTreeMap<String, PathBuf> {
        wanted.iter().map(|name| (name.clone(), self.place_of(name))).collect()
    }

    /// Does the run once.
    fn pass(&self, wanted: &Wanted<'_>, told: &dyn Progress) -> Result<Passed, Error> {
        let mut settings = self.settings.clone();
        if !wanted.first {
            settings.forget_outputs();
            // Only what is written goes to partitions.
            (settings.partition_by, settings.store_wait) = (None, None);
        }
        if wanted.page {
            // What says how much is looked at, and is refused where nobody may be seen.
            settings.format = Some("html".to_owned());
        }
        if wanted.kept.is_some() {
            settings.keep.clone_from(&wanted.kept);
        }
        let mut copied = Vec::new();
        for name in wanted.tables {
            match place(&mut settings, name) {
                Some(Some(_)) => copied.push(name),
                Some(at) => *at = Some(self.place_of(name)),
                None => return Err(unknown(name)),
            }
        }
        let again = || {
            let mut config = configured(self.config(settings.clone())?);
            for name in &copied {
                if let Some(output) = output_of(&mut config.outputs, name) {
                    output.copy = Some(self.place_of(name));
                }
            }
            Ok(config)
        };
        let config = again()?;
        if config.sweep.is_some() { swept(config, told) } else { ran(&config, &again, told) }
    }
}

/// Does one run.
fn ran(
    config: &Config,
    again: &(dyn Fn() -> Result<Config, Error> + Sync),
    told: &dyn Progress,
) -> Result<Passed, Error> {
    let finished = in_pool(config.threads, || match config.store {
        Some(_) => pipeline::run_stored(again()?, &again, told),
        None => pipeline::run(config, told),
    })??;
    published(config, finished.publish()?)
}

/// What came of a run whose files are in their places.
pub(crate) fn published(config: &Config, published: Published) -> Result<Passed, Error> {
    let wide = config.wide;
    let page = published.overview.as_ref();
    let page =
        page.map(|overview| Page::new(&published.report, overview, &published.summary, config));
    let (text, table) = if wide {
        (report::render_wide(&published.report), published.report.wide()?)
    } else {
        (report::render(&published.report), published.report.long()?)
    };
    let mut frames = of_every_run(table, &published.summary)?;
    // Where nobody may be seen, effects are refused to whoever asks for them.
    if !published.effects.models.is_empty() && config.min_persons.is_none() {
        frames.insert("effects", published.effects.table()?);
    }
    Ok(Passed { frames, text, page: page.transpose()?, summary: published.summary })
}

/// Does a run that tries several values of a setting.
fn swept(config: Config, told: &dyn Progress) -> Result<Passed, Error> {
    published_sweep(in_pool(config.threads, || pipeline::sweep(config, told))??.publish()?)
}

/// What came of it once its files are in their places.
pub(crate) fn published_sweep((report, summary): (SweepReport, Summary)) -> Result<Passed, Error> {
    let mut frames = of_every_run(report.table()?, &summary)?;
    frames.insert("ranges", report.ranges()?);
    frames.insert("decisions", report.decisions()?);
    Ok(Passed { frames, text: report::render_sweep(&report), page: None, summary })
}

fn of_every_run(
    report: RecordBatch,
    summary: &Summary,
) -> Result<BTreeMap<&'static str, RecordBatch>, Error> {
    Ok([("report", report), ("proof", summary.proof.table()?)].into())
}

/// Something of the library as JSON.
pub(crate) fn written(said: &impl serde::Serialize) -> Result<String, Error> {
    let failed =
        |error: serde_json::Error| Error::Output { format: "json", why: error.to_string() };
    serde_json::to_string(said).map_err(failed)
}

/// The tables that a run writes where somebody asks for them.
const TABLES: [&str; 10] = [
    "credits",
    "journeys",
    "persons",
    "identity",
    "rejects",
    "effects",
    "paths",
    "orders_report",
    "spend_gaps",
    "ranks",
];

/// A table, and those that cost little beside it.
fn together(name: &str) -> impl Iterator<Item = &str> {
    let beside = match name {
        "credits" => Some("journeys"),
        "persons" => Some("identity"),
        "identity" => Some("persons"),
        _ => None,
    };
    std::iter::once(name).chain(beside)
}

/// The setting that says where a table is written; none of a name that is no table's.
pub(crate) fn place<'s>(settings: &'s mut Settings, name: &str) -> Option<&'s mut Option<PathBuf>> {
    Some(match name {
        "credits" => &mut settings.credits,
        "journeys" => &mut settings.journeys,
        "persons" => &mut settings.persons,
        "identity" => &mut settings.identity,
        "rejects" => &mut settings.rejects,
        "effects" => &mut settings.effects,
        "paths" => &mut settings.paths,
        "orders_report" => &mut settings.orders_report,
        "spend_gaps" => &mut settings.spend_gaps,
        "ranks" => &mut settings.ranks,
        _ => return None,
    })
}

/// The same once it is understood.
pub(crate) fn output_of<'o>(outputs: &'o mut Outputs, name: &str) -> Option<&'o mut Output> {
    let output = match name {
        "credits" => &mut outputs.credits,
        "journeys" => &mut outputs.journeys,
        "persons" => &mut outputs.persons,
        "identity" => &mut outputs.identity,
        "rejects" => &mut outputs.rejects,
        "effects" => &mut outputs.effects,
        "paths" => &mut outputs.paths,
        "orders_report" => &mut outputs.orders_report,
        "spend_gaps" => &mut outputs.spend_gaps,
        "ranks" => &mut outputs.ranks,
        _ => return None,
    };
    output.as_mut()
}

/// An error for a name that is no table's.
fn unknown(name: &str) -> Error {
    let known = ["report", "proof"].iter().chain(&TABLES).map(|name| (*name).to_owned());
    Error::Unknown { kind: "table of a run", name: name.to_owned(), known: known.collect() }
}

/// A configuration, with what the environment says of a database.
fn configured(mut config: Config) -> Config {
    if let Some(target) = &mut config.outputs.database {
        target.database.take_environment(variable);
    }
    config
}

#[expect(clippy::disallowed_methods, reason = "this is a shell, as the command line is one")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[expect(clippy::disallowed_methods, reason = "this is a shell, as the command line is one")]
pub(crate) fn now() -> i64 {
    chrono::Utc::now().timestamp_micros()
}

#[pymethods]
impl Run {
    /// A table of the run; one that was not asked for is worked out now.
    fn frame(
        &self,
        py: Python<'_>,
        name: &str,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> Result<Frame, Failure> {
        let has_bounds = name == "effects" && self.plan.settings.bootstrap.is_some();
        let known = py.detach(|| {
            let state = locked(&self.state);
            match state.files.get(name) {
                Some(path) => Some(Frame::of_file(path.clone(), Arc::clone(&self.plan.folder))),
                None => state.frames.get(name).filter(|_| !has_bounds).cloned().map(Frame::new),
            }
        });
        if let Some(frame) = known {
            return Ok(frame);
        }
        let path = work(py, progress, |told| self.file(name, told))?;
        Ok(Frame::of_file(path, Arc::clone(&self.plan.folder)))
    }

    /// The names of the tables that are there already.
    fn made(&self, py: Python<'_>) -> Vec<String> {
        py.detach(|| {
            let state = locked(&self.state);
            let mut names: Vec<String> = state.files.keys().cloned().collect();
            names.extend(state.frames.keys().map(|name| (*name).to_owned()));
            names.sort_unstable();
            names.dedup();
            names
        })
    }

    /// The report as the command line prints it.
    fn text(&self, py: Python<'_>) -> String {
        py.detach(|| locked(&self.state).text.clone())
    }

    /// What was done, as JSON.
    fn summary(&self, py: Python<'_>) -> String {
        py.detach(|| locked(&self.state).summary.clone())
    }

    /// Why an order was divided as it was: as JSON, and as people read it.
    fn explain(
        &self,
        py: Python<'_>,
        order: &str,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> Result<(String, String), Failure> {
        Ok(work(py, progress, |told| self.explained(order, told))?)
    }

    /// A chart of the run as SVG.
    fn chart(
        &self,
        py: Python<'_>,
        chart: &str,
        width: Option<u32>,
        height: Option<u32>,
        theme: &str,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> Result<String, Failure> {
        let (chart, theme) = (ChartName::from_name(chart)?, Theme::from_name(theme)?);
        for (setting, pixels) in [("width", width), ("height", height)] {
            pixels.map_or(Ok(()), |pixels| check_pixels(setting, pixels))?;
        }
        let width = width.unwrap_or(USUAL_WIDTH);
        let drawn = |page: &Page| {
            let chart = page.chart(chart)?;
            let height = height.unwrap_or_else(|| chart.document_height(width).min(MOST_PIXELS));
            chart.document((width, height), theme)
        };
        Ok(work(py, progress, |told| self.page(told, drawn))?)
    }

    /// The page of the run as one HTML document.
    fn html(&self, py: Python<'_>, progress: Option<&Bound<'_, PyAny>>) -> Result<String, Failure> {
        Ok(work(py, progress, |told| self.page(told, Page::html))?)
    }

    /// The folder that the run is kept in.
    fn keep(
        &self,
        py: Python<'_>,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> Result<PathBuf, Failure> {
        Ok(work(py, progress, |told| self.kept(told))?)
    }
}

/// Why numbers changed between two kept runs: a table, and as people read it, which calls the runs by
/// their `names`.
#[pyfunction]
#[expect(clippy::needless_pass_by_value, reason = "Python has no borrowed paths and lists")]
pub(crate) fn compare(
    py: Python<'_>,
    folders: (PathBuf, PathBuf),
    names: (PathBuf, PathBuf),
    by: Vec<String>,
    models: Vec<String>,
    days: (Option<String>, Option<String>),
) -> Result<(Frame, String), Failure> {
    let asked = Asked::new(&by, &models, (days.0.as_deref(), days.1.as_deref()))?;
    let (before, after) = &folders;
    let (table, text) = work(py, None, |_| {
        let mut differences = in_pool(None, || diff::compare(before, after, &asked))??;
        [differences.runs[0].folder, differences.runs[1].folder] = [names.0, names.1];
        Ok((differences.table()?, diff::render(&differences)))
    })?;
    Ok((Frame::new(table), text))
}

/// Writes a chart as a picture: SVG, or PNG where the ending says so.
#[pyfunction]
#[expect(clippy::needless_pass_by_value, reason = "Python has no borrowed paths")]
pub(crate) fn write_chart(py: Python<'_>, svg: &str, path: PathBuf) -> Result<(), Failure> {
    Ok(py.detach(|| picture(svg, &path))?)
}

fn picture(svg: &str, path: &Path) -> Result<(), Error> {
    let ending = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let drawn = match ending.as_str() {
        "svg" => svg.as_bytes().to_vec(),
        "png" => charts::png(svg, None)?,
        _ => {
            let why = "its ending names no picture; choose .svg or .png";
            return Err(Error::setting("path", path.display().to_string(), why));
        }
    };
    let staged = Staged::new(path)?;
    let failed = |source: std::io::Error| Error::io("write", path)(source);
    let mut sink = staged.sink()?;
    sink.write_all(&drawn).and_then(|()| sink.flush()).map_err(failed)?;
    drop(sink);
    staged.commit()
}
