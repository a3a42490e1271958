//! Intervals and ranks hold what they promise, on worlds whose truth is known.
#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod common;

use std::collections::BTreeMap;
use std::fs;

use apportion::bootstrap::{Draws, key_of};
use apportion::config::{Config, Settings};
use apportion::models::{MODELS, ask};
use apportion::pipeline::buckets::{BucketRun, Pass};
use apportion::pipeline::{Silent, run};
use apportion::report::MeasureSet;
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
            .map(|[id, user, value]| {
                // The last digit of an id is its hour.
                let hour = 10 + id.chars().last().and_then(|last| last.to_digit(10)).unwrap_or(2);
                row([id, user, &format!("2024-01-0{day}T{hour}:00:00Z"), value])
            })
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
    let text = fs::read_to_string(playground.path(name)).unwrap_or_default();
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
    reader.records().map(Result::unwrap).collect()
}

/// Whether the first row names a column.
fn has(rows: &[csv::StringRecord], name: &str) -> bool {
    rows[0].iter().any(|column| column == name)
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

/// Persons with what they touched, and what each of their orders was worth.
type Lives<'a> = Vec<(Vec<&'a str>, Vec<&'a str>)>;

/// Some persons: two in three who order do so once.
fn lives(chance: &mut Chance, persons: usize) -> Lives<'static> {
    let sources = ["ads", "bing", "mail"];
    let mut life = || {
        let touches = (0..chance.one_of([1, 2, 3])).map(|_| chance.one_of(sources)).collect();
        let orders = if chance.next() < 0.5 { chance.one_of([1, 1, 2]) } else { 0 };
        let prices = (0..orders).map(|_| chance.one_of(["19.99", "0.07", "120.00"]));
        (touches, prices.collect())
    };
    (0..persons).map(|_| life()).collect()
}

/// The sessions and orders of persons of whom each is there as often as is said, each time as another
/// person.
fn export(lives: &Lives<'_>, times: &dyn Fn(&str) -> u64) -> (Vec<[String; 3]>, Vec<[String; 3]>) {
    let (mut sessions, mut orders) = (Vec::new(), Vec::new());
    for (number, (touches, prices)) in lives.iter().enumerate() {
        let person = format!("p{number}");
        for copy in 0..times(&person) {
            let user = if copy == 0 { person.clone() } else { format!("{person}x{copy}") };
            for (at, source) in touches.iter().enumerate() {
                sessions.push([format!("{user}s{at}"), user.clone(), (*source).to_owned()]);
            }
            for (at, price) in prices.iter().enumerate() {
                orders.push([format!("{user}o{at}"), user.clone(), (*price).to_owned()]);
            }
        }
    }
    (sessions, orders)
}

/// Asks for two resamples: of each figure the one is the lower bound, and the other the upper one.
fn two_resamples(settings: &mut Settings, seed: u64) {
    settings.bootstrap = Some(2);
    settings.level = Some("0.000001".into());
    settings.seed = Some(seed);
}

/// Every model of the registry, and ways to learn that are worked out in a way of their own.
fn every_model() -> Vec<String> {
    let variants = [
        "markov:order=2:credits=fitted",
        "markov:order=auto",
        "markov:removal=refit",
        "shapley:credits=fitted",
        "logistic:credits=fitted",
    ];
    let names = MODELS.iter().map(|entry| entry.name).chain(variants);
    let by_source = |text: &str| {
        let asked = ask(text, &BTreeMap::new()).unwrap();
        match (asked.model.channels(), text.split_once(':')) {
            (None, _) => text.to_owned(),
            (Some(_), None) => format!("{text}:by=utm_source"),
            (Some(_), Some((name, rest))) => format!("{name}:by=utm_source:{rest}"),
        }
    };
    names.map(by_source).collect()
}

/// Holds bounds of two resamples to the figures of runs over their exports: every figure that is told
/// of a row in both, where a row is what these columns say.
fn agrees(
    bounds: &[csv::StringRecord],
    copies: &[Vec<csv::StringRecord>],
    keys: &[&str],
    figures: &[&str],
) {
    let mut compared = 0;
    for row in &bounds[1..] {
        let is_row = |of: &[csv::StringRecord], other: &csv::StringRecord| {
            keys.iter().all(|key| text(of, other, key) == text(bounds, row, key))
        };
        for name in figures {
            let found = |copy: &Vec<csv::StringRecord>| {
                let line = copy[1..].iter().find(|other| is_row(copy, other))?;
                text(copy, line, name).parse::<f64>().ok()
            };
            let found: Vec<Option<f64>> = copies.iter().map(found).collect();
            let bound = |end: &str| text(bounds, row, &format!("{name}_{end}")).parse::<f64>().ok();
            let (Some(first), Some(second)) = (found[0], found[1]) else { continue };
            let low = bound("low").expect("a figure has bounds");
            let high = bound("high").expect("a figure has bounds");
            assert!((low - first.min(second)).abs() < 1e-9, "{name}: {low} {found:?} {row:?}");
            assert!((high - first.max(second)).abs() < 1e-9, "{name}: {high} {found:?} {row:?}");
            compared += 1;
        }
    }
    assert!(compared > 5 * bounds.len(), "{compared} figures are told in both");
}

#[test]
fn bounds_of_effects_are_what_models_learn_from_persons_that_are_there_more_often() {
    const SEED: u64 = 11;
    let lives = lives(&mut Chance(3), 60);
    let learns = |name: &String| ask(name, &BTreeMap::new()).unwrap().model.learns();
    let models: Vec<String> = every_model().into_iter().filter(learns).collect();
    let (sessions, orders) = export(&lives, &|_| 1);
    let bounds = effects(&sessions, &orders, |settings| {
        settings.model = models.clone();
        two_resamples(settings, SEED);
    });
    let draws = Draws::Poisson { seed: SEED };
    let copied = [1, 2].map(|resample| {
        let (sessions, orders) = export(&lives, &|person| draws.times(key_of(person), resample));
        effects(&sessions, &orders, |settings| settings.model = models.clone())
    });
    assert_eq!(bounds.len(), 1 + models.len() * 3);
    let figures = [
        "removal_effect",
        "shapley_value",
        "coefficient",
        "strength",
        "half_life",
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
    ];
    agrees(&bounds, &copied, &["model", "channel"], &figures);
}

#[test]
fn bounds_of_the_report_are_those_of_runs_over_persons_that_are_there_more_often() {
    for (seed, by, measures) in [
        (11, &["utm_source"][..], MeasureSet::Usual),
        (12, &["utm_source"], MeasureSet::All),
        (13, &["none"], MeasureSet::Usual),
        (14, &["utm_source", "day"], MeasureSet::Usual),
    ] {
        let lives = lives(&mut Chance(seed), 60);
        let models = every_model();
        let change = |settings: &mut Settings| {
            settings.model = models.clone();
            settings.measures = Some(measures);
            settings.by = by.iter().map(|name| (*name).to_owned()).collect();
            settings.overlap = Some(seed % 2 == 0);
        };
        let (sessions, orders) = export(&lives, &|_| 1);
        let [bounds, _] = ran(&sessions, &orders, |settings| {
            change(settings);
            two_resamples(settings, seed);
        });
        let draws = Draws::Poisson { seed };
        let copied = [1, 2].map(|resample| {
            let times = |person: &str| draws.times(key_of(person), resample);
            let (sessions, orders) = export(&lives, &times);
            let [report, _] = ran(&sessions, &orders, |settings| {
                change(settings);
                settings.ranks = None;
            });
            report
        });
        let keys: Vec<&str> =
            ["model", "utm_source", "day"].into_iter().filter(|key| has(&bounds, key)).collect();
        let figures: Vec<&str> = bounds[0]
            .iter()
            .filter(|name| has(&bounds, &format!("{name}_low")) && !name.ends_with("_error"))
            .collect();
        assert!(figures.contains(&"acquisition_amount") && figures.contains(&"amount_share"));
        agrees(&bounds, &copied, &keys, &figures);
    }
}

#[test]
fn models_that_learn_are_not_resampled_where_touches_have_to_wait_on_disk() {
    let (sessions, orders) = export(&lives(&mut Chance(5), 60), &|_| 1);
    // What touches on disk take, and not what they do in memory: see `pipeline/memory.rs`.
    let limit = (160 << 20) + 140 * orders.len() + 2 * sessions.len();
    let change = |settings: &mut Settings, model: &str| {
        settings.model = vec![model.into()];
        settings.by = vec!["utm_source".into()];
        settings.memory_limit = Some(format!("{limit} B"));
    };
    let playground = Playground::new();
    let mut settings = laid_out(&playground, &sessions, &orders);
    change(&mut settings, "markov:by=utm_source");
    done(settings.clone());
    settings.bootstrap = Some(40);
    let now = apportion::calendar::parse_instant("2030-01-01").unwrap();
    let refused = run(&Config::new(settings, now).unwrap(), &Silent).map(drop).unwrap_err();
    let why = refused.to_string();
    assert!(why.contains("`--memory-limit` cannot be") && why.contains("learn anew"), "{why}");
}

#[test]
fn what_buckets_are_asked_for_says_what_passes_they_take() {
    let playground = Playground::new();
    let (sessions, orders) = export(&lives(&mut Chance(5), 6), &|_| 1);
    let settings = laid_out(&playground, &sessions, &orders);
    let now = apportion::calendar::parse_instant("2030-01-01").unwrap();
    let bucket = |change: &dyn Fn(&mut Settings)| {
        let mut settings = settings.clone();
        settings.model = vec!["linear".to_owned()];
        change(&mut settings);
        BucketRun::new(Config::new(settings, now).unwrap())
    };
    let passes = |change: &dyn Fn(&mut Settings)| bucket(change).unwrap().passes();
    let learning = |settings: &mut Settings| {
        settings.model = vec!["markov:by=utm_source".to_owned()];
        settings.bootstrap = Some(40);
    };
    assert_eq!(passes(&|settings| settings.bootstrap = Some(40)), [Pass::Attribute]);
    assert_eq!(passes(&learning), [Pass::Look, Pass::Learn, Pass::Attribute]);
    assert_eq!(passes(&|settings| settings.min_persons = Some(3)), [Pass::Merge, Pass::Attribute]);
    // What has changed in a store's files is not known of rows alone.
    let stored = |settings: &mut Settings| settings.store = Some(playground.path("store"));
    let why = bucket(&stored).map(drop).unwrap_err().to_string();
    assert!(why.starts_with("`--store` looks for what has changed in files"), "{why}");
    assert!(!playground.path("store").exists());
}

#[test]
fn resamples_that_teach_nothing_are_counted_and_said() {
    // Two of ten persons order, so that a resample has none with a probability of e^-2.
    let of = |at: usize| (format!("p{at}"), if at.is_multiple_of(2) { "ads" } else { "bing" });
    let session = |at: usize| {
        let (user, source) = of(at);
        [format!("{user}s0"), user, source.to_owned()]
    };
    let sessions: Vec<[String; 3]> = (0..10).map(session).collect();
    let orders = ["p0", "p1"].map(|user| [format!("{user}o0"), user.into(), "10.00".into()]);
    let playground = Playground::new();
    let models = ["linear", "markov:by=utm_source"].map(str::to_owned);
    let settings = Settings {
        model: models.to_vec(),
        bootstrap: Some(2_000),
        ..laid_out(&playground, &sessions, &orders)
    };
    let now = apportion::calendar::parse_instant("2030-01-01").unwrap();
    let published = run(&Config::new(settings, now).unwrap(), &Silent).unwrap().publish().unwrap();
    let [learnt] = &published.summary.learnt_anew[..] else { panic!("one model learns") };
    assert_eq!((learnt.model.as_str(), learnt.not_worked_out), ("markov:by=utm_source", 0));
    let (expected, found) = (2_000.0 * (-2.0_f64).exp(), learnt.without_orders as f64);
    // Five standard errors of a part of 0.135 of 2,000.
    assert!((found - expected).abs() < 5.0 * (2_000.0 * 0.135 * 0.865_f64).sqrt(), "{found}");
    let warned = format!("in {found} of 2000 resamples no journey ended in an order");
    let warnings = &published.summary.warnings;
    assert!(warnings.iter().any(|warning| warning.starts_with(&warned)), "{warnings:?}");
    // There neither of the two has anything, whichever model divides it.
    let report = written(&playground, "report.csv");
    assert!(report[1..].iter().all(|row| text(&report, row, "conversions_low") == "0"));
}

#[test]
fn a_model_that_does_not_converge_in_some_resamples_has_the_bounds_of_the_others() {
    let lives = lives(&mut Chance(7), 60);
    let (sessions, orders) = export(&lives, &|_| 1);
    let enough = "logistic:by=utm_source:penalty=0.01".to_owned();
    let playground = Playground::new();
    let now = apportion::calendar::parse_instant("2030-01-01").unwrap();
    // As many iterations as the data themselves take, and no more.
    let converges = |few: &String| {
        let plain = laid_out(&playground, &sessions, &orders);
        let settings = Settings { model: vec![few.clone()], ..plain };
        run(&Config::new(settings, now).unwrap(), &Silent).is_ok()
    };
    let few = (1..100).map(|most| format!("{enough}:iterations={most}")).find(converges).unwrap();
    let models = ["linear".to_owned(), enough.clone(), few.clone()];
    let settings = |models: &[String]| Settings {
        model: models.to_vec(),
        bootstrap: Some(199),
        ranks: Some(playground.path("ranks.csv")),
        effects: Some(playground.path("effects.csv")),
        ..laid_out(&playground, &sessions, &orders)
    };
    let ran = |models: &[String]| {
        let config = Config::new(settings(models), now).unwrap();
        run(&config, &Silent).unwrap().publish().unwrap().summary
    };
    let summary = ran(&models);
    let [all, some] = &summary.learnt_anew[..] else { panic!("two models learn") };
    assert_eq!(all.not_worked_out, 0);
    // More than lie beyond a bound, so that these would show in it.
    assert!((10..150).contains(&some.not_worked_out), "{some:?}");
    let warned = format!("`{few}` cannot be worked out in {} of 199", some.not_worked_out);
    let warning = summary.warnings.iter().find(|warning| warning.starts_with(&warned)).unwrap();
    assert!(warning.contains("does not converge"), "{warning}");
    let tables =
        || ["report.csv", "ranks.csv", "effects.csv"].map(|name| written(&playground, name));
    let of = |table: &[csv::StringRecord], model: &str| -> Vec<csv::StringRecord> {
        table.iter().filter(|row| &row[0] == model).cloned().collect()
    };
    let with = tables();
    for (table, figures) in with.iter().zip([
        &["conversions_low", "amount_low"][..],
        &["conversions_above"],
        &["credit_conversions_low", "touches_low"],
    ]) {
        let rows = of(table, &few);
        assert!(!rows.is_empty() && rows.len() == of(table, &enough).len());
        for (row, figure) in rows.iter().flat_map(|row| figures.iter().map(move |of| (row, of))) {
            assert!(number(table, row, figure) > 0.0, "{figure}: {row:?}");
        }
    }
    for row in of(&with[1], &few) {
        // Had these nothing, both lines would have as much.
        assert!(number(&with[1], &row, "conversions_equal") < 0.03, "{row:?}");
    }
    // What is asked for beside it changes nothing of the others.
    ran(&models[..2]);
    for (with, without) in with.iter().zip(&tables()) {
        for model in &models[..2] {
            assert_eq!(of(with, model), of(without, model));
        }
    }
}
