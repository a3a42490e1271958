//! What a store and a kept run say of themselves.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use apportion::kept::{Frame, Kept};
use apportion::store::Store;

/// A store that was kept, in a folder of this process.
static STORE: LazyLock<PathBuf> = LazyLock::new(|| {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/compatibility/stores/store-1-kept-2/store");
    let place = crate::place("store");
    copy(&kept, &place);
    place
});

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a temporary folder");
    for entry in fs::read_dir(from).expect("the fixture is there") {
        let path = entry.expect("the fixture is there").path();
        let place = to.join(path.file_name().expect("an entry has a name"));
        if path.is_dir() {
            copy(&path, &place);
        } else {
            fs::copy(&path, &place).expect("a temporary file");
        }
    }
}

/// Opens the store and its runs with the bytes in the place of one of its files, which the first chooses.
pub fn run(data: &[u8]) -> String {
    let (which, data) = data.split_first().unwrap_or((&0, &[]));
    let current = fs::read_to_string(STORE.join("current")).expect("the fixture is there");
    let of_run = STORE.join("runs").join(current.trim());
    let file = match which % 4 {
        0 => of_run.join("run.json"),
        1 => STORE.join("store.json"),
        2 => STORE.join("current"),
        _ => of_run.join("state/files.json"),
    };
    let before = fs::read(&file).expect("the fixture is there");
    fs::write(&file, data).expect("a temporary file");
    let opened = opened(&of_run);
    fs::write(&file, before).expect("a temporary file");
    opened
}

fn opened(run: &Path) -> String {
    let store = Store::open(&STORE).and_then(|store| {
        drop(store.current());
        Ok(store.runs()?.len())
    });
    let kept = Kept::open(run).and_then(|kept| {
        kept.verify()?;
        for frame in Frame::ALL.into_iter().filter(|frame| kept.has(*frame)) {
            kept.frame(frame)?;
        }
        Ok(())
    });
    format!("{} {}", crate::outcome(store), crate::outcome(kept))
}
