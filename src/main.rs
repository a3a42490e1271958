//! The `apportion` command; see the library's `cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    apportion::cli::main()
}
