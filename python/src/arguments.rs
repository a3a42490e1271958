//! Settings out of Python values: what `apportion.toml` can say, and times as Python has them.

use std::path::PathBuf;

use apportion::Error;
use apportion::config::Settings;
use pyo3::prelude::{Bound, PyAny, PyAnyMethods, PyResult};
use pyo3::types::{PyBool, PyDict, PyDictMethods, PyFloat, PyInt, PyString};
use toml::{Table, Value};

use crate::errors::Failure;

/// Settings under their names; what is `None` is not said.
pub(crate) fn settings(keys: &Bound<'_, PyDict>) -> Result<Settings, Failure> {
    Ok(Settings::from_keys(table("", keys)?)?)
}

/// What a workspace says: its file, or a dictionary of the same keys.
pub(crate) fn workspace(config: &Bound<'_, PyAny>) -> Result<Settings, Failure> {
    match config.cast::<PyDict>() {
        Ok(keys) => settings(keys),
        Err(_) => Ok(Settings::read(&config.extract::<PathBuf>()?)?),
    }
}

/// A table of settings; `within` names the one that it stands in.
fn table(within: &str, keys: &Bound<'_, PyDict>) -> Result<Table, Failure> {
    let mut table = Table::new();
    for (key, value) in keys.iter() {
        let key: String = key.str()?.extract()?;
        let name = if within.is_empty() { key.clone() } else { format!("{within}.{key}") };
        if !value.is_none() {
            table.insert(key, converted(&name, &value)?);
        }
    }
    Ok(table)
}

/// A value of a setting.
fn converted(name: &str, value: &Bound<'_, PyAny>) -> Result<Value, Failure> {
    if value.is_instance_of::<PyBool>() {
        return Ok(Value::Boolean(value.extract()?));
    }
    if value.is_instance_of::<PyString>() {
        return Ok(Value::String(value.extract()?));
    }
    // NumPy's numbers are none of Python's, and stand for them.
    if value.is_instance_of::<PyInt>() || value.hasattr("__index__")? {
        return value.extract().map(Value::Integer).map_err(|_| unmeant(name, value));
    }
    if value.is_instance_of::<PyFloat>() {
        return Ok(Value::Float(value.extract()?));
    }
    if let Ok(keys) = value.cast::<PyDict>() {
        return Ok(Value::Table(table(name, keys)?));
    }
    // A timedelta, then a date or a datetime, then a path.
    if let Some(seconds) = called(value, "total_seconds")? {
        return Ok(Value::String(format!("{}s", seconds.extract::<f64>()?)));
    }
    if let Some(text) = called(value, "isoformat")? {
        return Ok(Value::String(text.extract()?));
    }
    if let Some(path) = called(value, "__fspath__")? {
        return path.extract().map(Value::String).map_err(|_| unmeant(name, value));
    }
    match value.try_iter() {
        Ok(values) => {
            let values = values.map(|value| converted(name, &value?));
            Ok(Value::Array(values.collect::<Result<_, _>>()?))
        }
        Err(_) => Err(unmeant(name, value)),
    }
}

/// What a method of a value answers, if the value has it.
fn called<'py>(value: &Bound<'py, PyAny>, method: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
    let method = value.getattr_opt(method)?;
    method.map(|method| method.call0()).transpose()
}

/// Why a value cannot be one of a setting.
fn unmeant(name: &str, value: &Bound<'_, PyAny>) -> Failure {
    let shown = value.repr().map_or_else(|_| "an object".to_owned(), |shown| shown.to_string());
    let why = "write a text, a number, a flag, a list or a dictionary, as apportion.toml has them";
    Error::setting(name, shown, why).into()
}
