//! The workspace file, as far as a configuration: models, channels, filters and windows of it too.

use apportion::config::{Config, Settings};

/// Reads a workspace file.
pub fn run(data: &[u8]) -> String {
    let path = crate::written("apportion.toml", data);
    let mut settings = match Settings::read(&path) {
        Ok(settings) => settings,
        Err(error) => return crate::outcome::<()>(Err(error.in_full())),
    };
    // Whether there are inputs is not what is asked here, and no address is to be asked.
    settings.sessions = vec!["sessions.parquet".to_owned()];
    settings.orders = vec!["orders.parquet".to_owned()];
    settings.items.clear();
    crate::outcome(Config::new(settings, crate::AS_OF))
}
