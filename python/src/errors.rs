//! The library's errors as Python exceptions: the same words, under a class that says whose fault it is.

use apportion::Error;
use apportion::stop::Stop;
use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::{PyAnyMethods, PyErr, PyResult, Python};
use pyo3::types::PyType;

/// Something that went wrong on either side of the border.
pub(crate) enum Failure {
    /// The library says why.
    Library(Error),
    /// Python raised it.
    Python(PyErr),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Library(error)
    }
}

impl From<PyErr> for Failure {
    fn from(error: PyErr) -> Self {
        Self::Python(error)
    }
}

impl From<Failure> for PyErr {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Library(error) => raised(&error),
            Failure::Python(error) => error,
        }
    }
}

/// The exception for an error of the library.
pub(crate) fn raised(error: &Error) -> PyErr {
    if matches!(error, Error::Stopped(Stop::Interrupt)) {
        return PyKeyboardInterrupt::new_err(());
    }
    exception(class_of(error), error.in_full().trim_end().to_owned())
}

/// An exception of the package.
pub(crate) fn exception(class: &str, text: String) -> PyErr {
    let made = |py: Python<'_>| -> PyResult<PyErr> {
        let class = py.import("apportion._errors")?.getattr(class)?.cast_into::<PyType>()?;
        Ok(PyErr::from_type(class, text))
    };
    Python::attach(|py| made(py).unwrap_or_else(|error| error))
}

/// The class that says whose fault an error is.
fn class_of(error: &Error) -> &'static str {
    match error {
        Error::Unknown { .. }
        | Error::Setting { .. }
        | Error::Contradiction(_)
        | Error::Workspace { .. }
        | Error::Glob { .. }
        | Error::Resamples { .. } => "SettingError",
        Error::NoFiles { .. } | Error::NotThere { .. } => "MissingInputError",
        Error::NotParquet { .. }
        | Error::Stream { .. }
        | Error::MissingColumn(_)
        | Error::WrongType { .. }
        | Error::MissingRate { .. }
        | Error::Changed { .. } => "InputError",
        Error::TooManyRejects { .. } => "TooManyRejectsError",
        Error::NoOrder { .. } => "NoOrderError",
        _ => "ApportionError",
    }
}
