//! Random numbers of one person and purpose: the same on every machine, thread and day.

use chacha20::ChaCha8Rng;
use rand::{Rng, SeedableRng};
use rand_distr::{Distribution, Exp1, StandardNormal};

/// What random numbers are for. Each purpose has its own, so that an option changes nothing else.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose {
    /// Who a person is, and what brings them.
    Life,
    /// What they order: whatever comes of it, what brings them stays the same.
    Orders,
    /// What is told of visits and orders beside.
    Details,
    /// What an export lacks or has twice.
    Export,
    /// What belongs to nobody: exchange rates.
    World,
    /// Which advertisements they see and do not click.
    Views,
    /// Under which of their users they see them.
    Recognized,
    /// Which devices they have, and which of them each visit is on.
    Devices,
    /// Which visits are recorded without their origin.
    Origins,
    /// What becomes of orders: codes, kinds, places, cancellations.
    Fates,
    /// Which of their users nothing joins to them.
    Joins,
}

/// A source of random numbers.
pub(super) struct Chance(ChaCha8Rng);

impl Chance {
    /// The numbers of a person (or anything else that is numbered) for a purpose.
    pub(super) fn new(seed: u64, number: u64, purpose: Purpose) -> Self {
        let mut key = [0_u8; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8] = purpose as u8;
        let mut stream = ChaCha8Rng::from_seed(key);
        stream.set_stream(number);
        Self(stream)
    }

    /// A number from 0 to below 1.
    pub(super) fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Whether something of this chance happens.
    pub(super) fn happens(&mut self, chance: f64) -> bool {
        self.unit() < chance
    }

    /// A waiting time of mean 1.
    pub(super) fn wait(&mut self) -> f64 {
        Exp1.sample(&mut self.0)
    }

    /// A factor of mean 1, log-normal with this deviation of its logarithm.
    pub(super) fn factor(&mut self, deviation: f64) -> f64 {
        let normal: f64 = StandardNormal.sample(&mut self.0);
        libm::exp(deviation * normal - deviation * deviation / 2.0)
    }

    /// One of the positions of `weights`, each as likely as it weighs.
    pub(super) fn pick(&mut self, weights: impl Iterator<Item = f64> + Clone) -> usize {
        let total: f64 = weights.clone().sum();
        let mut left = self.unit() * total;
        let mut last = 0;
        for (at, weight) in weights.enumerate() {
            if weight > 0.0 {
                last = at;
                if left < weight {
                    break;
                }
                left -= weight;
            }
        }
        last
    }

    /// A whole number from 0 to below `end`, which is not zero.
    pub(super) fn below(&mut self, end: u32) -> u32 {
        let wide = u64::from(self.0.next_u32()) * u64::from(end);
        u32::try_from(wide >> 32).unwrap_or_default()
    }

    /// A whole number whose expectation is exactly `value`, never negative.
    #[expect(clippy::cast_possible_truncation, reason = "what is rounded is far below 2^53")]
    pub(super) fn whole(&mut self, value: f64) -> i64 {
        libm::floor(value + self.unit()) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_what_it_was() {
        // Worlds that were made before are to come out the same: these values are for ever.
        let mut chance = Chance::new(7, 3, Purpose::Life);
        let mut again = Chance::new(7, 3, Purpose::Life);
        let mut other = Chance::new(7, 3, Purpose::Details);
        let first = chance.unit();
        assert_eq!(
            (first, chance.wait(), chance.factor(1.0)),
            (0.662_921_773_426_872_6, 1.254_601_526_501_029, 2.265_066_404_195_849_3)
        );
        assert_eq!(first.to_bits(), again.unit().to_bits());
        assert_ne!(first.to_bits(), other.unit().to_bits());
        let mean = (0..20_000).map(|_| chance.factor(0.5)).sum::<f64>() / 20_000.0;
        assert!((mean - 1.0).abs() < 0.02, "{mean}");
        let picked = (0..1_000).map(|_| chance.pick([0.0, 1.0, 3.0, 0.0].into_iter()));
        let (ones, threes): (Vec<usize>, Vec<usize>) = picked.partition(|at| *at == 1);
        assert!(threes.iter().all(|at| *at == 2) && ones.len() < 350 && ones.len() > 150);
        let wholes: i64 = (0..10_000).map(|_| chance.whole(1.25)).sum();
        assert!((12_200..12_800).contains(&wholes));
    }
}
