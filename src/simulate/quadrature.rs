//! Gauss–Legendre nodes on the unit interval.

use std::f64::consts::PI;

/// Where to look at a function on 0 … 1, and how much each look counts: exact for polynomials of
/// degree `2 count - 1`.
pub(super) fn unit_nodes(count: usize) -> Vec<(f64, f64)> {
    let nodes = (0..count).map(|at| {
        // Newton's method from the usual first guess; Legendre's polynomial by its recurrence.
        let mut x = libm::cos(PI * (at as f64 + 0.75) / (count as f64 + 0.5));
        let mut slope = 1.0;
        for _ in 0..20 {
            let (mut before, mut value) = (1.0, x);
            for degree in 2..=count {
                let degree = degree as f64;
                let next = ((2.0 * degree - 1.0) * x * value - (degree - 1.0) * before) / degree;
                (before, value) = (value, next);
            }
            slope = count as f64 * (x * value - before) / (x * x - 1.0);
            x -= value / slope;
        }
        ((1.0 - x) / 2.0, 1.0 / ((1.0 - x * x) * slope * slope))
    });
    nodes.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polynomials_are_integrated_exactly() {
        for count in 1..=16 {
            let nodes = unit_nodes(count);
            for degree in 0..2 * i32::try_from(count).unwrap() {
                let sum: f64 = nodes.iter().map(|(x, weight)| weight * x.powi(degree)).sum();
                assert!((sum - 1.0 / f64::from(degree + 1)).abs() < 1e-14, "{count} {degree}");
            }
        }
    }
}
