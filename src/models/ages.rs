//! Ages of touches in steps, so that journeys can be counted by how old their touches were.
//!
//! Up to 32 seconds a step is a second; from there on there are sixteen equal steps in every doubling,
//! so that a step is at most a sixteenth of the age. Ten years have 402 steps. Integers alone decide
//! which step an age has. Not for what touches weigh: orders are divided by ages to the microsecond.

use crate::calendar::SECOND;

/// How often a doubling is halved: it has 2^4 steps.
const HALVINGS: u32 = 4;

/// The step of an age in microseconds; one below zero has the first.
pub(super) fn step(age: i64) -> u32 {
    let seconds = u64::try_from(age).unwrap_or_default() / SECOND.unsigned_abs();
    // The greatest five binary digits, and how many follow.
    let more = seconds.checked_ilog2().unwrap_or_default().saturating_sub(HALVINGS);
    #[expect(clippy::cast_possible_truncation, reason = "less than 2^5, or all there are")]
    let digits = (seconds >> more) as u32;
    (more << HALVINGS) + digits
}

/// The middle of a step, in seconds.
///
/// The first step is half a second, and not nothing: no age is so short that it says for sure.
pub(super) fn middle(step: u32) -> f64 {
    let more = (step >> HALVINGS).saturating_sub(1);
    let least = f64::from(step - (more << HALVINGS));
    (least + 0.5) * (1_u64 << more) as f64
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "halves of powers of two are exact")]
mod tests {
    use super::*;

    #[test]
    fn steps_follow_each_other_and_each_holds_its_middle() {
        assert_eq!(
            [-1, 0, SECOND - 1, SECOND, 31 * SECOND, 33 * SECOND].map(step),
            [0, 0, 0, 1, 31, 32]
        );
        assert_eq!([0, 31, 32, 47, 48].map(middle), [0.5, 31.5, 33.0, 63.0, 66.0]);
        // 3,584 to 3,712 seconds: an hour lies in a step of 128 seconds.
        assert_eq!(
            (middle(step(3_600 * SECOND)), step(10 * 365 * 86_400 * SECOND)),
            (3_648.0, 402)
        );
        for at in 0..500 {
            #[expect(clippy::cast_possible_truncation, reason = "far below 2^63")]
            let middle = (middle(at) * 1e6) as i64;
            assert_eq!(step(middle), at);
        }
    }
}
