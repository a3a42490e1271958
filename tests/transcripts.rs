//! Whole conversations with the command line; the files are the manual. `TRYCMD=overwrite cargo
//! test --test transcripts` writes down what it says today, for review.
#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

use std::collections::BTreeSet;
use std::fs;

/// What lies in the folder that conversations take place in.
fn files() -> BTreeSet<String> {
    let entries = fs::read_dir(env!("CARGO_MANIFEST_DIR")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn the_command_line_says_what_the_manual_says() {
    let before = files();
    {
        let cases = trycmd::TestCases::new();
        cases.case("tests/cmd/*.md").case("docs/*.md").case("docs/models/*.md");
        cases.run();
    }
    assert_eq!(files(), before, "a conversation left something where it took place");
}
