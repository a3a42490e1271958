//! What a channel adds on average when channels join one by one, in a Markov chain of journeys.

use crate::error::Result;
use crate::models::chain::{self, Chain, Game};
use crate::models::{
    Arguments, BY, ByChannel, CREDITS, ChannelEffect, Counts, Credits, Effects, Entry, Fitted,
    Journey, Model, Outcome, Parameter,
};

pub(super) const ENTRY: Entry = Entry {
    name: "shapley",
    summary: "in proportion to what the touch's channel adds on average when channels join one by \
              one, in a Markov chain of journeys with and without an order",
    formula: "share(i) \u{221d} Shapley value of the channel of i, where a set of channels is worth the \
              probability of conversion without all others",
    parameters: &[
        Parameter {
            name: "order",
            default: "1",
            about: "how many touches the chain remembers, 1 to 4",
        },
        Parameter {
            name: "samples",
            default: "1000",
            about: "how many orders of joining are drawn where there are too many channels (more than \
                    20) for every set of them",
        },
        Parameter {
            name: "seed",
            default: "1",
            about: "where the random numbers of samples begin",
        },
        CREDITS,
        BY,
    ],
    misleads: "Fair between channels, and blind to why a journey converted: what is always there when \
               people buy anyway takes its part of that.",
    source: "Shapley 1953, A value for n-person games; Zhao, Mahboobi and Bagheri 2018, Shapley value \
             methods for attribution modeling; Singal, Besbes, Desir, Goyal and Iyengar 2022, Shapley \
             meets uniform; Castro, Gomez and Tejada 2009, Polynomial calculation of \
             the Shapley value based on sampling",
    build,
};

fn build(arguments: &Arguments) -> Result<Box<dyn Model>> {
    Ok(Box::new(Shapley {
        column: arguments.column()?,
        order: arguments.order("order", "")?,
        game: Game {
            samples: arguments.whole("samples", 100..=10_000_000)?,
            seed: arguments.whole("seed", 0..=u64::MAX)?,
        },
        credits: Credits::parse(arguments)?,
    }))
}

/// See [`ENTRY`].
struct Shapley {
    column: String,
    order: usize,
    game: Game,
    credits: Credits,
}

impl Model for Shapley {
    fn channels(&self) -> Option<&str> {
        Some(&self.column)
    }

    fn learns(&self) -> bool {
        true
    }

    fn observe(&self, journey: Journey<'_>, outcome: Outcome, times: u64, counts: &mut Counts) {
        chain::observe(self.order, journey, outcome, times, counts);
    }

    fn fit(&self, counts: &Counts) -> Result<Option<Fitted>> {
        let chain = Chain::new(counts, self.order);
        let values = self.game.values(&chain)?;
        let owed = values.values.iter().map(|value| value.max(0.0)).collect();
        let rule = ByChannel::new(&self.column, "Shapley value", &chain.channels, owed);
        let mut channels = Vec::with_capacity(chain.channels.len());
        for (at, (channel, share)) in chain.channels.iter().zip(rule.shares()).enumerate() {
            channels.push(ChannelEffect {
                channel: *channel,
                value: Some(values.values[at]),
                error: values.errors.as_ref().map(|errors| errors[at]),
                share,
                ..ChannelEffect::default()
            });
        }
        let mut effects = Effects {
            journeys: chain.journeys(),
            converted: chain.converted(),
            probability: chain.probability()?,
            order: Some(chain.order),
            channels,
            samples: values.errors.is_some().then_some(self.game.samples.next_multiple_of(2)),
            sets: chain.sets,
            ..Effects::default()
        };
        let rule = self.credits.rule(&self.column, rule.into(), &mut effects)?;
        Ok(Some(Fitted { rule, effects }))
    }
}
