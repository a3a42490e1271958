//! Divides one order among its touches so that the parts add up to the last unit.
//!
//! Everything here is integers: weights become whole numbers once, and an amount is divided by
//! largest remainder among them. Not for deciding what touches are worth: that is a model.

/// One whole conversion, as an integer: shares of an order sum to exactly this.
pub const WHOLE: i64 = 1 << 62;

/// The greatest weight of a journey, as an integer; the others are rounded to its 2^-52.
const GREATEST: f64 = 4_503_599_627_370_496.0;

/// A share in units of [`WHOLE`] as a fraction of one.
///
/// # Example
///
/// ```
/// use apportion::credits::{WHOLE, share};
/// assert_eq!(share(i128::from(WHOLE / 4)), 0.25);
/// ```
pub fn share(units: i128) -> f64 {
    units as f64 / WHOLE as f64
}

/// Divides amounts in the proportion of a journey's weights; its space is used again and again.
#[derive(Debug, Default)]
pub struct Divider {
    shape: Shape,
    weights: Vec<u64>,
    total: u128,
    remainders: Vec<u128>,
    order: Vec<u32>,
}

/// How weights compare, where that makes division simple: most rules give all to one touch, or the
/// same to each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Shape {
    /// The touch at this position takes everything.
    Alone(usize),
    /// All take the same.
    Even,
    /// Neither.
    #[default]
    Mixed,
}

impl Shape {
    fn of(weights: &[u64]) -> Self {
        let mut earning = weights.iter().enumerate().filter(|(_, weight)| **weight > 0);
        match (earning.next(), earning.next()) {
            (Some((position, _)), None) => Self::Alone(position),
            _ if weights.windows(2).all(|pair| pair[0] == pair[1]) => Self::Even,
            _ => Self::Mixed,
        }
    }
}

impl Divider {
    /// Takes the weights of a journey: finite and not negative; all zero means evenly.
    ///
    /// Whole numbers are taken as they are; others become whole in proportion to the greatest.
    /// Equal weights stay equal, and everything after is exact.
    pub fn weigh(&mut self, weights: &[f64]) {
        let greatest = weights.iter().fold(0.0_f64, |greatest, weight| greatest.max(*weight));
        self.weights.clear();
        let whole = greatest <= GREATEST && weights.iter().all(|weight| weight.fract() == 0.0);
        if greatest > 0.0 && whole {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "whole, not negative and at most 2^52 by the check above"
            )]
            self.weights.extend(weights.iter().map(|weight| *weight as u64));
        } else if greatest > 0.0 {
            // Scaled down first: a weight near the largest float must not overflow.
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a weight over the greatest is 0 to 1, and casting a float saturates"
            )]
            self.weights
                .extend(weights.iter().map(|weight| (weight / greatest * GREATEST + 0.5) as u64));
        } else {
            self.weights.resize(weights.len(), 1);
        }
        self.total = self.weights.iter().map(|weight| u128::from(*weight)).sum();
        self.shape = Shape::of(&self.weights);
    }

    /// One amount a touch; the amounts sum to `amount` exactly.
    ///
    /// Each touch gets the floor of its part, and the units left over go to the largest
    /// remainders, the earliest touch first (Hamilton's method). A negative amount is divided like
    /// its absolute value.
    ///
    /// # Example
    ///
    /// ```
    /// # use apportion::credits::Divider;
    /// let mut divider = Divider::default();
    /// let mut parts = [0; 3];
    /// divider.weigh(&[1.0, 1.0, 1.0]);
    /// divider.divide(100, &mut parts);
    /// assert_eq!(parts, [34, 33, 33]);
    /// divider.divide(-100, &mut parts);
    /// assert_eq!(parts, [-34, -33, -33]);
    /// ```
    ///
    /// # Panics
    ///
    /// If `parts` is not as long as the weights that were taken.
    pub fn divide(&mut self, amount: i64, parts: &mut [i64]) {
        assert_eq!(parts.len(), self.weights.len(), "one part a touch");
        match self.shape {
            Shape::Alone(position) => {
                parts.fill(0);
                parts[position] = amount;
            }
            Shape::Even => evenly(amount, parts),
            Shape::Mixed => self.by_remainder(amount, parts),
        }
    }

    fn by_remainder(&mut self, amount: i64, parts: &mut [i64]) {
        let size = amount.unsigned_abs();
        self.remainders.clear();
        let mut left = size;
        for (part, weight) in parts.iter_mut().zip(&self.weights) {
            let (floor, remainder) = divide_exactly(size, *weight, self.total);
            left -= floor;
            *part = if amount < 0 {
                0_i64.wrapping_sub_unsigned(floor)
            } else {
                0_i64.wrapping_add_unsigned(floor)
            };
            self.remainders.push(remainder);
        }
        if left == 0 {
            return;
        }
        // Remainders sum to `left` times the total and each is below it, so that fewer units are
        // left than touches have a remainder: one that weighs nothing gets nothing.
        let remainders = &self.remainders;
        self.order.clear();
        self.order.extend((0_u32..).take(remainders.len()));
        #[expect(
            clippy::cast_possible_truncation,
            reason = "fewer are left than there are touches"
        )]
        let left = left as usize;
        if left < self.order.len() {
            self.order.select_nth_unstable_by(left - 1, |one, other| {
                let by_size = remainders[*other as usize].cmp(&remainders[*one as usize]);
                by_size.then(one.cmp(other))
            });
        }
        for touch in &self.order[..left] {
            parts[*touch as usize] += amount.signum();
        }
    }
}

/// The same to each, and the units left over to the earliest.
fn evenly(amount: i64, parts: &mut [i64]) {
    let Ok(touches) = i64::try_from(parts.len()) else { return };
    if touches == 0 {
        return;
    }
    parts.fill(amount / touches);
    for part in parts.iter_mut().zip(0..(amount % touches).abs()) {
        *part.0 += amount.signum();
    }
}

/// `size * weight / total` as floor and remainder, without dividing 128-bit integers: a float
/// names the quotient nearly, and exact multiplication says by how much it is off.
fn divide_exactly(size: u64, weight: u64, total: u128) -> (u64, u128) {
    if weight == 0 || size == 0 {
        return (0, 0);
    }
    let whole = u128::from(size) * u128::from(weight);
    if u128::from(weight) == total {
        return (size, 0);
    }
    let mut quotient = 0_u64;
    let mut rest = whole;
    let (mut nearly, divisor) = (size as f64 * weight as f64, float(total));
    // Each turn leaves some 2^-51 of what it found, so two or three do.
    while rest >= total {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a quotient is at most `size`, and casting a float saturates"
        )]
        let mut step = (nearly / divisor) as u64;
        while u128::from(step) * total > rest {
            step -= 1 + (step >> 52);
        }
        let step = step.max(1);
        quotient += step;
        rest -= u128::from(step) * total;
        nearly = float(rest);
    }
    (quotient, rest)
}

/// A whole number as a float, near enough: its halves are converted by an instruction each.
#[expect(clippy::cast_possible_truncation, reason = "the halves are what is wanted")]
fn float(number: u128) -> f64 {
    const HALF: f64 = (1_u128 << 64) as f64;
    (number >> 64) as u64 as f64 * HALF + number as u64 as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn divided(amount: i64, weights: &[f64]) -> Vec<i64> {
        let mut divider = Divider::default();
        let mut parts = vec![0; weights.len()];
        divider.weigh(weights);
        divider.divide(amount, &mut parts);
        parts
    }

    #[test]
    fn ties_go_to_the_earlier_touch_and_nothing_goes_to_a_weight_of_zero() {
        assert_eq!(divided(1, &[0.4, 0.2, 0.4]), [1, 0, 0]);
        assert_eq!(divided(2, &[0.0, 1.0, 1.0, 0.0, 1.0]), [0, 1, 1, 0, 0]);
        assert_eq!(divided(100, &[0.0, 0.0]), [50, 50]);
        assert_eq!(divided(0, &[1.0, 2.0]), [0, 0]);
    }

    #[test]
    fn the_ends_of_64_bits_are_divided_too() {
        assert_eq!(divided(i64::MIN, &[1.0]), [i64::MIN]);
        assert_eq!(divided(i64::MAX, &[1e-300, f64::MAX]), [0, i64::MAX]);
        let parts = divided(i64::MIN, &[1.0, 1.0, 1.0]);
        assert_eq!(parts.iter().map(|part| i128::from(*part)).sum::<i128>(), i128::from(i64::MIN));
    }

    proptest! {
        #[test]
        fn simple_shapes_divide_like_any_other(
            amount in any::<i64>(),
            weights in prop_oneof![
                prop::collection::vec(Just(3.0), 1..9),
                (1_usize..9, 0_usize..9).prop_map(|(touches, at)| {
                    (0..touches).map(|touch| f64::from(u8::from(touch == at % touches))).collect()
                }),
            ],
        ) {
            let mut divider = Divider::default();
            divider.weigh(&weights);
            prop_assert_ne!(divider.shape, Shape::Mixed);
            let (mut quick, mut slow) = (vec![0; weights.len()], vec![0; weights.len()]);
            divider.divide(amount, &mut quick);
            divider.by_remainder(amount, &mut slow);
            prop_assert_eq!(quick, slow);
        }

        #[test]
        fn division_is_that_of_whole_numbers(size in any::<u64>(), weight in 0_u64..=1 << 52, more in 0_u128..1 << 76) {
            let size = size >> 1;
            let total = u128::from(weight) + more + 1;
            let whole = u128::from(size) * u128::from(weight);
            let (quotient, remainder) = divide_exactly(size, weight, total);
            prop_assert_eq!((u128::from(quotient), remainder), (whole / total, whole % total));
        }

        #[test]
        fn parts_sum_to_the_amount_and_lie_within_a_unit_of_their_share(
            amount in -1_000_000_000_i64..1_000_000_000,
            weights in prop::collection::vec(0.0_f64..10.0, 1..30),
        ) {
            let parts = divided(amount, &weights);
            prop_assert_eq!(parts.iter().sum::<i64>(), amount);
            let total: f64 = weights.iter().sum();
            if total > 0.0 {
                for (part, weight) in parts.iter().zip(&weights) {
                    let exact = amount as f64 * weight / total;
                    prop_assert!((*part as f64 - exact).abs() < 1.0 + 1e-3);
                }
            }
        }
    }
}
