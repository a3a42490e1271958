//! What identity did: to user ids, and to credit and journeys.
//!
//! [`IdentityReport`] holds it in names and numbers, `effect` what it made of credit, `table` writes
//! it as one table, `terminal` lays it out for people. Not for resolving anybody; that is
//! [`identity`](crate::identity).

mod effect;
mod table;
mod terminal;

use std::cmp::Reverse;

pub use effect::{Effect, EffectLine, EffectSums, changed_journeys};
pub(crate) use table::IDENTITY_COLUMNS;

use crate::error::Result;
use crate::identity::{
    Account, ClusterSize, HeldKey, Identity, KeyValues, Outcome, cluster_sizes, members,
};
use crate::journeys::{Orders, Touches};
use crate::money::Currency;
use crate::output::{self, Format, Sink};
use crate::report::persons::ordered;

/// Persons that are named for having the most user ids.
const LARGEST_CLUSTERS: usize = 20;

/// How many ids of touches and orders occurred under several.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Under {
    /// Touches under several persons.
    pub touches: u64,
    /// Orders under several persons.
    pub orders: u64,
    /// Touches under several users of one person.
    pub touches_of_one_person: u64,
    /// Orders under several users of one person.
    pub orders_of_one_person: u64,
}

/// What became of alias rows; they add up to the first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AliasCounts {
    /// Rows of aliases.
    pub rows: u64,
    /// Aliases that were followed.
    pub applied: u64,
    /// Rows that say what another says.
    pub repeated: u64,
    /// Aliases that lost to an earlier one of the same user.
    pub lost: u64,
    /// Aliases of a user to itself.
    pub itself: u64,
    /// Aliases of the survivors of cycles, which are cut.
    pub cut: u64,
    /// Aliases whose ends are both authenticated.
    pub refused: u64,
}

/// Why two user ids are not one person although something says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// An earlier alias of the same user holds.
    Lost,
    /// Both ends of the alias are authenticated.
    Refused,
    /// They share a key, and both are authenticated.
    Key {
        /// The kind of key.
        column: &'static str,
        /// Its value.
        value: String,
    },
}

impl Why {
    /// The reason's name in tables.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Refused => "refused",
            Self::Key { .. } => "key",
        }
    }
}

/// Two user ids that are not one person although something says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The user that would have joined the other.
    pub user: String,
    /// The other.
    pub other: String,
    /// The person that the user is.
    pub person: String,
    /// Why.
    pub why: Why,
}

/// A cycle of aliases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cycle {
    /// Its members along the aliases, the survivor first.
    pub members: Vec<String>,
    /// The person that the survivor is in the end.
    pub person: String,
}

/// A person with its user ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// The person.
    pub person: String,
    /// Its user ids.
    pub users: u64,
    /// Its sessions; none where no sessions are given.
    pub sessions: Option<u64>,
    /// Its counted orders, whatever the period; none where no orders are given.
    pub orders: Option<u64>,
    /// What they are worth; none where they are in several currencies.
    pub amount: Option<(Currency, i128)>,
}

/// How much a reconciliation key did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyCounts {
    /// The key and its values.
    pub values: KeyValues,
    /// Persons that joined another by it.
    pub joined: u64,
    /// Persons that did not, because both are authenticated.
    pub refused: u64,
}

/// What the report is made of.
pub struct Findings<'a> {
    /// Who is who.
    pub identity: &'a Identity,
    /// Ids under several persons or users.
    pub under: Under,
    /// The touches of all persons, where sessions are given.
    pub touches: Option<&'a Touches>,
    /// The orders of all persons, where they are given.
    pub orders: Option<&'a Orders>,
    /// The currencies of the orders.
    pub currencies: &'a [Currency],
    /// What it did to credit, where sessions and orders are given.
    pub effect: Option<Effect>,
}

/// What identity did.
pub struct IdentityReport {
    /// The counts of the summary.
    pub account: Account,
    /// What became of alias rows.
    pub aliases: AliasCounts,
    /// How many users there are of each outcome.
    pub outcomes: Vec<(Outcome, u64)>,
    /// Users that are not one person although something says so.
    pub conflicts: Vec<Conflict>,
    /// Cycles of aliases, by their survivors.
    pub cycles: Vec<Cycle>,
    /// What each reconciliation key did.
    pub keys: Vec<KeyCounts>,
    /// The keys that most user ids hold.
    pub largest_keys: Vec<HeldKey>,
    /// Ids under several persons or users.
    pub under: Under,
    /// How many persons have how many user ids.
    pub cluster_sizes: Vec<ClusterSize>,
    /// The persons with the most user ids, those of one left out.
    pub largest: Vec<Cluster>,
    /// What it did to credit and journeys, where sessions and orders are given.
    pub effect: Option<Effect>,
}

impl IdentityReport {
    /// Puts names to what was found.
    pub fn new(findings: Findings<'_>) -> Self {
        let (identity, under, largest) = (findings.identity, findings.under, largest(&findings));
        let found = &identity.aliases;
        let aliases = AliasCounts {
            rows: found.rows,
            applied: found.applied,
            repeated: found.repeated,
            lost: found.lost.len() as u64,
            itself: found.itself,
            cut: found.cycles.len() as u64,
            refused: found.refused.len() as u64,
        };
        let outcomes = Outcome::ALL.map(|outcome| {
            let of_outcome = identity.outcomes.iter().filter(|of_user| **of_user == outcome);
            (outcome, of_outcome.count() as u64)
        });
        let keys = identity.keys.values.iter().map(|values| KeyCounts {
            values: *values,
            joined: count_of(&identity.keys.joined, |shared| shared.key == values.key),
            refused: count_of(&identity.keys.refused, |shared| shared.key == values.key),
        });
        Self {
            account: identity.account.clone(),
            aliases,
            outcomes: outcomes.to_vec(),
            conflicts: conflicts(identity),
            cycles: cycles(identity),
            keys: keys.collect(),
            largest_keys: identity.keys.largest.clone(),
            under,
            cluster_sizes: cluster_sizes(&identity.person),
            largest,
            effect: findings.effect,
        }
    }

    /// Writes the report in a format: text for people, else one table.
    pub fn write(&self, format: &Format, sink: Sink) -> Result<()> {
        output::write_result(format, sink, || terminal::render(self), || table::table(self))
    }
}

fn count_of<T>(all: &[T], wanted: impl Fn(&T) -> bool) -> u64 {
    all.iter().filter(|one| wanted(one)).count() as u64
}

/// Every conflict: aliases that lost, aliases that were refused, keys, each by its user and other.
fn conflicts(identity: &Identity) -> Vec<Conflict> {
    let name = |user: u32| identity.users.name(user).to_owned();
    let conflict = |user: u32, other: u32, why: Why| Conflict {
        user: name(user),
        other: name(other),
        person: name(identity.person[user as usize]),
        why,
    };
    let aliases = |pairs: &[(u32, u32)], why: &Why| -> Vec<Conflict> {
        pairs.iter().map(|(from, to)| conflict(*from, *to, why.clone())).collect()
    };
    let keys = identity.keys.refused.iter().map(|shared| {
        let why = Why::Key { column: shared.key.column(), value: shared.value.clone() };
        conflict(shared.from, shared.to, why)
    });
    let mut all = [
        aliases(&identity.aliases.lost, &Why::Lost),
        aliases(&identity.aliases.refused, &Why::Refused),
        keys.collect(),
    ];
    for some in &mut all {
        some.sort_by(|left, right| (&left.user, &left.other).cmp(&(&right.user, &right.other)));
    }
    all.concat()
}

fn cycles(identity: &Identity) -> Vec<Cycle> {
    let name = |user: u32| identity.users.name(user).to_owned();
    let cycle = |members: &Vec<u32>| Cycle {
        members: members.iter().map(|member| name(*member)).collect(),
        person: name(identity.person[members[0] as usize]),
    };
    let mut cycles: Vec<Cycle> = identity.aliases.cycles.iter().map(cycle).collect();
    cycles.sort_by(|left, right| left.members.cmp(&right.members));
    cycles
}

/// The persons with the most user ids, equal ones by their id.
fn largest(findings: &Findings<'_>) -> Vec<Cluster> {
    let Findings { identity, touches, orders, currencies, .. } = findings;
    let members = members(&identity.person);
    let mut persons: Vec<u32> =
        (0..).take(members.len()).filter(|person| members[*person as usize] > 1).collect();
    let place = |person: &u32| (Reverse(members[*person as usize]), identity.users.name(*person));
    persons.sort_unstable_by(|left, right| place(left).cmp(&place(right)));
    persons.truncate(LARGEST_CLUSTERS);
    let cluster = |person: u32| {
        let known = orders.map(|orders| ordered(orders, currencies, person));
        Cluster {
            person: identity.users.name(person).to_owned(),
            users: u64::from(members[person as usize]),
            sessions: touches.map(|touches| {
                touches.of(person).filter(|touch| !touches.view[*touch]).count() as u64
            }),
            orders: known.map(|known| known.map_or(0, |known| known.orders)),
            amount: known.flatten().and_then(|known| known.value.map(|(code, sum, _)| (code, sum))),
        }
    };
    persons.into_iter().map(cluster).collect()
}
