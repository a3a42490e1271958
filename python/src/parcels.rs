//! Parcels: rows on their way to buckets, and pairs of things and users to where things are compared.

use std::sync::Arc;

use apportion::Error;
use apportion::pipeline::buckets::{self, Arrived, Keys, Members, Paired, Sending, pairs_parcels};
use apportion::schema::Table;
use arrow::array::RecordBatch;
use arrow_pyarrow::{FromPyArrow, ToPyArrow};
use pyo3::prelude::{Bound, PyAny, PyAnyMethods, PyResult, Python, pyclass, pyfunction, pymethods};

use crate::buckets::{Plan, numbers};
use crate::errors::Failure;
use crate::frame::Frame;

/// How much more than its rows a table takes while they are parcelled: their copies in order, and parcels.
const COPIES: usize = 6;

/// The component of every user that is joined with others.
#[pyclass(frozen, module = "apportion._native")]
pub(crate) struct Joined(Arc<Members>);

#[pymethods]
impl Joined {
    /// Of bytes that hold the number of every node, and after them that of each one's component: 64 bits, the
    /// least of them first.
    #[new]
    fn new(py: Python<'_>, numbers: &[u8]) -> Self {
        let (nodes, components) = numbers.split_at(numbers.len() / 2);
        let number =
            |bytes: &[u8]| bytes.iter().rev().fold(0, |all, byte| all << 8 | i64::from(*byte));
        let [nodes, components] =
            [nodes, components].map(|bytes| bytes.chunks_exact(size_of::<i64>()).map(number));
        Self(py.detach(|| Arc::new(nodes.zip(components).collect())))
    }
}

/// Makes parcels of the rows of a table.
#[pyclass(module = "apportion._native")]
pub(crate) struct Parcels(Option<Sending>);

#[pymethods]
impl Parcels {
    /// Of rows of a table: `memory` is what they may take of it. Without `joined`, their first column is a key.
    /// If `watched`, pairs of each row's id and its users travel beside them.
    #[new]
    fn new(
        plan: &str,
        table: &str,
        buckets: u32,
        memory: usize,
        joined: Option<&Bound<'_, Joined>>,
        watched: bool,
    ) -> Result<Self, Failure> {
        let plan = Plan::read(plan)?;
        let wanted = Table::from_name(table)?;
        let unknown =
            || Error::Contradiction(format!("a plan does not divide the table `{table}`"));
        let schema = plan.schemas()?.into_iter().find(|(table, _)| *table == wanted);
        let (_, schema) = schema.ok_or_else(unknown)?;
        let keys = Keys::new(wanted, plan.columns(table).ok_or_else(unknown)?);
        let rows = buckets::Parcels::new(table, &schema, buckets, memory / COPIES)?;
        let pairs = watched.then(|| pairs_parcels(buckets, memory / COPIES)).transpose()?;
        let members = joined.map(|joined| Arc::clone(&joined.get().0));
        Ok(Self(Some(Sending::new(keys, members, rows, pairs))))
    }

    /// Takes rows; gives batches of parcels when enough rows wait.
    fn take<'py>(
        &mut self,
        py: Python<'py>,
        batch: &Bound<'py, PyAny>,
    ) -> Result<Vec<Bound<'py, PyAny>>, Failure> {
        let batch = RecordBatch::from_pyarrow_bound(batch)?;
        let Some(sending) = &mut self.0 else { return Ok(Vec::new()) };
        given(py, py.detach(|| sending.take(&batch))?)
    }

    /// The parcels of the rows that still wait.
    fn end<'py>(&mut self, py: Python<'py>) -> Result<Vec<Bound<'py, PyAny>>, Failure> {
        let Some(sending) = self.0.take() else { return Ok(Vec::new()) };
        given(py, py.detach(|| sending.end())?)
    }
}

fn given(py: Python<'_>, made: Vec<RecordBatch>) -> Result<Vec<Bound<'_, PyAny>>, Failure> {
    let made: PyResult<Vec<_>> = made.into_iter().map(|made| made.to_pyarrow(py)).collect();
    Ok(made?)
}

/// Makes parcels of pairs of a thing and a user.
#[pyclass(module = "apportion._native")]
pub(crate) struct Pairs(Option<buckets::Parcels>);

#[pymethods]
impl Pairs {
    /// `memory` is what pairs may take of it.
    #[new]
    fn new(buckets: u32, memory: usize) -> Result<Self, Failure> {
        Ok(Self(Some(pairs_parcels(buckets, memory / COPIES)?)))
    }

    /// Takes pairs; gives batches of parcels when enough of them wait.
    fn take<'py>(
        &mut self,
        py: Python<'py>,
        batch: &Bound<'py, PyAny>,
    ) -> Result<Vec<Bound<'py, PyAny>>, Failure> {
        let batch = RecordBatch::from_pyarrow_bound(batch)?;
        // They are told apart by the thing.
        let batch = batch.project(&[0, 0, 1]).map_err(Error::from)?;
        let Some(pairs) = &mut self.0 else { return Ok(Vec::new()) };
        given(py, py.detach(|| pairs.take(&batch))?.into_iter().collect())
    }

    /// The parcels of the pairs that still wait.
    fn end<'py>(&mut self, py: Python<'py>) -> Result<Vec<Bound<'py, PyAny>>, Failure> {
        let Some(pairs) = self.0.take() else { return Ok(Vec::new()) };
        given(py, py.detach(|| pairs.end())?.into_iter().collect())
    }
}

/// Of parcels of pairs of a thing and a user the pairs of things that several users have, as columns `a` and
/// `b`, each pair once.
#[pyfunction]
pub(crate) fn shared(py: Python<'_>, batches: &Bound<'_, PyAny>) -> Result<Frame, Failure> {
    let mut paired = Paired::new()?;
    for batch in batches.try_iter()? {
        let batch = RecordBatch::from_pyarrow_bound(&batch?)?;
        py.detach(|| {
            let arrived = Arrived::new(&batch)?;
            arrived.parcels().try_for_each(|(_, parcel)| paired.take(parcel))
        })?;
    }
    Ok(py.detach(|| numbers(["a", "b"], paired.end().into_iter()))?)
}
