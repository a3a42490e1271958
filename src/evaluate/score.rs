//! How near credit comes to the truth: measures of two lists of channels, and their intervals.
//!
//! Not for where either list comes from.

use statrs::distribution::{ContinuousCDF, StudentsT};

/// Each value as a part of their sum; all zero where that is none.
pub(super) fn shares(values: &[f64]) -> Vec<f64> {
    let sum: f64 = values.iter().sum();
    values.iter().map(|value| if sum > 0.0 { value / sum } else { 0.0 }).collect()
}

/// The total variation distance of two lists of shares: the part of all credit that would have to
/// move.
pub(super) fn share_error(credited: &[f64], caused: &[f64]) -> f64 {
    let pairs = shares(credited).into_iter().zip(shares(caused));
    pairs.map(|(credited, caused)| (credited - caused).abs()).sum::<f64>() / 2.0
}

/// Kendall's tau-b of two lists: pairs in the same order less pairs in the opposite one, of those
/// that could be either; none where one list says the same of all.
pub(super) fn rank_agreement(left: &[f64], right: &[f64]) -> Option<f64> {
    let (mut agree, mut of_left, mut of_right) = (0_i64, 0_i64, 0_i64);
    for at in 0..left.len() {
        for other in 0..at {
            let sign = |values: &[f64]| match values[at].total_cmp(&values[other]) {
                std::cmp::Ordering::Less => -1,
                std::cmp::Ordering::Equal => 0,
                std::cmp::Ordering::Greater => 1,
            };
            let (one, two) = (sign(left), sign(right));
            agree += one * two;
            of_left += one * one;
            of_right += two * two;
        }
    }
    let possible = (of_left as f64 * of_right as f64).sqrt();
    (possible > 0.0).then(|| agree as f64 / possible)
}

/// A figure over several worlds: its mean, and half the width of an interval of 95 % around it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figure {
    /// The mean over worlds.
    pub mean: f64,
    /// Half the width of Student's interval of the mean; none of a single world.
    pub half_width: Option<f64>,
}

impl Figure {
    /// Of the worlds in which there is one; none where there is in none.
    pub(super) fn of(values: impl Iterator<Item = Option<f64>>) -> Option<Self> {
        let values: Vec<f64> = values.flatten().collect();
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        if values.is_empty() {
            return None;
        }
        let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
        let quantile = StudentsT::new(0.0, 1.0, count - 1.0).ok();
        let half_width = quantile
            .map(|student| student.inverse_cdf(0.975) * (squares / (count - 1.0) / count).sqrt());
        Some(Self { mean, half_width })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_worked_by_hand() {
        // Shares 0.5, 0.3, 0.2 against 0.2, 0.3, 0.5: 0.3 would have to move.
        assert!((share_error(&[5.0, 3.0, 2.0], &[2.0, 3.0, 5.0]) - 0.3).abs() < 1e-15);
        assert!(share_error(&[1.0, 1.0], &[4.0, 4.0]).abs() < 1e-15);
        // Pairs (a, b), (a, c), (b, c): the first agrees, the others do not.
        let tau = rank_agreement(&[2.0, 1.0, 3.0], &[3.0, 2.0, 1.0]).unwrap();
        assert!((tau + 1.0 / 3.0).abs() < 1e-15);
        // A tie on one side: 5 pairs agree and 1 is tied: 5 / sqrt(5 * 6).
        let tied = rank_agreement(&[0.0, 0.0, 1.0, 2.0], &[0.0, 1.0, 2.0, 3.0]).unwrap();
        assert!((tied - 5.0 / 30_f64.sqrt()).abs() < 1e-15);
        assert_eq!(rank_agreement(&[1.0, 1.0], &[1.0, 2.0]), None);
    }

    #[test]
    fn intervals_are_student_s() {
        // 1, 2, 3: mean 2, deviation 1, so 4.302653 / sqrt(3).
        let figure = Figure::of([1.0, 2.0, 3.0].map(Some).into_iter()).unwrap();
        assert!((figure.mean - 2.0).abs() < 1e-15);
        assert!((figure.half_width.unwrap() - 4.302_652_73 / 3_f64.sqrt()).abs() < 1e-6);
        assert_eq!(Figure::of([Some(7.0), None].into_iter()).unwrap().half_width, None);
        assert_eq!(Figure::of([None].into_iter()), None);
    }
}
