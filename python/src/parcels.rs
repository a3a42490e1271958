//! Parcels: rows on their way to buckets, and pairs of things and users to where things are compared.

use std::sync::Arc;

use apportion::Error;
use apportion::pipeline::buckets::{self, Arrived, Opener, Shared};
use apportion::schema::Table;
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use arrow_pyarrow::{FromPyArrow, ToPyArrow};
use pyo3::prelude::{Bound, PyAny, PyAnyMethods, Python, pyclass, pyfunction, pymethods};

use crate::buckets::{Plan, numbers};
use crate::errors::Failure;
use crate::frame::Frame;

/// How much more than its rows a table takes while they are parcelled: their copies in order, and parcels.
const COPIES: usize = 6;

/// Makes parcels of rows.
#[pyclass(module = "apportion._native")]
pub(crate) struct Parcels {
    parcels: Option<buckets::Parcels>,
    /// Whether the key of rows is one of their own columns.
    of_pairs: bool,
}

#[pymethods]
impl Parcels {
    /// Of rows of a table: `memory` is what they may take of it.
    #[staticmethod]
    fn of_table(plan: &str, table: &str, buckets: u32, memory: usize) -> Result<Self, Failure> {
        let schemas = Plan::read(plan)?.schemas()?;
        let wanted = Table::from_name(table)?;
        let schema = schemas.into_iter().find(|(table, _)| *table == wanted);
        let (_, schema) = schema.ok_or_else(|| {
            Error::Contradiction(format!("a plan does not divide the table `{table}`"))
        })?;
        Ok(Self { parcels: Some(parcels(table, &schema, buckets, memory)?), of_pairs: false })
    }

    /// Of pairs of a thing and a user.
    #[staticmethod]
    fn of_pairs(buckets: u32, memory: usize) -> Result<Self, Failure> {
        Ok(Self { parcels: Some(parcels("pairs", &pairs(), buckets, memory)?), of_pairs: true })
    }

    /// Takes rows, the first column of which says which of them go to one bucket, be it a key before those of
    /// the table or the thing of pairs; gives parcels when enough rows wait.
    fn take<'py>(
        &mut self,
        py: Python<'py>,
        batch: &Bound<'py, PyAny>,
    ) -> Result<Option<Bound<'py, PyAny>>, Failure> {
        let batch = RecordBatch::from_pyarrow_bound(batch)?;
        let batch =
            if self.of_pairs { batch.project(&[0, 0, 1]).map_err(Error::from)? } else { batch };
        let Some(parcels) = &mut self.parcels else { return Ok(None) };
        let made = py.detach(|| parcels.take(&batch))?;
        Ok(made.map(|made| made.to_pyarrow(py)).transpose()?)
    }

    /// The parcels of the rows that still wait.
    fn end<'py>(&mut self, py: Python<'py>) -> Result<Option<Bound<'py, PyAny>>, Failure> {
        let Some(parcels) = self.parcels.take() else { return Ok(None) };
        let made = py.detach(|| parcels.end())?;
        Ok(made.map(|made| made.to_pyarrow(py)).transpose()?)
    }
}

fn parcels(
    table: &str,
    schema: &SchemaRef,
    buckets: u32,
    memory: usize,
) -> Result<buckets::Parcels, Error> {
    buckets::Parcels::new(table, schema, buckets, memory / COPIES)
}

/// The columns of pairs of a thing and a user.
fn pairs() -> SchemaRef {
    let column = |name: &str| Field::new(name, DataType::Int64, true);
    Arc::new(Schema::new(vec![column("thing"), column("user")]))
}

/// Of parcels of pairs of a thing and a user the pairs of things that several users have, as columns `a` and
/// `b`, each pair once.
#[pyfunction]
pub(crate) fn shared(py: Python<'_>, batches: &Bound<'_, PyAny>) -> Result<Frame, Failure> {
    let mut shared = Shared::default();
    let mut opener = Opener::new(&pairs())?;
    for batch in batches.try_iter()? {
        let batch = RecordBatch::from_pyarrow_bound(&batch?)?;
        py.detach(|| -> Result<(), Error> {
            for (_, parcel) in Arrived::new(&batch)?.parcels() {
                let rows = opener.open(parcel)?;
                let [things, users] = [0, 1].map(|at| rows.column(at).as_primitive::<Int64Type>());
                for pair in things.iter().zip(users) {
                    if let (Some(thing), Some(user)) = pair {
                        shared.take(thing, user);
                    }
                }
            }
            Ok(())
        })?;
    }
    Ok(py.detach(|| numbers(["a", "b"], shared.end()))?)
}
