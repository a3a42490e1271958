//! What a run read and wrote, as events of OpenLineage 2: when it began, and how it ended.
//!
//! The file is what a file transport of OpenLineage writes: one event a line.

use std::fs::File;
use std::path::{Component, Path, PathBuf};

use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Told;
use crate::calendar::format_instant;
use crate::config::Config;
use crate::error::Error;
use crate::input;
use crate::schema::Table;
use crate::secrets::concealed;
use crate::stop::Stop;

/// What a file of events begins with.
pub(super) const BEGINS: &str = "{\"eventType\":";

/// What signs events.
const PRODUCER: &str = concat!("urn:apportion:", env!("CARGO_PKG_VERSION"));

/// The schema of events.
const SCHEMA: &str = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent";

/// Something that is read.
pub(super) struct Dataset {
    place: String,
    /// The names and types of its columns, as the file has them.
    columns: Vec<(String, String)>,
    rows: u64,
    bytes: u64,
    files: u64,
}

/// A run to be told of.
pub(super) struct Run<'a> {
    pub(super) name: &'a str,
    pub(super) told: &'a Told,
    pub(super) ended: i64,
    pub(super) error: Option<&'a Error>,
}

/// What a run reads: each file, folder or glob that is given, as far as it can be described.
pub(super) fn inputs(config: &Config) -> Vec<Dataset> {
    let mut datasets = Vec::new();
    for (table, patterns) in &config.inputs {
        for pattern in patterns {
            let mut dataset = Dataset {
                place: fixed(&pattern.to_string()),
                columns: Vec::new(),
                rows: 0,
                bytes: 0,
                files: 0,
            };
            let sources = input::find(*table, std::slice::from_ref(pattern)).unwrap_or_default();
            for source in sources {
                dataset.files += 1;
                if *table == Table::Items {
                    dataset.bytes += source.path.metadata().map_or(0, |file| file.len());
                    continue;
                }
                let Ok(file) = input::describe(*table, &source, config.mapping(*table)) else {
                    continue;
                };
                dataset.rows += file.rows;
                dataset.bytes += file.bytes;
                if dataset.columns.is_empty() {
                    let columns = file.columns.iter();
                    dataset.columns = columns
                        .map(|column| (column.name.clone(), column.data_type.to_string()))
                        .collect();
                }
            }
            datasets.push(dataset);
        }
    }
    datasets
}

/// The place of a pattern: a glob without what begins to choose.
fn fixed(pattern: &str) -> String {
    if Path::new(pattern).exists() || pattern.contains("://") {
        return pattern.to_owned();
    }
    let is_wild =
        |part: &Component<'_>| part.as_os_str().to_string_lossy().contains(['*', '?', '[']);
    let parts = Path::new(pattern).components().take_while(|part| !is_wild(part));
    let fixed: PathBuf = parts.collect();
    if fixed.as_os_str().is_empty() { ".".to_owned() } else { fixed.display().to_string() }
}

/// What OpenLineage calls a place: its namespace and name.
fn named(place: &str) -> (String, String) {
    let place = concealed(place);
    if let Some((scheme, rest)) = place.split_once("://") {
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let path = path.split_once('?').map_or(path, |(path, _)| path);
        return (format!("{scheme}://{host}"), path.to_owned());
    }
    let path = Path::new(&place);
    let path = path.canonicalize().or_else(|_| std::path::absolute(path));
    let path = path.map_or_else(|_| place.clone(), |path| path.display().to_string());
    ("file".to_owned(), path)
}

fn facet(name: &str, version: &str, mut fields: Value) -> Value {
    let schema = format!("https://openlineage.io/spec/facets/{version}/{name}.json#/$defs/{name}");
    fields["_producer"] = PRODUCER.into();
    fields["_schemaURL"] = schema.into();
    fields
}

/// The columns of a dataset; a type that is not known is left out.
fn schema(columns: &[(String, String)]) -> Value {
    let fields = columns.iter().map(|(name, data_type)| {
        if data_type.is_empty() {
            json!({"name": name})
        } else {
            json!({"name": name, "type": data_type})
        }
    });
    facet("SchemaDatasetFacet", "1-1-1", json!({"fields": fields.collect::<Vec<_>>()}))
}

/// The columns of a file that was written, where its format tells them.
fn columns(path: &Path) -> Vec<(String, String)> {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    let Ok(file) = File::open(path) else { return Vec::new() };
    match ending.as_deref() {
        Some("parquet") => match ArrowReaderMetadata::load(&file, <_>::default()) {
            Ok(read) => read
                .schema()
                .fields()
                .iter()
                .map(|field| (field.name().clone(), field.data_type().to_string()))
                .collect(),
            Err(_) => Vec::new(),
        },
        Some("csv") => match csv::Reader::from_reader(file).headers() {
            Ok(header) => header.iter().map(|name| (name.to_owned(), String::new())).collect(),
            Err(_) => Vec::new(),
        },
        _ => Vec::new(),
    }
}

impl Run<'_> {
    /// The events: that it began, and that it is complete, failed or was stopped.
    pub(super) fn events(&self) -> String {
        let id = Uuid::new_v4().to_string();
        let ended = match self.error {
            None => "COMPLETE",
            Some(Error::Stopped(Stop::Interrupt | Stop::Terminate)) => "ABORT",
            Some(_) => "FAIL",
        };
        let begin = self.event(&id, "START", self.told.began);
        let end = self.event(&id, ended, self.ended);
        format!("{begin}\n{end}\n")
    }

    fn event(&self, id: &str, kind: &str, at: i64) -> Value {
        let version = env!("CARGO_PKG_VERSION");
        let engine = json!({"name": "apportion", "version": version});
        let mut facets =
            json!({"processing_engine": facet("ProcessingEngineRunFacet", "1-1-1", engine)});
        if let Some(error) = self.error.filter(|_| kind != "START") {
            let message = concealed(&error.to_string());
            let message = json!({"message": message, "programmingLanguage": "Rust"});
            facets["errorMessage"] = facet("ErrorMessageRunFacet", "1-0-1", message);
        }
        let job = json!({"processingType": "BATCH", "integration": "APPORTION", "jobType": "RUN"});
        let written = kind == "COMPLETE";
        let outputs = self.told.outputs.iter().map(|path| output(path, written));
        json!({
            "eventType": kind,
            "eventTime": format_instant(at),
            "producer": PRODUCER,
            "schemaURL": SCHEMA,
            "run": {"runId": id, "facets": facets},
            "job": {
                "namespace": "apportion",
                "name": self.name,
                "facets": {"jobType": facet("JobTypeJobFacet", "2-0-3", job)},
            },
            "inputs": self.told.inputs.iter().map(input_of).collect::<Vec<_>>(),
            "outputs": outputs.collect::<Vec<_>>(),
        })
    }
}

fn input_of(dataset: &Dataset) -> Value {
    let (namespace, name) = named(&dataset.place);
    let mut facets = json!({});
    if !dataset.columns.is_empty() {
        facets["schema"] = schema(&dataset.columns);
    }
    let mut statistics = json!({"size": dataset.bytes, "fileCount": dataset.files});
    if !dataset.columns.is_empty() {
        statistics["rowCount"] = dataset.rows.into();
    }
    let statistics = facet("InputStatisticsInputDatasetFacet", "1-0-0", statistics);
    json!({
        "namespace": namespace,
        "name": name,
        "facets": facets,
        "inputFacets": {"inputStatistics": statistics},
    })
}

fn output(path: &Path, written: bool) -> Value {
    let (namespace, name) = named(&path.display().to_string());
    let (mut facets, mut of_output) = (json!({}), json!({}));
    if let Some(file) = path.metadata().ok().filter(|file| written && file.is_file()) {
        let columns = columns(path);
        if !columns.is_empty() {
            facets["schema"] = schema(&columns);
        }
        let statistics = json!({"size": file.len(), "fileCount": 1});
        of_output["outputStatistics"] =
            facet("OutputStatisticsOutputDatasetFacet", "1-0-2", statistics);
    }
    json!({"namespace": namespace, "name": name, "facets": facets, "outputFacets": of_output})
}
