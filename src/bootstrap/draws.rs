//! How often each resample counts each person.
//!
//! The number follows from the seed, the resample and the person's id, and from nothing else: not
//! from the number that a run happens to give the person, nor from who was looked at before. So any
//! thread can work out any part of it, and the first 200 of 1,000 resamples are those of a run of 200.

use twox_hash::XxHash64;

/// The greatest number of times that a resample counts a person.
pub const MOST_DRAWN: u64 = REACHED.len() as u64;

/// Where the next greater number begins among 2^32 equally likely values: the whole part of
/// 2^32 P(at most k), for a Poisson distribution of mean one and k from 0.
///
/// More than twelve has a probability of 6 in 10^11, less than one of these values.
const REACHED: [u32; 12] = [
    1_580_030_168,
    3_160_060_337,
    3_950_075_421,
    4_213_413_783,
    4_279_248_373,
    4_292_415_291,
    4_294_609_777,
    4_294_923_276,
    4_294_962_463,
    4_294_966_817,
    4_294_967_252,
    4_294_967_292,
];

/// How often resamples count persons.
///
/// # Example
///
/// ```
/// use apportion::bootstrap::{Draws, key_of};
/// let (mut all, mut some) = ([0; 4], [0; 2]);
/// let draws = Draws::Poisson { seed: 7 };
/// draws.fill(key_of("ann"), 0, &mut all);
/// draws.fill(key_of("ann"), 2, &mut some);
/// assert_eq!(all[2..], some);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Draws {
    /// A number of a Poisson distribution of mean one, each person for itself (Hanley and `MacGibbon`
    /// 2006; Chamandy and others 2012).
    ///
    /// Drawing as many persons as there are, one after the other, would need to know all of them
    /// before the first can be counted, and would hold their number still, although it is as
    /// uncertain as all that follows from it.
    Poisson {
        /// Another seed gives other resamples.
        seed: u64,
    },
    /// Everybody once: each resample is the data as they are.
    Once,
}

/// What stands for a person in a generator: a hash of its id that is the same everywhere.
///
/// Two persons of one key are counted alike, which makes no resample wrong.
pub fn key_of(id: &str) -> u64 {
    XxHash64::oneshot(0, id.as_bytes())
}

impl Draws {
    /// How often a resample, counted from one, counts the person of this key; 0 is the data as they
    /// are.
    pub fn times(self, key: u64, resample: usize) -> u64 {
        if resample == 0 {
            return 1;
        }
        let mut pair = [0; 2];
        self.fill(key, resample - resample % 2, &mut pair);
        pair[resample % 2].into()
    }

    /// How often the resamples from `first` on count the person of this key; `first` is even.
    pub fn fill(self, key: u64, first: usize, times: &mut [u32]) {
        let Self::Poisson { seed } = self else {
            times.fill(1);
            return;
        };
        let start = mixed(key ^ mixed(seed.wrapping_add(STEP)));
        for (at, pair) in (first as u64 / 2..).zip(times.chunks_mut(2)) {
            let bits = mixed(start.wrapping_add(at.wrapping_add(1).wrapping_mul(STEP)));
            for (value, shift) in pair.iter_mut().zip([0, 32]) {
                #[expect(clippy::cast_possible_truncation, reason = "one half, then the other")]
                let half = (bits >> shift) as u32;
                *value = half;
            }
        }
        // Without a branch, so that several are worked out at a time.
        for value in times {
            *value = REACHED.iter().map(|reached| u32::from(*value >= *reached)).sum();
        }
    }
}

/// The step of `SplitMix64`: 2^64 by the golden ratio, made odd.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// The mixing function of `SplitMix64` (Steele, Lea and Flood 2014): its output is a function of a
/// key and a counter, so that any value of a sequence can be had without those before it.
pub(crate) const fn mixed(state: u64) -> u64 {
    let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_those_of_the_poisson_distribution() {
        let (mut chance, mut reached) = ((-1.0_f64).exp(), 0.0);
        for (k, threshold) in (1_u32..).zip(REACHED) {
            reached += chance;
            chance /= f64::from(k);
            assert!((reached * 2.0_f64.powi(32) - f64::from(threshold)).abs() <= 1.0, "{k}");
        }
    }

    #[test]
    fn draws_have_mean_and_variance_one_and_do_not_follow_each_other() {
        let (persons, resamples) = (2_000, 100);
        let mut drawn = vec![vec![0_u32; resamples]; persons];
        for (person, times) in drawn.iter_mut().enumerate() {
            Draws::Poisson { seed: 1 }.fill(key_of(&format!("u{person}")), 0, times);
        }
        let count = (persons * resamples) as f64;
        let mean = |of: &dyn Fn(usize, usize) -> f64| {
            let all = (0..persons).flat_map(|person| (0..resamples).map(move |at| (person, at)));
            all.map(|(person, at)| of(person, at)).sum::<f64>() / count
        };
        let at = |person: usize, at: usize| f64::from(drawn[person % persons][at % resamples]);
        // Five standard errors, of a mean of 200,000 values whose standard deviation is at most 2.
        let error = 5.0 * 2.0 / count.sqrt();
        assert!((mean(&at) - 1.0).abs() < error);
        assert!((mean(&|person, b| (at(person, b) - 1.0).powi(2)) - 1.0).abs() < error);
        let with = |step: (usize, usize)| {
            mean(&|person, b| (at(person, b) - 1.0) * (at(person + step.0, b + step.1) - 1.0))
        };
        for step in [(1, 0), (0, 1), (0, 2), (7, 3)] {
            assert!(with(step).abs() < error, "{step:?}");
        }
        let none = mean(&|person, b| f64::from(u8::from(at(person, b) == 0.0)));
        assert!((none - (-1.0_f64).exp()).abs() < error);
    }

    #[test]
    fn another_seed_or_person_draws_otherwise() {
        let drawn = |seed: u64, id: &str| {
            let mut times = [0; 64];
            Draws::Poisson { seed }.fill(key_of(id), 0, &mut times);
            times
        };
        assert_eq!(drawn(1, "ann"), drawn(1, "ann"));
        assert_ne!(drawn(1, "ann"), drawn(2, "ann"));
        assert_ne!(drawn(1, "ann"), drawn(1, "bob"));
    }
}
