//! What visits cause in all, as a function of how many of them each channel has: expected orders,
//! computed and not simulated, and the budget that gets the most of them.
//!
//! Not for one person's visits as they were: that is `effect`.

use super::quadrature::unit_nodes;
use super::size::Size;
use super::world::World;
use crate::calendar::DAY;

/// Points at which the busyness of persons, the length of their time, that time, and its past are
/// looked at.
const BUSY: usize = 16;
const LENGTHS: usize = 8;
const MOMENTS: usize = 12;
const PAST: usize = 12;

/// Expected orders that visits cause, by the factors that the visits of each channel are
/// multiplied by.
pub(super) struct Response {
    points: Vec<Point>,
    /// Relative chances, or chances once scaled, by channel: cold, warm.
    chances: Vec<(f64, f64)>,
}

/// A moment in the time of some persons.
struct Point {
    /// Visits there, by channel, of all those persons.
    visits: Vec<f64>,
    /// What the interest of each channel takes from the logarithm of how cold they are.
    interest: Vec<f64>,
}

/// How long a person's time is, for the waiting time of mean 1 that was drawn for it.
pub(super) fn time_of(world: &World, size: &Size, visits: f64, wait: f64) -> f64 {
    let (day, most) = (DAY as f64, f64::from(size.days) * DAY as f64);
    (world.gap * visits * wait).clamp(day.min(most), most)
}

impl Response {
    /// Of a world in which `reached` persons are as busy as `size` says, the least busy with
    /// `visits` visits that come by themselves.
    pub(super) fn new(world: &World, size: &Size, visits: f64, reached: f64) -> Self {
        let mut points = Vec::new();
        for (busy, persons) in busyness(size) {
            let visits = visits * busy;
            for length in 0..LENGTHS {
                // The middle of each part of the waiting times, all parts equally likely.
                let part = (length as f64 + 0.5) / LENGTHS as f64;
                let time = time_of(world, size, visits, -libm::log1p(-part));
                let persons = reached * persons / LENGTHS as f64;
                for (passed, weight) in unit_nodes(MOMENTS) {
                    points.push(Point::new(world, visits, time, passed, persons * weight));
                }
            }
        }
        let chances = world.channels.iter().map(|channel| (channel.cold, channel.warm)).collect();
        Self { points, chances }
    }

    /// With every chance multiplied.
    pub(super) fn scaled(mut self, scale: f64) -> Self {
        for (cold, warm) in &mut self.chances {
            *cold *= scale;
            *warm *= scale;
        }
        self
    }

    /// Visits by channel where nothing is multiplied.
    pub(super) fn visits(&self) -> Vec<f64> {
        let mut visits = vec![0.0; self.chances.len()];
        for point in &self.points {
            for (sum, visits) in visits.iter_mut().zip(&point.visits) {
                *sum += visits;
            }
        }
        visits
    }

    /// Expected orders that visits cause.
    pub(super) fn caused(&self, factors: &[f64]) -> f64 {
        self.caused_and_slopes(factors).0
    }

    /// Expected orders that visits cause, and how they grow with the factor of each channel.
    pub(super) fn caused_and_slopes(&self, factors: &[f64]) -> (f64, Vec<f64>) {
        let mut slopes = vec![0.0; factors.len()];
        let mut caused = 0.0;
        for point in &self.points {
            let heat: f64 =
                point.interest.iter().zip(factors).map(|(one, factor)| one * factor).sum();
            let cold_share = libm::exp(-heat);
            // What one more of interest would add, over all channels.
            let mut warming = 0.0;
            for (channel, (cold, warm)) in self.chances.iter().enumerate() {
                let chance = warm + (cold - warm) * cold_share;
                caused += factors[channel] * point.visits[channel] * chance;
                slopes[channel] += point.visits[channel] * chance;
                warming += factors[channel] * point.visits[channel] * (warm - cold) * cold_share;
            }
            for (slope, interest) in slopes.iter_mut().zip(&point.interest) {
                *slope += warming * interest;
            }
        }
        (caused, slopes)
    }
}

impl Point {
    fn new(world: &World, visits: f64, time: f64, passed: f64, persons: f64) -> Self {
        // Visits of each channel per unit of time, at a moment.
        let rates = |passed: f64| {
            let pulls: Vec<f64> =
                world.channels.iter().map(|channel| channel.pull(passed)).collect();
            let total: f64 = pulls.iter().sum();
            pulls.into_iter().map(move |pull| visits * pull / total)
        };
        let mut interest = vec![0.0; world.channels.len()];
        for (part, weight) in unit_nodes(PAST) {
            let then = passed * part;
            let age = (passed - then) * time / world.half_life;
            let kept = libm::exp2(-age);
            for ((sum, rate), channel) in interest.iter_mut().zip(rates(then)).zip(&world.channels)
            {
                *sum -= weight * passed * rate * libm::expm1(-channel.interest * kept);
                if channel.views > 0.0 {
                    let views = rate * channel.views;
                    *sum -= weight * passed * views * libm::expm1(-channel.view_interest * kept);
                }
            }
        }
        Self { visits: rates(passed).map(|rate| persons * rate).collect(), interest }
    }
}

/// How busy persons are, and the share of them that each stands for: the Pareto distribution up to
/// its end, and those at its end.
fn busyness(size: &Size) -> Vec<(f64, f64)> {
    let end = libm::log(size.busiest);
    let mut busy: Vec<(f64, f64)> = unit_nodes(BUSY)
        .into_iter()
        .map(|(part, weight)| {
            let log = part * end;
            (libm::exp(log), weight * end * size.tail * libm::exp(-size.tail * log))
        })
        .collect();
    busy.push((size.busiest, libm::exp(-size.tail * end)));
    busy
}

/// What the channels of a world earn for what is spent on them.
pub(super) struct Budget<'a> {
    pub(super) response: &'a Response,
    /// What is spent on each channel as the world is; nothing for those that cost nothing.
    pub(super) spent: Vec<f64>,
    /// By how many per cent visits grow where spend grows by one.
    pub(super) elasticity: Vec<f64>,
}

impl Budget<'_> {
    /// What visits are multiplied by where this is spent.
    fn factors(&self, split: &[f64]) -> Vec<f64> {
        let factor = |(at, spent): (usize, &f64)| {
            if *spent > 0.0 { libm::pow(split[at] / spent, self.elasticity[at]) } else { 1.0 }
        };
        self.spent.iter().enumerate().map(factor).collect()
    }

    /// Expected orders that visits cause where the budget is split so.
    pub(super) fn caused(&self, split: &[f64]) -> f64 {
        self.response.caused(&self.factors(split))
    }

    /// The whole budget in the proportion of these weights; evenly where they are all zero.
    pub(super) fn split(&self, weights: &[f64]) -> Vec<f64> {
        let paid = |at: usize| self.spent[at] > 0.0;
        let total: f64 = self.spent.iter().sum();
        let sum: f64 = (0..weights.len()).filter(|at| paid(*at)).map(|at| weights[at]).sum();
        let count = self.spent.iter().filter(|spent| **spent > 0.0).count() as f64;
        let share = |at: usize| if sum > 0.0 { weights[at] / sum } else { 1.0 / count };
        (0..weights.len()).map(|at| if paid(at) { total * share(at) } else { 0.0 }).collect()
    }

    /// The split that causes the most.
    ///
    /// Where a split is best, every channel that is paid for earns as much for one more unit, so
    /// each one's part of the budget is that of `spend × what one more earns`. Splits are made so
    /// again and again, from several beginnings, and the best is taken.
    pub(super) fn best(&self) -> Vec<f64> {
        let even = self.split(&vec![1.0; self.spent.len()]);
        let paid = (0..self.spent.len()).filter(|at| self.spent[*at] > 0.0);
        let alone = paid.map(|most| {
            let weights: Vec<f64> =
                (0..self.spent.len()).map(|at| if at == most { 10.0 } else { 1.0 }).collect();
            self.split(&weights)
        });
        let mut best = even.clone();
        for mut split in [self.spent.clone(), even].into_iter().chain(alone) {
            for _ in 0..ROUNDS {
                let factors = self.factors(&split);
                let (_, slopes) = self.response.caused_and_slopes(&factors);
                let earned: Vec<f64> = (0..split.len())
                    .map(|at| (slopes[at] * factors[at] * self.elasticity[at]).max(0.0))
                    .collect();
                let next = self.split(&earned);
                let moved: f64 =
                    next.iter().zip(&split).map(|(next, now)| (next - now).abs()).sum();
                split = next;
                if moved <= 1e-7 * self.spent.iter().sum::<f64>() {
                    break;
                }
            }
            if self.caused(&split) > self.caused(&best) {
                best = split;
            }
        }
        best
    }
}

/// How often a split is improved at most.
const ROUNDS: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    /// One point at which nobody is ever warm: orders are visits times their chance.
    fn flat(visits: &[f64], chances: &[f64]) -> Response {
        let interest = vec![0.0; visits.len()];
        Response {
            points: vec![Point { visits: visits.to_vec(), interest }],
            chances: chances.iter().map(|chance| (*chance, *chance)).collect(),
        }
    }

    #[test]
    fn the_best_split_of_a_tiny_world_is_the_one_by_hand() {
        // a √x + b √(B - x) with a : b = 2 : 1 is greatest where x : B - x = a² : b² = 4 : 1.
        // Both have 100 visits for 50; chances 0.2 and 0.1.
        let response = flat(&[100.0, 100.0, 7.0], &[0.2, 0.1, 0.5]);
        let budget =
            Budget { response: &response, spent: vec![50.0, 50.0, 0.0], elasticity: vec![0.5; 3] };
        let best = budget.best();
        assert!((best[0] - 80.0).abs() < 1e-4 && (best[1] - 20.0).abs() < 1e-4, "{best:?}");
        assert!(best[2].abs() < 1e-12);
        // 20 √1.6 + 10 √0.4 + 3.5 (nobody pays for the third).
        let expected = 20.0 * 1.6_f64.sqrt() + 10.0 * 0.4_f64.sqrt() + 3.5;
        assert!((budget.caused(&best) - expected).abs() < 1e-8);
        assert_eq!(budget.split(&[0.0; 3]), [50.0, 50.0, 0.0]);
    }

    #[test]
    fn slopes_are_those_of_the_response() {
        let world = World::read(None).unwrap();
        let response = Response::new(&world, &Size::default(), 3.0, 1_000.0);
        let mut factors = vec![0.8; world.channels.len()];
        let (_, slopes) = response.caused_and_slopes(&factors);
        for at in 0..factors.len() {
            let step = 1e-5;
            factors[at] += step;
            let above = response.caused(&factors);
            factors[at] -= 2.0 * step;
            let below = response.caused(&factors);
            factors[at] += step;
            let slope = (above - below) / (2.0 * step);
            assert!((slope - slopes[at]).abs() < 1e-6 * slopes[at].abs().max(1.0));
        }
    }

    #[test]
    fn persons_are_as_many_and_as_busy_as_they_are() {
        for tail in [1.1, 1.5] {
            let size = Size { tail, ..Size::default() };
            let busy = busyness(&size);
            let all: f64 = busy.iter().map(|(_, share)| share).sum();
            let mean: f64 = busy.iter().map(|(busy, share)| busy * share).sum();
            assert!((all - 1.0).abs() < 1e-9, "{all}");
            assert!((mean - super::super::plan::moment(&size, 1.0)).abs() < 1e-9, "{mean}");
        }
    }
}
