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
    // Orders of thirty seeds against their expectation, channel by channel of what set them off, and
    // in all. Chances of single visits are small, so counts are nearly those of Poisson.
    let (mut caused, mut expected, mut organic, mut uncaused) = (0.0, 0.0, 0.0, 0.0);
    for seed in 0..30 {
        let plan = plan(Size { seed, ..small() });
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
    assert!((expected / (30.0 * 325.0) - 1.0).abs() < 0.04, "{expected}");
    assert!((organic / (30.0 * 175.0) - 1.0).abs() < 0.02, "{organic}");
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
    let whole = plan(small());
    let truth = Lived::new(&whole, 0, whole.size.persons).truth;
    let all: f64 = truth.conversions().iter().sum();
    for (channel, lost) in truth.lost().into_iter().enumerate() {
        let mut without = plan(small());
        without.scale = whole.scale;
        let off = &mut without.world.channels[channel];
        (off.cold, off.warm, off.interest) = (0.0, 0.0, 0.0);
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
        assert_eq!(rows(&stubs, name), rows(&plain, name));
    }
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
