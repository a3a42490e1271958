//! How often each resample counts journeys of which only the number is known.
//!
//! So many journeys, each counted a number of times of mean one, are counted a number of times whose
//! mean is how many they are: one number is drawn for all. Not for persons, who are drawn one by one
//! in `draws`.

use rand_distr::{Distribution, Poisson};
use rand_pcg::Pcg64;

use crate::bootstrap::Draws;

/// So many journeys, ready to be drawn.
///
/// # Example
///
/// ```
/// use apportion::bootstrap::{Draws, Journeys, key_of};
/// let draws = Draws::Poisson { seed: 7 };
/// let journeys = Journeys::new(1_000_000);
/// let drawn = |resample| journeys.draw(&mut draws.stream(key_of("Email"), resample));
/// assert_eq!(drawn(3), drawn(3));
/// // Some thousand more or less, of a million.
/// assert!((1..50).all(|resample| drawn(resample).abs_diff(1_000_000) < 6_000));
/// // The data as they are.
/// assert_eq!(drawn(0), 1_000_000);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Journeys {
    count: u64,
    /// None where there is nothing to draw.
    numbers: Option<Poisson<f64>>,
}

impl Journeys {
    /// So many journeys.
    pub fn new(count: u64) -> Self {
        // One of no journeys is refused, and so is more than any count.
        Self { count, numbers: Poisson::new(count as f64).ok() }
    }

    /// How many times they are counted, all together; as many as they are without a stream.
    pub fn draw(&self, random: &mut Option<Pcg64>) -> u64 {
        match (random, &self.numbers) {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "whole numbers from 0 up, the greatest far below 2^64"
            )]
            (Some(random), Some(numbers)) => numbers.sample(random) as u64,
            _ => self.count,
        }
    }
}

impl Draws {
    /// The random numbers by which a resample, counted from one, counts what has this key; none for
    /// the data as they are.
    pub fn stream(self, key: u64, resample: usize) -> Option<Pcg64> {
        let Self::Poisson { seed } = self else { return None };
        // Two generators with neighbouring streams may be alike: the state differs too.
        let state = u128::from(seed) << 64 | u128::from(key ^ resample as u64);
        let state = state.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        let stream = u128::from(key) << 64 | resample as u128;
        (resample > 0).then(|| Pcg64::new(state, stream))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bootstrap::key_of;

    #[test]
    fn numbers_have_the_mean_and_the_variance_of_as_many_persons() {
        let draws = Draws::Poisson { seed: 1 };
        for count in [1_u64, 7, 40, 3_000] {
            let journeys = Journeys::new(count);
            let numbers: Vec<f64> = (1..=20_000)
                .map(|resample| journeys.draw(&mut draws.stream(key_of("a"), resample)) as f64)
                .collect();
            let mean = numbers.iter().sum::<f64>() / 20_000.0;
            let variance =
                numbers.iter().map(|number| (number - mean).powi(2)).sum::<f64>() / 20_000.0;
            // Five standard errors: of a mean √(λ / n), of a variance some λ √(2 / n) + √(λ / n).
            let size = count as f64;
            assert!((mean - size).abs() < 5.0 * (size / 20_000.0).sqrt(), "{count}: {mean}");
            let error = size * (2.0_f64 / 20_000.0).sqrt() + (size / 20_000.0).sqrt();
            assert!((variance - size).abs() < 5.0 * error, "{count}: {variance}");
        }
        assert_eq!(Journeys::new(0).draw(&mut draws.stream(5, 1)), 0);
    }
}
