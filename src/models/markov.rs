//! What is lost without a channel, in a Markov chain of journeys.

use std::ops::RangeInclusive;

use crate::error::Result;
use crate::models::chain::{self, Chain, MOST_ORDER, Removal, choose, removal_effects};
use crate::models::{
    Arguments, BY, ByChannel, CREDITS, ChannelEffect, Counts, Credits, Effects, Entry, Fitted,
    Journey, Model, Outcome, Parameter,
};

/// How many touches a chain can remember.
pub(super) const ORDERS: RangeInclusive<u64> = 1..=MOST_ORDER as u64;

pub(super) const ENTRY: Entry = Entry {
    name: "markov",
    summary: "in proportion to what is lost without the touch's channel, in a Markov chain of \
              journeys with and without an order",
    formula: "share(i) \u{221d} removal effect of the channel of i: 1 \u{2212} P' / P, where P' is the \
              probability of conversion without the channel",
    parameters: &[
        Parameter {
            name: "order",
            default: "1",
            about: "how many touches the chain remembers, 1 to 4; auto: as many as foretell held-out \
                    steps best",
        },
        Parameter {
            name: "removal",
            default: "null",
            about: "what becomes of a removed channel: null (steps to it are lost), cut (other steps \
                    take their part) or refit (its touches are dropped)",
        },
        CREDITS,
        BY,
    ],
    misleads: "A channel that most journeys pass, such as direct, is near to indispensable in the \
               chain, whether or not it caused anything. Channels that only convinced people search \
               for look the same as those that convinced them.",
    source: "Anderl, Becker, von Wangenheim and Schumann 2016, Mapping the customer journey",
    build,
};

fn build(arguments: &Arguments) -> Result<Box<dyn Model>> {
    let order = match arguments.text("order") {
        "auto" => None,
        _ => Some(arguments.order("order", ", or `auto`")?),
    };
    let named = Removal::ALL.iter().find(|(name, _)| *name == arguments.text("removal"));
    let Some((_, removal)) = named else {
        return Err(arguments.wrong("removal", "write `null`, `cut` or `refit`"));
    };
    Ok(Box::new(Markov {
        column: arguments.column()?,
        order,
        removal: *removal,
        credits: Credits::parse(arguments)?,
    }))
}

/// See [`ENTRY`].
struct Markov {
    column: String,
    /// None where the data choose.
    order: Option<usize>,
    removal: Removal,
    credits: Credits,
}

impl Model for Markov {
    fn channels(&self) -> Option<&str> {
        Some(&self.column)
    }

    fn learns(&self) -> bool {
        true
    }

    fn observe(&self, journey: Journey<'_>, outcome: Outcome, times: u64, counts: &mut Counts) {
        chain::observe(self.order.unwrap_or(MOST_ORDER), journey, outcome, times, counts);
    }

    fn fit(&self, counts: &Counts) -> Result<Option<Fitted>> {
        let (chain, curve) = match self.order {
            Some(order) => (Chain::new(counts, order), Vec::new()),
            None => choose(counts),
        };
        let removed = removal_effects(&chain, self.removal)?;
        // Without a channel more may convert, where the others take its part: it is owed nothing.
        let owed = removed.iter().map(|effect| effect.unwrap_or_default().max(0.0)).collect();
        let rule = ByChannel::new(&self.column, "removal effect", &chain.channels, owed);
        let channels = chain.channels.iter().zip(removed).zip(rule.shares());
        let effects = channels.map(|((channel, removal), share)| ChannelEffect {
            channel: *channel,
            removal,
            share,
            ..ChannelEffect::default()
        });
        let mut effects = Effects {
            journeys: chain.journeys(),
            converted: chain.converted(),
            probability: chain.probability()?,
            order: Some(chain.order),
            channels: effects.collect(),
            curve,
            sets: chain.sets,
            ..Effects::default()
        };
        let rule = self.credits.rule(&self.column, rule.into(), &mut effects)?;
        Ok(Some(Fitted { rule, effects }))
    }
}
