//! A run bucket by bucket, for whoever divides persons into buckets: what each of them must know and bring
//! (`plan`), the work on one, what all come to, and the report of that.
//!
//! What goes from one machine to another is text or bytes. Rows of a bucket come as Arrow batches and lie
//! in memory or in a temporary file, never in Python.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;
use std::sync::Arc;

use apportion::config::{Config, Settings};
use apportion::input::MemoryTable;
use apportion::pipeline::buckets::{
    self, ArrivedBucket, Arriving, BucketRun, BucketSums, Columns, Components, FILE, FILE_ROW,
    Known, Pass, RowTable, check_inputs, keys_of_users,
};
use apportion::pipeline::in_pool;
use apportion::schema::Table;
use apportion::validate::PLACEHOLDERS;
use apportion::{Error, stop};
use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, RecordBatchReader, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use arrow_pyarrow::FromPyArrow;
use pyo3::prelude::{Bound, PyAny, PyAnyMethods, Python, pyclass, pyfunction, pymethods};
use pyo3::types::{PyBytes, PyDict, PyDictMethods};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::errors::Failure;
use crate::frame::Frame;
use crate::run::{Passed, now, output_of, place, published, published_sweep, written};
use crate::working::work;
use crate::{arguments, tables};

/// What is the same for every bucket of a run.
#[derive(Serialize, Deserialize)]
pub(crate) struct Plan {
    /// The settings as text.
    settings: String,
    /// The clock of a run that names none.
    began: i64,
    /// The tables that are divided.
    tables: BTreeMap<String, Divided>,
    /// What columns the other tables have, as Arrow streams without rows.
    small: BTreeMap<String, Vec<u8>>,
    passes: Vec<Pass>,
    /// Whether users are joined by keys beside aliases.
    reconciles: bool,
    /// Ids that stand for no user: rows under them join nobody, and may be in any bucket.
    placeholders: Vec<String>,
    /// The tables of rows that the settings say where to write.
    written: Vec<String>,
    /// Tables that may be asked for, and that the settings do not say where to write.
    asked: Vec<String>,
    /// Whether rows say where they were read, in columns after their own.
    places: bool,
}

/// A table that is divided into buckets.
#[derive(Serialize, Deserialize)]
struct Divided {
    #[serde(flatten)]
    columns: Columns,
    /// What columns its rows have, as an Arrow stream without rows.
    schema: Vec<u8>,
}

impl Plan {
    pub(crate) fn read(text: &str) -> Result<Self, Error> {
        serde_json::from_str(text)
            .map_err(|error| Error::Contradiction(format!("a plan cannot be read: {error}")))
    }

    /// What the settings mean over these tables, once `change` has said what is asked.
    fn config(
        &self,
        tables: &[(Table, MemoryTable)],
        change: impl FnOnce(&mut Settings),
    ) -> Result<Config, Error> {
        let mut settings = Settings::from_text(&self.settings)?;
        change(&mut settings);
        Config::with_tables(settings, tables, self.began)
    }

    /// The same for the work on a bucket: it writes nothing, and how many rejects are too many is known of
    /// all buckets together.
    fn bucket_config(
        &self,
        tables: &[(Table, MemoryTable)],
        rows: Option<RowTable>,
    ) -> Result<Config, Error> {
        self.config(tables, |settings| {
            for name in RowTable::ALL.map(RowTable::name).into_iter().chain(["rejects"]) {
                if let Some(place) = place(settings, name) {
                    *place = None;
                }
            }
            (settings.output, settings.summary) = (None, None);
            settings.keep = matches!(rows, Some(RowTable::Kept(_))).then(|| PathBuf::from("kept"));
            (settings.partition_by, settings.memory_limit) = (None, None);
            (settings.threads, settings.max_rejects) = (Some(1), Some("100%".to_owned()));
            if let Some(rows) = rows.and_then(|rows| place(settings, rows.name())) {
                // Where it would be written, were it not handed on.
                *rows = Some(PathBuf::from("rows.arrow"));
            }
        })
    }

    /// The run, whose tables have no rows.
    fn run_of_nothing(&self) -> Result<BucketRun, Error> {
        let small = self.small.iter().map(|(name, schema)| (name, &schema[..]));
        let divided = self.tables.iter().map(|(name, table)| (name, &table.schema[..]));
        let empty = |(name, schema): (&String, &[u8])| {
            let schema = StreamReader::try_new(schema, None)?.schema();
            empty(Table::from_name(name)?, schema)
        };
        let tables: Vec<_> = small.chain(divided).map(empty).collect::<Result<_, _>>()?;
        BucketRun::new(self.config(&tables, Settings::forget_outputs)?)
    }

    /// What of a table comes to buckets; none of one that is not divided.
    pub(crate) fn columns(&self, table: &str) -> Option<&Columns> {
        self.tables.get(table).map(|divided| &divided.columns)
    }

    /// The columns that rows of the tables have on their way to buckets.
    pub(crate) fn schemas(&self) -> Result<Vec<(Table, SchemaRef)>, Error> {
        let place = [(FILE, DataType::Utf8), (FILE_ROW, DataType::Int64)];
        let places: Vec<Arc<Field>> = place
            .into_iter()
            .filter(|_| self.places)
            .map(|(name, data_type)| Arc::new(Field::new(name, data_type, true)))
            .collect();
        let one = |(name, divided): (&String, &Divided)| {
            let reader = StreamReader::try_new(&divided.schema[..], None)?;
            let own = reader.schema();
            let fields = own.fields().iter().chain(&places).cloned();
            let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
            Ok((Table::from_name(name)?, schema))
        };
        self.tables.iter().map(one).collect()
    }
}

/// A plan as text: `schemas` are those of the tables that are divided, `small` are the others whole, and
/// `wanted` names the tables of rows that may be asked for. With `places` rows of divided tables come with two
/// more columns, `_file` and `_file_row`: where they were read.
///
/// Its `tables` say of each which `columns` have to come, and where the `user`, the `id`, whom an alias
/// leads `to` and the `order` of an item are found: `{"column": ["user", "id"]}` or `{"constant": "x"}`.
#[pyfunction]
pub(crate) fn plan(
    py: Python<'_>,
    settings: &Bound<'_, PyDict>,
    config: Option<&Bound<'_, PyAny>>,
    schemas: &Bound<'_, PyDict>,
    small: &Bound<'_, PyDict>,
    wanted: Vec<String>,
    places: bool,
) -> Result<String, Failure> {
    let mut file = config.map(arguments::workspace).transpose()?.unwrap_or_default();
    for table in Table::ALL {
        // The tables are given, whatever a workspace names.
        file.paths_of(table).clear();
    }
    let mut settings = arguments::settings(settings)?.over(file);
    let mut asked = Vec::new();
    for name in wanted {
        if matches!(RowTable::from_name(&name), Ok(RowTable::Kept(_))) && settings.keep.is_some() {
            continue;
        }
        let place = place(&mut settings, &name);
        let place =
            place.ok_or_else(|| Error::Contradiction(format!("`{name}` is no table of a run")))?;
        if place.is_none() {
            *place = Some(PathBuf::from(format!("{name}.arrow")));
            asked.push(name);
        }
    }
    let mut divided = Vec::new();
    for (name, schema) in schemas.iter() {
        let (name, schema) = (name.extract::<String>()?, Schema::from_pyarrow_bound(&schema)?);
        divided.push(empty(Table::from_name(&name)?, Arc::new(schema))?);
    }
    let mut all = tables::gather(py, &tables::given(small)?, u64::MAX, None)?;
    let began = now();
    Ok(py.detach(|| -> Result<String, Error> {
        let small = all.iter().map(|(table, rows)| {
            Ok((table.name().to_owned(), schema_bytes(rows.schema()?.as_ref())?))
        });
        let small = small.collect::<Result<_, Error>>()?;
        all.extend(divided.iter().cloned());
        let mut run = BucketRun::new(Config::with_tables(settings.clone(), &all, began)?)?;
        let relearns = settings.bootstrap.is_some() && run.passes().contains(&Pass::Learn);
        if relearns && settings.effects.is_none() {
            // Effects can always be asked for, and have bounds where there are resamples.
            settings.effects = Some(PathBuf::from("effects.arrow"));
            asked.push("effects".to_owned());
            run = BucketRun::new(Config::with_tables(settings.clone(), &all, began)?)?;
        }
        let config = run.config();
        check_inputs(config)?;
        let one = |(table, rows): &(Table, MemoryTable)| {
            let schema = rows.schema()?;
            let columns = Columns::new(config, *table, rows.path(), &schema)?;
            let fields = schema.fields().iter();
            let fields = fields.filter(|field| columns.columns.contains(field.name()));
            let kept = Schema::new(fields.cloned().collect::<Vec<_>>());
            let schema = schema_bytes(&kept)?;
            Ok((table.name().to_owned(), Divided { columns, schema }))
        };
        let plan = Plan {
            settings: settings.to_text()?,
            began,
            tables: divided.iter().map(one).collect::<Result<_, Error>>()?,
            small,
            passes: run.passes(),
            reconciles: !config.reconcile.is_empty(),
            placeholders: PLACEHOLDERS.map(str::to_owned).to_vec(),
            written: run
                .written()
                .map(|table| table.name().to_owned())
                .filter(|name| !asked.contains(name))
                .collect(),
            asked,
            places,
        };
        written(&plan)
    })?)
}

/// A table without rows.
fn empty(table: Table, schema: SchemaRef) -> Result<(Table, MemoryTable), Error> {
    let none: [Result<RecordBatch, ArrowError>; 0] = [];
    Ok((table, MemoryTable::gather(table, 1, schema, none, None)?))
}

fn schema_bytes(schema: &Schema) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    StreamWriter::try_new(&mut bytes, schema)?.finish()?;
    Ok(bytes)
}

/// The component of every node of `edges`, batches with two columns of numbers that are joined: `node` and
/// `component`, the least node of all that are joined.
#[pyfunction]
pub(crate) fn components(py: Python<'_>, edges: &Bound<'_, PyAny>) -> Result<Frame, Failure> {
    let mut components = Components::default();
    for batch in edges.try_iter()? {
        let batch = RecordBatch::from_pyarrow_bound(&batch?)?;
        let numbers = |at: usize| cast(batch.column(at), &DataType::Int64).map_err(Error::from);
        let (left, right) = (numbers(0)?, numbers(1)?);
        py.detach(|| {
            let left = left.as_primitive::<Int64Type>().iter();
            let pairs = left.zip(right.as_primitive::<Int64Type>());
            for (left, right) in pairs.filter_map(|(left, right)| left.zip(right)) {
                components.join(left, right);
            }
        });
    }
    Ok(py.detach(|| numbers(["node", "component"], components.end()))?)
}

/// A table of pairs of numbers.
pub(crate) fn numbers(
    names: [&str; 2],
    pairs: impl Iterator<Item = (i64, i64)>,
) -> Result<Frame, Error> {
    let (left, right): (Vec<i64>, Vec<i64>) = pairs.unzip();
    let columns = [left, right].map(|numbers| -> ArrayRef { Arc::new(Int64Array::from(numbers)) });
    Ok(Frame::new(RecordBatch::try_from_iter(names.into_iter().zip(columns))?))
}

/// The users of some batches of the users table with what they may be reconciled by: columns `a`, the user,
/// and `b`, a key of it.
#[pyfunction]
pub(crate) fn key_edges(
    py: Python<'_>,
    plan: &str,
    users: &Bound<'_, PyAny>,
) -> Result<Frame, Failure> {
    let given = PyDict::new(py);
    given.set_item("users", users)?;
    let tables = tables::gather(py, &tables::given(&given)?, u64::MAX, None)?;
    let rows = py.detach(|| -> Result<RecordBatch, Error> {
        let plan = Plan::read(plan)?;
        let config = plan.config(&tables, Settings::forget_outputs)?;
        let (users, keys): (Vec<String>, Vec<String>) = keys_of_users(&config)?.into_iter().unzip();
        let column = |texts: Vec<String>| -> ArrayRef { Arc::new(StringArray::from(texts)) };
        Ok(RecordBatch::try_from_iter([("a", column(users)), ("b", column(keys))])?)
    })?;
    Ok(Frame::new(rows))
}

/// The rows of a bucket and the small tables beside them.
struct Bucket {
    plan: Plan,
    known: Known,
    tables: Vec<(Table, MemoryTable)>,
    origins: buckets::Origins,
    shared: Vec<(i64, i64)>,
}

impl Bucket {
    /// Takes the rows of all tables, batch by batch; `memory` is what they may take of it.
    fn gather(
        py: Python<'_>,
        (plan, known): (&str, &[u8]),
        small: &Bound<'_, PyDict>,
        batches: &Bound<'_, PyAny>,
        memory: u64,
    ) -> Result<Self, Failure> {
        let (plan, known) = (Plan::read(plan)?, Known::from_bytes(known)?);
        let mut arriving = Arriving::new(plan.schemas()?, memory)?;
        for batch in batches.try_iter()? {
            let batch = RecordBatch::from_pyarrow_bound(&batch?)?;
            py.detach(|| arriving.take(&batch))?;
        }
        let ArrivedBucket { mut tables, origins, shared } = py.detach(|| arriving.end())?;
        tables.extend(tables::gather(py, &tables::given(small)?, u64::MAX, None)?);
        Ok(Self { plan, known, tables, origins, shared })
    }
}

/// What a bucket comes to in a pass, as bytes; and what pairs among its parcels say that users share, as `shared`
/// has it: where they do, users are not yet where they belong, and nothing is worked out.
#[pyfunction]
pub(crate) fn work_bucket<'py>(
    py: Python<'py>,
    plan: &str,
    what: &str,
    known: &[u8],
    small: &Bound<'py, PyDict>,
    batches: &Bound<'py, PyAny>,
    memory: u64,
) -> Result<(Option<Bound<'py, PyBytes>>, Frame), Failure> {
    let pass = pass(what)?;
    let mut bucket = Bucket::gather(py, (plan, known), small, batches, memory)?;
    let shared = std::mem::take(&mut bucket.shared);
    if !shared.is_empty() {
        return Ok((None, numbers(["a", "b"], shared.into_iter())?));
    }
    let bytes = py.detach(|| {
        let Bucket { plan, known, tables, origins, .. } = bucket;
        let run = BucketRun::new(plan.bucket_config(&tables, None)?)?;
        let origin = |table, row| origins.of(table, row);
        in_pool(Some(1), || run.work(&known, pass, &origin))??.to_bytes()
    })?;
    Ok((Some(PyBytes::new(py, &bytes)), numbers(["a", "b"], shared.into_iter())?))
}

/// The rows of a table that a bucket has, with `_person` and `_row`, by which rows of all buckets are put in
/// the order of a run.
#[pyfunction]
pub(crate) fn bucket_rows(
    py: Python<'_>,
    plan: &str,
    table: &str,
    known: &[u8],
    small: &Bound<'_, PyDict>,
    batches: &Bound<'_, PyAny>,
    memory: u64,
) -> Result<Frame, Failure> {
    let rows = RowTable::from_name(table)?;
    let bucket = Bucket::gather(py, (plan, known), small, batches, memory)?;
    Ok(py.detach(|| -> Result<Frame, Error> {
        let Bucket { plan, known, tables, .. } = bucket;
        let run = BucketRun::new(plan.bucket_config(&tables, Some(rows))?)?;
        let folder = temporary()?;
        let path = folder.path().join("rows.arrow");
        let file = File::create(&path).map_err(Error::io("write", &path))?;
        let mut sink = Some(BufWriter::new(file));
        let mut writer = None;
        in_pool(Some(1), || {
            run.rows(&known, rows, &mut |batch| {
                if let Some(sink) = sink.take() {
                    writer = Some(StreamWriter::try_new(sink, &batch.schema())?);
                }
                Ok(writer.as_mut().map_or(Ok(()), |writer| writer.write(&batch))?)
            })
        })??;
        if let Some(mut writer) = writer {
            writer.finish()?;
        }
        Ok(Frame::of_file(path, Arc::new(folder)))
    })?)
}

/// What several buckets come to together.
#[pyfunction]
#[expect(clippy::needless_pass_by_value, reason = "Python has no borrowed lists")]
pub(crate) fn merge_partials(
    py: Python<'_>,
    partials: Vec<Vec<u8>>,
) -> Result<Bound<'_, PyBytes>, Failure> {
    let bytes = py.detach(|| {
        let mut all = BucketSums::default();
        for partial in &partials {
            all.merge(BucketSums::from_bytes(partial)?);
        }
        all.to_bytes()
    })?;
    Ok(PyBytes::new(py, &bytes))
}

/// What is known after a pass, beside what was known before, as bytes; before the first no byte is known. And
/// whether the pass has to be made once more, with that known.
#[pyfunction]
pub(crate) fn known<'py>(
    py: Python<'py>,
    plan: &str,
    what: &str,
    known: &[u8],
    merged: &[u8],
) -> Result<(Bound<'py, PyBytes>, bool), Failure> {
    let pass = pass(what)?;
    let plan = Plan::read(plan)?;
    let known = Known::from_bytes(known)?;
    let (bytes, again) = work(py, None, |_| {
        let sums = BucketSums::from_bytes(merged)?;
        let (known, again) = plan.run_of_nothing()?.known_after(&known, pass, &sums)?;
        Ok((known.to_bytes()?, again))
    })?;
    Ok((PyBytes::new(py, &bytes), again))
}

fn pass(name: &str) -> Result<Pass, Error> {
    serde_json::from_value(name.into())
        .map_err(|error| Error::Contradiction(format!("`{name}` is no pass: {error}")))
}

fn temporary() -> Result<TempDir, Error> {
    let folder = tempfile::Builder::new().prefix("apportion-").tempdir();
    let folder = folder.map_err(Error::io("write", &std::env::temp_dir()))?;
    stop::temporary(folder.path());
    Ok(folder)
}

/// A run that was done bucket by bucket.
#[pyclass(frozen, module = "apportion._native")]
pub(crate) struct Concluded {
    frames: BTreeMap<&'static str, RecordBatch>,
    files: BTreeMap<String, PathBuf>,
    folder: Arc<TempDir>,
    text: String,
    summary: String,
}

/// Makes the report of what all buckets came to: `rows` are streams of the rows of tables that are written,
/// all buckets in their order, and `wanted` names tables that can be asked of what comes of it.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "each is one thing that a caller has")]
#[expect(clippy::needless_pass_by_value, reason = "Python has no borrowed lists")]
pub(crate) fn conclude(
    py: Python<'_>,
    plan: &str,
    known: &[u8],
    merged: &[u8],
    small: &Bound<'_, PyDict>,
    rows: &Bound<'_, PyDict>,
    wanted: Vec<String>,
    progress: Option<&Bound<'_, PyAny>>,
) -> Result<Concluded, Failure> {
    let (plan, known) = (Plan::read(plan)?, Known::from_bytes(known)?);
    let tables = tables::gather(py, &tables::given(small)?, u64::MAX, None)?;
    let mut streams: BTreeMap<RowTable, Box<dyn RecordBatchReader + Send>> = BTreeMap::new();
    for (name, stream) in rows.iter() {
        let name: String = name.extract()?;
        streams.insert(RowTable::from_name(&name)?, tables::reader(&stream)?);
    }
    let folder = Arc::new(temporary()?);
    let concluded = work(py, progress, |told| {
        let file = |name: &str| folder.path().join(format!("{name}.arrow"));
        let mut copied = Vec::new();
        let mut config = plan.config(&tables, |settings| {
            for table in RowTable::ALL {
                // Rows that nobody brings are not written.
                if let Some(place) = place(settings, table.name())
                    && !streams.contains_key(&table)
                {
                    *place = None;
                }
            }
            for name in &wanted {
                match place(settings, name) {
                    Some(Some(_)) if !plan.asked.contains(name) => copied.push(name.clone()),
                    Some(at) => *at = Some(file(name)),
                    None => {}
                }
            }
            for name in &plan.asked {
                if let Some(at @ Some(_)) = place(settings, name) {
                    *at = Some(file(name));
                }
            }
        })?;
        for name in &copied {
            if let Some(output) = output_of(&mut config.outputs, name) {
                output.copy = Some(file(name));
            }
        }
        let rows = streams.into_iter().map(|(table, reader)| {
            let batches = reader.map(|batch| batch.map_err(Error::from));
            let batches: Box<dyn Iterator<Item = Result<RecordBatch, Error>> + Send> =
                Box::new(batches);
            (table, batches)
        });
        let sums = BucketSums::from_bytes(merged)?;
        let run = BucketRun::new(config)?;
        let threads = run.config().threads;
        let done = in_pool(threads, || run.conclude(sums, &known, rows.collect(), told))??;
        let Passed { frames, text, summary, .. } = match done {
            buckets::Concluded::Run(finished) => published(run.config(), finished.publish()?)?,
            buckets::Concluded::Sweep(swept) => published_sweep(swept.publish()?)?,
        };
        let files = wanted.iter().map(|name| (name.clone(), file(name))).collect();
        let (folder, summary) = (Arc::clone(&folder), written(&summary)?);
        Ok(Concluded { frames, files, folder, text, summary })
    })?;
    Ok(concluded)
}

#[pymethods]
impl Concluded {
    /// A table of the run; none of one that was not asked for.
    fn frame(&self, name: &str) -> Option<Frame> {
        if let Some(rows) = self.frames.get(name) {
            return Some(Frame::new(rows.clone()));
        }
        let file = self.files.get(name).filter(|file| file.exists())?;
        Some(Frame::of_file(file.clone(), Arc::clone(&self.folder)))
    }

    /// The report as the command line prints it.
    fn text(&self) -> &str {
        &self.text
    }

    /// What was done, as JSON.
    fn summary(&self) -> &str {
        &self.summary
    }
}
