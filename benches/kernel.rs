//! The kernel of attribution: weighing a journey's touches and dividing an order among them.
//!
//! `cargo bench` prints the time of an order, for each model and length of journey.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot set itself up has failed")]

use std::collections::BTreeMap;

use apportion::credits::{Divider, WHOLE};
use apportion::journeys::{DirectPolicy, Selected, Touches, ViewPolicy, Window};
use apportion::models::{Counts, Journey, MODELS, Outcome, ask};
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};

const LENGTHS: [usize; 4] = [1, 4, 30, 1_000];
const HOUR: i64 = 3_600_000_000;

fn main() {
    divan::main();
}

fn times(touches: usize) -> Vec<i64> {
    (0..touches).map(|touch| i64::try_from(touch).unwrap() * HOUR).collect()
}

#[divan::bench(args = MODELS.iter().map(|entry| entry.name), consts = LENGTHS)]
fn weigh_and_divide<const TOUCHES: usize>(bencher: Bencher<'_, '_>, model: &str) {
    let asked = ask(model, &BTreeMap::new()).unwrap().model;
    let (touched_at, direct) = (times(TOUCHES), vec![false; TOUCHES]);
    let channels: Vec<u32> = (0..12).cycle().take(TOUCHES).collect();
    let journey = Journey {
        order_at: touched_at[TOUCHES - 1],
        touched_at: &touched_at,
        direct: &direct,
        channels: &channels,
        watched_until: &[],
    };
    let mut counts = Counts::default();
    asked.observe(journey, Outcome::Converted, 1, &mut counts);
    let fitted = asked.fit(&counts).unwrap();
    let model = fitted.as_ref().map_or(&*asked, |fitted| fitted.rule.model());
    let mut divider = Divider::default();
    let (mut weights, mut parts) = (vec![0.0; TOUCHES], vec![0; TOUCHES]);
    bencher.counter(ItemsCount::new(TOUCHES)).bench_local(|| {
        weights.fill(0.0);
        model.weigh(black_box(journey), &mut weights);
        divider.weigh(&weights);
        divider.divide(WHOLE, &mut parts);
        divider.divide(black_box(12_345), &mut parts);
        parts[0]
    });
}

#[divan::bench(args = [10, 1_000, 100_000])]
fn select_a_journey(bencher: Bencher<'_, '_>, touches: usize) {
    let count = u32::try_from(touches).unwrap();
    let touches = Touches {
        first: 0,
        starts: vec![0, count],
        at: times(touches),
        direct: vec![false; touches],
        view: vec![false; touches],
        row: (0..count).collect(),
    };
    let window = Window {
        lookback: Some(30 * 24 * HOUR),
        view_lookback: None,
        views: ViewPolicy::None,
        direct: DirectPolicy::Include,
        overlap: false,
    };
    let order_at = touches.at[touches.at.len() - 1];
    let mut selected = Selected::default();
    bencher.bench_local(|| {
        selected.select(&window, &touches, touches.of(0), black_box(order_at), None, None);
        selected.touches.len()
    });
}
