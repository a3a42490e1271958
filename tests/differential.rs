//! The same attribution, written a second time from what it is said to be alone: loops over rows, no index,
//! no columns, no order of work. Whatever the world and the settings, both say the same: shares to 1e-9,
//! amounts to the unit.
#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use apportion::calendar::{format_instant, parse_instant};
use common::{Playground, parquet_from_rows, said};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

const DAY: i64 = 86_400;

#[derive(Debug, Clone)]
struct Touch {
    id: String,
    user: String,
    /// Seconds since 1970.
    at: i64,
    is_view: bool,
    /// Source and medium as the export has them.
    origin: [String; 2],
}

#[derive(Debug, Clone)]
struct Order {
    id: String,
    user: String,
    at: i64,
    price: i64,
    refund: i64,
    currency: &'static str,
    kind: &'static str,
    is_cancelled: bool,
}

#[derive(Debug, Clone, Default)]
struct World {
    touches: Vec<Touch>,
    orders: Vec<Order>,
    aliases: Vec<[String; 2]>,
}

/// How large a world is and how it lies.
#[derive(Debug, Clone)]
struct Shape {
    persons: usize,
    sessions: usize,
    views: usize,
    orders: usize,
    /// How many seconds two instants are apart at least: coarse grids make ties.
    grid: i64,
    days: i64,
    /// How much of everything belongs to few: 1 is evenly.
    skew: i32,
    seed: u64,
}

fn shapes() -> impl Strategy<Value = Shape> {
    let grid = prop_oneof![Just(1), Just(60), Just(3_600), Just(DAY)];
    let days = prop_oneof![Just(1_i64), Just(20), Just(200)];
    (1_usize..12, 0_usize..80, 0_usize..40, 1_usize..25, grid, days, 1_i32..5, any::<u64>())
        .prop_map(|(persons, sessions, views, orders, grid, days, skew, seed)| Shape {
            persons,
            sessions,
            views,
            orders,
            grid,
            days,
            skew,
            seed,
        })
}

fn world(shape: &Shape) -> World {
    let mut random = Pcg64::seed_from_u64(shape.seed);
    let start = parse_instant("2024-02-20").unwrap() / 1_000_000;
    let mut world = World::default();
    let some = |random: &mut Pcg64, count: usize| {
        let part: f64 = random.random();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "part of a count"
        )]
        let at = (part.powi(shape.skew) * count as f64) as usize;
        at.min(count - 1)
    };
    // Everybody may be known under two ids, one of which an alias joins to the other.
    for person in 0..shape.persons {
        if random.random_bool(0.4) {
            world.aliases.push([format!("anonymous{person}"), format!("person{person}")]);
        }
    }
    let user = |random: &mut Pcg64| {
        let name = if random.random_bool(0.3) { "anonymous" } else { "person" };
        format!("{name}{}", some(random, shape.persons))
    };
    let at = |random: &mut Pcg64| {
        start + random.random_range(0..=shape.days * DAY / shape.grid) * shape.grid
    };
    let sources = ["google", "", "news", "direct", "(direct)", "a,b", "\u{fc}ber"];
    for touch in 0..shape.sessions + shape.views {
        let is_view = touch >= shape.sessions;
        world.touches.push(Touch {
            // Ids whose order is not that of their numbers.
            id: format!("{}{}", if is_view { "v" } else { "s" }, touch * 7),
            user: user(&mut random),
            at: at(&mut random),
            is_view,
            origin: [
                sources[some(&mut random, sources.len())].to_owned(),
                ["cpc", "", "email"][some(&mut random, 3)].to_owned(),
            ],
        });
    }
    for order in 0..shape.orders {
        let price = [0, 1, 2, 5, 99, 10_000, 1_234_567][some(&mut random, 7)];
        world.orders.push(Order {
            id: format!("o{}", order * 13),
            user: user(&mut random),
            at: at(&mut random),
            price,
            refund: if random.random_bool(0.2) { random.random_range(0..=price + 20) } else { 0 },
            currency: ["EUR", "JPY", "KWD"][some(&mut random, 3)],
            kind: ["", "order", "lead"][some(&mut random, 3)],
            is_cancelled: random.random_bool(0.15),
        });
    }
    world
}

#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command")]
struct Settings {
    lookback: Option<i64>,
    view_lookback: Option<i64>,
    views: &'static str,
    overlap: bool,
    skip_direct: bool,
    include_cancelled: bool,
    date_by_touch: bool,
    /// Days since the world begins.
    period: Option<(i64, i64)>,
}

fn settings() -> impl Strategy<Value = Settings> {
    let windows =
        || prop_oneof![Just(None), Just(Some(3_600)), Just(Some(DAY)), Just(Some(30 * DAY))];
    let views = prop_oneof![Just("none"), Just("first"), Just("last"), Just("all")];
    let period = prop::option::weighted(0.3, (0_i64..150, 0_i64..100));
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (windows(), windows(), views, flags, period).prop_map(
        |(lookback, view_lookback, views, (overlap, skip, cancelled, by_touch), period)| Settings {
            lookback,
            view_lookback,
            views,
            overlap,
            skip_direct: skip,
            include_cancelled: cancelled,
            // What a period is of touches' dates is another question.
            date_by_touch: by_touch && period.is_none(),
            period,
        },
    )
}

/// The models, as they are asked for.
const MODELS: [&str; 13] = [
    "last_click",
    "first_click",
    "last_non_direct",
    "linear",
    "time_decay",
    "time_decay:half_life=90m",
    "position_based",
    "position_based:first=0.25:last=0.5",
    "j_curve",
    "inverse_j",
    "custom:first=0.5/0.2:last=0.3:middle=0.1",
    "custom:first=0:last=1/0/1:middle=0",
    "equal_channels:by=utm_source",
];

/// What a touch is to a model.
#[derive(Debug, Clone)]
struct Seen {
    id: String,
    is_view: bool,
    source: String,
    medium: String,
    at: i64,
}

/// The weights of a journey, as whole numbers in proportion.
fn weights(model: &str, touches: &[Seen], order_at: i64) -> Vec<i128> {
    let n = touches.len();
    let only = |at: usize| (0..n).map(|touch| i128::from(touch == at)).collect();
    let count = |items: usize| i128::try_from(items).unwrap();
    // A part to the first, a part to the last, what is left of a hundred to those between.
    let ends = |first: i128, last: i128| match n {
        1 => vec![1],
        2 => vec![first, last],
        _ => {
            let mut weights = vec![100 - first - last; n];
            weights[0] = first * count(n - 2);
            weights[n - 1] = last * count(n - 2);
            weights
        }
    };
    // Lists from either end, and what the others share.
    let lists = |first: &[i128], last: &[i128], middle: i128| {
        let others = n.saturating_sub(first.len() + last.len());
        let scale = count(others.max(1));
        let mut weights = vec![0; n];
        for (at, weight) in weights.iter_mut().enumerate() {
            let from_last = n - 1 - at;
            if at >= first.len() && from_last >= last.len() {
                *weight += middle;
            }
            *weight +=
                first.get(at).unwrap_or(&0) * scale + last.get(from_last).unwrap_or(&0) * scale;
        }
        if weights.iter().all(|weight| *weight == 0) { vec![1; n] } else { weights }
    };
    let decay = |half_life: f64| {
        let ages: Vec<f64> = touches.iter().map(|touch| (order_at - touch.at) as f64).collect();
        let least = ages.iter().copied().fold(f64::INFINITY, f64::min);
        let power = |age: &f64| 2_f64.powf((least - age) / half_life);
        #[expect(clippy::cast_possible_truncation, reason = "at most 2^60")]
        ages.iter().map(|age| (power(age) * 2_f64.powi(60)) as i128).collect()
    };
    match model {
        "last_click" => only(n - 1),
        "first_click" => only(0),
        "last_non_direct" => {
            only(touches.iter().rposition(|touch| !is_direct(&touch.source)).unwrap_or(n - 1))
        }
        "linear" => vec![1; n],
        "time_decay" => decay(7.0 * DAY as f64),
        "time_decay:half_life=90m" => decay(5_400.0),
        "position_based" => ends(40, 40),
        "position_based:first=0.25:last=0.5" => ends(25, 50),
        "j_curve" => ends(20, 60),
        "inverse_j" => ends(60, 20),
        "custom:first=0.5/0.2:last=0.3:middle=0.1" => lists(&[5, 2], &[3], 1),
        "custom:first=0:last=1/0/1:middle=0" => lists(&[0], &[1, 0, 1], 0),
        "equal_channels:by=utm_source" => {
            let of = |source: &str| touches.iter().filter(|touch| touch.source == source).count();
            // The least number that all counts divide.
            let counts: BTreeSet<usize> = touches.iter().map(|touch| of(&touch.source)).collect();
            let all = counts.iter().fold(1, |all, count| all / divisor(all, *count) * count);
            touches.iter().map(|touch| count(all / of(&touch.source))).collect()
        }
        _ => unreachable!("{model} is none of the models"),
    }
}

/// The greatest number that divides both.
fn divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { divisor(b, a % b) }
}

/// An amount by largest remainder; ties go to the earlier touch, and a refund is divided like its absolute
/// value.
fn divided(amount: i64, weights: &[i128]) -> Vec<i64> {
    let whole = i128::from(amount.abs());
    let sum: i128 = weights.iter().sum();
    let mut parts: Vec<i128> = weights.iter().map(|weight| whole * weight / sum).collect();
    let mut left = whole - parts.iter().sum::<i128>();
    let mut given = BTreeSet::new();
    while left > 0 {
        let mut best: Option<usize> = None;
        for touch in (0..weights.len()).filter(|touch| !given.contains(touch)) {
            let remainder = |touch: usize| whole * weights[touch] % sum;
            if best.is_none_or(|best| remainder(touch) > remainder(best)) {
                best = Some(touch);
            }
        }
        let best = best.unwrap();
        parts[best] += 1;
        given.insert(best);
        left -= 1;
    }
    parts.iter().map(|part| i64::try_from(*part).unwrap() * amount.signum()).collect()
}

/// One touch's credit of one order under one model.
#[derive(Debug, Clone, PartialEq)]
struct Credit {
    share: f64,
    amount: i64,
    position: usize,
    touches: usize,
    role: &'static str,
}

/// A line of a report.
#[derive(Debug, Clone, Default)]
struct Line {
    conversions: f64,
    amount: i64,
    orders: BTreeSet<String>,
    persons: BTreeSet<String>,
    roles: [usize; 4],
    first: (f64, i64),
    seconds: f64,
}

type Credits = BTreeMap<[String; 3], Credit>;
type Lines = BTreeMap<[String; 5], Line>;

/// Who a user is.
fn person(world: &World, user: &str) -> String {
    let alias = world.aliases.iter().find(|alias| alias[0] == user);
    alias.map_or(user, |alias| &alias[1]).to_owned()
}

fn is_direct(source: &str) -> bool {
    ["direct", "(direct)"].contains(&source)
}

fn origin(touch: &Touch) -> [String; 2] {
    let [source, medium] = &touch.origin;
    if source.is_empty() {
        ["direct".to_owned(), "none".to_owned()]
    } else if medium.is_empty() {
        [source.clone(), "none".to_owned()]
    } else {
        [source.clone(), medium.clone()]
    }
}

/// The journey of an order: what of its person lies in its windows.
fn journey(world: &World, settings: &Settings, order: &Order) -> Vec<Seen> {
    let who = person(world, &order.user);
    let counts = |other: &&Order| settings.include_cancelled || !other.is_cancelled;
    let kind = |order: &Order| if order.kind.is_empty() { "order" } else { order.kind };
    let previous = world
        .orders
        .iter()
        .filter(counts)
        .filter(|other| person(world, &other.user) == who && kind(other) == kind(order))
        .map(|other| other.at)
        .filter(|at| *at < order.at && !settings.overlap)
        .max();
    let within = |touch: &Touch, lookback: Option<i64>| {
        person(world, &touch.user) == who
            && touch.at <= order.at
            && previous.is_none_or(|previous| touch.at > previous)
            && lookback.is_none_or(|lookback| touch.at >= order.at - lookback)
    };
    let sorted = |is_view: bool, lookback: Option<i64>| {
        let touches = world.touches.iter().filter(|touch| touch.is_view == is_view);
        let mut touches: Vec<&Touch> = touches.filter(|touch| within(touch, lookback)).collect();
        touches.sort_by(|a, b| (a.at, !a.is_view, &a.id).cmp(&(b.at, !b.is_view, &b.id)));
        touches
    };
    let mut views = sorted(true, settings.view_lookback);
    match settings.views {
        "none" => views.clear(),
        "first" => views.truncate(1),
        "last" => views = views.pop().into_iter().collect(),
        _ => {}
    }
    let mut touches = [views, sorted(false, settings.lookback)].concat();
    touches.sort_by(|a, b| (a.at, !a.is_view, &a.id).cmp(&(b.at, !b.is_view, &b.id)));
    let seen = |touch: &Touch| {
        let [source, medium] = origin(touch);
        Seen { id: touch.id.clone(), is_view: touch.is_view, source, medium, at: touch.at }
    };
    let mut seen: Vec<Seen> = touches.into_iter().map(seen).collect();
    if settings.skip_direct && seen.iter().any(|touch| !is_direct(&touch.source)) {
        seen.retain(|touch| !is_direct(&touch.source));
    }
    seen
}

fn start() -> i64 {
    parse_instant("2024-02-20").unwrap() / 1_000_000
}

fn day(at: i64) -> String {
    format_instant(at * 1_000_000)[..10].to_owned()
}

/// Everything that is credited, and the lines of a report by source, medium and day.
fn attributed(world: &World, settings: &Settings) -> (Credits, Lines) {
    let (mut credits, mut lines) = (Credits::new(), Lines::new());
    let counted: Vec<&Order> = world
        .orders
        .iter()
        .filter(|order| settings.include_cancelled || !order.is_cancelled)
        .collect();
    for order in &counted {
        let in_period = settings.period.is_none_or(|(from, length)| {
            let (from, to) = (start() + from * DAY, start() + (from + length + 1) * DAY);
            (from..to).contains(&order.at)
        });
        if !in_period {
            continue;
        }
        let who = person(world, &order.user);
        let is_first = counted
            .iter()
            .filter(|other| person(world, &other.user) == who)
            .min_by_key(|other| (other.at, &other.id))
            .is_some_and(|first| first.id == order.id);
        let touches = journey(world, settings, order);
        let amount = order.price - order.refund;
        for model in MODELS {
            let weights =
                if touches.is_empty() { vec![1] } else { weights(model, &touches, order.at) };
            let sum: i128 = weights.iter().sum();
            let amounts = divided(amount, &weights);
            for (at, (weight, amount)) in weights.iter().zip(amounts).enumerate() {
                let n = touches.len();
                let role = match (n, at) {
                    (0, _) => "unattributed",
                    (1, _) => "alone",
                    (_, 0) => "initiator",
                    (n, at) if at == n - 1 => "closer",
                    _ => "assisting",
                };
                let share = *weight as f64 / sum as f64;
                let touch = touches.get(at);
                let position = if touches.is_empty() { 0 } else { at + 1 };
                credits.insert(
                    [
                        order.id.clone(),
                        touch.map_or(String::new(), |touch| touch.id.clone()),
                        model.to_owned(),
                    ],
                    Credit { share, amount, position, touches: n, role },
                );
                let unattributed = || "(unattributed)".to_owned();
                // By the day of touches, what has none has no day.
                let dated = match touch {
                    _ if !settings.date_by_touch => day(order.at),
                    Some(touch) => day(touch.at),
                    None => unattributed(),
                };
                let key = [
                    model.to_owned(),
                    touch.map_or_else(unattributed, |touch| touch.source.clone()),
                    touch.map_or_else(unattributed, |touch| touch.medium.clone()),
                    dated,
                    order.currency.to_owned(),
                ];
                let line = lines.entry(key).or_default();
                line.conversions += share;
                line.amount += amount;
                line.orders.insert(order.id.clone());
                line.persons.insert(who.clone());
                let roles = ["alone", "initiator", "assisting", "closer"];
                if let Some(role) = roles.iter().position(|name| *name == role) {
                    line.roles[role] += 1;
                }
                if is_first {
                    line.first = (line.first.0 + share, line.first.1 + amount);
                }
                if let Some(touch) = touch {
                    line.seconds += share * (order.at - touch.at) as f64;
                }
            }
        }
        assert!(touches.iter().all(|touch| !touch.is_view || settings.views != "none"));
    }
    (credits, lines)
}

/// An amount as text, with the decimals of its currency.
fn money(minor: i64, currency: &str) -> String {
    let digits = match currency {
        "JPY" => 0,
        "KWD" => 3,
        _ => 2,
    };
    let sign = if minor < 0 { "-" } else { "" };
    let text = format!("{:0>width$}", minor.abs(), width = digits + 1);
    let (whole, fraction) = text.split_at(text.len() - digits);
    if digits == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

fn write(world: &World, playground: &Playground) {
    let instant = |at: i64| format_instant(at * 1_000_000);
    let header = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    for (table, is_view) in [("sessions", false), ("postviews", true)] {
        let touches = world.touches.iter().filter(|touch| touch.is_view == is_view);
        let rows: Vec<Vec<String>> = touches
            .map(|touch| {
                let [source, medium] = touch.origin.clone();
                vec![touch.id.clone(), touch.user.clone(), instant(touch.at), source, medium]
            })
            .collect();
        let names = ["external_id", "user_external_id", "created_at", "utm_source", "utm_medium"];
        let path = playground.path(&format!("{table}.parquet"));
        parquet_from_rows(table, &header(&names), &rows, &path);
    }
    let rows: Vec<Vec<String>> = world
        .orders
        .iter()
        .map(|order| {
            let cancelled = if order.is_cancelled { instant(order.at + 5) } else { String::new() };
            let refund =
                if order.refund == 0 { String::new() } else { money(order.refund, order.currency) };
            vec![
                order.id.clone(),
                order.user.clone(),
                instant(order.at),
                money(order.price, order.currency),
                refund,
                order.currency.to_owned(),
                order.kind.to_owned(),
                cancelled,
            ]
        })
        .collect();
    let names = [
        "external_id",
        "user_external_id",
        "created_at",
        "subtotal_price",
        "refunded_price",
        "currency",
        "conversion_type",
        "cancelled_at",
    ];
    parquet_from_rows("orders", &header(&names), &rows, &playground.path("orders.parquet"));
    let rows: Vec<Vec<String>> = world.aliases.iter().map(|alias| alias.to_vec()).collect();
    let names = ["from_user_external_id", "to_user_external_id"];
    parquet_from_rows("user_aliases", &header(&names), &rows, &playground.path("aliases.parquet"));
}

fn flags(settings: &Settings) -> Vec<String> {
    let window =
        |seconds: Option<i64>| seconds.map_or_else(|| "none".to_owned(), |at| format!("{at}s"));
    let mut flags: Vec<String> = [
        "run",
        "--quiet",
        "--sessions",
        "sessions.parquet",
        "--postviews",
        "postviews.parquet",
        "--orders",
        "orders.parquet",
        "--aliases",
        "aliases.parquet",
        "--as-of",
        "2030-01-01",
        "--format",
        "csv",
        "--credits",
        "credits.csv",
        "--by",
        "utm_source,utm_medium,day",
        "--views",
        settings.views,
    ]
    .map(str::to_owned)
    .to_vec();
    flags.extend(["--model".to_owned(), MODELS.join(",")]);
    flags.extend(["--lookback".to_owned(), window(settings.lookback)]);
    flags.extend(["--view-lookback".to_owned(), window(settings.view_lookback)]);
    for (flag, is_set) in [
        ("--overlap", settings.overlap),
        ("--direct=skip", settings.skip_direct),
        ("--cancelled=include", settings.include_cancelled),
        ("--date-by=touch", settings.date_by_touch),
    ] {
        flags.extend(is_set.then(|| flag.to_owned()));
    }
    if let Some((from, length)) = settings.period {
        flags.push(format!("--from={}", day(start() + from * DAY)));
        flags.push(format!("--to={}", day(start() + (from + length) * DAY)));
    }
    flags
}

type Row = BTreeMap<String, String>;

fn rows(csv: &str) -> Vec<Row> {
    csv::Reader::from_reader(csv.as_bytes()).deserialize().map(Result::unwrap).collect()
}

/// Whether two floats are one, but for how they were added.
fn close(found: &str, expected: f64, tolerance: f64) -> bool {
    found.parse::<f64>().is_ok_and(|found| (found - expected).abs() <= tolerance)
}

/// Runs the command on a world and compares all that it says.
fn compare(world: &World, settings: &Settings) {
    let playground = Playground::new();
    write(world, &playground);
    let (report, stderr) = said(&playground.run(flags(settings)));
    assert_eq!(stderr, "", "{settings:?}");
    let (credits, mut left) = attributed(world, settings);

    let found = rows(&fs::read_to_string(playground.path("credits.csv")).unwrap());
    assert_eq!(found.len(), credits.len(), "credits under {settings:?}");
    for row in found {
        let key = ["order_external_id", "touch_external_id", "model"].map(|name| row[name].clone());
        let credit =
            credits.get(&key).unwrap_or_else(|| unreachable!("{key:?} is no credit: {row:?}"));
        let position =
            if credit.position == 0 { String::new() } else { credit.position.to_string() };
        assert!(close(&row["share"], credit.share, 1e-9), "{credit:?} is {row:?}");
        assert_eq!(row["amount"], money(credit.amount, &row["currency"]), "{credit:?} is {row:?}");
        let cells = ["position", "touches", "role"].map(|name| row[name].clone());
        assert_eq!(
            cells,
            [position, credit.touches.to_string(), credit.role.to_owned()],
            "{row:?}"
        );
    }

    for row in rows(&report) {
        let names = ["model", "utm_source", "utm_medium", "day", "currency"];
        let key = names.map(|name| row[name].clone());
        let Some(line) = left.remove(&key) else {
            // A line of sessions alone.
            assert_eq!(row["orders"], "0", "{row:?}");
            continue;
        };
        assert!(close(&row["conversions"], line.conversions, 1e-9), "{line:?} is {row:?}");
        assert!(close(&row["acquisition_conversions"], line.first.0, 1e-9), "{line:?} is {row:?}");
        for (name, amount) in [
            ("amount", line.amount),
            ("acquisition_amount", line.first.1),
            ("retention_amount", line.amount - line.first.1),
        ] {
            assert_eq!(row[name], money(amount, &row["currency"]), "{name} of {row:?}");
        }
        let [alone, initiator, assisting, closer] = line.roles;
        for (name, count) in [
            ("orders", line.orders.len()),
            ("persons", line.persons.len()),
            ("alone", alone),
            ("initiator", initiator),
            ("assisting", assisting),
            ("closer", closer),
        ] {
            assert_eq!(row[name], count.to_string(), "{name} of {row:?}");
        }
        if row["utm_source"] != "(unattributed)" && line.conversions > 1e-6 {
            let average = line.seconds / line.conversions;
            let found = &row["average_time_to_conversion"];
            assert!(close(found, average, 1e-6 * average.max(1.0)), "{average} is {row:?}");
        }
    }
    assert!(left.is_empty(), "lines that are not there: {left:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn two_programs_say_the_same_of_any_world_under_any_settings(
        shape in shapes(),
        settings in settings(),
    ) {
        compare(&world(&shape), &settings);
    }
}

/// One with thousands of touches, most of them of few persons, under every policy of views.
#[test]
fn two_programs_say_the_same_of_a_larger_world() {
    let shape = Shape {
        persons: 150,
        sessions: 4_000,
        views: 1_500,
        orders: 500,
        grid: 60,
        days: 200,
        skew: 3,
        seed: 7,
    };
    let world = world(&shape);
    for (views, overlap) in [("all", true), ("first", false), ("last", true), ("none", false)] {
        let settings = Settings {
            lookback: Some(20 * DAY),
            view_lookback: Some(5 * DAY),
            views,
            overlap,
            skip_direct: overlap,
            include_cancelled: !overlap,
            date_by_touch: views == "all",
            period: None,
        };
        compare(&world, &settings);
    }
}
