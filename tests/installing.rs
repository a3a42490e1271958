//! What is installed beside the command: completions and manual pages say what the help says.
#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod common;

use std::fs;

use common::{Playground, said};

/// The commands that the help lists.
fn commands(playground: &Playground) -> Vec<String> {
    let (help, _) = said(&playground.run(["--help"]));
    let listed = help.split("Commands:").nth(1).unwrap().lines().skip(1);
    let listed = listed.take_while(|line| !line.trim().is_empty());
    // A line that goes on begins further to the right.
    let names = listed.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = names.map(|line| line.split_whitespace().next().unwrap().to_owned());
    names.filter(|name| name != "help").collect()
}

#[test]
fn every_shell_completes_every_command_and_its_flags() {
    let playground = Playground::new();
    let commands = commands(&playground);
    assert!(commands.len() >= 18 && commands.contains(&"simulate".to_owned()), "{commands:?}");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (text, complaints) = said(&playground.run(["completions", shell]));
        assert_eq!(complaints, "", "{shell}");
        for word in commands.iter().map(String::as_str).chain(["lookback", "where-orders", "store"])
        {
            assert!(text.contains(word), "{shell} does not know {word}");
        }
        assert_eq!(text, said(&playground.run(["completions", shell])).0, "{shell}");
    }
    let output = playground.run(["completions", "tcsh"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn every_command_has_a_manual_page_and_the_hidden_ones_have_none() {
    let playground = Playground::new();
    let (_, complaints) = said(&playground.run(["manual", "man/man1"]));
    assert_eq!(complaints, "");
    let mut pages: Vec<String> = fs::read_dir(playground.path("man/man1"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    pages.sort();
    let mut expected: Vec<String> =
        commands(&playground).iter().map(|name| format!("apportion-{name}.1")).collect();
    expected.push("apportion.1".to_owned());
    expected.sort();
    assert_eq!(pages, expected);
    let page = fs::read_to_string(playground.path("man/man1/apportion-run.1")).unwrap();
    for part in [".TH apportion-run 1", "Divide the credit of orders", "\\fB\\-\\-lookback\\fR"] {
        assert!(page.contains(part), "{part}: {}", &page[..500]);
    }
    // Once more changes no byte.
    said(&playground.run(["manual", "man/man1"]));
    assert_eq!(fs::read_to_string(playground.path("man/man1/apportion-run.1")).unwrap(), page);
}
