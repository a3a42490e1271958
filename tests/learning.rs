//! Where there is little or too much to learn from, every model that learns answers, or says clearly
//! why not: from sessions and orders, and from a table of the same paths.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod common;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;

use apportion::models::{MODELS, ask};
use common::{Playground, said};

/// A path of channels, with how often it ended in an order and how often in none.
type Path<'a> = (&'a [&'a str], u32, u32);

/// Ways to ask for a model that learns that are worked out in a way of their own.
const VARIANTS: [&str; 8] = [
    "markov:order=2",
    "markov:order=3",
    "markov:order=4",
    "markov:order=auto",
    "markov:removal=cut",
    "markov:removal=refit",
    "shapley:order=3",
    "hazard:penalty=0.001",
];

/// Every model of the registry that learns, and the variants; without those that need a clock where
/// there is none.
fn models(clock: bool) -> Vec<String> {
    let names = MODELS.iter().map(|entry| entry.name).chain(VARIANTS);
    let asked = names.map(|name| ask(name, &BTreeMap::new()).unwrap());
    let learning = asked.filter(|asked| asked.model.learns());
    let possible = learning.filter(|asked| clock || !asked.model.needs_times());
    possible.map(|asked| asked.name).collect()
}

/// The same models, with sources for channels.
fn by_source(models: &[String]) -> Vec<String> {
    let by = |model: &String| match model.split_once(':') {
        Some((name, parameters)) => format!("{name}:by=utm_source:{parameters}"),
        None => format!("{model}:by=utm_source"),
    };
    models.iter().map(by).collect()
}

/// Writes every journey of the paths as a person of its own: a touch an hour, and the order an hour
/// after the last. One order more has no touch.
fn write_sessions(playground: &Playground, paths: &[Path<'_>]) {
    let mut sessions = "external_id,user_external_id,created_at,utm_source\n".to_owned();
    let mut orders = "external_id,user_external_id,created_at,subtotal_price,currency\n".to_owned();
    let at = |hour: usize| format!("2025-01-{:02}T{:02}:00:00Z", 1 + hour / 24, hour % 24);
    let mut person = 0;
    for (path, converted, lost) in paths {
        for journey in 0..converted + lost {
            person += 1;
            for (hour, channel) in path.iter().enumerate() {
                writeln!(sessions, "s{person}-{hour},u{person},{},{channel}", at(hour)).unwrap();
            }
            if journey < *converted {
                writeln!(orders, "o{person},u{person},{},100.00,EUR", at(path.len())).unwrap();
            }
        }
    }
    writeln!(orders, "none,nobody,{},1.00,EUR", at(0)).unwrap();
    playground.table("sessions", &sessions);
    playground.table("orders", &orders);
}

fn write_paths(playground: &Playground, paths: &[Path<'_>]) {
    let mut table = "path,total_conversions,total_conversion_value,total_null\n".to_owned();
    for (path, converted, lost) in paths {
        writeln!(table, "{},{converted},{}.00,{lost}", path.join(" > "), 100 * converted).unwrap();
    }
    fs::write(playground.path("paths.csv"), table).unwrap();
}

/// Credited conversions by model and channel.
type Credited = BTreeMap<(String, String), f64>;

/// Runs a command that must succeed; returns what it credits, after its effects are shown to be
/// numbers that add up to all or to nothing.
fn credited(playground: &Playground, arguments: &[&str], channel: &str) -> Credited {
    let output = playground.run(arguments.iter().chain(&["--effects", "effects.csv"]));
    let (report, complaints) = said(&output);
    assert!(output.status.success(), "{arguments:?}: {complaints}");
    let rows = |text: &str| -> Vec<BTreeMap<String, String>> {
        csv::Reader::from_reader(text.as_bytes()).deserialize().map(Result::unwrap).collect()
    };
    let mut shares: BTreeMap<String, f64> = BTreeMap::new();
    for row in rows(&fs::read_to_string(playground.path("effects.csv")).unwrap()) {
        let odd = row.values().find(|cell| ["NaN", "inf", "-inf"].contains(&cell.as_str()));
        assert!(odd.is_none(), "{arguments:?}: {row:?}");
        *shares.entry(row["model"].clone()).or_default() +=
            row["effect_share"].parse::<f64>().unwrap();
    }
    for (model, share) in shares {
        assert!(share == 0.0 || (share - 1.0).abs() < 1e-9, "{model}: {share}");
    }
    let cell = |row: BTreeMap<String, String>| {
        let conversions = row["conversions"].parse().unwrap_or(0.0);
        ((row["model"].clone(), row[channel].clone()), conversions)
    };
    rows(&report).into_iter().map(cell).collect()
}

/// What every model credits to channels, from sessions and orders and from paths; the sum is checked.
fn answers(paths: &[Path<'_>]) -> Credited {
    let playground = Playground::new();
    write_sessions(&playground, paths);
    write_paths(&playground, paths);
    let inputs = ["--sessions", "sessions.parquet", "--orders", "orders.parquet"];
    let (of_touches, of_paths) = (by_source(&models(true)), models(false));
    let (asked, asked_paths) = (of_touches.join(","), of_paths.join(","));
    let common = ["--format", "csv", "--quiet"];
    let by = ["--by", "utm_source", "--model", &asked];
    let run = [&["run"], &inputs[..], &by, &common].concat();
    let mut all = credited(&playground, &run, "utm_source");
    let nobody = |model: &String| all.get(&(model.clone(), "(unattributed)".to_owned())).copied();
    assert!(of_touches.iter().all(|model| nobody(model) == Some(1.0)), "{all:?}");
    all.retain(|(_, source), _| source != "(unattributed)");
    let run = [&["paths", "--input", "paths.csv", "--model", &asked_paths], &common[..]].concat();
    all.extend(credited(&playground, &run, "channel"));
    let orders: u32 = paths.iter().map(|(_, converted, _)| converted).sum();
    for model in of_touches.iter().chain(&of_paths) {
        let of_model = all.iter().filter(|((name, _), _)| name == model);
        let sum: f64 = of_model.map(|(_, conversions)| conversions).sum();
        assert!((sum - f64::from(orders)).abs() < 1e-9, "{model}: {sum} of {orders}");
    }
    all
}

/// The models that credit something to a channel.
fn crediting(all: &Credited, channel: &str) -> Vec<String> {
    let some = all.iter().filter(|((_, name), conversions)| name == channel && **conversions > 0.0);
    some.map(|((model, _), _)| model.clone()).collect()
}

#[test]
fn a_channel_that_always_leads_to_an_order_is_credited_more_than_one_that_never_does() {
    let all = answers(&[(&["always"], 5, 0), (&["never"], 0, 5), (&["always", "mixed"], 3, 2)]);
    for (model, channel) in all.keys().filter(|(_, channel)| channel == "always") {
        let of = |other: &str| all.get(&(model.clone(), other.to_owned())).copied();
        assert!(of(channel) > of("mixed"), "{model}: {all:?}");
    }
    assert_eq!(crediting(&all, "never"), [""; 0]);
}

#[test]
fn a_channel_beside_one_that_never_leads_to_an_order_is_credited_finitely() {
    let all = answers(&[(&["a", "b"], 4, 0), (&["b"], 0, 900), (&["a"], 1, 3)]);
    assert_eq!(crediting(&all, "a").len(), models(true).len() + models(false).len());
}

#[test]
fn one_path_is_divided_among_its_channels() {
    let all = answers(&[(&["a", "b", "c"], 1, 0)]);
    for ((model, channel), conversions) in &all {
        let even = (conversions - 1.0 / 3.0).abs() < 1e-9;
        // Only ages tell them apart.
        assert!(even || model.starts_with("hazard"), "{model} {channel}: {conversions}");
    }
    // Without b, a goes round and round.
    answers(&[(&["a", "a", "b"], 1, 0)]);
    let all = answers(&[(&["a"], 1, 1)]);
    assert!(all.values().all(|conversions| (conversions - 1.0).abs() < 1e-12), "{all:?}");
}

#[test]
fn no_conversions_at_all_credit_nothing() {
    let all = answers(&[(&["a", "b"], 0, 3), (&["b"], 0, 1)]);
    assert!(all.values().all(|conversions| *conversions == 0.0), "{all:?}");
}

#[test]
fn no_lost_journeys_are_enough_to_divide_orders() {
    let all = answers(&[(&["a", "b"], 6, 0), (&["b"], 2, 0), (&["c", "a", "a"], 1, 0)]);
    for channel in ["a", "b"] {
        assert!(!crediting(&all, channel).is_empty(), "{all:?}");
    }
}

#[test]
fn a_regression_that_does_not_converge_is_refused_and_writes_nothing() {
    let playground = Playground::new();
    write_sessions(&playground, &[(&["a", "b"], 6, 1), (&["b"], 2, 7), (&["a"], 1, 5)]);
    write_paths(&playground, &[(&["a", "b"], 6, 1), (&["b"], 2, 7), (&["a"], 1, 5)]);
    let before = playground.files();
    let run =
        ["run", "--sessions", "sessions.parquet", "--orders", "orders.parquet", "-o", "x.csv"];
    let paths = ["paths", "--input", "paths.csv", "-o", "x.csv"];
    for (command, model, name) in [
        (&run[..], "logistic:by=utm_source:iterations=1", "`logistic`"),
        (&run[..], "hazard:by=utm_source:iterations=1", "`hazard`"),
        (&paths[..], "logistic:iterations=1", "`logistic`"),
    ] {
        let output = playground.run(command.iter().chain(&["--model", model]));
        let (_, complaints) = said(&output);
        assert_eq!(output.status.code(), Some(2), "{complaints}");
        for part in [name, "does not converge", "in 1 iterations", "ask for more `iterations`"] {
            assert!(complaints.contains(part), "{model}: {complaints}");
        }
    }
    assert_eq!(playground.files(), before);
}

#[test]
fn what_needs_a_clock_is_refused_where_there_is_none() {
    let playground = Playground::new();
    write_paths(&playground, &[(&["a", "b"], 6, 1)]);
    let output = playground.run(["paths", "--input", "paths.csv", "--model", "hazard"]);
    let (_, complaints) = said(&output);
    assert_eq!(output.status.code(), Some(2));
    assert!(complaints.contains("it looks at when touches were"), "{complaints}");
}

#[test]
fn more_channels_than_a_model_can_take_are_refused_and_others_answer() {
    let names: Vec<String> = (0..1_001).map(|channel| format!("c{channel:04}")).collect();
    let pairs: Vec<[&str; 2]> =
        (0..names.len()).map(|at| [&*names[at], &*names[(at + 1) % names.len()]]).collect();
    let paths: Vec<Path<'_>> =
        pairs.iter().zip(0..).map(|(pair, at)| (&pair[..], u32::from(at % 2 == 0), 1)).collect();
    let playground = Playground::new();
    write_sessions(&playground, &paths);
    write_paths(&playground, &paths);
    let run = ["run", "--sessions", "sessions.parquet", "--orders", "orders.parquet", "--quiet"];
    let output = playground.run(run.iter().chain(&["--model", "logistic:by=utm_source"]));
    let (_, complaints) = said(&output);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        complaints.contains("1001 channels") && complaints.contains("`logistic`"),
        "{complaints}"
    );
    let csv = ["--format", "csv", "--quiet"];
    let asked = ["markov", "markov:order=2", "markov:order=3", "shapley:samples=1000", "hazard"];
    let asked = by_source(&asked.map(str::to_owned)).join(",");
    let all = credited(
        &playground,
        &[&run[..], &["--by", "utm_source", "--model", &asked], &csv[..2]].concat(),
        "utm_source",
    );
    let attributed = all.iter().filter(|((_, source), _)| source != "(unattributed)");
    let sum: f64 = attributed.map(|(_, conversions)| conversions).sum();
    assert!((sum - 5.0 * 501.0).abs() < 1e-6, "{sum}");
    let asked = "markov,markov:order=2,markov:removal=refit,shapley:samples=1000";
    let run = [&["paths", "--input", "paths.csv", "--model", asked], &csv[..]].concat();
    let sum: f64 = credited(&playground, &run, "channel").values().sum();
    assert!((sum - 4.0 * 501.0).abs() < 1e-6, "{sum}");
}
