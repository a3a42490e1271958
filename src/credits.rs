//! Divides one order among its touches so that the parts add up to the last unit.
//!
//! Everything here is integers: weights become whole numbers once, and an amount is divided by
//! largest remainder among them. Not for deciding what touches are worth: that is a model.

use std::cmp::Reverse;
use std::iter::repeat_n;

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
    touches: usize,
    /// Weights that follow one another and are the same, and how many: as many as it is worth counting.
    steps: Vec<(f64, usize)>,
    /// The weights as whole numbers, where they are mixed; those of steps, where there are steps.
    weights: Vec<u64>,
    total: u128,
    /// What each touch's part is above its floor, in units of one over the total.
    remainders: Vec<u64>,
    /// The same where the total needs more than 63 bits.
    long_remainders: Vec<u128>,
    ranked: Vec<u64>,
    long_ranked: Vec<u128>,
    /// The part of each touch of a step before units are left over.
    step_parts: Vec<i64>,
    /// Steps from the largest remainder to the least.
    ranked_steps: Vec<usize>,
}

/// So many steps are counted at most.
const MOST_STEPS: usize = 8;

/// The touches that a step has on average, for it to be worth while.
const STEP_TOUCHES: usize = 4;

/// How weights compare, where that makes division simple: most rules give all to one touch, or the
/// same to each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Shape {
    /// The touch at this position takes everything.
    Alone(usize),
    /// All take the same.
    Even,
    /// A few stretches of touches take the same each, as first, middle and last ones do.
    Steps,
    /// None of these.
    #[default]
    Mixed,
}

impl Shape {
    /// How weights compare, so many touches of each, and the greatest of them.
    fn of(weights: impl Iterator<Item = (f64, usize)> + Clone) -> (Self, f64) {
        let (mut least, mut greatest, mut earning) = (f64::INFINITY, 0.0_f64, 0_usize);
        for (weight, touches) in weights.clone() {
            least = if weight < least { weight } else { least };
            greatest = if weight > greatest { weight } else { greatest };
            earning += if weight > 0.0 { touches } else { 0 };
        }
        let shape = if earning == 1 {
            let before = weights.take_while(|(weight, _)| *weight <= 0.0);
            Self::Alone(before.map(|(_, touches)| touches).sum())
        } else if earning == 0 || least >= greatest {
            Self::Even
        } else {
            Self::Mixed
        };
        (shape, greatest)
    }
}

impl Divider {
    /// Takes the weights of a journey: finite and not negative; all zero means evenly.
    ///
    /// Whole numbers are taken as they are; others become whole in proportion to the greatest.
    /// Equal weights stay equal, and everything after is exact.
    pub fn weigh(&mut self, weights: &[f64]) {
        self.touches = weights.len();
        if self.count_steps(weights) {
            let (shape, greatest) = Shape::of(self.steps.iter().copied());
            self.shape = shape;
            if shape != Shape::Mixed {
                return;
            }
            self.shape = Shape::Steps;
            take_as_whole(self.steps.iter().map(|step| step.0), greatest, &mut self.weights);
            let steps = self.steps.iter().zip(&self.weights);
            self.total =
                steps.map(|((_, touches), weight)| *touches as u128 * u128::from(*weight)).sum();
            if self.total >> 63 == 0 {
                return;
            }
        }
        let (shape, greatest) = Shape::of(weights.iter().map(|weight| (*weight, 1)));
        self.shape = shape;
        if shape == Shape::Mixed {
            self.mix(weights, greatest);
        }
    }

    /// Counts how often weights follow themselves; says whether that is often.
    fn count_steps(&mut self, weights: &[f64]) -> bool {
        self.steps.clear();
        let most = MOST_STEPS.min(weights.len() / STEP_TOUCHES);
        #[expect(clippy::float_cmp, reason = "what is the same weighs the same")]
        let steps = weights.chunk_by(|left, right| left == right);
        for step in steps {
            if self.steps.len() == most {
                return false;
            }
            self.steps.push((step[0], step.len()));
        }
        most > 0
    }

    /// Takes weights that are mixed, of which the greatest is given.
    fn mix(&mut self, weights: &[f64], greatest: f64) {
        take_as_whole(weights.iter().copied(), greatest, &mut self.weights);
        // A thousand of at most 2^52 do not go beyond 64 bits.
        let thousands = self.weights.chunks(1_024).map(|some| some.iter().sum::<u64>());
        self.total = thousands.map(u128::from).sum();
    }

    /// The position of the touch that takes everything, where one does.
    pub fn alone(&self) -> Option<usize> {
        match self.shape {
            Shape::Alone(position) => Some(position),
            Shape::Even | Shape::Steps | Shape::Mixed => None,
        }
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
        assert_eq!(parts.len(), self.touches, "one part a touch");
        match self.shape {
            Shape::Alone(position) => {
                parts.fill(0);
                parts[position] = amount;
            }
            Shape::Even => evenly(amount, parts),
            Shape::Steps => self.by_steps(amount, parts),
            Shape::Mixed => self.by_remainder(amount, parts),
        }
    }

    /// The floor of each touch's part of an amount: what it has of [`divide`](Self::divide) before
    /// the units that are left over are given away.
    ///
    /// # Example
    ///
    /// ```
    /// # use apportion::credits::Divider;
    /// let mut divider = Divider::default();
    /// divider.weigh(&[1.0, 2.0]);
    /// assert_eq!(divider.floors(-100), [-33, -66]);
    /// ```
    pub fn floors(&self, amount: i64) -> Vec<i64> {
        let size = amount.unsigned_abs();
        let signed = |size: u64| {
            let part = 0_i64.wrapping_add_unsigned(size);
            if amount < 0 { part.wrapping_neg() } else { part }
        };
        let of_weight = |weight: &u64| signed(divide_exactly(size, *weight, self.total).0);
        match self.shape {
            Shape::Alone(position) => {
                (0..self.touches).map(|touch| if touch == position { amount } else { 0 }).collect()
            }
            Shape::Even => vec![signed(size / (self.touches as u64).max(1)); self.touches],
            Shape::Steps => {
                let steps = self.steps.iter().zip(&self.weights);
                steps
                    .flat_map(|((_, touches), weight)| repeat_n(of_weight(weight), *touches))
                    .collect()
            }
            Shape::Mixed => self.weights.iter().map(of_weight).collect(),
        }
    }

    /// As [`by_remainder`](Self::by_remainder), for steps: all touches of one have the same remainder.
    fn by_steps(&mut self, amount: i64, parts: &mut [i64]) {
        let Self { steps, weights, total, step_parts, remainders, ranked_steps, .. } = self;
        let size = amount.unsigned_abs();
        if size == 0 {
            parts.fill(0);
            return;
        }
        let total = u64::try_from(*total).expect("steps weigh less than 2^63");
        step_parts.clear();
        step_parts.resize(steps.len(), 0);
        floors(size, weights, total, step_parts, remainders);
        let floors = step_parts.iter().zip(steps.iter());
        let mut left = floors
            .fold(size, |left, (part, (_, touches))| left - part.unsigned_abs() * *touches as u64);
        ranked_steps.clear();
        ranked_steps.extend(0..steps.len());
        // Of equal remainders the earliest comes first, which a stable sort leaves as it is.
        ranked_steps.sort_by_key(|step| Reverse(remainders[*step]));
        let mut more = [0; MOST_STEPS];
        for step in ranked_steps {
            more[*step] = left.min(steps[*step].1 as u64);
            left -= more[*step];
        }
        let signed = |part: i64| if amount < 0 { part.wrapping_neg() } else { part };
        let mut rest = parts;
        for (step, (_, touches)) in steps.iter().enumerate() {
            let of_step = rest.split_off_mut(..*touches).expect("as many parts as touches");
            #[expect(clippy::cast_possible_truncation, reason = "no more than there are touches")]
            let (first, last) = of_step.split_at_mut(more[step] as usize);
            first.fill(signed(step_parts[step].wrapping_add(1)));
            last.fill(signed(step_parts[step]));
        }
    }

    fn by_remainder(&mut self, amount: i64, parts: &mut [i64]) {
        let size = amount.unsigned_abs();
        // Remainders sum to what is left times the total and each is below it, so that fewer units
        // are left than touches have a remainder: one that weighs nothing gets nothing.
        match u64::try_from(self.total) {
            Ok(total) if total >> 63 == 0 && size > 0 => {
                let left = floors(size, &self.weights, total, parts, &mut self.remainders);
                hand_out(left, &self.remainders, &mut self.ranked, parts);
            }
            _ => {
                self.long_remainders.clear();
                let mut left = size;
                for (part, weight) in parts.iter_mut().zip(&self.weights) {
                    let (floor, remainder) = divide_exactly(size, *weight, self.total);
                    left -= floor;
                    *part = 0_i64.wrapping_add_unsigned(floor);
                    self.long_remainders.push(remainder);
                }
                hand_out(left, &self.long_remainders, &mut self.long_ranked, parts);
            }
        }
        if amount < 0 {
            for part in parts {
                *part = part.wrapping_neg();
            }
        }
    }
}

/// Weights as whole numbers, the greatest of them given.
fn take_as_whole(weights: impl Iterator<Item = f64> + Clone, greatest: f64, whole: &mut Vec<u64>) {
    whole.clear();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::float_cmp,
        reason = "a float is whole if it is the same after it was whole; casting saturates"
    )]
    let is_whole = |weight: f64| (weight as i64) as f64 == weight;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative, and at most 2^52 by what is checked or by being over the greatest"
    )]
    if greatest <= GREATEST && weights.clone().all(is_whole) {
        whole.extend(weights.map(|weight| weight as i64 as u64));
    } else {
        // Scaled down first: a weight near the largest float must not overflow.
        whole.extend(weights.map(|weight| (weight / greatest * GREATEST + 0.5) as i64 as u64));
    }
}

/// The floor of each touch's part of `size`, and the remainders; returns how much is left.
///
/// One division serves all touches: `size / total` to 64 bits names each quotient or one less, and
/// the remainder, which 64 bits hold, says which. Neither `size` nor `total` is zero, and `total` is
/// below 2^63.
fn floors(
    size: u64,
    weights: &[u64],
    total: u64,
    parts: &mut [i64],
    remainders: &mut Vec<u64>,
) -> u64 {
    let (dividend, divisor) = (size << size.leading_zeros(), total << total.leading_zeros());
    let bits = if dividend < divisor { 64 } else { 63 };
    #[expect(clippy::cast_possible_truncation, reason = "the bits make it fit")]
    let ratio = u128::from(((u128::from(dividend) << bits) / u128::from(divisor)) as u64);
    let shift = bits + size.leading_zeros() - total.leading_zeros();
    remainders.clear();
    let mut left = size;
    remainders.extend(parts.iter_mut().zip(weights).map(|(part, weight)| {
        #[expect(clippy::cast_possible_truncation, reason = "a part is at most `size`")]
        let nearly = ((u128::from(*weight) * ratio) >> shift) as u64;
        let rest = size.wrapping_mul(*weight).wrapping_sub(nearly.wrapping_mul(total));
        let more = rest >= total;
        let floor = nearly + u64::from(more);
        left -= floor;
        *part = 0_i64.wrapping_add_unsigned(floor);
        if more { rest - total } else { rest }
    }));
    left
}

/// Gives one unit more to the touches of the largest remainders, of equal ones to the earliest.
fn hand_out<R: Copy + Ord>(left: u64, remainders: &[R], ranked: &mut Vec<R>, parts: &mut [i64]) {
    #[expect(clippy::cast_possible_truncation, reason = "fewer are left than there are touches")]
    let left = left as usize;
    if left == 0 {
        return;
    }
    ranked.clear();
    ranked.extend(remainders);
    let (above, last, _) = ranked.select_nth_unstable_by(left - 1, |one, other| other.cmp(one));
    let last = *last;
    let mut of_last = left - above.iter().filter(|remainder| **remainder > last).count();
    for (part, remainder) in parts.iter_mut().zip(remainders) {
        let takes = *remainder > last || *remainder == last && of_last > 0;
        of_last -= usize::from(takes && *remainder == last);
        *part = part.wrapping_add(i64::from(takes));
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

    /// The largest remainder as it is said: floors, and what is left in the order of remainders.
    fn largest_remainder(amount: i64, weights: &[u64]) -> Vec<i64> {
        let total: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
        let size = u128::from(amount.unsigned_abs());
        let parts = weights.iter().map(|weight| size * u128::from(*weight));
        let mut floors: Vec<u128> = parts.clone().map(|part| part / total).collect();
        let remainders: Vec<u128> = parts.map(|part| part % total).collect();
        let left = usize::try_from(size - floors.iter().sum::<u128>()).unwrap();
        let mut ranked: Vec<usize> = (0..weights.len()).collect();
        ranked.sort_by_key(|touch| Reverse(remainders[*touch]));
        ranked[..left].iter().for_each(|touch| floors[*touch] += 1);
        let signed = |size: u128| {
            i64::try_from(i128::try_from(size).unwrap() * i128::from(amount.signum())).unwrap()
        };
        floors.into_iter().map(signed).collect()
    }

    /// Of 2^52 a third is 1,501,199,875,790,165.33, and two thirds are 3,002,399,751,580,330.67.
    #[test]
    fn weights_that_are_no_whole_numbers_are_rounded_parts_of_the_greatest() {
        let mut divider = Divider::default();
        divider.weigh(&[1.5, 0.5, 1.0]);
        assert_eq!(divider.weights, [1 << 52, 1_501_199_875_790_165, 3_002_399_751_580_331]);
    }

    #[test]
    fn weights_that_sum_to_more_than_63_bits_are_divided_exactly() {
        let weights: Vec<u64> = (0..4_000).map(|touch| (1 << 52) - touch % 2).collect();
        let as_floats: Vec<f64> = weights.iter().map(|weight| *weight as f64).collect();
        for amount in [1, 3_999, -123_456_789, i64::MAX, i64::MIN + 1] {
            assert_eq!(divided(amount, &as_floats), largest_remainder(amount, &weights));
        }
    }

    #[test]
    fn floors_are_what_each_touch_has_before_units_are_left_over() {
        let floors = |weights: &[f64], amount| {
            let mut divider = Divider::default();
            divider.weigh(weights);
            divider.floors(amount)
        };
        assert_eq!(floors(&[2.0, 2.0, 2.0], -100), [-33, -33, -33]);
        assert_eq!(floors(&[0.0, 5.0], 7), [0, 7]);
        // A seventh of 100 is 14.29, two are 28.57 and four are 57.14.
        assert_eq!(floors(&[1.0, 2.0, 4.0], 100), [14, 28, 57]);
    }

    #[test]
    fn one_touch_alone_is_named_where_it_takes_everything() {
        let alone = |weights: &[f64]| {
            let mut divider = Divider::default();
            divider.weigh(weights);
            divider.alone()
        };
        assert_eq!(alone(&[0.0, 0.0, 2.5]), Some(2));
        assert_eq!((alone(&[1.0, 1.0]), alone(&[1.0, 2.0, 0.0])), (None, None));
    }

    /// A half of 11 to the first touch, a quarter to the last, and what is left to seven between: 5.5, 2.75 and
    /// 0.39 each. The floors leave four units: one to the last, one to the first, two to the second and third.
    #[test]
    fn stretches_of_touches_that_weigh_the_same_are_divided_together() {
        let mut divider = Divider::default();
        divider.weigh(&[&[0.5][..], &[1.0 / 28.0; 7], &[0.0; 7], &[0.25]].concat());
        assert_eq!(divider.shape, Shape::Steps);
        let mut parts = [0; 16];
        divider.divide(-11, &mut parts);
        assert_eq!(parts, [-6, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -3]);
    }

    #[test]
    fn units_of_a_whole_are_a_share() {
        let units = [0, i128::from(WHOLE / 4), -i128::from(WHOLE), 3 * i128::from(WHOLE)];
        assert_eq!(units.map(|units| format!("{}", share(units))), ["0", "0.25", "-1", "3"]);
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
        fn amounts_are_divided_by_largest_remainder(
            amount in prop_oneof![-99_i64..100, -i64::MAX..=i64::MAX],
            weights in prop::collection::vec(prop_oneof![0_u64..=1 << 52, 0_u64..9], 1..40),
        ) {
            prop_assume!(weights.iter().any(|weight| *weight > 0));
            let as_floats: Vec<f64> = weights.iter().map(|weight| *weight as f64).collect();
            prop_assert_eq!(divided(amount, &as_floats), largest_remainder(amount, &weights));
        }

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
            divider.mix(&weights, weights.iter().copied().fold(0.0, f64::max));
            let (mut quick, mut slow) = (vec![0; weights.len()], vec![0; weights.len()]);
            divider.divide(amount, &mut quick);
            divider.by_remainder(amount, &mut slow);
            prop_assert_eq!(quick, slow);
        }

        #[test]
        fn steps_divide_like_any_other(
            amount in any::<i64>(),
            steps in prop::collection::vec(
                (prop_oneof![Just(0.0), 0.0..2.0, (0_u8..5).prop_map(f64::from)], 1_usize..40),
                2..=MOST_STEPS,
            ),
        ) {
            let weights: Vec<f64> =
                steps.iter().flat_map(|(weight, touches)| repeat_n(*weight, *touches)).collect();
            let mut divider = Divider::default();
            divider.weigh(&weights);
            let (mut quick, mut slow) = (vec![0; weights.len()], vec![0; weights.len()]);
            divider.divide(amount, &mut quick);
            let quick_floors = divider.floors(amount);
            prop_assume!(matches!(divider.shape, Shape::Steps));
            divider.shape = Shape::Mixed;
            divider.mix(&weights, weights.iter().copied().fold(0.0, f64::max));
            divider.by_remainder(amount, &mut slow);
            prop_assert_eq!(quick, slow);
            prop_assert_eq!(quick_floors, divider.floors(amount));
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
        fn one_division_for_all_is_a_division_for_each(
            size in prop_oneof![1_u64..=1 << 62, 1_u64..100_000],
            weights in prop::collection::vec(prop_oneof![0_u64..=1 << 52, 0_u64..9], 1..40),
        ) {
            let total: u64 = weights.iter().sum();
            prop_assume!(total > 0);
            let (mut parts, mut remainders) = (vec![0; weights.len()], Vec::new());
            let mut left = floors(size, &weights, total, &mut parts, &mut remainders);
            for (at, weight) in weights.iter().enumerate() {
                let (floor, remainder) = divide_exactly(size, *weight, u128::from(total));
                prop_assert_eq!((parts[at].unsigned_abs(), remainders[at]), (floor, u64::try_from(remainder).unwrap()));
                left += floor;
            }
            prop_assert_eq!(left, size);
        }

        #[test]
        fn parts_sum_to_the_amount_and_lie_within_a_unit_of_their_share(
            amount in -1_000_000_000_i64..1_000_000_000,
            weights in prop::collection::vec(0.0_f64..10.0, 1..30),
        ) {
            let parts = divided(amount, &weights);
            prop_assert_eq!(parts.iter().sum::<i64>(), amount);
            let mut divider = Divider::default();
            divider.weigh(&weights);
            for (part, floor) in parts.iter().zip(divider.floors(amount)) {
                let left_over = part - floor;
                prop_assert!(left_over == 0 || left_over == amount.signum());
            }
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
