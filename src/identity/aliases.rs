//! Follows aliases to the end of their chains, whatever order they came in.
//!
//! Of several aliases of one user the earliest holds. What holds is at most one step from each
//! user, so that users form trees, and cycles that are cut at their survivor. A tree is one
//! person, named by its root, but for authenticated users that would join another one.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::identity::{Account, UserFacts};
use crate::ids::{Interner, group_rows};

/// An alias row: `from` is the same person as `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alias {
    /// The user that was met under another id.
    pub from: u32,
    /// The id that it is known by.
    pub to: u32,
    /// When that was learnt.
    pub created_at: Option<i64>,
}

/// What became of a user's aliases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It has none.
    Itself,
    /// It followed one to another person.
    Merged,
    /// Its alias was refused: both ends are authenticated.
    Conflict,
    /// It was in a cycle.
    Cycle,
    /// It has only one to itself.
    SelfAlias,
    /// It shares a reconciliation key with another person.
    Reconciled,
}

impl Outcome {
    /// The outcome's name in the audit.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Itself => "itself",
            Self::Merged => "merged",
            Self::Conflict => "conflict",
            Self::Cycle => "cycle",
            Self::SelfAlias => "self",
            Self::Reconciled => "reconciled",
        }
    }
}

/// Where every user's aliases lead.
#[derive(Debug)]
pub struct Resolved {
    /// The person of each user.
    pub person: Vec<u32>,
    /// The next user on the way; itself at the end.
    pub next: Vec<u32>,
    /// What became of each user's aliases.
    pub outcomes: Vec<Outcome>,
    /// Aliases that were refused, sorted: who, and who it would have been.
    pub refused: Vec<(u32, u32)>,
    /// Conflicts and cycles, counted.
    pub account: Account,
}

/// An instant that sorts after every other where it is not known.
pub(super) fn or_never(at: Option<i64>) -> (bool, Option<i64>) {
    (at.is_none(), at)
}

/// Resolves users to persons.
///
/// * Of aliases with one `from`, the earliest (`created_at`, then the smaller `to`) holds.
/// * A cycle is cut at its survivor: authenticated, then created first, then the smallest id.
/// * A user that is authenticated does not join a person that already has an authenticated user;
///   of several that would join an anonymous one, the earliest alias is taken, then the smaller
///   id. A refused user stays the person that it is, and so do those that follow it.
pub fn resolve_aliases(
    users: &Interner,
    facts: &[UserFacts],
    aliases: Vec<Alias>,
    merge_authenticated: bool,
) -> Resolved {
    let count = facts.len();
    let mut account = Account::default();
    let mut outcomes = vec![Outcome::Itself; count];
    let mut held: Vec<Option<Alias>> = vec![None; count];
    let mut refused = hold_earliest(users, aliases, &mut held, &mut outcomes, &mut account);
    cut_cycles(users, facts, &mut held, &mut outcomes, &mut account);

    let (from, to): (Vec<u32>, Vec<u32>) =
        held.iter().flatten().map(|alias| (alias.from, alias.to)).unzip();
    let (order, starts) = group_rows(&to, count);
    let followers = |user: u32| {
        let range = starts[user as usize] as usize..starts[user as usize + 1] as usize;
        order[range].iter().map(|at| from[*at as usize])
    };
    let mut person: Vec<u32> = (0..).take(count).collect();
    let mut next = person.clone();
    let mut roots: Vec<u32> =
        (0..).take(count).filter(|user| held[*user as usize].is_none()).collect();
    while let Some(root) = roots.pop() {
        let mut authenticated = facts[root as usize].authenticated;
        let mut waiting = BinaryHeap::new();
        let queue = |waiting: &mut BinaryHeap<_>, to: u32| {
            for from in followers(to) {
                let at = held[from as usize].and_then(|alias| alias.created_at);
                waiting.push(Reverse((or_never(at), users.name(from), from, to)));
            }
        };
        queue(&mut waiting, root);
        while let Some(Reverse((_, _, from, to))) = waiting.pop() {
            let joins = facts[from as usize].authenticated;
            if joins && authenticated && !merge_authenticated {
                outcomes[from as usize] = Outcome::Conflict;
                account.authenticated_conflicts += 1;
                refused.push((from, to));
                roots.push(from);
                continue;
            }
            authenticated |= joins;
            person[from as usize] = root;
            next[from as usize] = to;
            queue(&mut waiting, from);
        }
    }
    refused.sort_unstable();
    Resolved { person, next, outcomes, refused, account }
}

/// Keeps the earliest alias of each user; returns and counts those that lose.
fn hold_earliest(
    users: &Interner,
    mut aliases: Vec<Alias>,
    held: &mut [Option<Alias>],
    outcomes: &mut [Outcome],
    account: &mut Account,
) -> Vec<(u32, u32)> {
    let mut refused = Vec::new();
    aliases.sort_by_key(|alias| (alias.from, or_never(alias.created_at), users.name(alias.to)));
    for of_one in aliases.chunk_by(|left, right| left.from == right.from) {
        let from = of_one[0].from as usize;
        let mut targets: Vec<u32> = Vec::new();
        for alias in of_one {
            if alias.to == alias.from {
                account.alias_self += 1;
                if held[from].is_none() {
                    outcomes[from] = Outcome::SelfAlias;
                }
            } else if held[from].is_none() {
                held[from] = Some(*alias);
                outcomes[from] = Outcome::Merged;
                targets.push(alias.to);
            } else {
                targets.push(alias.to);
            }
        }
        targets.sort_unstable();
        targets.dedup();
        account.alias_conflicts += targets.len().saturating_sub(1) as u64;
        let holds = held[from].map(|alias| alias.to);
        let lost = targets.into_iter().filter(|to| Some(*to) != holds);
        refused.extend(lost.map(|to| (of_one[0].from, to)));
    }
    refused
}

/// Removes the alias of each cycle's survivor.
fn cut_cycles(
    users: &Interner,
    facts: &[UserFacts],
    held: &mut [Option<Alias>],
    outcomes: &mut [Outcome],
    account: &mut Account,
) {
    // Which walk saw a user; zero is none.
    let mut seen = vec![0_u32; held.len()];
    for (walk, start) in (1_u32..).zip(0..held.len()) {
        let mut at = start;
        let mut entered_twice = None;
        while seen[at] == 0 {
            seen[at] = walk;
            match held[at] {
                Some(alias) => at = alias.to as usize,
                None => break,
            }
            if seen[at] == walk {
                entered_twice = Some(at);
            }
        }
        let Some(first) = entered_twice else { continue };
        let mut members = vec![first];
        let mut member = held[first].map(|alias| alias.to as usize);
        while let Some(user) = member.filter(|user| *user != first) {
            members.push(user);
            member = held[user].map(|alias| alias.to as usize);
        }
        account.alias_cycles += 1;
        let rank = |user: &usize| {
            let facts = &facts[*user];
            #[expect(clippy::cast_possible_truncation, reason = "users are numbered in 32 bits")]
            let name = users.name(*user as u32);
            (!facts.authenticated, or_never(facts.created_at), name)
        };
        for user in &members {
            outcomes[*user] = Outcome::Cycle;
        }
        if let Some(survivor) = members.iter().min_by_key(|user| rank(user)) {
            held[*survivor] = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

    fn resolve(aliases: &[(u32, u32, i64)], authenticated: &[u32]) -> Resolved {
        let mut users = Interner::default();
        for name in NAMES {
            users.intern(name);
        }
        let mut facts = vec![UserFacts::default(); NAMES.len()];
        for user in authenticated {
            facts[*user as usize].authenticated = true;
        }
        let aliases = aliases
            .iter()
            .map(|(from, to, at)| Alias { from: *from, to: *to, created_at: Some(*at) })
            .collect();
        resolve_aliases(&users, &facts, aliases, false)
    }

    #[test]
    fn a_chain_given_backwards_is_followed_to_its_end() {
        let resolved = resolve(&[(2, 3, 3), (1, 2, 2), (0, 1, 1)], &[]);
        assert_eq!(resolved.person, [3, 3, 3, 3, 4, 5]);
        assert_eq!(resolved.next[0], 1);
    }

    #[test]
    fn the_earliest_of_several_aliases_holds_and_the_others_are_conflicts() {
        let resolved = resolve(&[(0, 2, 5), (0, 1, 4), (0, 1, 9), (3, 3, 1)], &[]);
        assert_eq!((resolved.person[0], resolved.account.alias_conflicts), (1, 1));
        assert_eq!((resolved.account.alias_self, resolved.outcomes[3]), (1, Outcome::SelfAlias));
    }

    #[test]
    fn a_cycle_keeps_its_authenticated_member() {
        let resolved = resolve(&[(0, 1, 1), (1, 2, 1), (2, 0, 1), (3, 0, 1)], &[2]);
        assert_eq!(resolved.person, [2, 2, 2, 2, 4, 5]);
        assert_eq!((resolved.account.alias_cycles, resolved.outcomes[3]), (1, Outcome::Merged));
    }

    #[test]
    fn authenticated_users_do_not_join_and_keep_their_followers() {
        let resolved = resolve(&[(0, 1, 1), (1, 2, 1), (2, 3, 1)], &[1, 3]);
        assert_eq!(resolved.person, [1, 1, 3, 3, 4, 5]);
        assert_eq!(resolved.account.authenticated_conflicts, 1);
        let earliest_taken = resolve(&[(0, 2, 9), (1, 2, 8)], &[0, 1]);
        assert_eq!(earliest_taken.person[..3], [0, 2, 2]);
    }

    proptest! {
        #[test]
        fn every_user_ends_at_a_person_that_is_itself(
            aliases in prop::collection::vec((0_u32..6, 0_u32..6, 0_i64..3), 0..10),
            authenticated in prop::collection::vec(0_u32..6, 0..4),
        ) {
            let resolved = resolve(&aliases, &authenticated);
            for (user, person) in resolved.person.iter().enumerate() {
                prop_assert_eq!(resolved.person[*person as usize], *person);
                let mut at = user;
                for _ in 0..NAMES.len() {
                    at = resolved.next[at] as usize;
                }
                prop_assert_eq!(at, *person as usize);
            }
            let reversed: Vec<_> = aliases.iter().rev().copied().collect();
            prop_assert_eq!(resolved.person, resolve(&reversed, &authenticated).person);
        }
    }
}
