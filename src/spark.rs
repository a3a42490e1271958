//! A run whose buckets Spark works on: begun by way of the Python package, which speaks to Spark, and
//! concluded here.
//!
//! What Spark is to do is said as JSON on standard input of `python -m apportion.spark`, which says how far
//! it is on standard output, a line of JSON a time, and leaves what came of it in a folder. Not for what a
//! bucket comes to, which is `pipeline`'s, nor for how rows are shuffled, which is the Python package's.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::ipc::reader::StreamReader;
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::calendar::format_instant;
use crate::config::{Config, Settings};
use crate::error::{Error, Result};
use crate::input;
use crate::pipeline::buckets::{BucketRun, BucketSums, Concluded, Known, RowTable, Rows};
use crate::pipeline::{Inputs, Progress};
use crate::schema::Table;
use crate::stop;

/// How soon a request to stop is heard.
const TICK: Duration = Duration::from_millis(100);

/// The most of what Spark printed that is shown where it fails, in lines.
const MOST_LINES: usize = 12;

/// Where Spark runs, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cluster {
    /// The master: `local[4]`, `spark://HOST:PORT`, `yarn`, `k8s://…`, or `sc://HOST:PORT` of Spark Connect.
    pub master: String,
    /// Settings of Spark, as `NAME=VALUE`.
    pub conf: Vec<String>,
    /// How many buckets there are; none is as many as Spark shuffles into.
    pub partitions: Option<usize>,
    /// What a task may hold of its bucket in memory, such as `512MiB`; more waits on its disk.
    pub task_memory: Option<String>,
    /// The Python that has the package, which is the drivers' and, on this machine, that of executors.
    pub python: String,
}

/// Does a run on Spark: the same files and the same bytes as a run on this machine.
///
/// `settings` are what the run was made of; it [was begun](BucketRun::begin).
///
/// # Errors
///
/// What cannot be had bucket by bucket; a Python without the package; whatever Spark says.
pub fn run(
    run: &BucketRun,
    settings: &Settings,
    cluster: &Cluster,
    progress: &dyn Progress,
) -> Result<Concluded> {
    run.check_places()?;
    let config = run.config();
    let unbegun = || Error::Broken("the run on Spark was not begun".to_owned());
    let inputs = run.inputs().ok_or_else(unbegun)?;
    let folder = tempfile::Builder::new().prefix("apportion-").tempdir();
    let folder = folder.map_err(Error::io("write", &std::env::temp_dir()))?;
    stop::temporary(folder.path());
    let rows: Vec<RowTable> = run.written().collect();
    let job = describe((config, inputs), settings, cluster, (&rows, folder.path()))?;
    Job::begin(cluster, &job, &folder)?.attend(progress)?;
    let read = |name: &str| {
        let path = folder.path().join(name);
        fs::read(&path).map_err(Error::io("read", &path))
    };
    let mut sums = BucketSums::from_bytes(&read("partial.bin")?)?;
    let known = Known::from_bytes(&read("known.bin")?)?;
    let names = names(inputs)?;
    sums.rename_files(&|path| names.get(path).cloned());
    let mut streams = Rows::new();
    for table in rows {
        let path = folder.path().join(format!("{}.arrow", table.name()));
        let file = File::open(&path).map_err(Error::io("read", &path))?;
        let batches = StreamReader::try_new(BufReader::new(file), None)?;
        let batches = batches.map(|batch| -> Result<RecordBatch> { Ok(batch?) });
        streams.insert(table, Box::new(batches));
    }
    run.conclude(sums, &known, streams, progress)
}

/// What Spark is to do.
fn describe(
    (config, inputs): (&Config, &Inputs),
    settings: &Settings,
    cluster: &Cluster,
    (rows, folder): (&[RowTable], &Path),
) -> Result<Value> {
    let mut settings = settings.clone();
    for table in Table::ALL.into_iter().chain([Table::Items]) {
        settings.paths_of(table).clear();
    }
    // The clock was read once.
    settings.as_of = Some(format_instant(config.as_of));
    (settings.output, settings.summary, settings.rejects) = (None, None, None);
    if let Some(store) = settings.store.take() {
        // What a store has of a run is what is kept of it.
        settings.keep = Some(store);
        (settings.full, settings.store_wait) = (false, None);
    }
    let unsaid = |error: serde_json::Error| Error::Contradiction(error.to_string());
    let mut said = serde_json::to_value(&settings).map_err(unsaid)?;
    if let Value::Object(keys) = &mut said {
        keys.retain(|_, value| !is_nothing(value));
    }
    let (mut tables, mut here) = (BTreeMap::new(), BTreeMap::new());
    for (table, paths) in &inputs.paths {
        let sources = input::find(*table, paths)?;
        let (own, others): (Vec<_>, Vec<_>) =
            sources.iter().partition(|source| inputs.is_unpacked(&source.path));
        for (places, sources) in [(&mut tables, others), (&mut here, own)] {
            if !sources.is_empty() {
                let all: Result<Vec<String>> = sources.into_iter().map(place).collect();
                places.insert(table.name(), all?);
            }
        }
    }
    let mut conf = BTreeMap::new();
    for setting in &cluster.conf {
        let Some((name, value)) = setting.split_once('=') else {
            let why = "write a setting of Spark as NAME=VALUE";
            return Err(Error::setting("--spark-conf", setting, why));
        };
        conf.insert(name.trim(), value.trim());
    }
    Ok(json!({
        "master": cluster.master,
        "conf": conf,
        "tables": tables,
        "here": here,
        "settings": said,
        "partitions": cluster.partitions,
        "memory": cluster.task_memory,
        "rows": rows.iter().map(|table| table.name()).collect::<Vec<_>>(),
        "folder": folder,
    }))
}

/// Whether a setting says nothing.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(values) => values.is_empty(),
        Value::Object(keys) => keys.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// Where Spark finds a file: by its whole path, or by an address as Hadoop writes it.
fn place(source: &input::Source) -> Result<String> {
    if source.object.is_some() {
        let address = source.path.to_string_lossy();
        return Ok(match address.strip_prefix("s3://") {
            Some(rest) => format!("s3a://{rest}"),
            None => address.into_owned(),
        });
    }
    let path = fs::canonicalize(&source.path).map_err(Error::io("read", &source.path))?;
    Ok(path.to_string_lossy().into_owned())
}

/// What files are called, by where Spark finds them.
fn names(inputs: &Inputs) -> Result<BTreeMap<PathBuf, PathBuf>> {
    let mut names = BTreeMap::new();
    for (table, paths) in &inputs.paths {
        for source in input::find(*table, paths)? {
            names.insert(PathBuf::from(place(&source)?), source.path);
        }
    }
    Ok(names)
}

/// What the job says of itself, a line at a time.
#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Line {
    stage: Option<String>,
    rows: u64,
    done: bool,
    error: Option<Said>,
}

/// Why the job gave up.
#[derive(Deserialize)]
struct Said {
    text: String,
}

/// A job that Spark does; it is ended where nobody waits for it.
struct Job {
    child: Child,
    lines: Receiver<String>,
    /// What Spark prints.
    printed: PathBuf,
}

impl Drop for Job {
    fn drop(&mut self) {
        // It has ended, or nobody wants what it does.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Job {
    fn begin(cluster: &Cluster, job: &Value, folder: &TempDir) -> Result<Self> {
        let Cluster { python, .. } = cluster;
        let printed = folder.path().join("printed.txt");
        let file = File::create(&printed).map_err(Error::io("write", &printed))?;
        let mut command = Command::new(python);
        command.args(["-m", "apportion.spark"]);
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(file);
        let mut child = piped.spawn().map_err(|error| Error::Spark {
            why: format!("`{python}` cannot be started: {error}"),
            hint: Some("`--python PATH` names the Python that has the package".to_owned()),
        })?;
        if let Some(mut stdin) = child.stdin.take() {
            // It may stop reading where something is wrong, and says what below.
            drop(stdin.write_all(job.to_string().as_bytes()));
        }
        let lines = listen(child.stdout.take());
        Ok(Self { child, lines, printed })
    }

    /// Waits for the end, and tells how far it is.
    fn attend(mut self, progress: &dyn Progress) -> Result<()> {
        let mut done = false;
        loop {
            match self.lines.recv_timeout(TICK) {
                Ok(text) => {
                    let line: Line = serde_json::from_str(&text).unwrap_or_default();
                    if let Some(Said { text }) = line.error {
                        return Err(Error::Spark { why: text, hint: None });
                    }
                    if let Some(stage) = &line.stage {
                        progress.stage(stage);
                        progress.rows(line.rows);
                    }
                    done |= line.done;
                }
                Err(RecvTimeoutError::Timeout) => stop::check()?,
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        let ended = self
            .child
            .wait()
            .map_err(|error| Error::Spark { why: error.to_string(), hint: None })?;
        if done && ended.success() {
            return Ok(());
        }
        Err(self.unexplained())
    }

    /// An error for a job that ended without saying why, from what was printed.
    fn unexplained(&self) -> Error {
        let printed = fs::read(&self.printed).unwrap_or_default();
        let printed = String::from_utf8_lossy(&printed);
        let missing = ["apportion", "pyspark", "pyarrow"]
            .into_iter()
            .find(|package| printed.contains(&format!("No module named '{package}")));
        if let Some(package) = missing {
            return Error::Spark {
                why: format!("its Python has no package `{package}`"),
                hint: Some(
                    "`pip install 'apportion[spark]'` installs all that is needed; `--python PATH` names another Python"
                        .to_owned(),
                ),
            };
        }
        let lines: Vec<&str> = printed.lines().filter(|line| !line.trim().is_empty()).collect();
        let last = lines[lines.len().saturating_sub(MOST_LINES)..].join("\n");
        let why = if last.is_empty() { "it ended and did not say why".to_owned() } else { last };
        Error::Spark { why, hint: None }
    }
}

/// The lines that are printed, as they come.
fn listen(stdout: Option<ChildStdout>) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    if let Some(stdout) = stdout {
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
    }
    lines
}
