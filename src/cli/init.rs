//! `apportion init`: writes a commented workspace file.

use std::io::Write;
use std::path::Path;

use super::{Status, say};
use crate::config::TEMPLATE;
use crate::error::{Error, Result};
use crate::output::Staged;

pub(super) fn run(path: &Path) -> Result<Status> {
    if path.exists() {
        return Err(Error::Contradiction(format!(
            "`{}` is there already; remove it first, or name another file",
            path.display()
        )));
    }
    let file = Staged::new(path)?;
    let mut sink = file.sink()?;
    sink.write_all(TEMPLATE.as_bytes())
        .and_then(|()| sink.flush())
        .map_err(Error::io("write", path))?;
    file.commit()?;
    say(&format!(
        "wrote {}: name your files in it, then `apportion check` and `apportion run`\n",
        path.display()
    ));
    Ok(Status::Done)
}
