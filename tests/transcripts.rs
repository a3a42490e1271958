//! Whole conversations with the command line; the files are the manual. `TRYCMD=overwrite cargo
//! test --test transcripts` writes down what it says today, for review.

#[test]
fn the_command_line_says_what_the_manual_says() {
    trycmd::TestCases::new().case("tests/cmd/*.md").case("docs/*.md").run();
}
