//! Logistic regression of whether a journey ends in an order on the set of its channels.
//!
//! The logarithm of the odds of an order is a baseline plus a coefficient for every channel of the
//! set. Coefficients are those of the greatest likelihood less `penalty` / 2 times the sum of their
//! squares; the baseline is not penalised, so that as many orders are expected as there were. It is
//! one maximum, found by Newton's method with Cholesky factors, in the order of channels and sets:
//! the same counts give the same bytes. Not for what a coefficient is worth to an order: that is
//! `logistic`.

use rsparse::cholsol;
use rsparse::data::Sprs;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::stop;

/// The most channels: beyond, a step takes longer than anybody waits for.
const MOST_CHANNELS: usize = 1_000;

/// The most pairs of channels that occur together in distinct sets, for the same reason.
const MOST_PAIRS: u64 = 3_000_000_000;

/// The most often that a step is halved.
const MOST_HALVINGS: usize = 60;

/// What the last step may still have gained, as a logarithm of the likelihood. Errors are squared
/// with every step, so that after it nothing but rounding is left.
const GAIN: f64 = 1e-12;

/// How much the expected rate of orders may be off the observed one.
const TOLERANCE: f64 = 1e-9;

/// The journeys with one set of channels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Set {
    /// The channels, ascending, as positions among all.
    pub(super) channels: Vec<u32>,
    /// How many journeys had exactly these.
    pub(super) journeys: u64,
    /// How many of them ended in an order.
    pub(super) converted: u64,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Regression {
    /// The log-odds of a journey without any channel.
    pub(super) baseline: f64,
    /// What each channel adds to them.
    pub(super) coefficients: Vec<f64>,
    /// How many steps it took; none where journeys all ended alike and nothing could be found.
    pub(super) steps: u64,
}

impl Regression {
    /// The regression over sets of some channels; coefficients are zero where all journeys ended
    /// alike.
    ///
    /// # Errors
    ///
    /// Too many channels or sets, or a maximum that is not reached in so many `iterations`.
    pub(super) fn new(
        sets: &[Set],
        channels: usize,
        penalty: f64,
        iterations: u64,
    ) -> Result<Self> {
        let journeys: u64 = sets.iter().map(|set| set.journeys).sum();
        let converted: u64 = sets.iter().map(|set| set.converted).sum();
        if converted == 0 || converted == journeys {
            return Ok(Self { coefficients: vec![0.0; channels], ..Self::default() });
        }
        let pairs: u64 = sets.iter().map(|set| (set.channels.len() as u64).pow(2)).sum();
        if channels > MOST_CHANNELS || pairs > MOST_PAIRS {
            return Err(Error::Contradiction(format!(
                "`logistic` on {channels} channels in {} distinct sets is too large; ask for fewer channels, such as `by=channel_group`",
                sets.len()
            )));
        }
        let problem = Problem { sets, channels, penalty, iterations };
        let (found, steps) = problem.maximum(journeys, converted)?;
        // A journey that is counted is rounded, and a channel that says nothing is left with that.
        let rounding = 16.0 * f64::EPSILON * journeys as f64 / penalty;
        let exact = |value: &f64| if value.abs() <= rounding { 0.0 } else { *value };
        let regression = Self {
            baseline: found[0],
            coefficients: found[1..].iter().map(exact).collect(),
            steps,
        };
        let expected = regression.expected(sets) / journeys as f64;
        let observed = converted as f64 / journeys as f64;
        if (expected - observed).abs() > TOLERANCE {
            return Err(Error::Broken(format!(
                "a regression expects {expected} orders a journey where {observed} were observed"
            )));
        }
        Ok(regression)
    }

    /// The log-odds of a journey with exactly these channels.
    pub(super) fn log_odds(&self, channels: &[u32]) -> f64 {
        let added = channels.iter().map(|channel| self.coefficients[*channel as usize]);
        self.baseline + added.sum::<f64>()
    }

    /// How many orders are expected of the journeys with some sets.
    pub(super) fn expected(&self, sets: &[Set]) -> f64 {
        let orders = |set: &Set| set.journeys as f64 * probability(self.log_odds(&set.channels));
        sets.iter().map(orders).sum()
    }
}

/// The probability of some log-odds.
pub(super) fn probability(log_odds: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-log_odds))
}

/// What is lost of the probability of some log-odds without a coefficient that is in them.
///
/// As a product, because a difference of two probabilities near one would cancel:
/// σ(a) − σ(a − c) = σ(a) σ(c − a) (1 − exp(−c)).
pub(super) fn drop_without(log_odds: f64, coefficient: f64) -> f64 {
    probability(log_odds) * probability(coefficient - log_odds) * -libm::expm1(-coefficient)
}

/// log(1 + exp(x)), whatever x is.
fn log_one_plus_exp(x: f64) -> f64 {
    x.max(0.0) + libm::log1p(libm::exp(-x.abs()))
}

/// What is to be found: the baseline, and after it a coefficient a channel.
struct Problem<'a> {
    sets: &'a [Set],
    channels: usize,
    penalty: f64,
    /// The most steps.
    iterations: u64,
}

impl Problem<'_> {
    /// Where the penalised likelihood is greatest, and the steps that it took to get there.
    fn maximum(&self, journeys: u64, converted: u64) -> Result<(Vec<f64>, u64)> {
        let mut at = vec![0.0; self.channels + 1];
        at[0] = libm::log(converted as f64 / (journeys - converted) as f64);
        let mut reached = self.likelihood(&at);
        for steps in 1..=self.iterations {
            stop::check()?;
            let Some((mut step, gain)) = self.step(&at) else { break };
            if gain <= GAIN {
                at.iter_mut().zip(&step).for_each(|(value, step)| *value += step);
                return Ok((at, steps));
            }
            // The likelihood is concave: some part of the way is always up, but for rounding.
            let enough = reached - f64::EPSILON * reached.abs();
            let mut halvings = 0;
            loop {
                let next: Vec<f64> =
                    at.iter().zip(&step).map(|(value, step)| value + step).collect();
                let likelihood = self.likelihood(&next);
                if likelihood >= enough {
                    (at, reached) = (next, likelihood);
                    break;
                }
                halvings += 1;
                if halvings > MOST_HALVINGS {
                    return Err(self.not_reached());
                }
                for step in &mut step {
                    *step /= 2.0;
                }
            }
        }
        Err(self.not_reached())
    }

    fn not_reached(&self) -> Error {
        Error::Contradiction(format!(
            "`logistic` with `penalty={}` does not converge on {} channels in {} iterations; ask for more `iterations`, for a greater `penalty`, or for fewer channels, such as `by=channel_group`",
            self.penalty, self.channels, self.iterations
        ))
    }

    fn log_odds(at: &[f64], set: &Set) -> f64 {
        at[0] + set.channels.iter().map(|channel| at[1 + *channel as usize]).sum::<f64>()
    }

    /// The logarithm of the likelihood, less the penalty.
    fn likelihood(&self, at: &[f64]) -> f64 {
        let of_set = |set: &Set| {
            let log_odds = Self::log_odds(at, set);
            let lost = set.journeys - set.converted;
            set.converted as f64 * log_one_plus_exp(-log_odds)
                + lost as f64 * log_one_plus_exp(log_odds)
        };
        let squares: f64 = at[1..].iter().map(|value| value * value).sum();
        -(self.sets.iter().map(of_set).sum::<f64>() + self.penalty / 2.0 * squares)
    }

    /// The step of Newton's method, and twice what it would gain if the likelihood were a parabola;
    /// none where its curvature is nothing but rounding.
    fn step(&self, at: &[f64]) -> Option<(Vec<f64>, f64)> {
        let count = self.channels + 1;
        let mut curvature = vec![vec![0.0; count]; count];
        let mut slope = vec![0.0; count];
        for (value, row) in curvature.iter_mut().enumerate().skip(1) {
            row[value] = self.penalty;
            slope[value] = -self.penalty * at[value];
        }
        let mut held: Vec<usize> = Vec::new();
        for set in self.sets {
            held.clear();
            held.push(0);
            held.extend(set.channels.iter().map(|channel| 1 + *channel as usize));
            let log_odds = Self::log_odds(at, set);
            let (converts, not) = (probability(log_odds), probability(-log_odds));
            // Both sides, and not a count less an expectation: little is left of few.
            let lost = (set.journeys - set.converted) as f64;
            let more = set.converted as f64 * not - lost * converts;
            let bend = set.journeys as f64 * converts * not;
            for row in &held {
                slope[*row] += more;
                for column in &held {
                    curvature[*row][*column] += bend;
                }
            }
        }
        let mut step = slope.clone();
        cholsol(&Sprs::new_from_vec(&curvature), &mut step, -1).ok()?;
        let gain: f64 = slope.iter().zip(&step).map(|(slope, step)| slope * step).sum();
        gain.is_finite().then_some((step, gain))
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "what is nothing but rounding is zero")]
mod tests {
    use super::*;

    fn set(channels: &[u32], journeys: u64, converted: u64) -> Set {
        Set { channels: channels.to_vec(), journeys, converted }
    }

    fn close(found: f64, known: f64) -> bool {
        (found - known).abs() < 1e-12
    }

    /// Half of the two journeys with channel 0 convert, where hardly any other does: a step of Newton's method
    /// leads some hundred beyond, where nothing is left of the likelihood.
    #[test]
    fn a_step_that_leads_too_far_is_halved() {
        let sets = [set(&[0], 2, 1), set(&[1], 200_000, 3)];
        let problem = Problem { sets: &sets, channels: 2, penalty: 1e-3, iterations: 100 };
        let start = [libm::log(4.0 / 199_998.0), 0.0, 0.0];
        let (step, _) = problem.step(&start).unwrap();
        let landed: Vec<f64> = start.iter().zip(&step).map(|(at, step)| at + step).collect();
        assert!(problem.likelihood(&landed) < problem.likelihood(&start), "{step:?}");
        let (found, steps) = problem.maximum(200_002, 4).unwrap();
        assert!(steps < 40, "{steps}");
        // Slopes are nothing: orders exceed those expected by the penalty times the coefficient.
        let expected = |channel: usize| probability(found[0] + found[channel]);
        assert!((1.0 - 2.0 * expected(1) - 1e-3 * found[1]).abs() < 1e-9, "{found:?}");
        assert!((3.0 - 200_000.0 * expected(2) - 1e-3 * found[2]).abs() < 1e-9, "{found:?}");
    }

    #[test]
    fn a_likelihood_is_that_of_what_happened_less_the_penalty() {
        let sets = [set(&[0], 5, 2), set(&[0, 1], 7, 4), set(&[], 3, 1)];
        let problem = Problem { sets: &sets, channels: 2, penalty: 0.5, iterations: 1 };
        let at = [-0.3, 0.8, 1.1];
        let of = |log_odds: f64, converted: f64, lost: f64| {
            let converts = 1.0 / (1.0 + (-log_odds).exp());
            converted * converts.ln() + lost * (1.0 - converts).ln()
        };
        let known = of(0.5, 2.0, 3.0) + of(1.6, 4.0, 3.0) + of(-0.3, 1.0, 2.0)
            - 0.25 * (0.8 * 0.8 + 1.1 * 1.1);
        assert!(close(problem.likelihood(&at), known));
    }

    /// With coefficients ln 3 and 2 ln 3 over a baseline of −ln 3, journeys convert with 1/2, 3/4 and,
    /// with both, 9/10. The slopes are zero where each channel's orders exceed those expected by
    /// the penalty times its coefficient, and all together by nothing.
    #[test]
    fn two_channels_are_found_in_closed_form() {
        let sets = [set(&[0], 4, 0), set(&[0, 1], 40, 39), set(&[1], 4, 2)];
        let three = 3_f64.ln();
        let found = Regression::new(&sets, 2, 1.0 / three, 100).unwrap();
        assert!(close(found.baseline, -three), "{found:?}");
        assert!(close(found.coefficients[0], three), "{found:?}");
        assert!(close(found.coefficients[1], 2.0 * three), "{found:?}");
        assert!(close(found.expected(&sets), 41.0), "{found:?}");
    }

    #[test]
    fn a_channel_that_makes_no_difference_has_none() {
        // {b} converts 3 of 8, {a, b} 7 of 8: over 1/2 and 3/4 one more and one less.
        let sets = [set(&[0, 1], 8, 7), set(&[1], 8, 3)];
        let three = 3_f64.ln();
        let found = Regression::new(&sets, 2, 1.0 / three, 100).unwrap();
        assert!(close(found.baseline, 0.0) && close(found.coefficients[0], three), "{found:?}");
        assert_eq!(found.coefficients[1], 0.0);
    }

    #[test]
    fn a_channel_that_always_or_never_converts_has_a_finite_coefficient() {
        for penalty in [1e-3, 1.0, 1e6] {
            let sets = [set(&[0], 1_000_000, 1_000_000), set(&[1], 1_000_000, 0)];
            let found = Regression::new(&sets, 2, penalty, 100).unwrap();
            assert!(found.coefficients[0] > 0.0 && found.coefficients[0].is_finite());
            // What channels have in common is the baseline's.
            assert!((found.coefficients[0] + found.coefficients[1]).abs() < 1e-9, "{found:?}");
        }
    }

    #[test]
    fn journeys_that_all_end_alike_or_are_all_alike_teach_nothing() {
        for sets in [
            vec![],
            vec![set(&[0], 5, 5), set(&[0, 1], 2, 2)],
            vec![set(&[0], 5, 0), set(&[1], 2, 0)],
            vec![set(&[0, 1], 1_000_003, 17)],
        ] {
            let found = Regression::new(&sets, 2, 1.0, 100).unwrap();
            assert_eq!(found.coefficients, [0.0, 0.0]);
        }
    }

    #[test]
    fn more_channels_than_can_be_fitted_are_refused() {
        let sets: Vec<Set> = (0..10_000).map(|channel| set(&[channel], 2, 1)).collect();
        let refused = Regression::new(&sets, 10_000, 1.0, 100).unwrap_err();
        assert!(refused.to_string().contains("by=channel_group"), "{refused}");
    }

    #[test]
    fn one_that_does_not_converge_is_refused() {
        let sets = [set(&[0], 4, 0), set(&[0, 1], 40, 39), set(&[1], 4, 2)];
        let refused = Regression::new(&sets, 2, 1.0, 2).unwrap_err().to_string();
        assert!(refused.contains("`logistic`") && refused.contains("in 2 iterations"), "{refused}");
        Regression::new(&sets, 2, 1.0, 100).unwrap();
    }

    #[test]
    fn what_is_lost_does_not_cancel_near_one() {
        assert!(close(drop_without(0.0, 3_f64.ln()), 0.25));
        assert!(close(drop_without(0.0, -3_f64.ln()), -0.25));
        let lost = drop_without(50.0, 1.0) / drop_without(50.0, 2.0);
        assert!(close(lost, 1_f64.exp_m1() / 2_f64.exp_m1()), "{lost}");
    }
}
