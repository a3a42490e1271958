//! Laws that hold for every model of the registry and every input: value is conserved, and neither
//! threads, nor the order of rows, nor their split into files change a byte.
#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod common;

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::Path;

use apportion::bootstrap::{Bootstrap, Draws};
use apportion::config::{Config, Settings};
use apportion::diff;
use apportion::explain::{Explanation, Reason};
use apportion::journeys::ViewPolicy;
use apportion::kept::Kept;
use apportion::models::{MODELS, ask, ask_all};
use apportion::output;
use apportion::paths::{self, PathsReading, SEPARATOR, column_names, credit};
use apportion::pipeline::buckets::{
    self, BucketRun, BucketSums, Components, Concluded, Known, Pass,
};
use apportion::pipeline::{Explainer, Published, Silent, identity, run, sweep};
use apportion::report::{IdentityReport, MeasureSet, OrderMeasures};
use apportion::schema::{Kind, Table};
use arrow::array::{AsArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{Float64Type, Int64Type};
use arrow::ipc::reader::StreamReader;
use common::{Playground, parquet_from_rows};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;

/// Hours since 2024-01-01, so that instants collide often.
type Hour = u16;

#[derive(Debug, Clone)]
struct World {
    /// User, hour, source (none is direct), hour of the update, whether the id is reused.
    sessions: Vec<(u8, Hour, Option<u8>, Hour, bool)>,
    /// User, hour, price in cents, refund in cents, cancelled.
    orders: Vec<(u8, Hour, u32, u32, bool)>,
    /// From, to, hour.
    aliases: Vec<(u8, u8, Hour)>,
    /// Users with a profile that are authenticated.
    profiles: Vec<u8>,
}

fn worlds() -> impl Strategy<Value = World> {
    let session =
        (0_u8..6, 0_u16..300, prop::option::of(0_u8..4), 0_u16..300, prop::bool::weighted(0.2));
    let order = (
        0_u8..6,
        0_u16..300,
        0_u32..20_000,
        prop_oneof![3 => Just(0), 1 => 0_u32..30_000],
        prop::bool::weighted(0.15),
    );
    let alias = (0_u8..6, 0_u8..6, 0_u16..300);
    (
        prop::collection::vec(session, 0..40),
        prop::collection::vec(order, 1..12),
        prop::collection::vec(alias, 0..4),
        prop::collection::vec(0_u8..6, 0..3),
    )
        .prop_map(|(sessions, orders, aliases, profiles)| World {
            sessions,
            orders,
            aliases,
            profiles,
        })
}

fn time(hour: Hour) -> String {
    format!("2024-01-{:02}T{:02}:00:00Z", 1 + hour / 24, hour % 24)
}

fn strings<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}

/// A table as text: name, header, rows.
type Sheet = (&'static str, Vec<String>, Vec<Vec<String>>);

/// The tables of a world.
fn tables(world: &World, source: &dyn Fn(u8) -> String) -> Vec<Sheet> {
    let sessions =
        world.sessions.iter().enumerate().map(|(at, (user, hour, origin, updated, again))| {
            // A reused id is another version of the session before it.
            let id = if *again && at > 0 { at - 1 } else { at };
            vec![
                format!("s{id}"),
                format!("u{user}"),
                time(*hour),
                time((*hour).max(*updated)),
                origin.map_or(String::new(), source),
                format!("{}.{}", hour / 7, hour % 7),
                if hour % 5 == 0 { String::new() } else { (hour % 5).to_string() },
            ]
        });
    let orders =
        world.orders.iter().enumerate().map(|(at, (user, hour, price, refund, cancelled))| {
            let money = |cents: u32| format!("{}.{:02}", cents / 100, cents % 100);
            let cancelled = if *cancelled { time(*hour) } else { String::new() };
            vec![
                format!("o{at}"),
                format!("u{user}"),
                time(*hour),
                money(*price),
                money(*refund),
                cancelled,
            ]
        });
    let aliases = world
        .aliases
        .iter()
        .map(|(from, to, hour)| vec![format!("u{from}"), format!("u{to}"), time(*hour)]);
    let users = world.profiles.iter().map(|user| {
        vec![format!("u{user}"), time(0), "true".to_owned(), time(1), format!("land{}", user % 2)]
    });
    vec![
        (
            "sessions",
            strings([
                "external_id",
                "user_external_id",
                "created_at",
                "updated_at",
                "utm_source",
                "duration",
                "pageviews_count",
            ]),
            sessions.collect(),
        ),
        (
            "orders",
            strings([
                "external_id",
                "user_external_id",
                "created_at",
                "subtotal_price",
                "refunded_price",
                "cancelled_at",
            ]),
            orders.collect(),
        ),
        (
            "aliases",
            strings(["from_user_external_id", "to_user_external_id", "created_at"]),
            aliases.collect(),
        ),
        (
            "users",
            strings(["external_id", "created_at", "is_authenticated", "signed_up_at", "country"]),
            users.collect(),
        ),
    ]
}

/// Runs a world laid out as asked and returns every output's text.
struct Ran {
    published: Published,
    files: BTreeMap<&'static str, String>,
}

const OUTPUTS: [&str; 9] =
    ["report", "credits", "journeys", "orders", "persons", "identity", "ranks", "effects", "paths"];

const ROLES: [&str; 4] = ["alone", "initiator", "assisting", "closer"];

fn ran(
    world: &World,
    threads: usize,
    files: usize,
    shuffle: u64,
    source: &dyn Fn(u8) -> String,
    change: impl Fn(&mut Settings),
) -> Ran {
    let playground = Playground::new();
    let mut settings = Settings {
        threads: Some(threads),
        credits: Some(playground.path("credits.csv")),
        journeys: Some(playground.path("journeys.csv")),
        orders_report: Some(playground.path("orders.csv")),
        persons: Some(playground.path("persons.csv")),
        identity: Some(playground.path("identity.csv")),
        ..laid_out(world, &playground, files, shuffle, source)
    };
    change(&mut settings);
    let published = done(settings, threads);
    Ran { published, files: texts(&playground) }
}

/// Writes the tables of a world; returns the settings that name them, every model, and a report.
fn laid_out(
    world: &World,
    playground: &Playground,
    files: usize,
    shuffle: u64,
    source: &dyn Fn(u8) -> String,
) -> Settings {
    let mut settings = Settings {
        model: MODELS.iter().map(|entry| entry.name.to_owned()).collect(),
        currency: Some("EUR".into()),
        format: Some("csv".into()),
        output: Some(playground.path("report.csv")),
        ..Settings::default()
    };
    for (table, header, mut rows) in tables(world, source) {
        shuffled(&mut rows, shuffle);
        let mut paths = Vec::new();
        for (part, rows) in rows.chunks(rows.len().div_ceil(files).max(1)).enumerate() {
            let path = playground.path(&format!("{table}-{part}.parquet"));
            parquet_from_rows(table, &header, rows, &path);
            paths.push(path.to_str().unwrap().to_owned());
        }
        match table {
            "sessions" => settings.sessions = paths,
            "orders" => settings.orders = paths,
            "aliases" => settings.aliases = paths,
            _ => settings.users = paths,
        }
    }
    if settings.sessions.is_empty() {
        let (_, header, _) = tables(world, source).remove(0);
        parquet_from_rows("sessions", &header, &[], &playground.path("none.parquet"));
        settings.sessions = vec![playground.path("none.parquet").to_str().unwrap().to_owned()];
    }
    settings
}

fn done(settings: Settings, threads: usize) -> Published {
    pooled(settings, threads, |config| run(config, &Silent).unwrap().publish().unwrap())
}

fn pooled<T: Send>(
    settings: Settings,
    threads: usize,
    work: impl FnOnce(&Config) -> T + Send,
) -> T {
    let now = apportion::calendar::parse_instant("2030-01-01").unwrap();
    let config = Config::new(settings, now).unwrap();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| work(&config))
}

/// The models that learn nothing.
fn rules() -> Vec<String> {
    let names = MODELS.iter().map(|entry| entry.name.to_owned());
    names.filter(|name| !ask(name, &BTreeMap::new()).unwrap().model.learns()).collect()
}

/// The identity report of a world, its table, and the orders whose journey changed.
fn identified(
    world: &World,
    threads: usize,
    files: usize,
    shuffle: u64,
) -> (IdentityReport, String, String) {
    let playground = Playground::new();
    let changed = playground.path("changed.csv");
    let settings = Settings {
        changed: Some(changed.clone()),
        ..laid_out(world, &playground, files, shuffle, &plain)
    };
    let (report, _) =
        pooled(settings, threads, |config| identity(config, &Silent).unwrap().publish().unwrap());
    let text = |path: &Path| fs::read_to_string(path).unwrap();
    (report, text(&playground.path("report.csv")), text(&changed))
}

/// What a report credits, by model and source, with nothing left out that is nothing.
fn credited(
    csv: &str,
    conversions: &str,
    amount: &str,
) -> BTreeMap<(String, String), (String, String)> {
    let rows = records(csv).into_iter().filter(|row| !row[conversions].is_empty());
    let rows = rows.filter(|row| !row["utm_source"].is_empty());
    let cells = rows.map(|row| {
        let key = (row["model"].clone(), row["utm_source"].clone());
        (key, (row[conversions].clone(), row[amount].clone()))
    });
    cells.filter(|(_, (conversions, amount))| conversions != "0" || amount != "0.00").collect()
}

fn shuffled(rows: &mut [Vec<String>], seed: u64) {
    let mut state = seed;
    for at in (1..rows.len()).rev().filter(|_| seed != 0) {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        rows.swap(at, (state >> 33) as usize % (at + 1));
    }
}

/// The tables of a world as JSON items, one a line; an empty cell is an absent key.
fn items(world: &World, shuffle: u64) -> String {
    let mut lines = Vec::new();
    for (table, header, rows) in tables(world, &plain) {
        let kind = match table {
            "sessions" => "session",
            "orders" => "order",
            "aliases" => "user_alias",
            _ => "user",
        };
        for row in rows {
            let cells = header.iter().zip(&row).filter(|(_, cell)| !cell.is_empty());
            let fields: Vec<String> = cells
                .map(|(name, cell)| {
                    let kind = Table::from_name(table).unwrap().kind_of(name);
                    let bare = matches!(kind, Kind::Money | Kind::Number | Kind::Flag);
                    if bare {
                        format!("\"{name}\":{cell}")
                    } else {
                        format!("\"{name}\":\"{cell}\"")
                    }
                })
                .collect();
            let line = format!("{{\"kind\":\"{kind}\",\"{kind}\":{{{}}}}}", fields.join(","));
            lines.push(vec![line]);
        }
    }
    shuffled(&mut lines, shuffle);
    lines.concat().join("\n")
}

/// Asks for intervals, and for the ranks of lines and the effects of channels beside the credits.
fn resample(settings: &mut Settings, seed: u64) {
    settings.bootstrap = Some(70);
    settings.seed = Some(seed);
    settings.ranks = settings.credits.as_ref().map(|credits| credits.with_file_name("ranks.csv"));
    let learns = |name: &String| ask(name, &BTreeMap::new()).unwrap().model.learns();
    few_learn(settings, seed);
    if settings.model.iter().any(learns) {
        let credits = settings.credits.as_ref();
        settings.effects = credits.map(|credits| credits.with_file_name("effects.csv"));
    }
}

/// Leaves models that learn to one world in four: they learn as often as there are resamples.
fn few_learn(settings: &mut Settings, seed: u64) {
    let learns = |name: &String| ask(name, &BTreeMap::new()).unwrap().model.learns();
    settings.model.retain(|name| seed % 4 == 1 || !learns(name));
}

/// Explains every order of a run, in the order of their ids.
fn explained(settings: Settings) -> Vec<Explanation> {
    let now = apportion::calendar::parse_instant("2030-01-01").unwrap();
    let explainer = Explainer::new(Config::new(settings, now).unwrap(), &Silent).unwrap();
    let mut orders: Vec<&str> = explainer.orders().collect();
    orders.sort_unstable();
    orders.into_iter().map(|order| explainer.explain(order).unwrap()).collect()
}

/// What is wrong with explanations of orders beside the credits of their run.
fn disagreements(explanations: &[Explanation], credits: &str) -> Vec<String> {
    let mut credited: BTreeMap<(String, String), Vec<[String; 4]>> = BTreeMap::new();
    for credit in records(credits) {
        let row = ["touch_external_id", "role", "share", "amount"].map(|name| credit[name].clone());
        let key = (credit["order_external_id"].clone(), credit["model"].clone());
        credited.entry(key).or_default().push(row);
    }
    let mut wrong = Vec::new();
    for explanation in explanations {
        let order = &explanation.order;
        for model in explanation.models.iter().filter(|_| order.is_reported) {
            let told: Vec<[String; 4]> = model
                .credits
                .iter()
                .map(|credit| {
                    [
                        credit.touch_external_id.clone().unwrap_or_default(),
                        credit.role.to_owned(),
                        credit.share.to_string(),
                        credit.amount.clone(),
                    ]
                })
                .collect();
            let key = (order.order_external_id.clone(), model.model.clone());
            let written = credited.remove(&key);
            if written.as_ref() != Some(&told) {
                wrong.push(format!("{key:?}: told {told:?}, written {written:?}"));
            }
        }
        let counted = explanation.touches.iter().filter(|touch| touch.reason == Reason::Counts);
        let counted: Vec<u64> = counted.filter_map(|touch| touch.position).collect();
        for model in &explanation.models {
            let told: Vec<u64> =
                model.credits.iter().filter_map(|credit| credit.position).collect();
            if told != counted {
                wrong.push(format!("{} of {}: {told:?}", model.model, order.order_external_id));
            }
        }
    }
    wrong.extend(credited.keys().map(|key| format!("{key:?} is not told")));
    wrong
}

/// Dimensions that are of a look, of time, of the row itself, or of a number.
const BY: [&str; 6] = [
    "utm_source,channel,day",
    "channel_group,month",
    "external_id",
    "user_external_id,utm_source",
    "duration",
    "created_at,local_hour",
];

fn plain(source: u8) -> String {
    format!("source{source}")
}

fn records(csv: &str) -> Vec<BTreeMap<String, String>> {
    csv::Reader::from_reader(csv.as_bytes()).deserialize().map(|record| record.unwrap()).collect()
}

/// `-12.34` as an integer.
fn cents(text: &str) -> i128 {
    text.replace('.', "").parse().unwrap()
}

/// The rows of a CSV file as they stand.
fn rows_of(path: &Path) -> Vec<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_path(path).unwrap();
    reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect()
}

/// Does a sweep, then a run for each of its combinations: says where a result is not that of the run.
///
/// `settings` name every input, the models and the sweep; reports are written to `folder`.
fn differing_results(settings: &Settings, folder: &Path, threads: usize) -> Vec<String> {
    let now = apportion::calendar::parse_instant("2030-01-01").unwrap();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let (swept, single) = (folder.join("swept.csv"), folder.join("single.csv"));
    let of_sweep = Settings {
        output: Some(swept.clone()),
        ranges: Some(folder.join("ranges.csv")),
        decisions: Some(folder.join("decisions.csv")),
        ..settings.clone()
    };
    let config = Config::new(of_sweep, now).unwrap();
    let (report, summary) = pool.install(|| sweep(config, &Silent).unwrap().publish().unwrap());
    assert!(summary.proof.holds);
    let rows = rows_of(&swept);
    let columns = report.settings.len();
    let mut differing = Vec::new();
    let mut seen = 1;
    for tried in &report.tried {
        let mut one =
            Settings { sweep: Vec::new(), output: Some(single.clone()), ..settings.clone() };
        let mut model = tried.model.clone();
        for (setting, value) in report.settings.iter().zip(&tried.values) {
            let Some(value) = value else { continue };
            match setting.name.as_str() {
                "lookback" => one.lookback = Some(value.clone()),
                "view_lookback" => one.view_lookback = Some(value.clone()),
                "overlap" => one.overlap = Some(value == "true"),
                "direct" if value == "skip" => {
                    one.direct = Some(apportion::journeys::DirectPolicy::Skip);
                }
                "direct" => one.direct = Some(apportion::journeys::DirectPolicy::Include),
                "views" if value == "all" => one.views = Some(ViewPolicy::All),
                "views" => one.views = Some(ViewPolicy::None),
                parameter => model.push_str(&format!(":{parameter}={value}")),
            }
        }
        one.model = vec![model.clone()];
        let config = Config::new(one, now).unwrap();
        pool.install(|| run(&config, &Silent).unwrap().publish().unwrap());
        let expected = rows_of(&single);
        let values = tried.values.iter().map(|value| value.clone().unwrap_or_default());
        let values: Vec<String> = values.chain([tried.model.clone()]).collect();
        let of_result = &rows[seen..(seen + expected.len() - 1).min(rows.len())];
        let same = rows[0][columns..] == expected[0]
            && of_result.len() == expected.len() - 1
            && of_result.iter().zip(&expected[1..]).all(|(row, expected)| {
                row[..=columns] == values && row[columns + 1..] == expected[1..]
            });
        if !same {
            differing.push(format!("{values:?}: {of_result:?} is not {expected:?}"));
        }
        seen += expected.len() - 1;
    }
    if seen != rows.len() {
        differing.push(format!("{} rows, and {seen} in all runs", rows.len()));
    }
    differing
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    #[test]
    fn every_result_of_a_sweep_is_that_of_a_run_with_its_settings(world in worlds(), all in any::<bool>(), seed in 0_u64..9) {
        let playground = Playground::new();
        let settings = Settings {
            model: ["last_click", "time_decay", "markov"].map(str::to_owned).to_vec(),
            sweep: ["lookback=12h,none", "half_life=1d,3d", "direct=include,skip", "overlap=false,true"]
                .map(str::to_owned)
                .to_vec(),
            measures: all.then_some(MeasureSet::All),
            ..laid_out(&world, &playground, 2, seed, &plain)
        };
        let folder = playground.path("");
        let differing = differing_results(&settings, &folder, 2);
        prop_assert!(differing.is_empty(), "{}", differing.join("\n"));
        let of = |name: &str| fs::read(folder.join(name)).unwrap();
        let files = ["swept.csv", "ranges.csv", "decisions.csv"];
        let first = files.map(of);
        let now = apportion::calendar::parse_instant("2030-01-01").unwrap();
        let again = Settings {
            output: Some(folder.join("swept.csv")),
            ranges: Some(folder.join("ranges.csv")),
            decisions: Some(folder.join("decisions.csv")),
            sweep: settings.sweep.clone(),
            model: settings.model.clone(),
            measures: settings.measures,
            ..laid_out(&world, &playground, 1, 0, &plain)
        };
        let config = Config::new(again, now).unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        pool.install(|| sweep(config, &Silent).unwrap().publish().unwrap());
        prop_assert_eq!(first, files.map(of));
    }
}

/// Touches of one instant that a filter leaves out, and one whose later row is another person's.
#[test]
fn explanations_are_the_same_whatever_order_rows_come_in() {
    let world = World {
        sessions: vec![
            (0, 5, Some(1), 5, false),
            (0, 5, Some(1), 5, false),
            (0, 5, Some(1), 6, false),
            (0, 5, Some(2), 5, false),
            (0, 7, Some(2), 7, false),
            (1, 7, Some(3), 9, true),
        ],
        orders: vec![(0, 20, 1_000, 0, false), (1, 20, 2_000, 0, false)],
        aliases: Vec::new(),
        profiles: Vec::new(),
    };
    let explain = |files, shuffle| {
        let playground = Playground::new();
        let settings = Settings {
            where_touches: Some("utm_source <> 'source1'".into()),
            ..laid_out(&world, &playground, files, shuffle, &plain)
        };
        explained(settings)
    };
    let first = explain(1, 0);
    let reasons: Vec<Reason> = first[0].touches.iter().map(|touch| touch.reason).collect();
    assert_eq!(reasons.iter().filter(|reason| **reason == Reason::Filtered).count(), 3);
    assert_eq!(reasons.iter().filter(|reason| **reason == Reason::OtherPerson).count(), 1);
    for seed in 1..6 {
        assert_eq!(first, explain(2, seed), "shuffled by {seed}");
    }
}

/// With views, discount codes, spend, devices and exchange rates.
#[test]
fn every_result_of_a_sweep_over_the_sample_is_that_of_a_run() {
    let playground = Playground::new();
    let settings = Settings {
        model: ["linear", "time_decay"].map(str::to_owned).to_vec(),
        sweep: ["lookback=7d,90d", "views=none,all", "half_life=3d,7d"].map(str::to_owned).to_vec(),
        by: ["channel", "month"].map(str::to_owned).to_vec(),
        spend: vec!["datasets/shop/spend.parquet".into()],
        format: Some("csv".into()),
        ..Settings::default()
    };
    let full = settings.over(Settings::read(Path::new("datasets/shop/full.toml")).unwrap());
    assert!(!full.vouchers.is_empty() && !full.postviews.is_empty());
    let differing = differing_results(&full, &playground.path(""), 2);
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn credit_is_conserved_to_the_unit_under_every_model(world in worlds(), overlap in any::<bool>(), skip in any::<bool>()) {
        let ran = ran(&world, 2, 1, 0, &plain, |settings| {
            settings.overlap = Some(overlap);
            settings.direct = skip.then_some(apportion::journeys::DirectPolicy::Skip);
        });
        prop_assert!(ran.published.summary.proof.holds);
        let owed: BTreeMap<String, i128> = records(&ran.files["journeys"])
            .into_iter()
            .map(|journey| (journey["order_external_id"].clone(), cents(&journey["amount"])))
            .collect();
        let counted = world.orders.iter().filter(|order| !order.4).count();
        prop_assert_eq!(owed.len(), counted);
        let mut credited: BTreeMap<(String, String), (f64, i128)> = BTreeMap::new();
        for credit in records(&ran.files["credits"]) {
            let key = (credit["model"].clone(), credit["order_external_id"].clone());
            let share: f64 = credit["share"].parse().unwrap();
            prop_assert!((0.0..=1.0).contains(&share));
            let sum = credited.entry(key).or_default();
            sum.0 += share;
            sum.1 += cents(&credit["amount"]);
        }
        prop_assert_eq!(credited.len(), counted * MODELS.len());
        for ((model, order), (share, amount)) in credited {
            prop_assert!((share - 1.0).abs() < 1e-12, "{} {} {}", model, order, share);
            prop_assert_eq!(amount, owed[&order], "{} {}", model, order);
        }
        let mut reported: BTreeMap<String, i128> = BTreeMap::new();
        for row in records(&ran.files["report"]) {
            *reported.entry(row["model"].clone()).or_default() += cents(&row["amount"]);
        }
        for entry in MODELS {
            prop_assert_eq!(reported.get(entry.name).copied().unwrap_or(0), owed.values().sum::<i128>(), "{}", entry.name);
        }
    }

    #[test]
    fn the_causes_of_a_difference_add_up_to_it(world in worlds(), other in worlds(), seed in any::<u64>(), same in any::<bool>()) {
        let playground = Playground::new();
        let keep = |world: &World, name: &str, changed: bool| {
            let folder = playground.path(name);
            let kept = folder.clone();
            let ran = ran(world, 2, 1, 0, &plain, |settings| {
                settings.keep = Some(kept.clone());
                settings.model = ["last_click", "linear", "time_decay", "markov"].map(str::to_owned).to_vec();
                settings.overlap = (changed && seed.is_multiple_of(3)).then_some(true);
                settings.lookback = (changed && seed.is_multiple_of(2)).then(|| "2d".into());
                settings.amount = (changed && seed.is_multiple_of(5)).then(|| "refunded_price".into());
                settings.cancelled = (changed && seed.is_multiple_of(7)).then_some(apportion::config::Cancelled::Include);
                settings.from = (changed && seed.is_multiple_of(11)).then(|| "2024-01-04".into());
            });
            let mut credited: BTreeMap<(String, String), (f64, i128)> = BTreeMap::new();
            for credit in records(&ran.files["credits"]) {
                let source = if credit["touch_external_id"].is_empty() { "(unattributed)".to_owned() } else { credit["utm_source"].clone() };
                let cell = credited.entry((credit["model"].clone(), source)).or_default();
                *cell = (cell.0 + credit["share"].parse::<f64>().unwrap(), cell.1 + cents(&credit["amount"]));
            }
            (folder, credited)
        };
        // Either another world, or the same one with a row less of each table.
        let mut fewer = world.clone();
        fewer.sessions.pop();
        fewer.aliases.pop();
        let second = if same { &fewer } else { &other };
        let (before, was) = keep(&world, "before", false);
        let (after, is) = keep(second, "after", true);
        let asked = diff::Asked { by: vec!["utm_source".into()], ..diff::Asked::default() };
        let differences = diff::compare(&before, &after, &asked).unwrap();
        let mut left: BTreeMap<(String, String), (i128, i128)> = BTreeMap::new();
        for line in &differences.lines {
            let Some(values) = &line.values else { continue };
            let key = (line.model.clone(), values[0].clone());
            let part = line.part;
            if let Some(credited) = match line.step {
                diff::Step::Before => Some(&was),
                diff::Step::After => Some(&is),
                diff::Step::Cause(_) => None,
            } {
                let (conversions, amount) = credited.get(&key).copied().unwrap_or_default();
                prop_assert_eq!(part.amount, amount, "{:?} {:?}", key, line.step);
                prop_assert!((part.conversions as f64 / 1e9 - conversions).abs() < 1e-6);
            }
            let sign = if line.step == diff::Step::After { -1 } else { 1 };
            let cell = left.entry(key).or_default();
            *cell = (cell.0 + sign * part.conversions, cell.1 + sign * part.amount);
        }
        prop_assert!(left.values().all(|left| *left == (0, 0)), "{:?}", left);
        // What is credited in either run is told; a touch without credit is not.
        let something = was.iter().chain(&is).filter(|(_, credited)| **credited != (0.0, 0));
        for (key, _) in something {
            prop_assert!(left.contains_key(key), "{:?}", key);
        }
        let itself = diff::compare(&before, &before, &asked).unwrap();
        let is_cause = |line: &&diff::Line| matches!(line.step, diff::Step::Cause(_));
        prop_assert_eq!(itself.lines.iter().find(is_cause), None);
    }

    #[test]
    fn explanations_say_what_credits_say_and_leave_no_touch_out(world in worlds(), seed in 1_u64..u64::MAX, overlap in any::<bool>(), skip in any::<bool>(), some in any::<bool>(), include in any::<bool>()) {
        let change = |settings: &mut Settings| {
            settings.overlap = Some(overlap);
            settings.lookback = (seed % 2 == 0).then(|| "3d".into());
            settings.direct = skip.then_some(apportion::journeys::DirectPolicy::Skip);
            settings.cancelled = include.then_some(apportion::config::Cancelled::Include);
            settings.where_touches = some.then(|| "utm_source <> 'source1'".into());
            settings.where_orders = (seed % 3 == 0).then(|| "subtotal_price >= 20".into());
            settings.from = (seed % 5 == 0).then(|| "2024-01-05".into());
        };
        let explain = |files, shuffle| {
            let playground = Playground::new();
            let mut settings = laid_out(&world, &playground, files, shuffle, &plain);
            change(&mut settings);
            explained(settings)
        };
        let ran = ran(&world, 2, 1, 0, &plain, change);
        let explanations = explain(1, 0);
        let wrong = disagreements(&explanations, &ran.files["credits"]);
        prop_assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        prop_assert_eq!(&explanations, &explain(2, seed));
        prop_assert_eq!(explanations.len(), world.orders.len());
        let person: BTreeMap<String, String> = records(&ran.files["identity"])
            .into_iter()
            .map(|user| (user["user_external_id"].clone(), user["person"].clone()))
            .collect();
        let sheets = tables(&world, &plain);
        for explanation in &explanations {
            let of_person = sheets[0].2.iter().filter(|row| person[&row[1]] == explanation.order.person);
            for row in of_person {
                let told = explanation.touches.iter().any(|touch| touch.touch_external_id == row[0]);
                prop_assert!(told, "{} says nothing of {}", explanation.order.order_external_id, row[0]);
            }
            let text = apportion::explain::render(explanation);
            let widest = text.lines().map(|line| line.chars().count()).max().unwrap();
            prop_assert!(widest <= 80, "{}", text);
        }
    }

    #[test]
    fn threads_row_order_and_files_change_no_byte(world in worlds(), seed in 1_u64..u64::MAX) {
        let all = |settings: &mut Settings| {
            settings.measures = Some(MeasureSet::All);
            settings.from = Some("2024-01-06".into());
            settings.to = Some("2024-01-10".into());
            settings.compare = Some("previous_period".into());
        };
        let first = ran(&world, 1, 1, 0, &plain, all).files;
        for (threads, files, shuffle) in [(2, 1, 0), (8, 1, 0), (1, 1, seed), (2, 3, 0), (8, 2, seed)] {
            let other = ran(&world, threads, files, shuffle, &plain, all).files;
            prop_assert_eq!(&first, &other, "{} threads, {} files, shuffled by {}", threads, files, shuffle);
        }
    }

    #[test]
    fn threads_row_order_and_files_change_no_interval(world in worlds(), seed in 1_u64..u64::MAX, all in any::<bool>(), compared in any::<bool>()) {
        let change = |settings: &mut Settings| {
            resample(settings, seed);
            settings.measures = all.then_some(MeasureSet::All);
            settings.where_persons = (seed % 3 == 0).then(|| "orders_count > 1".into());
            if compared {
                settings.from = Some("2024-01-06".into());
                settings.to = Some("2024-01-10".into());
                settings.compare = Some("previous_period".into());
                settings.by = vec!["utm_source".into(), "day".into()];
            }
        };
        let first = ran(&world, 1, 1, 0, &plain, change).files;
        prop_assert!(!first["ranks"].is_empty());
        for (threads, files, shuffle) in [(2, 3, 0), (8, 2, seed)] {
            let other = ran(&world, threads, files, shuffle, &plain, change).files;
            prop_assert_eq!(&first, &other, "{} threads, {} files, shuffled by {}", threads, files, shuffle);
        }
    }

    #[test]
    fn intervals_are_beside_the_figures_and_change_none(world in worlds(), seed in any::<u64>(), all in any::<bool>()) {
        let change = |settings: &mut Settings| {
            settings.measures = all.then_some(MeasureSet::All);
            few_learn(settings, seed);
        };
        let plainly = records(&ran(&world, 2, 1, 0, &plain, change).files["report"]);
        let uncertain = ran(&world, 2, 1, 0, &plain, |settings| {
            change(settings);
            resample(settings, seed);
        });
        let rows = records(&uncertain.files["report"]);
        prop_assert_eq!(rows.len(), plainly.len());
        for (row, plainly) in rows.iter().zip(&plainly) {
            for (name, figure) in plainly {
                prop_assert_eq!(&row[name], figure, "{}", name);
            }
            for (name, low) in row.iter().filter(|(name, low)| name.ends_with("_low") && !low.is_empty()) {
                let high = &row[&name.replace("_low", "_high")];
                prop_assert!(low.parse::<f64>().unwrap() <= high.parse::<f64>().unwrap(), "{}", name);
            }
        }
        for pair in records(&uncertain.files["ranks"]) {
            for measure in ["conversions", "amount"] {
                let part = |name: &str| pair[&format!("{measure}_{name}")].parse::<f64>().unwrap();
                prop_assert!((0.0..=1.0).contains(&(part("above") + part("equal"))));
            }
        }
    }

    #[test]
    fn a_resample_that_counts_everybody_once_is_the_report(world in worlds(), wide in any::<bool>(), day in any::<bool>()) {
        let playground = Playground::new();
        let mut settings = laid_out(&world, &playground, 1, 0, &plain);
        resample(&mut settings, 1);
        settings.measures = Some(MeasureSet::All);
        settings.wide = Some(wide);
        settings.by = vec![if day { "day" } else { "utm_source" }.into()];
        settings.from = Some("2024-01-04".into());
        settings.to = Some("2024-01-10".into());
        settings.compare = Some("previous_period".into());
        let mut config = Config::new(settings, apportion::calendar::parse_instant("2030-01-01").unwrap()).unwrap();
        let once = |bootstrap: Bootstrap| Bootstrap { draws: Draws::Once, ..bootstrap };
        config.bootstrap = config.bootstrap.map(once);
        config.effects_bootstrap = config.effects_bootstrap.map(once);
        run(&config, &Silent).unwrap().publish().unwrap();
        for row in records(&fs::read_to_string(playground.path("report.csv")).unwrap()) {
            for (name, low) in row.iter().filter(|(name, _)| name.ends_with("_low")) {
                prop_assert_eq!(low, &row[&name.replace("_low", "_high")]);
                prop_assert_eq!(low, &row[name.strip_suffix("_low").unwrap()], "{}", name);
            }
        }
    }

    #[test]
    fn touches_read_in_the_least_space_are_those_read_whole(world in worlds(), unique in any::<bool>(), files in 1_usize..4, views in any::<bool>(), by in 0_usize..BY.len()) {
        let mut world = world;
        // Only where no id occurs twice are touches read in the least space.
        world.sessions.iter_mut().for_each(|session| session.4 &= !unique);
        let change = |settings: &mut Settings| {
            settings.measures = Some(MeasureSet::All);
            settings.by = BY[by].split(',').map(str::to_owned).collect();
            if files == 3 {
                resample(settings, 5);
            }
            settings.as_of = Some(time(250));
            settings.max_rejects = Some("100%".into());
            if views {
                settings.postviews = settings.sessions.clone();
                settings.views = Some(ViewPolicy::All);
            }
        };
        let lean = ran(&world, 2, files, 0, &plain, change);
        let whole = ran(&world, 2, files, 0, &plain, |settings| {
            change(settings);
            // A filter looks at each touch.
            settings.where_touches = Some("1 = 1".into());
        });
        prop_assert_eq!(&lean.files, &whole.files);
        prop_assert_eq!(lean.published.summary.touches, whole.published.summary.touches);
        // Credits need to know each touch, all else its look.
        let without = ran(&world, 2, files, 0, &plain, |settings| {
            change(settings);
            settings.credits = None;
        });
        for output in OUTPUTS.into_iter().filter(|output| *output != "credits") {
            prop_assert_eq!(&lean.files[output], &without.files[output]);
        }
    }

    #[test]
    fn touches_of_those_who_ordered_are_all_that_a_report_needs(world in worlds(), unique in any::<bool>(), files in 1_usize..4, views in any::<bool>(), period in any::<bool>(), by in 0_usize..BY.len(), threads in 1_usize..3) {
        let mut world = world;
        world.sessions.iter_mut().for_each(|session| session.4 &= !unique);
        let change = |settings: &mut Settings| {
            settings.by = BY[by].split(',').map(str::to_owned).collect();
            (settings.persons, settings.identity) = (None, None);
            if views {
                settings.postviews = settings.sessions.clone();
                settings.views = Some(ViewPolicy::All);
            }
            if period {
                (settings.from, settings.to) = (Some("2024-01-03".into()), Some("2024-01-09".into()));
                settings.timezone = Some("Asia/Kolkata".into());
            }
        };
        let few = ran(&world, threads, files, 0, &plain, change);
        let whole = ran(&world, 2, files, 0, &plain, |settings| {
            change(settings);
            // A filter looks at each touch.
            settings.where_touches = Some("1 = 1".into());
        });
        prop_assert_eq!(&few.files, &whole.files);
        let (few, whole) = (few.published.summary, whole.published.summary);
        prop_assert_eq!((few.touches, few.identity), (whole.touches, whole.identity));
    }

    #[test]
    fn touches_that_wait_on_disk_are_those_in_memory(world in worlds(), files in 1_usize..4, views in any::<bool>(), period in any::<bool>(), learn in any::<bool>(), shuffle in any::<u64>()) {
        let mut world = world;
        world.sessions.iter_mut().for_each(|session| session.4 = false);
        prop_assume!(!world.sessions.is_empty());
        let change = |settings: &mut Settings| {
            *settings = Settings {
                by: strings(["utm_source", "channel", "order.external_id"]),
                credits: None,
                journeys: None,
                orders_report: None,
                persons: None,
                identity: None,
                postviews: if views { settings.sessions.clone() } else { Vec::new() },
                views: views.then_some(ViewPolicy::All),
                from: period.then(|| "2024-01-03".to_owned()),
                to: period.then(|| "2024-01-09".to_owned()),
                compare: period.then(|| "previous_period".to_owned()),
                // Models that learn look at everybody, whether or not any other table knows who it is.
                model: if learn { std::mem::take(&mut settings.model) } else { rules() },
                paths: settings.credits.as_ref().filter(|_| learn).map(|credits| credits.with_file_name("paths.csv")),
                effects: settings.credits.as_ref().filter(|_| learn).map(|credits| credits.with_file_name("effects.csv")),
                ..std::mem::take(settings)
            };
        };
        // As much as touches on disk take and not what touches in memory do, see `pipeline/memory.rs`.
        let touches = world.sessions.len() * if views { 2 } else { 1 };
        let others = world.orders.len() + world.aliases.len() + world.profiles.len();
        let limit = (160 << 20) + 140 * others + 2 * touches;
        let memory = ran(&world, 2, 1, 0, &plain, change);
        let whole = ran(&world, 2, 1, 0, &plain, |settings| {
            change(settings);
            // A filter looks at each touch.
            settings.where_touches = Some("1 = 1".into());
        });
        prop_assert_eq!(&memory.files, &whole.files);
        prop_assert_eq!(learn, !memory.files["paths"].is_empty() && !memory.files["effects"].is_empty());
        for threads in [1, 2] {
            let disk = ran(&world, threads, files, shuffle, &plain, |settings| {
                change(settings);
                settings.memory_limit = Some(format!("{limit} B"));
            });
            prop_assert_eq!(&memory.files, &disk.files);
            let (memory, disk) = (&memory.published.summary, &disk.published.summary);
            prop_assert_eq!((&memory.touches, &memory.identity), (&disk.touches, &disk.identity));
            prop_assert!(memory.proof.holds && disk.proof.holds);
        }
        // One byte less is refused before anything is read.
        let playground = Playground::new();
        let mut settings = laid_out(&world, &playground, 1, 0, &plain);
        change(&mut settings);
        settings.memory_limit = Some(format!("{} B", limit - 1));
        let refused = pooled(settings, 1, |config| run(config, &Silent).err().unwrap());
        prop_assert!(refused.to_string().contains("raise the limit"), "{}", refused);
    }

    #[test]
    fn paths_say_the_effects_of_the_journeys_that_they_add_up(world in worlds(), files in 1_usize..4, shuffle in any::<u64>(), period in any::<bool>()) {
        let playground = Playground::new();
        let table = playground.path("paths.csv");
        let models = ["markov", "markov:order=3", "shapley", "markov:credits=fitted", "shapley:credits=fitted"];
        let settings = Settings {
            model: models.map(str::to_owned).into(),
            paths: Some(table.clone()),
            from: period.then(|| "2024-01-03".to_owned()),
            to: period.then(|| "2024-01-09".to_owned()),
            ..laid_out(&world, &playground, files, shuffle, &plain)
        };
        let of_run = done(settings, 2).effects.table().unwrap();
        let reading = PathsReading {
            separator: SEPARATOR.to_owned(),
            names: column_names(&[]).unwrap(),
            currency: "EUR".parse().unwrap(),
            units: None,
            transforms: Vec::new(),
        };
        let asked = ask_all(&models, &BTreeMap::new()).unwrap();
        let report = credit(&paths::read(&table, &reading).unwrap(), &asked).unwrap();
        let of_paths = report.effects.table().unwrap();
        // Orders that are fitted give channels what they are owed, where any split does.
        let differences = of_paths.column_by_name("conversions_difference").unwrap();
        let differences = differences.as_primitive::<Float64Type>();
        let of_model = of_paths.column_by_name("model").unwrap().as_string_view();
        for model in report.effects.models.iter().filter(|model| model.effects.fitting.is_some()) {
            for (name, difference) in of_model.iter().zip(differences) {
                let met = model.blocked.is_some() || difference.unwrap().abs() < 1e-5;
                prop_assert!(name != Some(model.model.as_str()) || met, "{:?} {:?}", name, difference);
            }
        }
        let columns = of_run.schema().fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>();
        // Each order is divided to the cent there, and the orders of a path together here.
        let rounded = ["credit_amount", "amount_difference"];
        for column in columns.iter().filter(|column| !rounded.contains(&column.as_str())) {
            prop_assert_eq!(of_run.column_by_name(column), of_paths.column_by_name(column), "{}", column);
        }
        // Neither the run's models, nor threads, nor the order of rows change a byte of the table.
        let again = Playground::new();
        let other = again.path("paths.csv");
        let settings = Settings {
            model: rules(),
            paths: Some(other.clone()),
            from: period.then(|| "2024-01-03".to_owned()),
            to: period.then(|| "2024-01-09".to_owned()),
            ..laid_out(&world, &again, 1, 0, &plain)
        };
        done(settings, 1);
        prop_assert_eq!(fs::read_to_string(&table).unwrap(), fs::read_to_string(&other).unwrap());
    }

    #[test]
    fn items_say_what_their_tables_say(world in worlds(), seed in any::<u64>()) {
        // A column without values is there in a table, and not in items.
        for (_, header, rows) in tables(&world, &plain) {
            prop_assume!((0..header.len()).all(|at| rows.is_empty() || rows.iter().any(|row| !row[at].is_empty())));
        }
        prop_assume!(!world.sessions.is_empty());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("items.ndjson");
        fs::write(&path, items(&world, seed)).unwrap();
        let of_tables = ran(&world, 1, 1, 0, &plain, |_| ()).files;
        let of_items = ran(&world, 2, 1, 0, &plain, |settings| {
            for tables in
                [&mut settings.sessions, &mut settings.orders, &mut settings.users, &mut settings.aliases]
            {
                tables.clear();
            }
            settings.items = vec![path.to_str().unwrap().to_owned()];
        });
        prop_assert_eq!(of_tables, of_items.files);
    }

    #[test]
    fn renaming_sources_renames_credits(world in worlds()) {
        let renamed = |source: u8| format!("renamed{source}");
        let before = ran(&world, 1, 1, 0, &plain, |_| ()).files.remove("credits").unwrap();
        let after = ran(&world, 1, 1, 0, &renamed, |_| ()).files.remove("credits").unwrap();
        prop_assert_eq!(before.replace("source0", "renamed0").replace("source1", "renamed1").replace("source2", "renamed2").replace("source3", "renamed3").replace("utm_renamed", "utm_source"), after);
    }

    #[test]
    fn roles_sum_to_the_models_credit_and_acquisition_and_retention_to_all(world in worlds()) {
        let ran = ran(&world, 2, 1, 0, &plain, |settings| settings.measures = Some(MeasureSet::All));
        for row in records(&ran.files["report"]) {
            if row["utm_source"] == "(unattributed)" {
                continue;
            }
            let number = |name: &str| row[name].parse::<f64>().unwrap();
            let close = |left: f64, right: f64| (left - right).abs() < 1e-9;
            for orders in ["", "acquisition_", "retention_"] {
                let sum = |measure: &str| ROLES.map(|role| format!("{orders}{role}{measure}"));
                let amounts: i128 = sum("_amount").iter().map(|name| cents(&row[name])).sum();
                prop_assert_eq!(amounts, cents(&row[&format!("{orders}amount")]));
                let conversions: f64 = sum("_conversions").iter().map(|name| number(name)).sum();
                let all = number(&format!("{orders}conversions"));
                prop_assert!(close(conversions, all));
                let ratios = sum("_ratio").map(|name| row[&name].parse::<f64>().unwrap_or(0.0));
                let ratios: f64 = ratios.iter().sum();
                prop_assert!(close(ratios, 1.0) || ratios == 0.0, "{}", ratios);
            }
            for role in ROLES {
                let both = number(&format!("acquisition_{role}")) + number(&format!("retention_{role}"));
                prop_assert!(close(both, number(role)));
            }
            let touches: f64 = ROLES.iter().map(|role| number(role)).sum();
            prop_assert!(close(touches, number("contributions")));
        }
    }

    #[test]
    fn a_period_beside_itself_has_not_changed(world in worlds(), wide in any::<bool>()) {
        let ran = ran(&world, 2, 1, 0, &plain, |settings| {
            settings.measures = Some(MeasureSet::All);
            settings.by = vec!["utm_source".into(), "day".into()];
            settings.wide = Some(wide);
            settings.from = Some("2024-01-03".into());
            settings.to = Some("2024-01-09".into());
            settings.compare = Some("2024-01-03..2024-01-09".into());
        });
        for file in ["report", "orders"] {
            for row in records(&ran.files[file]) {
                for (name, change) in row.iter().filter(|(name, _)| name.contains("_change")) {
                    prop_assert!(change.is_empty() || change.parse::<f64>() == Ok(0.0), "{} {}", name, change);
                    if let Some(name) = name.strip_suffix("_change") {
                        prop_assert_eq!(&row[name], &row[&format!("{name}_then")]);
                    }
                }
            }
        }
    }

    #[test]
    fn comparing_changes_nothing_of_the_period_itself(world in worlds()) {
        let period = |settings: &mut Settings| {
            settings.from = Some("2024-01-06".into());
            settings.to = Some("2024-01-10".into());
        };
        let alone = records(&ran(&world, 1, 1, 0, &plain, period).files["report"]);
        let beside = ran(&world, 1, 1, 0, &plain, |settings| {
            period(settings);
            settings.compare = Some("previous_period".into());
        });
        let then = ran(&world, 1, 1, 0, &plain, |settings| {
            settings.from = Some("2024-01-01".into());
            settings.to = Some("2024-01-05".into());
        });
        let sum = |rows: &[BTreeMap<String, String>], name: &str| -> i128 {
            rows.iter().map(|row| cents(&row[name])).sum()
        };
        let then = records(&then.files["report"]);
        let beside = records(&beside.files["report"]);
        prop_assert_eq!(sum(&beside, "amount"), sum(&alone, "amount"));
        prop_assert_eq!(sum(&beside, "amount_then"), sum(&then, "amount"));
        for row in alone {
            let same = |other: &&BTreeMap<String, String>| {
                ["model", "utm_source", "utm_medium"].iter().all(|name| other[*name] == row[*name])
            };
            let found = beside.iter().find(same).unwrap();
            for (name, value) in &row {
                prop_assert_eq!(&found[name], value, "{}", name);
            }
        }
    }

    #[test]
    fn lines_of_orders_sum_to_the_summary(world in worlds()) {
        let ran = ran(&world, 2, 1, 0, &plain, |settings| {
            settings.by = vec!["day".into(), "order.conversion_type".into()];
        });
        let rows = records(&ran.files["orders"]);
        let summary = ran.published.summary;
        let sum = |name: &str| rows.iter().map(|row| cents(&row[name])).sum::<i128>();
        let total = |of: fn(&OrderMeasures) -> i128| summary.order_measures.iter().map(of).sum::<i128>();
        prop_assert_eq!(sum("orders"), i128::from(summary.orders.counted));
        prop_assert_eq!(sum("orders"), total(|orders| orders.orders.into()));
        prop_assert_eq!(sum("attributed_orders"), i128::from(summary.orders.attributed));
        prop_assert_eq!(sum("contributions"), i128::from(summary.touches.in_journeys));
        prop_assert_eq!(sum("repeat_orders"), total(|orders| orders.repeat_orders.into()));
        prop_assert_eq!(sum("revenue"), total(|orders| cents(&orders.revenue)));
        prop_assert_eq!(sum("revenue"), summary.proof.models.iter().take(1).map(|line| cents(&line.owed)).sum::<i128>());
    }

    #[test]
    fn nothing_after_the_order_nor_before_the_lookback_earns(world in worlds(), days in 1_u16..6) {
        let ran = ran(&world, 1, 1, 0, &plain, |settings| settings.lookback = Some(format!("{days}d")));
        for credit in records(&ran.files["credits"]) {
            if let Ok(seconds) = credit["time_to_conversion"].parse::<i64>() {
                prop_assert!((0..=i64::from(days) * 86_400).contains(&seconds));
            } else {
                prop_assert_eq!(&credit["role"], "unattributed");
            }
        }
    }

    #[test]
    fn a_journey_of_one_touch_gives_it_everything(world in worlds()) {
        let ran = ran(&world, 1, 1, 0, &plain, |_| ());
        for credit in records(&ran.files["credits"]) {
            if credit["touches"] == "1" {
                prop_assert_eq!((&*credit["share"], &*credit["role"]), ("1", "alone"));
            }
        }
    }

    #[test]
    fn without_aliases_identity_changes_nothing(world in worlds()) {
        let alone = World { aliases: Vec::new(), ..world };
        let (report, table, changed) = identified(&alone, 2, 1, 0);
        for line in &report.effect.unwrap().lines {
            prop_assert_eq!(&line.with, &line.without);
        }
        prop_assert_eq!(
            credited(&table, "conversions", "amount"),
            credited(&table, "conversions_without", "amount_without")
        );
        prop_assert_eq!(records(&changed).len(), 0);
    }

    #[test]
    fn identity_moves_credit_and_makes_none(world in worlds()) {
        let (report, table, _) = identified(&world, 2, 1, 0);
        let effect = report.effect.unwrap();
        prop_assert_eq!(effect.totals(|line| &line.with), effect.totals(|line| &line.without));
        let reported = |world: &World| ran(world, 1, 1, 0, &plain, |_| ()).files.remove("report").unwrap();
        let with = credited(&table, "conversions", "amount");
        prop_assert_eq!(with, credited(&reported(&world), "conversions", "amount"));
        // Where no id has several versions, the other side is a run without aliases.
        let sessions = world.sessions.iter().map(|session| (session.0, session.1, session.2, session.3, false)).collect();
        let distinct = World { sessions, ..world };
        let without = credited(&identified(&distinct, 2, 1, 0).1, "conversions_without", "amount_without");
        let alone = World { aliases: Vec::new(), ..distinct };
        prop_assert_eq!(without, credited(&reported(&alone), "conversions", "amount"));
    }

    #[test]
    fn threads_row_order_and_files_change_no_byte_of_the_identity_report(world in worlds(), seed in 1_u64..u64::MAX) {
        let (_, table, changed) = identified(&world, 1, 1, 0);
        for (threads, files, shuffle) in [(2, 1, seed), (8, 3, 0), (2, 2, seed)] {
            let (_, other, others) = identified(&world, threads, files, shuffle);
            prop_assert_eq!((&table, &changed), (&other, &others));
        }
    }

    #[test]
    fn every_row_is_accepted_or_rejected_once(world in worlds(), clock in 0_u16..300) {
        let ran = ran(&world, 2, 2, 0, &plain, |settings| {
            settings.as_of = Some(time(clock));
            settings.max_rejects = Some("100%".into());
        });
        let summary = ran.published.summary;
        for table in &summary.tables {
            prop_assert_eq!(table.read, table.accepted + table.rejected, "{}", table.table);
        }
        prop_assert_eq!(summary.rejected, summary.rejects.iter().map(|by| by.rows).sum::<u64>());
        let orders = &summary.orders;
        prop_assert_eq!(orders.counted, orders.attributed + orders.unattributed);
        let late = world.orders.iter().filter(|order| order.1 > clock).count() as u64;
        prop_assert_eq!(orders.counted + orders.cancelled, world.orders.len() as u64 - late);
    }
}

#[test]
fn every_format_says_the_same() {
    let world = World {
        sessions: vec![
            (0, 1, Some(1), 1, false),
            (0, 5, None, 5, false),
            (1, 2, Some(2), 2, false),
        ],
        orders: vec![(0, 6, 1001, 0, false), (1, 9, 250, 400, false), (2, 3, 99, 0, false)],
        aliases: vec![(1, 0, 1)],
        profiles: vec![0],
    };
    let csv = ran(&world, 1, 1, 0, &plain, |_| ()).files.remove("credits").unwrap();
    let playground = Playground::new();
    for (format, extension) in
        [("json", "json"), ("ndjson", "jsonl"), ("parquet", "parquet"), ("arrow", "arrow")]
    {
        let path = playground.path(&format!("credits.{extension}"));
        ran(&world, 1, 1, 0, &plain, |settings| settings.credits = Some(path.clone()));
        let rows = match format {
            "json" | "ndjson" => from_json(&path),
            _ => from_arrow(&path),
        };
        assert_eq!(rows, records(&csv), "{format}");
    }
}

#[test]
fn the_explanation_of_every_order_of_the_sample_says_what_its_credits_say() {
    let playground = Playground::new();
    let full = Settings::read(Path::new("datasets/shop/full.toml")).unwrap();
    let mut settings = Settings::default().over(full);
    settings.model = rules();
    settings.model.push("logistic".into());
    settings.credits = Some(playground.path("credits.csv"));
    settings.format = Some("csv".into());
    settings.output = Some(playground.path("report.csv"));
    done(settings.clone(), 2);
    let explanations = explained(settings);
    assert!(explanations.len() > 700, "only {} orders are there", explanations.len());
    let credits = fs::read_to_string(playground.path("credits.csv")).unwrap();
    let wrong = disagreements(&explanations, &credits);
    assert!(wrong.is_empty(), "{}", wrong[..wrong.len().min(10)].join("\n"));
    for explanation in explanations {
        let text = apportion::explain::render(&explanation);
        let wide = text.lines().find(|line| line.chars().count() > 80);
        assert_eq!(wide, None, "{text}");
    }
}

/// Rows of Parquet or Arrow as the CSV would say them.
fn from_arrow(path: &Path) -> Vec<BTreeMap<String, String>> {
    let file = fs::File::open(path).unwrap();
    let batches: Vec<RecordBatch> = if path.extension().unwrap() == "parquet" {
        ParquetRecordBatchReaderBuilder::try_new(file)
            .unwrap()
            .build()
            .unwrap()
            .map(Result::unwrap)
            .collect()
    } else {
        StreamReader::try_new(file, None).unwrap().map(Result::unwrap).collect()
    };
    let rows = concat_batches(&batches[0].schema(), &batches).unwrap();
    let text = path.with_extension("again.csv");
    let sink = Box::new(fs::File::create(&text).unwrap());
    output::write(output::format("csv").unwrap(), sink, &rows).unwrap();
    records(&fs::read_to_string(text).unwrap())
}

/// JSON rows as the CSV would say them.
fn from_json(path: &Path) -> Vec<BTreeMap<String, String>> {
    let text = fs::read_to_string(path).unwrap();
    let rows: Vec<BTreeMap<String, serde_json::Value>> = if path.extension().unwrap() == "json" {
        serde_json::from_str(&text).unwrap()
    } else {
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let cell = |value: serde_json::Value| match value {
        serde_json::Value::Null => String::new(),
        serde_json::Value::String(text) => text,
        serde_json::Value::Number(number) => number.as_f64().unwrap().to_string(),
        other => other.to_string(),
    };
    rows.into_iter()
        .map(|row| row.into_iter().map(|(name, value)| (name, cell(value))).collect())
        .collect()
}

/// The tables of a world bucket by bucket: users that anything joins are in one.
fn divided(world: &World, buckets: usize, shuffle: u64) -> Vec<Vec<Sheet>> {
    let mut components = Components::default();
    let all = tables(world, &plain);
    let (mut users_of, mut joined) = (BTreeMap::<&str, &str>::new(), Vec::new());
    for (table, _, rows) in &all {
        for row in rows {
            match *table {
                "sessions" => {
                    if let Some(other) = users_of.insert(&row[0], &row[1]) {
                        joined.push((other, row[1].as_str()));
                    }
                }
                "aliases" => joined.push((&row[0], &row[1])),
                _ => {}
            }
        }
    }
    let number = |user: &str| user[1..].parse::<i64>().unwrap();
    for (left, right) in joined {
        components.join(number(left), number(right));
    }
    let component: BTreeMap<i64, i64> = components.end().collect();
    let bucket = |user: &String| {
        let user = number(user);
        let least = component.get(&user).unwrap_or(&user);
        (usize::try_from(*least).unwrap() + 3) % buckets
    };
    let of_bucket = |number: usize| {
        all.iter().map(move |(table, header, rows)| {
            let user = usize::from(matches!(*table, "sessions" | "orders"));
            let own = rows.iter().filter(|row| bucket(&row[user]) == number);
            let mut own: Vec<Vec<String>> = own.cloned().collect();
            shuffled(&mut own, shuffle);
            (*table, header.clone(), own)
        })
    };
    (0..buckets).map(|number| of_bucket(number).collect()).collect()
}

/// Does a run bucket by bucket, and every pass of it over what was written and read back.
fn in_buckets(
    world: &World,
    (buckets, shuffle): (usize, u64),
    change: impl Fn(&mut Settings),
) -> (serde_json::Value, BTreeMap<&'static str, String>) {
    let playground = Playground::new();
    let mut settings = Settings {
        credits: Some(playground.path("credits.csv")),
        journeys: Some(playground.path("journeys.csv")),
        orders_report: Some(playground.path("orders.csv")),
        persons: Some(playground.path("persons.csv")),
        identity: Some(playground.path("identity.csv")),
        ..laid_out(world, &playground, 1, 0, &plain)
    };
    change(&mut settings);
    let now = apportion::calendar::parse_instant("2030-01-01").unwrap();
    // What goes from one machine to another is text.
    let settings = Settings::from_text(&settings.to_text().unwrap()).unwrap();
    let run = BucketRun::new(Config::new(settings.clone(), now).unwrap()).unwrap();
    let runs: Vec<BucketRun> = divided(world, buckets, shuffle)
        .into_iter()
        .enumerate()
        .map(|(number, sheets)| {
            let mut settings = settings.clone();
            for (table, header, rows) in sheets {
                let path = playground.path(&format!("{table}-{number}-bucket.parquet"));
                parquet_from_rows(table, &header, &rows, &path);
                let paths = vec![path.to_str().unwrap().to_owned()];
                match table {
                    "sessions" => settings.sessions = paths,
                    "orders" => settings.orders = paths,
                    "aliases" if !settings.aliases.is_empty() => settings.aliases = paths,
                    "users" if !settings.users.is_empty() => settings.users = paths,
                    _ => {}
                }
            }
            BucketRun::new(Config::new(settings, now).unwrap()).unwrap()
        })
        .collect();
    let mut known = Known::default();
    let mut last = BucketSums::default();
    let mut passes: VecDeque<Pass> = run.passes().into();
    while let Some(pass) = passes.pop_front() {
        known = Known::from_bytes(&known.to_bytes().unwrap()).unwrap();
        let sums = |run: &BucketRun| {
            let sums = run.work(&known, pass, &|_, _| None).unwrap();
            BucketSums::from_bytes(&sums.to_bytes().unwrap()).unwrap()
        };
        let mut all: Vec<BucketSums> = runs.iter().map(sums).collect();
        if shuffle % 2 == 1 {
            all.reverse();
        }
        last = all
            .into_iter()
            .reduce(|mut left, right| {
                left.merge(right);
                left
            })
            .unwrap();
        let again;
        (known, again) = run.known_after(&known, pass, &last).unwrap();
        if again {
            passes.push_front(pass);
        }
    }
    let mut rows = buckets::Rows::new();
    for table in run.written() {
        let mut all = Vec::new();
        for run in &runs {
            run.rows(&known, table, &mut |rows| {
                all.push(rows);
                Ok(())
            })
            .unwrap();
        }
        let all = concat_batches(&all[0].schema(), &all).unwrap();
        rows.insert(table, Box::new(std::iter::once(Ok(in_order(&all)))));
    }
    let summary = match run.conclude(last, &known, rows, &Silent).unwrap() {
        Concluded::Run(finished) => finished.publish().unwrap().summary,
        Concluded::Sweep(swept) => swept.publish().unwrap().1,
    };
    (serde_json::to_value(&summary).unwrap(), texts(&playground))
}

/// The text of every output that there is.
fn texts(playground: &Playground) -> BTreeMap<&'static str, String> {
    // A page says where its run was told to write.
    let folder = playground.path("");
    let folder = folder.to_str().unwrap();
    let text = |name: &'static str| {
        let text = fs::read_to_string(playground.path(&format!("{name}.csv")));
        (name, text.unwrap_or_default().replace(folder, "FOLDER/"))
    };
    let mut all: BTreeMap<&'static str, String> = OUTPUTS.map(text).into();
    if let Ok(kept) = Kept::open(&playground.path("kept")) {
        kept.verify().unwrap();
        // Which files there are, and what each of them holds.
        all.insert("kept", serde_json::to_string_pretty(&kept.account().frames).unwrap());
    }
    all
}

/// Rows of buckets in the order of a run.
fn in_order(rows: &RecordBatch) -> RecordBatch {
    let of = |name: &str| rows.column_by_name(name).unwrap();
    let (persons, numbers) = (of(buckets::PERSON), of(buckets::ROW));
    let (persons, numbers) = (persons.as_string::<i32>(), numbers.as_primitive::<Int64Type>());
    let mut order: Vec<u32> = (0..u32::try_from(rows.num_rows()).unwrap()).collect();
    order.sort_by_key(|row| (persons.value(*row as usize), numbers.value(*row as usize)));
    take_record_batch(rows, &UInt32Array::from(order)).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, ..ProptestConfig::default() })]

    #[test]
    fn a_run_over_buckets_of_persons_is_the_run(world in worlds(), number in 1_usize..5, shuffle in any::<u64>(), overlap in any::<bool>(), all in any::<bool>(), compared in any::<bool>(), resampled in any::<bool>(), page in any::<bool>(), kept in any::<bool>(), seed in any::<u64>()) {
        let change = |settings: &mut Settings| {
            settings.overlap = Some(overlap);
            settings.measures = all.then_some(MeasureSet::All);
            settings.by = ["utm_source", "day"].map(str::to_owned).to_vec();
            if compared {
                settings.from = Some("2024-01-07".into());
                settings.to = Some("2024-01-09".into());
                settings.compare = Some("previous_period".into());
            }
            let folder = settings.output.as_ref().unwrap().parent().unwrap().to_owned();
            settings.effects = Some(folder.join("effects.csv"));
            settings.keep = kept.then(|| folder.join("kept"));
            settings.paths = (!all).then(|| folder.join("paths.csv"));
            settings.max_rejects = Some("100%".into());
            settings.format = page.then(|| "html".into()).or_else(|| settings.format.clone());
            if resampled {
                settings.effects = None;
                resample(settings, seed);
            }
        };
        let whole = ran(&world, 2, 1, 0, &plain, change);
        let (summary, parts) = in_buckets(&world, (number, shuffle), change);
        for (name, text) in &whole.files {
            prop_assert_eq!(text, &parts[name], "{}", name);
        }
        prop_assert_eq!(serde_json::to_value(&whole.published.summary).unwrap(), summary);
    }

    #[test]
    fn lines_of_few_persons_are_merged_over_buckets_as_in_a_run(world in worlds(), number in 1_usize..5, shuffle in any::<u64>(), least in 2_u64..6, by_day in any::<bool>(), learning in any::<bool>()) {
        let change = |settings: &mut Settings| {
            settings.by = ["utm_source", if by_day { "day" } else { "country" }].map(str::to_owned).to_vec();
            settings.min_persons = Some(least);
            settings.orders_report = None;
            settings.max_rejects = Some("100%".into());
            settings.model = ["linear", if learning { "markov" } else { "last_click" }].map(str::to_owned).to_vec();
        };
        let whole = ran(&world, 2, 1, 0, &plain, change);
        let (summary, parts) = in_buckets(&world, (number, shuffle), change);
        for (name, text) in &whole.files {
            prop_assert_eq!(text, &parts[name], "{}", name);
        }
        prop_assert_eq!(serde_json::to_value(&whole.published.summary).unwrap(), summary);
    }

    #[test]
    fn a_sweep_over_buckets_of_persons_is_the_sweep(world in worlds(), number in 1_usize..5, shuffle in any::<u64>()) {
        let change = |settings: &mut Settings| {
            settings.sweep = ["lookback=2d,10d", "overlap=true,false", "half_life=1d,3d"].map(str::to_owned).to_vec();
            settings.max_rejects = Some("100%".into());
            (settings.journeys, settings.orders_report, settings.credits) = (None, None, None);
            (settings.persons, settings.identity) = (None, None);
            settings.model = ["last_click", "time_decay", "markov"].map(str::to_owned).to_vec();
        };
        let playground = Playground::new();
        let mut settings = laid_out(&world, &playground, 1, 0, &plain);
        change(&mut settings);
        let now = apportion::calendar::parse_instant("2030-01-01").unwrap();
        let (_, whole) = sweep(Config::new(settings, now).unwrap(), &Silent).unwrap().publish().unwrap();
        let (summary, parts) = in_buckets(&world, (number, shuffle), change);
        prop_assert_eq!(&texts(&playground), &parts);
        prop_assert!(!parts["report"].is_empty());
        prop_assert_eq!(serde_json::to_value(&whole).unwrap(), summary);
    }
}
