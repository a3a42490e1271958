//! Batches of a file whose decoder may panic.
//!
//! A Parquet file that is damaged in its levels or lengths is one thing more that others wrote. Most damage
//! is an error of the decoder, and some is a slice that is out of bounds in it: that ends the reading of this
//! file, with the same message, and not the process. Not for what is wrong in here: a panic of ours is
//! outside the decoder.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;

use crate::error::panic_text;

thread_local! {
    /// Whether this thread is in a decoder, whose panics are errors and nothing to be printed.
    static DECODES: Cell<bool> = const { Cell::new(false) };
}

/// What a decoder yields; nothing after it has panicked.
pub(crate) struct Guarded<I> {
    batches: Option<I>,
}

impl<I> Guarded<I> {
    pub(crate) fn new(batches: I) -> Self {
        static QUIET: Once = Once::new();
        QUIET.call_once(|| {
            let loud = panic::take_hook();
            panic::set_hook(Box::new(move |panicked| {
                if !DECODES.get() {
                    loud(panicked);
                }
            }));
        });
        Self { batches: Some(batches) }
    }
}

impl<I: Iterator<Item = Result<RecordBatch, ArrowError>>> Iterator for Guarded<I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<Self::Item> {
        // What is half done in the decoder is never looked at again.
        let mut batches = self.batches.take()?;
        let before = DECODES.replace(true);
        let next = panic::catch_unwind(AssertUnwindSafe(|| batches.next()));
        DECODES.set(before);
        match next {
            Ok(next) => {
                self.batches = Some(batches);
                next
            }
            Err(panicked) => {
                let why = format!(
                    "its decoder stopped: {}",
                    panic_text(panicked.as_ref()).unwrap_or("it panicked")
                );
                Some(Err(ArrowError::ParquetError(why)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::Schema;

    use super::*;

    #[test]
    fn a_decoder_that_panics_is_an_error_and_the_end() {
        let empty = RecordBatch::new_empty(Arc::new(Schema::empty()));
        let batches =
            (0..3).map(|at| if at == 1 { panic!("offset {at}") } else { Ok(empty.clone()) });
        let said: Vec<String> = Guarded::new(batches)
            .map(|batch| batch.map_or_else(|error| error.to_string(), |_| "rows".to_owned()))
            .collect();
        assert_eq!(said, ["rows", "Parquet argument error: its decoder stopped: offset 1"]);
    }
}
