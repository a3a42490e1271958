//! The floor that a run is measured against: decoding its columns with the Parquet crate, and
//! nothing else. `benches/compare.py` runs it.
//!
//!     cargo bench --bench floor -- THREADS FILE...
#![expect(clippy::unwrap_used, reason = "a measurement that cannot be set up has failed")]

use std::fs::File;

use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use rayon::prelude::*;

fn main() {
    // `cargo bench` itself adds `--bench`.
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let Some((threads, files)) = arguments.split_first() else { return };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.parse().unwrap()).build();
    let rows: usize = pool.unwrap().install(|| files.par_iter().map(|file| decode(file)).sum());
    assert!(rows > 0, "the files hold rows");
}

/// Decodes every column of a file, its row groups in parallel; returns the number of rows.
fn decode(path: &str) -> usize {
    let file = File::open(path).unwrap();
    let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()).unwrap();
    let groups = metadata.metadata().num_row_groups();
    let decoded = (0..groups).into_par_iter().map(|group| {
        let file = File::open(path).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata.clone())
            .with_row_groups(vec![group])
            .with_batch_size(64 * 1024)
            .build()
            .unwrap();
        reader.map(|batch| batch.unwrap().num_rows()).sum::<usize>()
    });
    decoded.sum()
}
