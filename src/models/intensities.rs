//! Additive hazards: how often touches of a channel trigger an order, and how soon.
//!
//! A touch of a channel with the strength β and the rate ω triggers orders with the intensity
//! β ω exp(−ω age). Intensities of touches add up, and the first order that is triggered ends the
//! journey. So n touches that were watched to an age are expected to trigger n β (1 − exp(−ω age)),
//! and an order was triggered by each of its touches as likely as its part of all intensity is.
//!
//! Strengths and rates are those of the greatest likelihood less `penalty` times how much the mean of
//! their logarithms over channels falls short of the logarithm of their mean, times the number of
//! channels. The penalty knows no scale: it draws channels to each other, not to zero.
//!
//! They are found by expectation and maximisation (Zhang, Wei and Ren 2014): who triggered what is
//! expected, and each channel's strength and rate follow from that alone. The logarithm of a mean of
//! channels is replaced by its tangent, which lies above it. So no step ever leads down. Every third
//! one goes on in the direction of the two before it (Varadhan and Roland 2008), unless that leads
//! down. Everything is added up in the order of channels and journeys: the same counts give the same
//! bytes. Not for what an order's touches weigh: that is `hazard`.

use std::ops::Range;

use crate::error::{Error, Result};

/// The greatest rate, per second: the shortest age is half a second.
const MOST_RATE: f64 = 2.0;

/// How much logarithms of strengths and rates may still change in the last iteration.
const CONVERGED: f64 = 1e-11;

/// After so many accelerated steps that gain nothing but rounding, nothing is left to gain.
const MOST_IDLE: usize = 40;

/// The most that an accelerated step goes beyond the one before it, in logarithms: what is not likelier
/// is not taken, but has to be a number.
const MOST_LEAP: f64 = 30.0;

/// How much, in parts of all orders, the expected ones may be off.
const TOLERANCE: f64 = 1e-9;

/// Below this an intensity is compared by its logarithm: its parts would not be precise.
const FAINT: f64 = 1e-250;

/// How much the logarithm of a rate may still change in the last step of its search.
const NEAR: f64 = 1e-13;

/// The most steps of that search; some four are usual.
const MOST_STEPS: usize = 200;

/// Touches of one channel that were watched to one age.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Cell {
    /// The channel, as a position among all.
    pub(super) channel: usize,
    /// Seconds.
    pub(super) age: f64,
    /// How many touches there are, in journeys with an order and without.
    pub(super) touches: u64,
}

/// Journeys, as the likelihood sees them.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Watched {
    /// How many channels there are; each has a cell.
    pub(super) channels: usize,
    /// The cells, by channel and age.
    pub(super) cells: Vec<Cell>,
    /// The touches of journeys with an order, one journey after the other: the cell of each, and how
    /// many are alike.
    pub(super) touched: Vec<(u32, u32)>,
    /// Where the touches of each such journey end, and how many journeys are alike.
    pub(super) orders: Vec<(usize, u64)>,
}

impl Watched {
    /// The touches of each journey with an order, and how many journeys are alike.
    pub(super) fn journeys(&self) -> impl Iterator<Item = (&[(u32, u32)], u64)> {
        let mut from = 0;
        self.orders.iter().map(move |(until, times)| {
            let touched = &self.touched[from..*until];
            from = *until;
            (touched, *times)
        })
    }
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Intensities {
    /// How many orders a touch of each channel would trigger, were it watched for ever.
    pub(super) strengths: Vec<f64>,
    /// How fast each channel's intensity fades, per second.
    pub(super) rates: Vec<f64>,
    /// How many orders the touches of each channel are expected to have triggered.
    pub(super) triggered: Vec<f64>,
    /// The channels whose intensity fades too slowly to be told: a rate of one by the longest age.
    pub(super) unfading: usize,
    /// How often who triggered what was expected.
    pub(super) iterations: u64,
}

/// Strengths and rates of all channels.
#[derive(Debug, Clone)]
struct Point {
    strengths: Vec<f64>,
    rates: Vec<f64>,
}

/// What is expected under a point.
struct Expected {
    /// The logarithm of the likelihood, less the penalty, up to a constant.
    likelihood: f64,
    /// The orders that the touches of each cell triggered.
    triggered: Vec<f64>,
}

impl Intensities {
    /// The intensities of channels; nothing is found where there is no order.
    ///
    /// # Errors
    ///
    /// No greatest likelihood within so many iterations.
    pub(super) fn new(watched: &Watched, penalty: f64, iterations: u64) -> Result<Self> {
        let orders: u64 = watched.orders.iter().map(|(_, orders)| orders).sum();
        if orders == 0 {
            return Ok(Self::default());
        }
        let problem = Problem::new(watched, orders as f64, penalty);
        let Some((found, iterations)) = problem.greatest(iterations) else {
            return Err(Error::Contradiction(format!(
                "`hazard` with `penalty={penalty}` does not converge on {} channels in {iterations} iterations; ask for more `iterations`, for a greater `penalty`, or for fewer channels, such as `by=channel_group`",
                watched.channels
            )));
        };
        let expected: f64 = problem.expected_orders(&found);
        if (expected - problem.orders).abs() > TOLERANCE * problem.orders {
            return Err(Error::Broken(format!(
                "a hazard expects {expected} orders where {orders} were observed"
            )));
        }
        let by_cell = problem.expect(&found).triggered;
        Ok(Self {
            triggered: problem
                .of_channels
                .iter()
                .map(|of| by_cell[of.clone()].iter().sum())
                .collect(),
            unfading: found.rates.iter().filter(|rate| **rate <= problem.least_rate).count(),
            strengths: found.strengths,
            rates: found.rates,
            iterations,
        })
    }
}

/// What is to be found.
struct Problem<'a> {
    watched: &'a Watched,
    /// How many orders there are.
    orders: f64,
    penalty: f64,
    /// The cells of each channel.
    of_channels: Vec<Range<usize>>,
    /// The least rate: one by the longest age. What fades more slowly cannot be told from what does
    /// not fade.
    least_rate: f64,
}

impl<'a> Problem<'a> {
    fn new(watched: &'a Watched, orders: f64, penalty: f64) -> Self {
        let first = |channel| watched.cells.partition_point(|cell| cell.channel < channel);
        let longest = watched.cells.iter().map(|cell| cell.age).fold(0.0, f64::max);
        Self {
            watched,
            orders,
            penalty,
            of_channels: (0..watched.channels).map(|at| first(at)..first(at + 1)).collect(),
            least_rate: 1.0 / longest,
        }
    }

    /// Where the penalised likelihood is greatest, and after how many iterations; none where they do
    /// not suffice.
    fn greatest(&self, most: u64) -> Option<(Point, u64)> {
        let mut at = self.start();
        let (mut reached, mut idle) = (f64::NEG_INFINITY, 0);
        let mut iterations = 0;
        while iterations < most {
            let (first, _) = self.improved(&at);
            iterations += 1;
            if at.distance(&first) <= CONVERGED || idle >= MOST_IDLE {
                return Some((first, iterations));
            }
            let (second, likelihood) = self.improved(&first);
            iterations += 1;
            let gained = likelihood - reached;
            idle = if gained <= 4.0 * f64::EPSILON * likelihood.abs() { idle + 1 } else { 0 };
            reached = likelihood;
            let (landed, there) = self.improved(&self.onwards(&at, &first, &second));
            iterations += 1;
            at = if there >= likelihood { landed } else { second };
        }
        None
    }

    /// Every channel alike, as if each touch of an order had triggered it as likely as any other.
    fn start(&self) -> Point {
        let mut ages = 0.0;
        for (touched, orders) in self.watched.journeys() {
            let of_touch = |(cell, times): &(u32, u32)| self.age(*cell) * f64::from(*times);
            let sum: f64 = touched.iter().map(of_touch).sum();
            let count: f64 = touched.iter().map(|(_, times)| f64::from(*times)).sum();
            ages += orders as f64 * sum / count;
        }
        let rate = (self.orders / ages).clamp(self.least_rate, MOST_RATE);
        let channels = self.watched.channels;
        self.scaled(Point { strengths: vec![1.0; channels], rates: vec![rate; channels] })
    }

    fn age(&self, cell: u32) -> f64 {
        self.watched.cells[cell as usize].age
    }

    /// The orders that all touches are expected to trigger.
    fn expected_orders(&self, point: &Point) -> f64 {
        let of_cell = |cell: &Cell| {
            let part = -libm::expm1(-point.rates[cell.channel] * cell.age);
            cell.touches as f64 * point.strengths[cell.channel] * part
        };
        self.watched.cells.iter().map(of_cell).sum()
    }

    /// The same with strengths in proportion such that as many orders are expected as there were: the
    /// greatest likelihood in that direction, because the penalty knows no scale.
    fn scaled(&self, mut point: Point) -> Point {
        let scale = self.orders / self.expected_orders(&point);
        point.strengths.iter_mut().for_each(|strength| *strength *= scale);
        point
    }

    /// What is likelier than a point, and how likely that point is.
    fn improved(&self, at: &Point) -> (Point, f64) {
        let expected = self.expect(at);
        // Tangents of the logarithms of means: as touches that trigger nothing, and as ages.
        let unseen = self.penalty / mean(&at.strengths);
        let older = self.penalty / mean(&at.rates);
        let mut better = at.clone();
        for (channel, of_channel) in self.of_channels.iter().enumerate() {
            let cells = &self.watched.cells[of_channel.clone()];
            let triggered = &expected.triggered[of_channel.clone()];
            let orders = self.penalty + triggered.iter().sum::<f64>();
            let ages = cells.iter().zip(triggered).map(|(cell, orders)| cell.age * orders);
            let fading = Fading { cells, unseen, mean_age: (older + ages.sum::<f64>()) / orders };
            better.rates[channel] = fading.rate(at.rates[channel], self.least_rate);
            better.strengths[channel] = orders / fading.moments(better.rates[channel]).exposure;
        }
        (self.scaled(better), expected.likelihood)
    }

    /// Who triggered what, and how likely all of it is.
    fn expect(&self, at: &Point) -> Expected {
        let cells = &self.watched.cells;
        let logarithms: Vec<f64> = cells
            .iter()
            .map(|cell| {
                let (strength, rate) = (at.strengths[cell.channel], at.rates[cell.channel]);
                libm::log(strength * rate) - rate * cell.age
            })
            .collect();
        let intensities: Vec<f64> = logarithms.iter().map(|one| libm::exp(*one)).collect();
        let mut triggered = vec![0.0; cells.len()];
        let mut likelihood = 0.0;
        for (touched, orders) in self.watched.journeys() {
            let orders = orders as f64;
            let sum = |of: &dyn Fn(u32) -> f64| -> f64 {
                touched.iter().map(|(cell, times)| f64::from(*times) * of(*cell)).sum()
            };
            let direct = |cell: u32| intensities[cell as usize];
            let all = sum(&direct);
            if all > FAINT {
                likelihood += orders * libm::log(all);
                for (cell, times) in touched {
                    triggered[*cell as usize] += orders * f64::from(*times) * direct(*cell) / all;
                }
                continue;
            }
            let of_touched = touched.iter().map(|(cell, _)| logarithms[*cell as usize]);
            let greatest = of_touched.fold(f64::NEG_INFINITY, f64::max);
            let relative = |cell: u32| libm::exp(logarithms[cell as usize] - greatest);
            let all = sum(&relative);
            likelihood += orders * (greatest + libm::log(all));
            for (cell, times) in touched {
                triggered[*cell as usize] += orders * f64::from(*times) * relative(*cell) / all;
            }
        }
        let apart = |values: &[f64]| -> f64 {
            let mean = libm::log(mean(values));
            values.iter().map(|value| libm::log(*value) - mean).sum()
        };
        likelihood += self.penalty * (apart(&at.strengths) + apart(&at.rates));
        Expected { likelihood, triggered }
    }

    /// Further in the direction of two steps: as far as their lengths say that there is to go.
    fn onwards(&self, at: &Point, first: &Point, second: &Point) -> Point {
        let (mut went, mut turned) = (0.0, 0.0);
        each(at, first, second, |at, first, second| {
            went += (first - at) * (first - at);
            turned += (second - first - (first - at)) * (second - first - (first - at));
        });
        let far = if turned > 0.0 { libm::sqrt(went / turned).max(1.0) } else { 1.0 };
        let mut logarithms = Vec::with_capacity(2 * at.rates.len());
        each(at, first, second, |at, first, second| {
            let step = first - at;
            let there = at + 2.0 * far * step + far * far * (second - first - step);
            logarithms.push(there.clamp(second - MOST_LEAP, second + MOST_LEAP));
        });
        let (strengths, rates) = logarithms.split_at(at.rates.len());
        let rate = |rate: &f64| libm::exp(*rate).clamp(self.least_rate, MOST_RATE);
        self.scaled(Point {
            strengths: strengths.iter().map(|strength| libm::exp(*strength)).collect(),
            rates: rates.iter().map(rate).collect(),
        })
    }
}

impl Point {
    fn all(&self) -> impl Iterator<Item = f64> {
        self.strengths.iter().chain(&self.rates).copied()
    }

    /// The greatest difference of the logarithms of two.
    fn distance(&self, other: &Self) -> f64 {
        let apart = self.all().zip(other.all()).map(|(here, there)| libm::log(here / there).abs());
        apart.fold(0.0, f64::max)
    }
}

/// Visits the logarithms of three points: strengths, then rates.
fn each(at: &Point, first: &Point, second: &Point, mut visit: impl FnMut(f64, f64, f64)) {
    for ((at, first), second) in at.all().zip(first.all()).zip(second.all()) {
        visit(libm::log(at), libm::log(first), libm::log(second));
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// From what the rate of one channel follows.
///
/// With the touches N(s) that are still watched at age s, and more that trigger nothing and are
/// watched for ever, the density of ages at which touches trigger orders is in proportion to
/// N(s) exp(−ω s). Its mean is that of the ages at which they did; the greater the rate the less it
/// is, so that there is one rate.
struct Fading<'a> {
    cells: &'a [Cell],
    /// Touches that trigger nothing and are watched for ever.
    unseen: f64,
    /// The mean age at which touches triggered orders, in seconds.
    mean_age: f64,
}

/// What touches that are watched come to under a rate.
struct Moments {
    /// The touches, each as far as it would have triggered an order by now, if ever.
    exposure: f64,
    /// The mean of the ages at which they trigger, and their variance.
    mean: f64,
    variance: f64,
}

impl Fading<'_> {
    fn moments(&self, rate: f64) -> Moments {
        let (mut exposure, mut first, mut second) = (self.unseen, self.unseen, 2.0 * self.unseen);
        for cell in self.cells {
            let touches = cell.touches as f64;
            let lives = rate * cell.age;
            exposure += touches * -libm::expm1(-lives);
            first += touches * gamma(2, lives);
            second += touches * gamma(3, lives);
        }
        let mean = first / (rate * exposure);
        Moments { exposure, mean, variance: second / (rate * rate * exposure) - mean * mean }
    }

    /// The rate at which the mean age is what it was, or the least one where even that is too great;
    /// `near` is where the search begins.
    fn rate(&self, near: f64, least: f64) -> f64 {
        if self.moments(least).mean <= self.mean_age {
            return least;
        }
        // Touches that are watched for ever have the mean 1 / rate, others less.
        let (mut low, mut high) = (least, 1.0 / self.mean_age);
        let mut rate = near.clamp(low, high);
        for _ in 0..MOST_STEPS {
            let moments = self.moments(rate);
            let over = libm::log(moments.mean / self.mean_age);
            if over > 0.0 {
                low = rate;
            } else {
                high = rate;
            }
            // Newton's method in logarithms, and half the way where it leaves what is known.
            let step = over * moments.mean / (rate * moments.variance);
            let next = rate * libm::exp(step);
            let inside = next > low && next < high;
            let next = if inside { next } else { libm::sqrt(low * high) };
            if libm::log(next / rate).abs() <= NEAR || high <= low * (1.0 + NEAR) {
                return next;
            }
            rate = next;
        }
        rate
    }
}

/// The integral of s^(order − 1) exp(−s) from 0 to x, for the orders 2 and 3.
///
/// Up to 1 as a sum of numbers above zero: differences of near numbers would leave nothing.
fn gamma(order: u8, x: f64) -> f64 {
    let left = libm::exp(-x);
    if x > 1.0 {
        let missing = if order == 2 { 1.0 + x } else { 2.0 + x * (2.0 + x) };
        return f64::from(order - 1) - left * missing;
    }
    let (mut term, mut sum) = (1.0 / f64::from(order), 0.0);
    for more in 1_u8..=18 {
        sum += term;
        term *= x / f64::from(order + more);
    }
    let power = if order == 2 { x * x } else { x * x * x };
    power * left * sum
}

#[cfg(test)]
mod tests {
    use std::f64::consts::LN_2;

    use proptest::prelude::*;
    use rand_pcg::Pcg64;
    use rand_pcg::rand_core::Rng;

    use super::*;
    use crate::models::ages::{middle, step};

    /// Journeys by the touches of each: channel and age. With an order, and how many are alike.
    fn watched(
        channels: usize,
        orders: &[(&[(usize, f64)], u64)],
        lost: &[(usize, f64, u64)],
    ) -> Watched {
        let touched =
            orders.iter().flat_map(|(touches, times)| touches.iter().map(|touch| (*touch, *times)));
        let mut all: Vec<((usize, f64), u64)> = touched.collect();
        all.extend(lost.iter().map(|(channel, age, times)| ((*channel, *age), *times)));
        all.sort_by(|left, right| left.0.0.cmp(&right.0.0).then(left.0.1.total_cmp(&right.0.1)));
        let mut cells: Vec<Cell> = Vec::new();
        for ((channel, age), touches) in all {
            match cells.last_mut() {
                Some(cell) if (cell.channel, cell.age) == (channel, age) => cell.touches += touches,
                _ => cells.push(Cell { channel, age, touches }),
            }
        }
        let mut result = Watched { channels, cells, ..Watched::default() };
        for (touches, times) in orders {
            for touch in *touches {
                let before = |cell: &Cell| (cell.channel, cell.age) < *touch;
                let cell = result.cells.partition_point(before);
                result.touched.push((u32::try_from(cell).unwrap(), 1));
            }
            result.orders.push((result.touched.len(), *times));
        }
        result
    }

    /// The penalised likelihood as it is defined, without a trick.
    fn likelihood(watched: &Watched, penalty: f64, strengths: &[f64], rates: &[f64]) -> f64 {
        let intensity = |cell: &Cell| {
            strengths[cell.channel] * rates[cell.channel] * (-rates[cell.channel] * cell.age).exp()
        };
        let of_journey = |(touched, times): (&[(u32, u32)], u64)| {
            let all = touched
                .iter()
                .map(|(cell, count)| f64::from(*count) * intensity(&watched.cells[*cell as usize]));
            times as f64 * all.sum::<f64>().ln()
        };
        let orders: f64 = watched.journeys().map(of_journey).sum();
        let expected: f64 = watched
            .cells
            .iter()
            .map(|cell| {
                let part = 1.0 - (-rates[cell.channel] * cell.age).exp();
                cell.touches as f64 * strengths[cell.channel] * part
            })
            .sum();
        let apart =
            |values: &[f64]| values.iter().map(|value| (value / mean(values)).ln()).sum::<f64>();
        orders - expected + penalty * (apart(strengths) + apart(rates))
    }

    /// With N touches of which R led to an order at age 1 and the others are watched for ever, the
    /// mean density of ages at which touches trigger says 1 / x = c / (c − exp(−x)) with c = N / R.
    /// For c = 2 that is exp(−x) = 2 (1 − x): x = 1 + W(−1 / 2e) with Lambert's W, and the strength
    /// R / (R (1 − exp(−x)) + N − R) = 1 / 2x.
    #[test]
    fn one_touch_a_journey_has_a_closed_form() {
        let x = 0.768_039_047_013_465_7;
        assert!((f64::exp(-x) - 2.0 * (1.0 - x)).abs() < 1e-15);
        for orders in [1, 1_000_000] {
            let watched = watched(1, &[(&[(0, 1.0)], orders)], &[(0, 1e6, orders)]);
            let found = Intensities::new(&watched, 1.0, 1_000).unwrap();
            assert!((found.rates[0] - x).abs() < 1e-12, "{found:?}");
            assert!((found.strengths[0] - 0.5 / x).abs() < 1e-12, "{found:?}");
        }
    }

    #[test]
    fn few_orders_long_after_many_early_ones_are_not_lost_in_rounding() {
        // exp(−ω age) of the last is far below what a float holds.
        let watched = watched(1, &[(&[(0, 0.5)], 1_000_000), (&[(0, 1e7)], 1)], &[(0, 1e8, 9)]);
        let found = Intensities::new(&watched, 1.0, 1_000).unwrap();
        let rate = found.rates[0];
        assert!(rate * 1e7 > 800.0);
        // Where it is greatest, the mean age of triggers is that of the orders.
        let triggered = 1e6 * (1.0 - (1.0 + rate / 2.0) * (-rate / 2.0).exp()) + 10.0;
        let exposed = 1e6 * (1.0 - (-rate / 2.0).exp()) + 10.0;
        let mean = triggered / (rate * exposed);
        assert!((mean / (1.05e7 / 1_000_001.0) - 1.0).abs() < 1e-9, "{mean}");
    }

    /// Touches that were watched to an age that stands for its step.
    fn in_steps(seconds: f64) -> f64 {
        #[expect(clippy::cast_possible_truncation, reason = "far below 2^63")]
        middle(step((seconds * 1e6) as i64))
    }

    #[test]
    fn strengths_and_rates_of_simulated_touches_are_found_again() {
        let (strengths, half_lives) = ([0.05, 0.2, 0.1], [3_600.0, 40_000.0, 200_000.0]);
        let mut random = Pcg64::new(7, 11);
        // 53 bits, never zero.
        let mut part = || ((random.next_u64() >> 11) + 1) as f64 / (1_u64 << 53) as f64;
        let (mut orders, mut lost) = (Vec::new(), Vec::new());
        let end = 1_000_000.0;
        for _ in 0..150_000 {
            let mut touches: Vec<(usize, f64)> =
                (0..3).map(|channel| (channel, end * part())).collect();
            touches.retain(|_| part() < 0.6);
            let mut first = f64::INFINITY;
            for (channel, at) in &touches {
                let reached = -part().ln() / strengths[*channel];
                let rate = LN_2 / half_lives[*channel];
                if reached < 1.0 {
                    first = first.min(at - (1.0 - reached).ln() / rate);
                }
            }
            // What comes after the order is another journey.
            touches.retain(|(_, at)| *at < first);
            let aged = |until: f64| {
                touches.iter().map(move |(channel, at)| (*channel, in_steps(until - at)))
            };
            if first < end {
                orders.push(aged(first).collect::<Vec<_>>());
            } else {
                lost.extend(aged(end).map(|(channel, age)| (channel, age, 1)));
            }
        }
        let orders: Vec<_> = orders.iter().map(|touches| (&touches[..], 1)).collect();
        let found = Intensities::new(&watched(3, &orders, &lost), 1.0, 10_000).unwrap();
        for channel in 0..3 {
            let half_life = LN_2 / found.rates[channel];
            let strength = found.strengths[channel] / strengths[channel];
            // Some 4,000 orders of the weakest: three standard errors.
            assert!((strength - 1.0).abs() < 0.05, "{found:?}");
            assert!((half_life / half_lives[channel] - 1.0).abs() < 0.05, "{found:?}");
        }
    }

    #[test]
    fn a_channel_that_always_or_never_leads_to_an_order_has_finite_strength() {
        for penalty in [1e-3, 1.0, 1e6] {
            let watched = watched(
                3,
                &[(&[(0, 60.0)], 1_000), (&[(1, 30.0)], 5)],
                &[(1, 5e6, 900), (2, 7e6, 4_000)],
            );
            let found = Intensities::new(&watched, penalty, 10_000).unwrap();
            assert!(
                found.strengths.iter().chain(&found.rates).all(|one| one.is_finite() && *one > 0.0)
            );
            assert!(
                found.strengths[0] >= found.strengths[1]
                    && found.strengths[1] >= found.strengths[2],
                "{found:?}"
            );
            assert!((found.triggered.iter().sum::<f64>() - 1_005.0).abs() < 1e-6);
        }
    }

    /// The point with these logarithms, in proportion to as many orders as there were.
    fn point(problem: &Problem<'_>, logarithms: [f64; 4]) -> Point {
        let [strengths, rates] = [&logarithms[..2], &logarithms[2..]]
            .map(|some| some.iter().copied().map(f64::exp).collect());
        problem.scaled(Point { strengths, rates })
    }

    #[test]
    fn points_are_as_much_likelier_than_others_as_is_defined() {
        let usual = watched(
            2,
            &[(&[(0, 3.0), (1, 1.0)], 4), (&[(1, 2.0)], 3), (&[(0, 0.5)], 7)],
            &[(0, 9.0, 11), (1, 6.0, 5)],
        );
        // Under these rates the intensities of the last two are below what a float holds.
        let faint = watched(
            2,
            &[(&[(0, 1.0), (1, 1.5)], 4), (&[(0, 900.0), (0, 900.7)], 3), (&[(1, 800.0)], 2)],
            &[(0, 9.0, 11), (1, 6.0, 5)],
        );
        for (watched, rates) in
            [(usual, [[0.3, -0.4], [-1.0, 0.7]]), (faint, [[0.1, 0.2], [0.0, 0.15]])]
        {
            let problem = Problem::new(&watched, 14.0, 2.5);
            let points = rates.map(|[one, other]| point(&problem, [0.2, -0.9, one, other]));
            let [expected, defined] = [
                points.each_ref().map(|at| problem.expect(at).likelihood),
                points.each_ref().map(|at| defined(&watched, 2.5, at)),
            ];
            let apart = [expected[0] - expected[1], defined[0] - defined[1]];
            assert!((apart[0] / apart[1] - 1.0).abs() < 1e-11, "{apart:?}");
        }
    }

    /// The penalised likelihood by the logarithms of intensities, of points that expect as many orders.
    fn defined(watched: &Watched, penalty: f64, at: &Point) -> f64 {
        let of_cell = |cell: u32| {
            let Cell { channel, age, .. } = watched.cells[cell as usize];
            (at.strengths[channel] * at.rates[channel]).ln() - at.rates[channel] * age
        };
        let of_journey = |(touched, times): (&[(u32, u32)], u64)| {
            let greatest =
                touched.iter().map(|(cell, _)| of_cell(*cell)).fold(f64::NEG_INFINITY, f64::max);
            let parts = touched.iter().map(|(cell, _)| (of_cell(*cell) - greatest).exp());
            times as f64 * (greatest + parts.sum::<f64>().ln())
        };
        let apart = |values: &[f64]| -> f64 {
            values.iter().map(|value| (value / mean(values)).ln()).sum()
        };
        watched.journeys().map(of_journey).sum::<f64>()
            + penalty * (apart(&at.strengths) + apart(&at.rates))
    }

    #[test]
    fn orders_are_triggered_by_touches_in_proportion_to_their_intensities() {
        // Three touches alike of channel 0 and one of channel 1; then the same so late that nothing of an
        // intensity is left, of which the older has the smaller part still.
        for shift in [0.0, 900.0] {
            let mut watched =
                watched(2, &[(&[(0, 2.0 + shift), (1, 1.0 + shift)], 5)], &[(0, 2_000.0, 9)]);
            watched.touched[0].1 = 3;
            let problem = Problem::new(&watched, 5.0, 1.0);
            let at = Point { strengths: vec![0.5, 0.25], rates: vec![1.0, 1.0] };
            let triggered = problem.expect(&at).triggered;
            let [first, second] = [3.0 * 0.5 * (-2.0_f64).exp(), 0.25 * (-1.0_f64).exp()];
            let expected = [5.0 * first / (first + second), 0.0, 5.0 * second / (first + second)];
            let near =
                triggered.iter().zip(expected).all(|(one, other)| (one - other).abs() < 1e-9);
            assert!(near, "{triggered:?} {expected:?}");
        }
    }

    #[test]
    fn a_search_begins_where_every_touch_is_as_likely_as_any_other() {
        let mut watched =
            watched(2, &[(&[(0, 2.0), (1, 6.0)], 5), (&[(1, 4.0)], 3)], &[(0, 50.0, 9)]);
        watched.touched[0].1 = 3;
        let problem = Problem::new(&watched, 8.0, 1.0);
        let start = problem.start();
        // Of five orders with touches of ages 2, 2, 2 and 6, and three with one of age 4.
        let rate = 8.0 / (5.0 * 3.0 + 3.0 * 4.0);
        assert!(start.rates.iter().all(|found| (found - rate).abs() < 1e-12), "{start:?}");
        assert_eq!(start.strengths[0].to_bits(), start.strengths[1].to_bits());
        assert!((problem.expected_orders(&start) - 8.0).abs() < 1e-9);
        // Where nothing moves, nothing goes on.
        let on = problem.onwards(&start, &start, &start);
        assert!(start.distance(&on) < 1e-12, "{on:?}");
    }

    /// Of touches of which each triggers at its age, the density of ages and its moments are integrals.
    #[test]
    fn moments_are_those_of_the_density_of_ages() {
        let integral = |order: u8, x: f64| match order {
            2 => 1.0 - (-x).exp() * (1.0 + x),
            _ => 2.0 - (-x).exp() * (2.0 + x * (2.0 + x)),
        };
        for x in [0.1, 0.25, 0.5, 1.0, 1.000_001, 2.0, 5.0] {
            for order in [2, 3] {
                assert!((gamma(order, x) - integral(order, x)).abs() < 1e-14, "{order} {x}");
            }
        }
        // Near zero these are powers.
        assert!((gamma(2, 1e-6) / 0.5e-12 - 1.0).abs() < 1e-5);
        assert!((gamma(3, 1e-6) / (1e-18 / 3.0) - 1.0).abs() < 1e-5);
        let cells =
            [Cell { channel: 0, age: 1.5, touches: 4 }, Cell { channel: 0, age: 0.25, touches: 7 }];
        let fading = Fading { cells: &cells, unseen: 3.0, mean_age: 1.0 };
        for rate in [0.5, 1.0, 2.0] {
            let of = |order: u8, never: f64| -> f64 {
                let cell = |cell: &Cell| cell.touches as f64 * integral(order, rate * cell.age);
                3.0 * never + cells.iter().map(cell).sum::<f64>()
            };
            let exposure = 14.0 - 4.0 * (-1.5 * rate).exp() - 7.0 * (-0.25 * rate).exp();
            let found = fading.moments(rate);
            let mean = of(2, 1.0) / exposure / rate;
            assert!((found.exposure - exposure).abs() < 1e-12);
            assert!((found.mean - mean).abs() < 1e-12);
            let square = of(3, 2.0) / exposure / rate / rate;
            assert!((found.variance - (square - mean * mean)).abs() < 1e-12);
        }
    }

    #[test]
    fn the_rate_of_a_mean_age_is_found_from_anywhere() {
        let cells = [
            Cell { channel: 0, age: 5.0, touches: 100 },
            Cell { channel: 0, age: 50.0, touches: 30 },
        ];
        for mean_age in [0.001, 0.7, 2.4, 9.0] {
            let fading = Fading { cells: &cells, unseen: 2.0, mean_age };
            for near in [1e-9, 0.02, 0.3, 1.0, 1e3, 1e9] {
                let rate = fading.rate(near, 0.02);
                let mean = fading.moments(rate).mean;
                assert!((mean / mean_age - 1.0).abs() < 1e-11, "{near} {mean_age} {mean}");
            }
        }
        let too_old = Fading { cells: &cells, unseen: 2.0, mean_age: 40.0 };
        assert!((too_old.rate(1.0, 0.02) - 0.02).abs() < f64::EPSILON);
    }

    #[test]
    fn iterations_are_counted_and_no_more_are_made_than_are_allowed() {
        let watched =
            watched(2, &[(&[(0, 60.0), (1, 90.0)], 9), (&[(1, 900.0)], 2)], &[(1, 5e6, 9)]);
        let found = Intensities::new(&watched, 1.0, 10_000).unwrap();
        // Six rounds of three, and the first of one more.
        assert_eq!(found.iterations, 19);
        assert_eq!(Intensities::new(&watched, 1.0, found.iterations).unwrap(), found);
        Intensities::new(&watched, 1.0, found.iterations - 1).unwrap_err();
    }

    #[test]
    fn one_that_does_not_converge_is_refused() {
        let watched =
            watched(2, &[(&[(0, 60.0), (1, 90.0)], 9), (&[(1, 900.0)], 2)], &[(1, 5e6, 9)]);
        let refused = Intensities::new(&watched, 1.0, 3).unwrap_err().to_string();
        assert!(refused.contains("`hazard`") && refused.contains("in 3 iterations"), "{refused}");
        Intensities::new(&watched, 1.0, 10_000).unwrap();
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

        #[test]
        fn nothing_near_is_likelier(
            orders in prop::collection::vec((prop::collection::vec((0_usize..3, 0_u32..450), 1..5), 1_u64..9), 1..9),
            lost in prop::collection::vec((0_usize..3, 0_u32..450, 1_u64..30), 0..12),
            penalty in prop_oneof![Just(0.001), Just(1.0), Just(100.0)],
        ) {
            let age = middle;
            let orders: Vec<(Vec<(usize, f64)>, u64)> = orders.into_iter().map(|(touches, times)| {
                let mut touches: Vec<_> = touches.into_iter().map(|(channel, step)| (channel, age(step))).collect();
                touches.sort_by(|left, right| left.0.cmp(&right.0).then(left.1.total_cmp(&right.1)));
                touches.dedup();
                (touches, times)
            }).collect();
            let mut lost: Vec<(usize, f64, u64)> = lost.into_iter().map(|(channel, step, times)| (channel, age(step), times)).collect();
            // Every channel is there.
            lost.extend((0..3).map(|channel| (channel, 99.0, 1)));
            let orders: Vec<(&[(usize, f64)], u64)> = orders.iter().map(|(touches, times)| (&touches[..], *times)).collect();
            let watched = watched(3, &orders, &lost);
            let found = Intensities::new(&watched, penalty, 10_000).unwrap();
            let longest = watched.cells.iter().map(|cell| cell.age).fold(0.0, f64::max);
            let least = 1.0 / longest;
            let reached = likelihood(&watched, penalty, &found.strengths, &found.rates);
            for at in 0..6 {
                for factor in [0.999, 1.001] {
                    let mut near = [found.strengths.clone(), found.rates.clone()].concat();
                    near[at] *= factor;
                    if at >= 3 && near[at] < least {
                        continue;
                    }
                    let there = likelihood(&watched, penalty, &near[..3], &near[3..]);
                    prop_assert!(there <= reached + 1e-9 * reached.abs(), "{} {} {} {:?}", at, there, reached, found);
                }
            }
        }
    }
}
