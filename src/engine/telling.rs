//! How one order was attributed, told by what attributes it.
//!
//! The journey is the one that [`each_journey`] selects, shares and amounts are those of
//! [`attribute`], weights those of [`weigh`]; nothing is worked out a second way. Not for words: that
//! is the crate's `explain`.

use crate::credits::Divider;
use crate::engine::partition::{Walk, each_journey};
use crate::engine::{Partition, Work, attribute, weigh};
use crate::error::{Error, Result};
use crate::journeys::{Bounds, Fate};

/// How one order was attributed.
#[derive(Debug, Clone)]
pub struct Told {
    /// Whether it is its person's first.
    pub first: bool,
    /// The window of its journey.
    pub bounds: Bounds,
    /// What became of every touch of the person, in their order.
    pub fates: Vec<(u32, Fate)>,
    /// The touches of the journey, as positions in the touches, oldest first.
    pub journey: Vec<u32>,
    /// What each model made of it; nothing of an order without touches, which has all of itself.
    pub models: Vec<Division>,
}

/// How one model divided an order among the touches of its journey.
#[derive(Debug, Clone)]
pub struct Division {
    /// The weight of each touch.
    pub weights: Vec<f64>,
    /// How each weight comes about, where the model tells.
    pub terms: Vec<Option<String>>,
    /// The channel of each touch, where the model looks at channels: a number of its column.
    pub channels: Vec<u32>,
    /// The share of each touch, in units of [`WHOLE`](crate::credits::WHOLE).
    pub shares: Vec<i64>,
    /// The amount of each touch, in minor units.
    pub amounts: Vec<i64>,
    /// What each amount would be without the units that were left over.
    pub floors: Vec<i64>,
}

/// Tells how the order was attributed that is at this place among its person's; `None` where it does
/// not count or is not reported.
///
/// # Errors
///
/// A model that gives a weight that is negative or not finite.
pub fn tell(work: &Work<'_>, person: u32, place: usize) -> Result<Option<Told>> {
    let persons = [person];
    let partition = Partition { persons: &persons, orders: (place, place + 1) };
    let credited =
        attribute(&Work { credits: true, by_person: false, ..*work }, partition)?.credits;
    let mut told = None;
    each_journey(work, partition, person, &mut Walk::default(), |order, first, selected| {
        let of_person = work.touches.of(person);
        let replaced = work.replaced(order);
        let mut codes = Vec::new();
        work.codes(selected, &mut codes);
        let (mut divider, mut weights) = (Divider::default(), Vec::new());
        let mut models = Vec::new();
        for (number, asked) in work.models.iter().enumerate() {
            let journey = work.journey(number, selected, work.orders.at[order], &codes);
            if journey.touches() == 0 {
                break;
            }
            let rule = work.rule(number);
            weigh(&asked.name, rule, journey, &mut weights)?;
            divider.weigh(&weights);
            let column = work.channels.of_model[number].map(|at| &work.channels.columns[at]);
            let term = |(touch, weight): (usize, &f64)| {
                let channel = journey.channels.get(touch).zip(column);
                let named = channel.map(|(code, labels)| labels.values[*code as usize].as_str());
                rule.explain(journey, touch, *weight, named.unwrap_or_default())
            };
            let of_model = |cells: &[i64]| -> Vec<i64> {
                cells.iter().skip(number).step_by(work.models.len()).copied().collect()
            };
            models.push(Division {
                terms: weights.iter().enumerate().map(term).collect(),
                weights: weights.clone(),
                channels: journey.channels.to_vec(),
                shares: of_model(&credited.shares),
                amounts: of_model(&credited.amounts),
                floors: divider.floors(work.orders.amount[order]),
            });
        }
        told = Some(Told {
            first,
            bounds: selected.bounds,
            fates: selected.fates(&work.window, work.touches, of_person, replaced),
            journey: selected.touches.clone(),
            models,
        });
        Ok(())
    })?;
    let complete = |told: &Told| {
        told.models.iter().all(|division| division.shares.len() == told.journey.len())
    };
    match told {
        Some(told) if !complete(&told) => {
            Err(Error::Broken("a touch of a journey has no credit that could be told".to_owned()))
        }
        told => Ok(told),
    }
}
