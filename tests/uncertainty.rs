//! Intervals and ranks hold what they promise, on worlds whose truth is known.
#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod common;

use std::fs;

use apportion::bootstrap::{Draws, key_of};
use apportion::config::{Config, Settings};
use apportion::pipeline::{Silent, run};
use common::{Playground, parquet_from_rows};

/// Numbers between 0 and 1 that are the same in every run.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> f64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / 2.0_f64.powi(53)
    }

    /// One of three, each as likely.
    fn one_of<T>(&mut self, [first, second, third]: [T; 3]) -> T {
        match self.next() {
            chance if chance < 1.0 / 3.0 => first,
            chance if chance < 2.0 / 3.0 => second,
            _ => third,
        }
    }

    /// A number of a Poisson distribution, by multiplying until it falls below e^-mean (Knuth).
    fn poisson(&mut self, mean: f64) -> usize {
        let (limit, mut product) = ((-mean).exp(), self.next());
        let mut number = 0;
        while product > limit {
            product *= self.next();
            number += 1;
        }
        number
    }
}

fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}

/// Writes sessions (id, user, source) and orders (id, user, price), the orders a day after, and runs
/// them; returns the report and what `--ranks` wrote.
fn ran(
    sessions: &[[String; 3]],
    orders: &[[String; 3]],
    change: impl FnOnce(&mut Settings),
) -> [Vec<csv::StringRecord>; 2] {
    let playground = Playground::new();
    let mut settings = Settings {
        ranks: Some(playground.path("ranks.csv")),
        ..laid_out(&playground, sessions, orders)
    };
    change(&mut settings);
    done(settings);
    ["report.csv", "ranks.csv"].map(|name| written(&playground, name))
}

/// What `--effects` wrote of the same.
fn effects(
    sessions: &[[String; 3]],
    orders: &[[String; 3]],
    change: impl FnOnce(&mut Settings),
) -> Vec<csv::StringRecord> {
    let playground = Playground::new();
    let mut settings = Settings {
        effects: Some(playground.path("effects.csv")),
        ..laid_out(&playground, sessions, orders)
    };
    change(&mut settings);
    done(settings);
    written(&playground, "effects.csv")
}

fn laid_out(playground: &Playground, sessions: &[[String; 3]], orders: &[[String; 3]]) -> Settings {
    let write = |table: &'static str, last: &str, day: &str, rows: &[[String; 3]]| {
        let header = row(["external_id", "user_external_id", "created_at", last]);
        let rows: Vec<Vec<String>> = rows
            .iter()
            .map(|[id, user, value]| row([id, user, &format!("2024-01-0{day}T12:00:00Z"), value]))
            .collect();
        let path = playground.path(&format!("{table}.parquet"));
        parquet_from_rows(table, &header, &rows, &path);
        vec![path.to_str().unwrap().to_owned()]
    };
    Settings {
        sessions: write("sessions", "utm_source", "1", sessions),
        orders: write("orders", "subtotal_price", "2", orders),
        model: vec!["linear".into()],
        by: vec!["utm_source".into()],
        output: Some(playground.path("report.csv")),
        ..Settings::default()
    }
}

fn done(settings: Settings) {
    let now = apportion::calendar::parse_instant("2030-01-01").unwrap();
    run(&Config::new(settings, now).unwrap(), &Silent).unwrap().publish().unwrap();
}

fn written(playground: &Playground, name: &str) -> Vec<csv::StringRecord> {
    let text = fs::read_to_string(playground.path(name)).unwrap();
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
    reader.records().map(Result::unwrap).collect()
}

/// The text of a row in a column that the first row names.
fn text<'a>(rows: &[csv::StringRecord], row: &'a csv::StringRecord, name: &str) -> &'a str {
    &row[rows[0].iter().position(|column| column == name).unwrap()]
}

/// The number of a row in a column that the first row names.
fn number(rows: &[csv::StringRecord], row: &csv::StringRecord, name: &str) -> f64 {
    text(rows, row, name).parse().unwrap()
}

#[test]
fn intervals_of_ninety_percent_hold_the_truth_in_about_ninety_of_a_hundred_worlds() {
    const WORLDS: usize = 200;
    let mut chance = Chance(20_240_101);
    let (mut sessions, mut orders) = (Vec::new(), Vec::new());
    for world in 0..WORLDS {
        // On average 80 persons come, make two sessions each, and three in ten order for 30.00.
        for person in 0..chance.poisson(80.0) {
            let user = format!("w{world}p{person}");
            for session in 0..chance.one_of([1, 2, 3]) {
                sessions.push([format!("{user}s{session}"), user.clone(), format!("w{world:03}")]);
            }
            if chance.next() < 0.3 {
                let price = chance.one_of(["10.00", "20.00", "60.00"]);
                orders.push([format!("{user}o"), user.clone(), price.to_owned()]);
            }
        }
    }
    // Each world is a line of one report: no two lines have a person in common.
    let [report, _] = ran(&sessions, &orders, |settings| {
        settings.bootstrap = Some(400);
        settings.level = Some("90%".into());
    });
    assert_eq!(report.len(), 1 + WORLDS);
    for (figure, truth) in [
        ("conversions", 80.0 * 0.3),
        ("amount", 80.0 * 0.3 * 30.0),
        ("sessions", 80.0 * 2.0),
        ("conversion_rate", 0.3 / 2.0),
    ] {
        let holds = |row: &&csv::StringRecord| {
            let bound = |end: &str| number(&report, row, &format!("{figure}_{end}"));
            (bound("low")..=bound("high")).contains(&truth)
        };
        let held = report[1..].iter().filter(holds).count();
        // 84 to 96 of a hundred: 2.8 standard errors of 200 worlds to either side.
        assert!((168..=192).contains(&held), "{figure} is held {held} times of {WORLDS}");
    }
}

#[test]
fn two_sources_of_one_person_each_rank_as_two_poisson_numbers_do() {
    let of = |source: &str| [format!("s{source}"), format!("u{source}"), source.to_owned()];
    let order = |source: &str| [format!("o{source}"), format!("u{source}"), "10.00".to_owned()];
    let sources = ["bing", "google"];
    let [_, ranks] = ran(&sources.map(of), &sources.map(order), |settings| {
        settings.bootstrap = Some(20_000);
    });
    assert_eq!(ranks.len(), 2, "one pair");
    // Two numbers of mean one are equal with probability e^-2 (1/0!^2 + 1/1!^2 + 1/2!^2 + ...).
    let (mut equal, mut factorial) = (0.0, 1.0);
    for k in 1..20 {
        equal += (-2.0_f64).exp() / (factorial * factorial);
        factorial *= f64::from(k);
    }
    assert!((equal - 0.308_508).abs() < 1e-6);
    // Five standard errors of a probability near a third.
    let error = 5.0 * (0.25 / 20_000.0_f64).sqrt();
    for measure in ["conversions", "amount"] {
        let found = |name: &str| number(&ranks, &ranks[1], &format!("{measure}_{name}"));
        assert!((found("equal") - equal).abs() < error);
        assert!((found("above") - (1.0 - equal) / 2.0).abs() < error);
    }
}

#[test]
fn a_source_of_the_same_persons_ranks_above_for_certain_however_wide_the_intervals() {
    // Everybody comes from google twice and from bing once: each order is 2/3 and 1/3 theirs.
    let (mut sessions, mut orders) = (Vec::new(), Vec::new());
    for person in 0..20 {
        let user = format!("u{person}");
        for (at, source) in ["google", "google", "bing"].iter().enumerate() {
            sessions.push([format!("{user}s{at}"), user.clone(), (*source).to_owned()]);
        }
        orders.push([format!("{user}o"), user.clone(), "9.00".to_owned()]);
    }
    let [report, ranks] = ran(&sessions, &orders, |settings| settings.bootstrap = Some(300));
    let bound = |row: usize, name: &str| number(&report, &report[row], name);
    assert!(bound(1, "amount_low") < bound(2, "amount_high"), "the intervals overlap");
    assert_eq!(text(&ranks, &ranks[1], "amount_above"), "1");
    let share = |end: &str| text(&report, &report[1], &format!("amount_share_{end}"));
    assert_eq!(share("low"), share("high"));
}

#[test]
fn a_robot_whose_orders_are_worked_on_apart_is_one_person_in_every_resample() {
    // 1,500 touches for each of 1,500 orders: more than one partition of a person.
    let of = |at: usize| format!("{at:04}");
    let sessions: Vec<[String; 3]> =
        (0..1_500).map(|at| [of(at), "robot".to_owned(), "bing".to_owned()]).collect();
    let orders: Vec<[String; 3]> =
        (0..1_500).map(|at| [of(at), "robot".to_owned(), "1.00".to_owned()]).collect();
    let [report, _] = ran(&sessions, &orders, |settings| {
        settings.bootstrap = Some(99);
        settings.overlap = Some(true);
        settings.model = vec!["last_click".into()];
    });
    for end in ["low", "high"] {
        let figure = |name: &str| number(&report, &report[1], &format!("{name}_{end}"));
        let times = figure("persons");
        assert!(times <= 12.0, "{times}");
        assert_eq!(figure("orders").to_bits(), (1_500.0 * times).to_bits());
        assert_eq!(figure("amount").to_bits(), (1_500.0 * times).to_bits());
        assert_eq!(figure("sessions").to_bits(), (1_500.0 * times).to_bits());
    }
}

#[test]
fn bounds_of_effects_are_what_models_learn_from_persons_that_are_there_more_often() {
    const SEED: u64 = 11;
    let mut chance = Chance(3);
    let sources = ["ads", "bing", "mail"];
    let persons: Vec<(Vec<&str>, bool)> = (0..60)
        .map(|_| {
            let touches = (0..chance.one_of([1, 2, 3])).map(|_| chance.one_of(sources)).collect();
            (touches, chance.next() < 0.5)
        })
        .collect();
    // Everybody as often as is said, each time as another person.
    let of = |times: &dyn Fn(&str) -> u64| {
        let (mut sessions, mut orders) = (Vec::new(), Vec::new());
        for (number, (touches, ordered)) in persons.iter().enumerate() {
            let person = format!("p{number}");
            for copy in 0..times(&person) {
                let user = if copy == 0 { person.clone() } else { format!("{person}x{copy}") };
                for (at, source) in touches.iter().enumerate() {
                    sessions.push([format!("{user}s{at}"), user.clone(), (*source).to_owned()]);
                }
                if *ordered {
                    orders.push([format!("{user}o"), user, "19.99".to_owned()]);
                }
            }
        }
        (sessions, orders)
    };
    let models = [
        "markov:by=utm_source",
        "markov:by=utm_source:order=2:credits=fitted",
        "shapley:by=utm_source",
        "logistic:by=utm_source",
    ];
    let models = models.map(str::to_owned).to_vec();
    let (sessions, orders) = of(&|_| 1);
    // Of two resamples the one is the lower bound, and the other the upper one.
    let bounds = effects(&sessions, &orders, |settings| {
        settings.model = models.clone();
        settings.bootstrap = Some(2);
        settings.level = Some("0.000001".into());
        settings.seed = Some(SEED);
    });
    let draws = Draws::Poisson { seed: SEED };
    let copied: Vec<Vec<csv::StringRecord>> = (1..=2)
        .map(|resample| {
            let (sessions, orders) = of(&|person| draws.times(key_of(person), resample));
            effects(&sessions, &orders, |settings| settings.model = models.clone())
        })
        .collect();
    assert_eq!(bounds.len(), 1 + models.len() * sources.len());
    for row in &bounds[1..] {
        for name in [
            "removal_effect",
            "shapley_value",
            "coefficient",
            "effect_share",
            "effect_conversions",
            "effect_amount",
            "credit_conversions",
            "credit_amount",
            "conversions_difference",
            "amount_difference",
            "touches",
            "orders",
            "journeys",
        ] {
            let same = |other: &&csv::StringRecord| other[0] == row[0] && other[1] == row[1];
            let found = |copy: &Vec<csv::StringRecord>| {
                let line = copy.iter().find(same).expect("every source is in either");
                text(copy, line, name).parse::<f64>().ok()
            };
            let found: Vec<Option<f64>> = copied.iter().map(found).collect();
            let bound =
                |end: &str| text(&bounds, row, &format!("{name}_{end}")).parse::<f64>().ok();
            let (Some(first), Some(second)) = (found[0], found[1]) else {
                assert_eq!(text(&bounds, row, name), "", "{name}");
                continue;
            };
            let low = bound("low").expect("a figure has bounds");
            let high = bound("high").expect("a figure has bounds");
            assert!((low - first.min(second)).abs() < 1e-9, "{name}: {low} {found:?}");
            assert!((high - first.max(second)).abs() < 1e-9, "{name}: {high} {found:?}");
        }
    }
}
