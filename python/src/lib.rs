//! The native half of the Python package `apportion`: the library, as Python objects.
//!
//! What a call means is said in Python (`python/apportion`), and what is worked out is worked out by the
//! library. Here is what lies between: settings out of Python values (`arguments`), tables out of Arrow
//! streams (`tables`), work that can be interrupted (`working`), a run that can be asked again (`run`), one that is done
//! bucket by bucket (`buckets`) and what goes to them (`parcels`), its tables as Arrow streams (`frame`), and errors with the library's words (`errors`).

mod arguments;
mod buckets;
mod errors;
mod frame;
mod parcels;
mod run;
mod tables;
mod working;

use pyo3::pymodule;

/// The native half of the package.
#[pymodule]
mod _native {
    use apportion::config::Settings;
    use apportion::pipeline::buckets;
    use apportion::stop;
    use pyo3::pyfunction;

    #[pymodule_export]
    use crate::buckets::{
        Concluded, bucket_rows, components, conclude, key_edges, known, merge_partials, plan,
        work_bucket,
    };
    #[pymodule_export]
    use crate::frame::Frame;
    #[pymodule_export]
    use crate::parcels::{Joined, Pairs, Parcels, shared};
    #[pymodule_export]
    use crate::run::{Run, compare, run, write_chart};

    /// The version of the library.
    #[pymodule_export]
    const VERSION: &str = env!("CARGO_PKG_VERSION");

    /// What parcels of pairs say that they are of, where others name a table.
    #[pymodule_export]
    const PAIRS: &str = buckets::PAIRS;

    /// The names of all settings, as `apportion.toml` has them.
    #[pyfunction]
    fn settings() -> Vec<String> {
        Settings::names()
    }

    /// Removes what is temporary and still there when the interpreter ends.
    #[pyfunction]
    fn remove_temporaries() {
        stop::remove_temporaries();
    }
}
