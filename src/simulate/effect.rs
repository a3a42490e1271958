//! What a visit does: the chance that it sets off an order, and which channels that chance is owed
//! to. The equations of docs/simulation.md; exact, and nothing random.

use super::quadrature::unit_nodes;
use super::world::{Channel, World};

/// Interest that visits have left in one person, by channel.
pub(super) struct Interest<'a> {
    world: &'a World,
    /// What is left of each channel's, as of the last visit or view.
    left: Vec<f64>,
    at: i64,
    /// Exact for the polynomials of [`Effect::of`].
    nodes: Vec<(f64, f64)>,
}

/// What one visit does.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Effect {
    /// The chance that it sets off an order.
    pub(super) chance: f64,
    /// What each channel adds to that chance (its Shapley value); they sum to it.
    pub(super) value: Vec<f64>,
    /// What would be lost of that chance without each channel.
    pub(super) lost: Vec<f64>,
}

impl<'a> Interest<'a> {
    pub(super) fn new(world: &'a World) -> Self {
        let channels = world.channels.len();
        Self { world, left: vec![0.0; channels], at: 0, nodes: unit_nodes(channels.div_ceil(2)) }
    }

    /// Forgets everything: another person.
    pub(super) fn clear(&mut self) {
        self.left.fill(0.0);
    }

    /// A view of a channel's advertisement, not before the last visit or view.
    pub(super) fn view(&mut self, at: i64, channel: usize) {
        self.pass_until(at);
        self.left[channel] += self.world.channels[channel].view_interest;
    }

    /// A visit through a channel, not before the last one. Chances are those of the world by `scale`.
    pub(super) fn visit(&mut self, at: i64, channel: usize, scale: f64, effect: &mut Effect) {
        self.pass_until(at);
        let Channel { cold, warm, interest, .. } = self.world.channels[channel];
        effect.of(&self.left, channel, scale * cold, scale * warm, &self.nodes);
        self.left[channel] += interest;
    }

    fn pass_until(&mut self, at: i64) {
        let passed = (at - self.at) as f64 / self.world.half_life;
        let kept = libm::exp2(-passed.max(0.0));
        self.at = at;
        for left in &mut self.left {
            *left *= kept;
        }
    }
}

impl Effect {
    /// Of a visit through `own` to a person with this interest left by each channel.
    ///
    /// Without the channels outside S, the chance is `warm + (cold - warm) * product of x(i) over S`
    /// if `own` is in S, else 0, with `x(i) = exp(-interest left by i)`. The Shapley value of channel
    /// i is the integral over t of the derivative by i where every channel is there with chance t: a
    /// polynomial of a degree below the number of channels.
    fn of(&mut self, left: &[f64], own: usize, cold: f64, warm: f64, nodes: &[(f64, f64)]) {
        self.value.clear();
        self.value.resize(left.len(), 0.0);
        self.lost.clear();
        self.lost.resize(left.len(), 0.0);
        let total: f64 = left.iter().sum();
        let step = cold - warm;
        self.chance = warm + step * libm::exp(-total);
        self.lost[own] = self.chance;
        if total <= 0.0 {
            self.chance = cold;
            (self.value[own], self.lost[own]) = (cold, cold);
            return;
        }
        let own_kept = libm::exp(-left[own]);
        self.value[own] = warm;
        let gone: Vec<f64> = left.iter().map(|left| -libm::expm1(-left)).collect();
        for (at, weight) in nodes {
            let others: f64 = gone
                .iter()
                .enumerate()
                .filter(|(channel, _)| *channel != own)
                .map(|(_, gone)| 1.0 - at * gone)
                .product();
            self.value[own] += weight * step * own_kept * others;
            for (channel, gone) in gone.iter().enumerate() {
                if channel != own && *gone > 0.0 {
                    let without = others / (1.0 - at * gone);
                    self.value[channel] -= weight * at * step * own_kept * gone * without;
                }
            }
        }
        for (channel, gone) in gone.iter().enumerate() {
            if channel != own && *gone > 0.0 {
                self.lost[channel] = -step * gone * libm::exp(-(total - left[channel]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::LN_2;
    use std::path::Path;

    use super::*;

    fn close(left: &[f64], right: &[f64]) {
        assert_eq!(left.len(), right.len());
        for (left, right) in left.iter().zip(right) {
            assert!((left - right).abs() < 1e-14, "{left} is not {right}");
        }
    }

    /// Two channels: `a` leaves interest of 2 ln 2, `b` is cold 0.1 and warm 0.5; the half-life is
    /// one day.
    fn tiny() -> World {
        let text = format!(
            "half_life = '1d'\ngap = '1d'\nat_once = 1.0\ndelay = '1d'\norganic = 0.0\nuntracked = 0.0\n\
             customers = 1.0\ndollars = 0.0\nprice = 1.0\n\
             [[channel]]\nutm_source = 'a'\nvisits = 1\ninterest = {}\n\
             [[channel]]\nutm_source = 'b'\nvisits = 1\ncold = 0.1\nwarm = 0.5\n",
            2.0 * LN_2
        );
        World::parse(&text, Path::new("tiny.toml")).unwrap()
    }

    #[test]
    fn a_tiny_world_worked_by_hand() {
        let world = tiny();
        let day = crate::calendar::DAY;
        let mut interest = Interest::new(&world);
        let mut effect = Effect::default();
        // `a` alone does nothing.
        interest.visit(0, 0, 1.0, &mut effect);
        close(&effect.value, &[0.0, 0.0]);
        // A day later ln 2 is left, so the person is half warm: 0.1 / 2 + 0.5 / 2 = 0.3. Without `a`
        // it is 0.1, without `b` nothing: lost are 0.2 and 0.3. `a` adds 0 before `b` and 0.2 after
        // it, so its value is 0.1; `b` adds 0.1 before `a` and 0.3 after it: 0.2.
        interest.visit(day, 1, 1.0, &mut effect);
        assert!((effect.chance - 0.3).abs() < 1e-15);
        close(&effect.lost, &[0.2, 0.3]);
        close(&effect.value, &[0.1, 0.2]);
        // Another person knows nothing of it.
        interest.clear();
        interest.visit(2 * day, 1, 0.5, &mut effect);
        close(&effect.value, &[0.0, 0.05]);
    }

    #[test]
    fn values_are_those_of_every_order_in_which_channels_can_come() {
        // The definition, over all 24 orders of four channels.
        let left = [0.3, 0.0, 1.2, 0.7];
        let (own, cold, warm) = (2, 0.02, 0.3);
        let game = |there: &[usize]| {
            let kept: f64 = there.iter().map(|channel| -left[*channel]).sum();
            if there.contains(&own) { warm + (cold - warm) * kept.exp() } else { 0.0 }
        };
        let mut expected = [0.0; 4];
        for code in 0..256 {
            let order = [code & 3, code >> 2 & 3, code >> 4 & 3, code >> 6];
            let mut sorted = order;
            sorted.sort_unstable();
            if sorted == [0, 1, 2, 3] {
                for at in 0..4 {
                    expected[order[at]] += (game(&order[..=at]) - game(&order[..at])) / 24.0;
                }
            }
        }
        let mut effect = Effect::default();
        effect.of(&left, own, cold, warm, &unit_nodes(2));
        close(&effect.value, &expected);
        let without = [vec![1, 2, 3], vec![0, 2, 3], vec![0, 1, 3], vec![0, 1, 2]];
        let lost = without.map(|there| game(&[0, 1, 2, 3]) - game(&there));
        close(&effect.lost, &lost);
    }
}
