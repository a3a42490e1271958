//! What programs that were killed could not clear away: files and folders under a hidden name, beside the places
//! that they were to take.

use std::fs;
use std::path::Path;
use std::time::Duration;

/// What the names of files and folders begin with until they take their places.
pub(crate) const UNFINISHED: &str = ".apportion-";

/// So long after the last write nobody works on one any more.
const LEFT: Duration = Duration::from_hours(48);

/// Removes what was left beside a file or folder that was made just now, which tells the time: clocks may be set
/// back, and that of a disk be another.
///
/// As far as that can be: what is left is in nobody's way.
pub(crate) fn clear_left(own: &Path) {
    let (Some(folder), Ok(made)) = (own.parent(), fs::metadata(own).and_then(|own| own.modified()))
    else {
        return;
    };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if !entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            continue;
        }
        let Ok(known) = entry.metadata() else { continue };
        let is_left = known.modified().is_ok_and(|written| written + LEFT < made);
        if is_left {
            let path = entry.path();
            drop(if known.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn what_was_left_days_ago_goes_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        fs::create_dir(place(".apportion-old")).unwrap();
        for name in [".apportion-old/rows", ".apportion-older", ".apportion-new", "report.csv"] {
            fs::write(place(name), "rows").unwrap();
        }
        let hour = Duration::from_hours(1);
        let own = place(".apportion-own");
        File::create(&own).unwrap();
        let made: SystemTime = fs::metadata(&own).unwrap().modified().unwrap();
        for (name, hours) in [
            (".apportion-old", 49),
            (".apportion-older", 900),
            (".apportion-new", 47),
            ("report.csv", 900),
        ] {
            File::open(place(name)).unwrap().set_modified(made - hours * hour).unwrap();
        }
        clear_left(&own);
        let left = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let mut left: Vec<String> = left.map(|name| name.into_string().unwrap()).collect();
        left.sort();
        assert_eq!(left, [".apportion-new", ".apportion-own", "report.csv"]);
    }
}
