use std::collections::BTreeMap;

use arrow::array::AsArray;
use arrow::compute::{concat_batches, sum};
use arrow::datatypes::{Decimal128Type, Float64Type, UInt64Type};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rayon::ThreadPoolBuilder;

use super::*;
use crate::pipeline::Silent;

fn plan(size: Size) -> Plan {
    Plan::new(World::read(None).unwrap(), size).unwrap()
}

/// The shop of the examples: a world with everything that worlds can have.
fn shop() -> World {
    World::read(Some(Path::new("datasets/shop/world.toml"))).unwrap()
}

fn shop_plan(size: Size) -> Plan {
    Plan::new(shop(), size).unwrap()
}

fn small() -> Size {
    Size { sessions: 6_000, orders: 500, persons: 900, seed: 11, ..Size::default() }
}

/// The bytes of every file of a world.
fn bytes(plan: &Plan, persons: u64, threads: usize) -> BTreeMap<String, Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let made = pool.install(|| simulate_by(plan, folder.path(), persons, &Silent));
    made.unwrap().publish().unwrap();
    let files = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    files
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read(path).unwrap())
        })
        .collect()
}

fn rows(folder: &Path, name: &str) -> RecordBatch {
    let file = fs::File::open(folder.join(format!("{name}.parquet"))).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let schema = std::sync::Arc::clone(reader.schema());
    let batches: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
    concat_batches(&schema, &batches).unwrap()
}

#[test]
fn neither_threads_nor_how_many_persons_live_at_a_time_change_a_byte() {
    let size = Size { late: 0.1, stubs: 0.2, refunds: 0.1, ..small() };
    let one = bytes(&plan(size.clone()), PERSONS, 1);
    assert_eq!(one.len(), 9);
    for (persons, threads) in [(PERSONS, 2), (1, 2), (37, 1)] {
        let other = bytes(&plan(size.clone()), persons, threads);
        let differing: Vec<&String> = one
            .iter()
            .filter(|(name, bytes)| other[*name] != **bytes)
            .map(|(name, _)| name)
            .collect();
        assert!(differing.is_empty(), "{persons} persons, {threads} threads: {differing:?}");
    }
    assert_ne!(
        one["sessions.parquet"],
        bytes(&plan(Size { seed: 12, ..size }), 37, 2)["sessions.parquet"]
    );
    let size = Size { late: 0.1, stubs: 0.2, refunds: 0.1, ..small() };
    let full = shop_plan(Size { full: true, unjoined: 0.2, cancellations: 0.1, ..size });
    let one = bytes(&full, PERSONS, 1);
    assert_eq!(one.len(), 11);
    assert!(one == bytes(&full, 37, 2));
}

#[test]
fn views_leave_interest_and_nothing_else() {
    let size = small();
    let world = shop();
    let without = World {
        channels: world
            .channels
            .iter()
            .map(|channel| Channel { views: 0.0, ..channel.clone() })
            .collect(),
        ..world.clone()
    };
    let seen = Plan::new(world, size.clone()).unwrap();
    let mut unseen = Plan::new(without, size).unwrap();
    // More interest for as many orders: each visit does less by itself.
    assert!(seen.scale < unseen.scale);
    unseen.scale = seen.scale;
    let lived = Lived::new(&seen, 0, seen.size.persons);
    let lived_without = Lived::new(&unseen, 0, unseen.size.persons);
    let views = lived.persons.iter().map(|person| person.views.len()).sum::<usize>();
    assert!(views > 1_000 && lived_without.persons.iter().all(|person| person.views.is_empty()));
    let visits = |lived: &Lived| -> Vec<(i64, u8)> {
        let visits = lived.persons.iter().flat_map(|person| &person.visits);
        visits.filter(|visit| !visit.decided).map(|visit| (visit.at, visit.channel)).collect()
    };
    assert_eq!(visits(&lived), visits(&lived_without));
    let all = |lived: &Lived| lived.truth.conversions().iter().sum::<f64>();
    assert!(all(&lived) > 1.02 * all(&lived_without));
    // What films on the screen do is owed to them.
    let film = |plan: &Plan, lived: &Lived| {
        let at = plan.world.channels.iter().position(|one| one.source() == "youtube").unwrap();
        lived.truth.conversions()[at]
    };
    assert!(film(&seen, &lived) > 1.2 * film(&unseen, &lived_without));
}

#[test]
fn traffic_follows_the_months_and_the_days_of_the_week() {
    let plan = shop_plan(Size { sessions: 40_000, persons: 8_000, orders: 500, ..Size::default() });
    let lived = Lived::new(&plan, 0, plan.size.persons);
    let mut months = [0.0; 12];
    let mut weekdays = [0.0; 7];
    for visit in lived.persons.iter().flat_map(|person| &person.visits) {
        let day = plan.days().nth(plan.day(visit.at)).unwrap();
        months[chrono::Datelike::month0(&day) as usize] += 1.0;
        let weekday = chrono::Datelike::weekday(&day).num_days_from_monday();
        weekdays[weekday as usize] += 1.0;
    }
    // November is stronger than August by 1.35 to 0.85, and has a day less.
    let ratio: f64 = months[10] / months[7];
    assert!((ratio / (1.35 / 0.85 * 30.0 / 31.0) - 1.0).abs() < 0.15, "{ratio}");
    let ratio: f64 = weekdays[6] / weekdays[4];
    assert!((ratio / (1.12 / 0.92) - 1.0).abs() < 0.1, "{ratio}");
    assert!((plan.by_the_season(plan.period.0 as f64) - plan.period.0 as f64).abs() < 1.0);
    assert!(plan.by_the_season(plan.period.1 as f64) <= plan.period.1 as f64);
}

#[test]
fn codes_and_lost_origins_say_what_the_channel_did() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = shop();
    let podcast = |channel: &&mut Channel| channel.source() == "podcast";
    world.channels.iter_mut().find(podcast).unwrap().typed = 0.85;
    let size = Size { sessions: 20_000, orders: 2_000, persons: 4_000, ..small() };
    let plan = Plan::new(world, size).unwrap();
    simulate(&plan, folder.path(), &Silent).unwrap().publish().unwrap();
    let truth = rows(folder.path(), "truth");
    let sources = truth["utm_source"].as_string_view();
    let podcast = sources.iter().position(|source| source == Some("podcast")).unwrap();
    let of = |name: &str| truth[name].as_primitive::<UInt64Type>().value(podcast) as f64;
    let sessions = rows(folder.path(), "sessions");
    let told = sessions["utm_source"].as_string::<i32>();
    let told = told.iter().filter(|source| *source == Some("podcast")).count() as f64;
    // 15 of 100 visits keep their origin, and 60 of 100 orders have the code.
    assert!((told / of("sessions") - 0.15).abs() < 0.05, "{told}");
    let orders = rows(folder.path(), "orders");
    let codes = orders["discount_codes"].as_list::<i32>();
    let has = |code: &str| {
        let lists = codes.iter().flatten();
        lists.filter(|list| list.as_string::<i32>().iter().any(|one| one == Some(code))).count()
    };
    let share = has("PODCAST15") as f64 / of("orders");
    assert!((share - 0.6).abs() < 0.1, "{share}");
    let common = (has("WELCOME5") + has("SUMMER20")) as f64 / orders.num_rows() as f64;
    assert!((common - 0.07).abs() < 0.03, "{common}");
    let workspace = fs::read_to_string(folder.path().join("apportion.toml")).unwrap();
    assert!(workspace.contains("[vouchers.\"PODCAST15\"]\nutm_source = \"podcast\""));
}

#[test]
fn a_workspace_file_that_was_written_by_hand_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("apportion.toml");
    let again = |size: Size| {
        simulate(&plan(size), folder.path(), &Silent).unwrap().publish().unwrap();
        fs::read_to_string(&path).unwrap()
    };
    assert!(again(small()).contains("users = "));
    assert!(!again(Size { minimal: true, ..small() }).contains("users = "));
    let own = "sessions = \"sessions.parquet\"\n";
    fs::write(&path, own).unwrap();
    assert_eq!(again(small()), own);
}

#[test]
fn the_truth_adds_up_and_the_rows_are_as_many_as_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan(Size { bots: 1, refunds: 0.1, ..small() });
    simulate(&plan, folder.path(), &Silent).unwrap().publish().unwrap();
    let truth = rows(folder.path(), "truth");
    let counted = |name: &str| sum(truth[name].as_primitive::<UInt64Type>()).unwrap();
    assert_eq!(counted("sessions"), rows(folder.path(), "sessions").num_rows() as u64);
    assert_eq!(counted("orders"), rows(folder.path(), "orders").num_rows() as u64);
    let summed = |name: &str| sum(truth[name].as_primitive::<Float64Type>()).unwrap();
    // What is expected and what came about differ by chance: 500 orders, so 22 either way, and some
    // for persons of whom few are very busy. The robot's 5,000 orders are certain.
    let orders = counted("orders") as f64;
    assert!((summed("conversions") - orders).abs() < 120.0, "{orders} {}", summed("conversions"));
    let prices = rows(folder.path(), "orders");
    let price = sum(prices["subtotal_price"].as_primitive::<Decimal128Type>()).unwrap();
    let refunds = sum(prices["refunded_price"].as_primitive::<Decimal128Type>()).unwrap();
    assert!(refunds > 0);
    let net = (price - refunds) as f64 / 100.0;
    assert!((summed("amount") / net - 1.0).abs() < 0.05, "{net} {}", summed("amount"));
}

#[test]
fn expected_orders_are_those_that_come_about_on_the_average() {
    // Orders of many seeds against their expectation, channel by channel of what set them off, and
    // in all. Chances of single visits are small, so counts are nearly those of Poisson.
    as_many_orders_come_about_as_are_expected(&World::read(None).unwrap(), 30);
    as_many_orders_come_about_as_are_expected(&World { organic: 0.35, ..shop() }, 10);
}

fn as_many_orders_come_about_as_are_expected(world: &World, seeds: u32) {
    let (mut caused, mut expected, mut organic, mut uncaused) = (0.0, 0.0, 0.0, 0.0);
    for seed in 0..u64::from(seeds) {
        let plan = Plan::new(world.clone(), Size { seed, ..small() }).unwrap();
        let lived = Lived::new(&plan, 0, plan.size.persons);
        let (set_off, without_cause) = lived.truth.caused_and_organic_orders();
        caused += set_off as f64;
        expected += lived.truth.conversions().iter().sum::<f64>();
        uncaused += without_cause as f64;
        organic += lived.truth.organic_conversions();
    }
    assert!((caused - expected).abs() < 4.0 * f64::sqrt(expected), "{caused} {expected}");
    assert!((uncaused - organic).abs() < 4.0 * f64::sqrt(organic), "{uncaused} {organic}");
    // As many as were asked for: 500 a seed, 35 % of them organic.
    let (all, unsure) = (f64::from(seeds), f64::sqrt(30.0 / f64::from(seeds)));
    assert!((expected / (all * 325.0) - 1.0).abs() < 0.04 * unsure, "{expected}");
    assert!((organic / (all * 175.0) - 1.0).abs() < 0.02 * unsure, "{organic}");
}

#[test]
fn what_is_owed_to_channels_that_only_harvest_is_nothing() {
    let plan = plan(small());
    let lived = Lived::new(&plan, 0, plan.size.persons);
    let (conversions, lost) = (lived.truth.conversions(), lived.truth.lost());
    assert!(lived.truth.harvested_sessions()[0] > 0);
    assert!(conversions[0].abs() + lost[0].abs() < f64::MIN_POSITIVE);
    // What starts and what closes need each other, so that more is lost without each than is its own.
    assert!(lost.iter().sum::<f64>() > conversions.iter().sum::<f64>());
    assert!(lost.iter().zip(&conversions).all(|(lost, owed)| *lost >= owed - 1e-9));
}

#[test]
fn a_channel_that_is_switched_off_loses_what_the_truth_says() {
    // The same persons with the same visits, and one channel without any effect.
    for world in [World::read(None).unwrap(), shop()] {
        each_channel_loses_what_the_truth_says(&world);
    }
}

fn each_channel_loses_what_the_truth_says(world: &World) {
    let plan = |size: Size| Plan::new(world.clone(), size).unwrap();
    let whole = plan(small());
    let truth = Lived::new(&whole, 0, whole.size.persons).truth;
    let all: f64 = truth.conversions().iter().sum();
    for (channel, lost) in truth.lost().into_iter().enumerate() {
        let mut without = plan(small());
        without.scale = whole.scale;
        let off = &mut without.world.channels[channel];
        (off.cold, off.warm, off.interest, off.view_interest) = (0.0, 0.0, 0.0, 0.0);
        let truth_without = Lived::new(&without, 0, without.size.persons).truth;
        let left: f64 = truth_without.conversions().iter().sum();
        assert!((all - left - lost).abs() < 1e-6, "{channel}: {all} {left} {lost}");
        assert!(truth_without.lost()[channel].abs() < 1e-12);
    }
}

#[test]
fn options_of_the_export_change_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let made = |name: &str, size: Size| {
        let path = folder.path().join(name);
        simulate(&plan(size), &path, &Silent).unwrap().publish().unwrap();
        path
    };
    let plain = made("plain", small());
    let late = made("late", Size { late: 0.2, ..small() });
    let stubs = made("stubs", Size { stubs: 0.3, ..small() });
    let minimal = made("minimal", Size { minimal: true, ..small() });
    let full = made("full", Size { full: true, ..small() });
    let unjoined = made("unjoined", Size { unjoined: 0.3, ..small() });
    let cancelled = made("cancelled", Size { cancellations: 0.3, ..small() });
    let ids = |folder: &Path, name: &str| -> Vec<String> {
        let rows = rows(folder, name);
        let mut ids: Vec<String> = rows["external_id"]
            .as_string::<i32>()
            .iter()
            .map(|id| id.unwrap().to_owned())
            .collect();
        ids.sort();
        ids
    };
    let of_plain = ids(&plain, "sessions");
    assert!(of_plain.iter().all(|id| id.len() == 20));
    let mut again = ids(&late, "sessions");
    assert!(again.len() > of_plain.len() + of_plain.len() / 6);
    again.dedup();
    assert_eq!(again, of_plain);
    assert_eq!(ids(&minimal, "sessions"), of_plain);
    assert_eq!(ids(&minimal, "orders"), ids(&plain, "orders"));
    assert_eq!(rows(&minimal, "sessions").num_columns(), 5);
    assert!(ids(&stubs, "users").len() < ids(&plain, "users").len());
    for name in ["orders", "truth"] {
        for folder in [&stubs, &unjoined] {
            assert_eq!(rows(folder, name), rows(&plain, name));
        }
    }
    assert_eq!(rows(&full, "truth"), rows(&plain, "truth"));
    // What is told beside is told beside: the other columns say the same.
    for name in ["sessions", "orders", "users"] {
        let (full, plain) = (rows(&full, name), rows(&plain, name));
        assert!(full.num_columns() > plain.num_columns());
        for field in plain.schema().fields() {
            let column = field.name().as_str();
            assert_eq!(&full[column], &plain[column], "{name} {column}");
        }
    }
    let of_full = rows(&full, "sessions");
    let devices = ids(&full, "devices");
    let known = of_full["device_external_id"].as_string::<i32>().iter().flatten();
    assert!({ known }.all(|id| devices.binary_search(&id.to_owned()).is_ok()));
    let aliases = |folder: &Path| rows(folder, "user_aliases").num_rows() as f64;
    let left = aliases(&unjoined) / aliases(&plain);
    assert!((left - 0.7).abs() < 0.08, "{left}");
    let emails = rows(&unjoined, "users");
    let emails = emails["email"].as_string::<i32>().iter().flatten();
    assert!({ emails }.any(|email| email.ends_with("@EXAMPLE.COM")));
    let cancelled = rows(&cancelled, "orders");
    let kept = cancelled["cancelled_at"].null_count() as f64 / cancelled.num_rows() as f64;
    assert!((kept - 0.7).abs() < 0.08, "{kept}");
    assert_eq!(&cancelled["external_id"], &rows(&plain, "orders")["external_id"]);
}

#[test]
fn tables_that_were_not_simulated_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("orders.parquet"), "somebody's own").unwrap();
    let refused = |path: &Path| simulate(&plan(small()), path, &Silent).err().unwrap().to_string();
    assert!(refused(folder.path()).contains("`orders.parquet` that was not simulated"));
    assert!(refused(&folder.path().join("orders.parquet")).contains("it is a file"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn sessions_come_with_the_aliases_that_were_asked_for_and_nearly_in_order() {
    let folder = tempfile::tempdir().unwrap();
    simulate(&plan(small()), folder.path(), &Silent).unwrap().publish().unwrap();
    let sessions = rows(folder.path(), "sessions");
    let users = sessions["user_external_id"].as_string::<i32>();
    let aliases = rows(folder.path(), "user_aliases");
    let from: std::collections::BTreeSet<&str> =
        aliases["from_user_external_id"].as_string::<i32>().iter().flatten().collect();
    let hidden = users.iter().flatten().filter(|user| from.contains(user)).count() as f64;
    let share = hidden / sessions.num_rows() as f64;
    assert!((share - 0.25).abs() < 0.05, "{share}");
    assert!((sessions.num_rows() as f64 / 6_000.0 - 1.0).abs() < 0.1);
}
