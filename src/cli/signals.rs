//! Hears the signals that ask a process to end, and makes it end soon.
//!
//! A signal only asks, and whoever works stops at the next place where that is safe. Where none comes
//! soon, everything temporary is removed here and the process ends, unless files are being put in their
//! places: those go there whole.

use std::thread;
use std::time::Duration;

#[cfg(unix)]
use signal_hook::consts::{SIGINT, SIGTERM};
#[cfg(unix)]
use signal_hook::iterator::Signals;

use super::{Status, say};
use crate::stop::{self, Phase, Stop};

/// How long whoever works may take to notice.
const GRACE: Duration = Duration::from_secs(1);

/// How soon it is tried again where files were being put in their places.
const AGAIN: Duration = Duration::from_millis(20);

/// Hears signals from here on.
#[cfg(unix)]
pub(super) fn listen() {
    // Without a thread to hear them, signals end the process as they would any other.
    let Ok(mut signals) = Signals::new([SIGINT, SIGTERM]) else { return };
    let hear = move || {
        for signal in signals.forever() {
            let stop = if signal == SIGINT { Stop::Interrupt } else { Stop::Terminate };
            // Whoever asks twice does not want to wait.
            let grace = if stop::requested().is_some() { Duration::ZERO } else { GRACE };
            stop::request(stop);
            end_after(grace);
        }
    };
    let _heard = thread::Builder::new().name("signals".to_owned()).spawn(hear);
}

/// Nothing is heard where there are no such signals.
#[cfg(not(unix))]
pub(super) fn listen() {}

/// Makes everything stop when it has worked for so long.
pub(super) fn stop_after(timeout: Duration) {
    let wait = move || {
        thread::sleep(timeout);
        stop::request(Stop::Timeout);
        end_after(GRACE);
    };
    let _waits = thread::Builder::new().name("timeout".to_owned()).spawn(wait);
}

/// What is said of an end that was asked for.
pub(super) fn said(stop: Stop, phase: Phase) -> String {
    let written = match phase {
        Phase::Published => "after everything was written",
        Phase::Working | Phase::Publishing => "nothing is written",
    };
    format!("stopped: {stop}; {written}\n")
}

/// Ends the process if it does not end by itself.
fn end_after(grace: Duration) {
    let wait = move || {
        thread::sleep(grace);
        loop {
            stop::end(|phase| {
                let Some(stop) = stop::requested() else { return };
                say(&said(stop, phase));
                exit(Status::Stopped(stop).code());
            });
            thread::sleep(AGAIN);
        }
    };
    let _waits = thread::Builder::new().name("end".to_owned()).spawn(wait);
}

#[expect(
    clippy::exit,
    clippy::disallowed_methods,
    reason = "somebody works on who cannot be stopped"
)]
fn exit(code: u8) {
    std::process::exit(i32::from(code));
}
