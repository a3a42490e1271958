//! Follows aliases to the end of their chains, whatever order they came in.
//!
//! Of several aliases of one user the earliest holds. What holds is at most one step from each
//! user, so that users form trees, and cycles that are cut at their survivor. A tree is one
//! person, named by its root, but for authenticated users that would join another one.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::identity::{Account, Facts};
use crate::ids::{Names, group_rows};

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
    /// Every outcome.
    pub const ALL: [Self; 6] = [
        Self::Itself,
        Self::Merged,
        Self::Conflict,
        Self::Cycle,
        Self::SelfAlias,
        Self::Reconciled,
    ];

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

/// What became of the rows of aliases, and those that did not hold.
///
/// Every row has one fate: `rows` is the sum of `applied`, `repeated`, `itself`, and the lengths of
/// `lost`, `cycles` and `refused`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AliasFindings {
    /// Rows of aliases.
    pub rows: u64,
    /// Aliases that were followed.
    pub applied: u64,
    /// Rows that say what another row says.
    pub repeated: u64,
    /// Users with an alias to themselves.
    pub itself: u64,
    /// Aliases that lost to an earlier one of the same user, sorted: who, and who it would have
    /// been.
    pub lost: Vec<(u32, u32)>,
    /// The members of each cycle, from its survivor along the aliases; the last one, back to the
    /// survivor, is followed, and the survivor's own is cut.
    pub cycles: Vec<Vec<u32>>,
    /// Aliases whose ends are both authenticated, sorted: who, and who it would have been.
    pub refused: Vec<(u32, u32)>,
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
    /// What became of the rows, and those that did not hold.
    pub findings: AliasFindings,
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
    users: &Names,
    facts: &Facts,
    aliases: &[Alias],
    merge_authenticated: bool,
) -> Resolved {
    let count = facts.users();
    let mut account = Account::default();
    let mut outcomes = vec![Outcome::Itself; count];
    let mut held = Held { aliases, of: vec![0; count] };
    let mut findings = hold_earliest(users, &mut held, &mut outcomes, &mut account);
    findings.cycles = cut_cycles(users, facts, &mut held, &mut outcomes, &mut account);

    let mut next: Vec<u32> = (0..).take(count).collect();
    for alias in held.iter() {
        next[alias.from as usize] = alias.to;
        findings.applied += 1;
    }
    let mut person = ends(&next);
    let contested = contested(facts, &person);
    if !merge_authenticated && !contested.is_empty() {
        let mut walk = Walk { users, facts, held: &held, person: &mut person, next: &mut next };
        for (from, to) in walk.refuse(contested) {
            outcomes[from as usize] = Outcome::Conflict;
            account.authenticated_conflicts += 1;
            findings.applied -= 1;
            findings.refused.push((from, to));
        }
    }
    findings.refused.sort_unstable();
    Resolved { person, next, outcomes, findings, account }
}

/// The alias that holds of each user.
struct Held<'a> {
    aliases: &'a [Alias],
    /// The alias of each user: zero for none, else its number and one more.
    of: Vec<u32>,
}

impl Held<'_> {
    fn get(&self, user: u32) -> Option<&Alias> {
        self.aliases.get((self.of[user as usize] as usize).checked_sub(1)?)
    }

    fn iter(&self) -> impl Iterator<Item = &Alias> {
        self.of.iter().filter_map(|of| self.aliases.get((*of as usize).checked_sub(1)?))
    }

    /// Keeps the alias with this number.
    fn keep(&mut self, alias: usize) {
        let given = u32::try_from(alias + 1).expect("rows are numbered in 32 bits");
        self.of[self.aliases[alias].from as usize] = given;
    }

    fn drop(&mut self, user: u32) {
        self.of[user as usize] = 0;
    }
}

/// Where each user's steps end.
fn ends(next: &[u32]) -> Vec<u32> {
    let mut ends = next.to_vec();
    for user in 0..ends.len() {
        let mut end = ends[user];
        while ends[end as usize] != end {
            end = ends[end as usize];
        }
        // What was walked once is not walked again.
        let mut at = user;
        while ends[at] != end {
            at = std::mem::replace(&mut ends[at], end) as usize;
        }
    }
    ends
}

/// The persons with more than one authenticated user: only there can an alias be refused.
fn contested(facts: &Facts, person: &[u32]) -> Vec<u32> {
    let mut persons: Vec<u32> = facts.authenticated().map(|user| person[user as usize]).collect();
    persons.sort_unstable();
    let mut contested: Vec<u32> =
        persons.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
    contested.dedup();
    contested
}

/// Goes through trees of users from their roots, and cuts off who may not join.
struct Walk<'a> {
    users: &'a Names,
    facts: &'a Facts,
    held: &'a Held<'a>,
    person: &'a mut [u32],
    next: &'a mut [u32],
}

impl Walk<'_> {
    /// Returns the aliases that are refused.
    fn refuse(&mut self, mut roots: Vec<u32>) -> Vec<(u32, u32)> {
        let (from, to): (Vec<u32>, Vec<u32>) =
            self.held.iter().map(|alias| (alias.from, alias.to)).unzip();
        let (order, starts) = group_rows(&to, self.held.of.len());
        let (users, facts, held) = (self.users, self.facts, self.held);
        let queue = |waiting: &mut BinaryHeap<_>, to: u32| {
            let followers = starts[to as usize] as usize..starts[to as usize + 1] as usize;
            for at in &order[followers] {
                let from = from[*at as usize];
                let at = held.get(from).and_then(|alias| alias.created_at);
                waiting.push(Reverse((or_never(at), users.name(from), from, to)));
            }
        };
        let mut refused = Vec::new();
        while let Some(root) = roots.pop() {
            let mut authenticated = facts.of(root).authenticated;
            (self.person[root as usize], self.next[root as usize]) = (root, root);
            let mut waiting = BinaryHeap::new();
            queue(&mut waiting, root);
            while let Some(Reverse((_, _, from, to))) = waiting.pop() {
                let joins = facts.of(from).authenticated;
                if joins && authenticated {
                    refused.push((from, to));
                    roots.push(from);
                    continue;
                }
                authenticated |= joins;
                self.person[from as usize] = root;
                queue(&mut waiting, from);
            }
        }
        refused
    }
}

/// Keeps the earliest alias of each user; finds and counts those that lose.
fn hold_earliest(
    users: &Names,
    held: &mut Held<'_>,
    outcomes: &mut [Outcome],
    account: &mut Account,
) -> AliasFindings {
    let aliases = held.aliases;
    let mut findings = AliasFindings { rows: aliases.len() as u64, ..AliasFindings::default() };
    // Most users have one alias, and there is nothing to compare.
    let mut several = vec![false; held.of.len()];
    for (number, alias) in aliases.iter().enumerate() {
        let from = alias.from as usize;
        several[from] |= held.of[from] > 0;
        held.keep(number);
    }
    let mut contenders: Vec<usize> = Vec::new();
    for (number, alias) in aliases.iter().enumerate() {
        let from = alias.from as usize;
        if several[from] {
            contenders.push(number);
            held.drop(alias.from);
        } else if alias.to == alias.from {
            account.alias_self += 1;
            findings.itself += 1;
            outcomes[from] = Outcome::SelfAlias;
            held.drop(alias.from);
        } else {
            outcomes[from] = Outcome::Merged;
        }
    }
    contenders.sort_by_key(|number| {
        let Alias { from, to, created_at } = aliases[*number];
        (from, or_never(created_at), users.name(to))
    });
    for of_one in contenders.chunk_by(|one, other| aliases[*one].from == aliases[*other].from) {
        let from = aliases[of_one[0]].from;
        let mut targets: Vec<u32> = Vec::new();
        let mut to_itself = false;
        for number in of_one {
            let alias = aliases[*number];
            if alias.to == from {
                account.alias_self += 1;
                to_itself = true;
                if held.get(from).is_none() {
                    outcomes[from as usize] = Outcome::SelfAlias;
                }
                continue;
            }
            if held.get(from).is_none() {
                held.keep(*number);
                outcomes[from as usize] = Outcome::Merged;
            }
            targets.push(alias.to);
        }
        targets.sort_unstable();
        targets.dedup();
        findings.itself += u64::from(to_itself);
        let distinct = targets.len() + usize::from(to_itself);
        findings.repeated += (of_one.len() - distinct) as u64;
        account.alias_conflicts += targets.len().saturating_sub(1) as u64;
        let holds = held.get(from).map(|alias| alias.to);
        let lost = targets.into_iter().filter(|to| Some(*to) != holds);
        findings.lost.extend(lost.map(|to| (from, to)));
    }
    findings
}

/// Removes the alias of each cycle's survivor; returns the members of each, from its survivor.
fn cut_cycles(
    users: &Names,
    facts: &Facts,
    held: &mut Held<'_>,
    outcomes: &mut [Outcome],
    account: &mut Account,
) -> Vec<Vec<u32>> {
    let mut cycles = Vec::new();
    // Which walk saw a user; zero is none.
    let mut seen = vec![0_u32; held.of.len()];
    for (walk, start) in (1_u32..).zip(0..) {
        let Some(of) = held.of.get(start as usize) else { break };
        // A step that leads to an end is in no cycle, and most do.
        let leads_on =
            *of > 0 && held.get(start).is_some_and(|alias| held.of[alias.to as usize] > 0);
        if !leads_on {
            continue;
        }
        let mut at = start;
        let mut entered_twice = None;
        while seen[at as usize] == 0 {
            seen[at as usize] = walk;
            match held.get(at) {
                Some(alias) => at = alias.to,
                None => break,
            }
            if seen[at as usize] == walk {
                entered_twice = Some(at);
            }
        }
        let Some(first) = entered_twice else { continue };
        let mut members = vec![first];
        let mut member = held.get(first).map(|alias| alias.to);
        while let Some(user) = member.filter(|user| *user != first) {
            members.push(user);
            member = held.get(user).map(|alias| alias.to);
        }
        account.alias_cycles += 1;
        let rank = |user: &u32| {
            let facts = facts.of(*user);
            (!facts.authenticated, or_never(facts.created_at), users.name(*user))
        };
        for user in &members {
            outcomes[*user as usize] = Outcome::Cycle;
        }
        let survivor = (0..members.len()).min_by_key(|at| rank(&members[*at])).unwrap_or_default();
        members.rotate_left(survivor);
        held.drop(members[0]);
        cycles.push(members);
    }
    cycles
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

    fn resolve(aliases: &[(u32, u32, i64)], authenticated: &[u32]) -> Resolved {
        resolve_as(aliases, authenticated, false)
    }

    fn resolve_as(
        aliases: &[(u32, u32, i64)],
        authenticated: &[u32],
        merge_authenticated: bool,
    ) -> Resolved {
        let users = Names::numbered(NAMES);
        let mut facts = Facts::none(NAMES.len(), false);
        for user in authenticated {
            facts.authenticate(*user);
        }
        let aliases: Vec<Alias> = aliases
            .iter()
            .map(|(from, to, at)| Alias { from: *from, to: *to, created_at: Some(*at) })
            .collect();
        resolve_aliases(&users, &facts, &aliases, merge_authenticated)
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
        // One to itself beside others is counted, and holds nothing.
        let beside = resolve(&[(0, 0, 1), (0, 1, 4), (0, 2, 9)], &[]);
        assert_eq!((beside.person[0], beside.outcomes[0]), (1, Outcome::Merged));
        assert_eq!((beside.account.alias_self, beside.account.alias_conflicts), (1, 1));
        assert_eq!((beside.findings.itself, beside.findings.lost), (1, vec![(0, 2)]));
    }

    #[test]
    fn a_cycle_keeps_its_authenticated_member() {
        let resolved = resolve(&[(0, 1, 1), (1, 2, 1), (2, 0, 1), (3, 0, 1)], &[2]);
        assert_eq!(resolved.person, [2, 2, 2, 2, 4, 5]);
        assert_eq!((resolved.account.alias_cycles, resolved.outcomes[3]), (1, Outcome::Merged));
        assert_eq!(resolved.findings.cycles, [[2, 0, 1]]);
    }

    #[test]
    fn authenticated_users_do_not_join_and_keep_their_followers() {
        let resolved = resolve(&[(0, 1, 1), (1, 2, 1), (2, 3, 1)], &[1, 3]);
        assert_eq!(resolved.person, [1, 1, 3, 3, 4, 5]);
        assert_eq!(resolved.account.authenticated_conflicts, 1);
        let allowed = resolve_as(&[(0, 1, 1), (1, 2, 1), (2, 3, 1)], &[1, 3], true);
        assert_eq!(allowed.person, [3, 3, 3, 3, 4, 5]);
        assert_eq!((allowed.account.authenticated_conflicts, allowed.findings.applied), (0, 3));
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
            let again = resolve(&reversed, &authenticated);
            prop_assert_eq!(&resolved.person, &again.person);
            let AliasFindings { rows, applied, repeated, itself, lost, cycles, refused } =
                resolved.findings;
            let lists = lost.len() + cycles.len() + refused.len();
            prop_assert_eq!(applied + repeated + itself + lists as u64, rows);
            prop_assert_eq!(lost, again.findings.lost);
            prop_assert_eq!(refused, again.findings.refused);
        }
    }
}
