//! The one place where the network is waited for.

use std::future::Future;
use std::io;
use std::sync::{LazyLock, mpsc};

use tokio::runtime::{Builder, Runtime};

/// Threads that talk to stores; what they bring is decoded elsewhere.
const THREADS: usize = 2;

static RUNTIME: LazyLock<io::Result<Runtime>> = LazyLock::new(|| {
    Builder::new_multi_thread().worker_threads(THREADS).thread_name("stores").enable_all().build()
});

/// Work that has begun, on threads of its own.
#[derive(Debug)]
pub(super) struct Begun<T>(mpsc::Receiver<T>);

impl<T> Begun<T> {
    /// Waits for the end of it, on whatever thread.
    pub(super) fn wait(self) -> io::Result<T> {
        self.0.recv().map_err(|_| io::Error::other("a request was given up"))
    }
}

/// Begins some work; who drops it does not stop it.
pub(super) fn begin<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> io::Result<Begun<T>> {
    let runtime =
        RUNTIME.as_ref().map_err(|error| io::Error::new(error.kind(), error.to_string()))?;
    let (done, wait) = mpsc::sync_channel(1);
    // Nobody waits for what nobody wants any more.
    runtime.spawn(async move { drop(done.send(work.await)) });
    Ok(Begun(wait))
}

/// Does some work and waits for it.
pub(super) fn wait<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> io::Result<T> {
    begin(work)?.wait()
}
