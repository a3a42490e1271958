//! Whose row is it: every user id, however it was met, resolves to a person.
//!
//! `aliases` follows alias rows to the end of their chains; `keys` joins users with the same e-mail
//! address or telephone, where that is asked for; this module collects what is known of
//! each user from profiles, minimal users and aliases, and keeps the account of stubs; `tables`
//! writes persons and the audit. Not for merging the rows themselves: that is `merge`.

mod aliases;
mod clusters;
mod facts;
mod keys;
mod tables;
mod versions;

pub use aliases::{Alias, AliasFindings, Outcome, Resolved, resolve_aliases};
pub(crate) use clusters::members;
pub use clusters::{ClusterSize, cluster_sizes};
pub use facts::{Facts, UserFacts};
pub use keys::{HeldKey, Key, KeyFindings, KeyValues, LARGEST_KEYS, SharedKey, key_links};
pub use tables::{audit_table, persons_table};
pub use versions::{Keep, Merged, one_row_per_id};

use std::sync::OnceLock;

use arrow::array::{Array, AsArray, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::TimestampMicrosecondType;
use serde::{Deserialize, Serialize};

use crate::ids::Names;

/// Every user id that was met, what is known of it, and the person that it resolves to.
pub struct Identity {
    /// The user ids.
    pub users: Names,
    /// What is known of each.
    pub facts: Facts,
    /// The person of each user: the number of the surviving user id.
    pub person: Vec<u32>,
    /// The next user on the way from each user to its person; itself at the end.
    pub next: Vec<u32>,
    /// What became of each user's alias.
    pub outcomes: Vec<Outcome>,
    /// What became of the rows of aliases, and those that did not hold.
    pub aliases: AliasFindings,
    /// What reconciliation keys did.
    pub keys: KeyFindings,
    /// The counts of the summary.
    pub account: Account,
    /// Every user in the byte order of the ids, once somebody asks.
    in_byte_order: OnceLock<Vec<u32>>,
}

/// What identity did, in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Distinct user ids met anywhere.
    pub users: u64,
    /// Distinct persons among them.
    pub persons: u64,
    /// User ids that a session, postview, order or alias referred to.
    pub stubs_seen: u64,
    /// Those of them that have a profile.
    pub stubs_healed: u64,
    /// Those of them that have none.
    pub stubs_left: u64,
    /// Users that are another person: by an alias, or by a reconciliation key.
    pub merged: u64,
    /// Aliases that lost because another of the same user holds.
    pub alias_conflicts: u64,
    /// Aliases of a user to itself.
    pub alias_self: u64,
    /// Cycles of aliases.
    pub alias_cycles: u64,
    /// Aliases that were refused because both ends are authenticated.
    pub authenticated_conflicts: u64,
    /// Persons that joined another by a reconciliation key.
    pub reconciled: u64,
    /// Persons that did not, because both are authenticated.
    pub key_conflicts: u64,
}

impl Account {
    /// Adds what is counted of other users, none of whom has to do with these.
    pub fn add(&mut self, other: &Self) {
        let Self {
            users,
            persons,
            stubs_seen,
            stubs_healed,
            stubs_left,
            merged,
            alias_conflicts,
            alias_self,
            alias_cycles,
            authenticated_conflicts,
            reconciled,
            key_conflicts,
        } = other;
        self.users += users;
        self.persons += persons;
        self.stubs_seen += stubs_seen;
        self.stubs_healed += stubs_healed;
        self.stubs_left += stubs_left;
        self.merged += merged;
        self.alias_conflicts += alias_conflicts;
        self.alias_self += alias_self;
        self.alias_cycles += alias_cycles;
        self.authenticated_conflicts += authenticated_conflicts;
        self.reconciled += reconciled;
        self.key_conflicts += key_conflicts;
    }
}

impl Identity {
    /// Every user in the byte order of the ids, in which rows are written.
    ///
    /// They are put in order when they are first asked for, on all threads: ask once before many tasks
    /// that will, because one that waits for another of the same thread waits for ever.
    pub fn in_byte_order(&self) -> &[u32] {
        self.in_byte_order.get_or_init(|| {
            let mut users: Vec<u32> = (0..).take(self.person.len()).collect();
            self.users.sort(&mut users);
            users
        })
    }

    /// Counts users and stubs. `strangers` are users that nothing is known of but that rows refer to
    /// them, and that are not numbered: each is a person, and a stub.
    pub(crate) fn count(&mut self, strangers: u64) {
        let (account, person) = (&mut self.account, &self.person);
        let users = || (0_u32..).zip(person);
        let referred =
            || users().map(|(user, _)| self.facts.of(user)).filter(|facts| facts.referred);
        account.users = person.len() as u64 + strangers;
        account.persons =
            users().filter(|(user, person)| user == *person).count() as u64 + strangers;
        account.merged = account.users - account.persons;
        account.stubs_seen = referred().count() as u64 + strangers;
        account.stubs_healed = referred().filter(|facts| facts.profile).count() as u64;
        account.stubs_left = account.stubs_seen - account.stubs_healed;
    }
}

/// Collects what is said of users, then resolves persons.
pub struct Gathering {
    users: Names,
    facts: Facts,
    aliases: Vec<Alias>,
    tokens: keys::Tokens,
}

impl Gathering {
    /// Nothing is known yet of these users; `profiles` says whether there is a users table.
    pub fn new(users: Names, profiles: bool) -> Self {
        Self {
            facts: Facts::none(users.len(), profiles),
            users,
            aliases: Vec::new(),
            tokens: keys::Tokens::default(),
        }
    }

    /// Takes in rows that refer to users with a minimal user object: sessions, postviews and
    /// orders. `users` is the user of each row.
    pub fn refer(&mut self, rows: &RecordBatch, users: &[u32]) {
        self.note(users);
        self.learn(rows, users, "user_");
    }

    /// Notes that users are referred to.
    pub fn note(&mut self, users: &[u32]) {
        for user in users {
            self.facts.refer(*user);
        }
    }

    /// Takes in the users table, with the keys that say who is one person. `users` is the user of
    /// each row.
    pub fn profile(&mut self, rows: &RecordBatch, users: &[u32], keys: &[Key]) {
        self.tokens.take(rows, users, keys);
        self.learn(rows, users, "");
        for user in users {
            self.facts.profile(*user);
        }
    }

    /// Takes in the user aliases table; `from` and `to` are the users of each row.
    pub fn alias(&mut self, rows: &RecordBatch, from: &[u32], to: &[u32]) {
        self.learn(rows, to, "to_user_");
        self.note(from);
        self.note(to);
        let created = times(rows, "created_at");
        let aliases = from.iter().zip(to).enumerate();
        self.aliases.extend(aliases.map(|(row, (from, to))| Alias {
            from: *from,
            to: *to,
            created_at: value(created, row),
        }));
    }

    /// Follows every alias, then joins what shares a key; `merge_authenticated` allows an alias
    /// (never a key) to make two authenticated users one person.
    pub fn resolve(self, merge_authenticated: bool) -> Identity {
        let Self { users, facts, aliases, tokens, .. } = self;
        let mut resolved = resolve_aliases(&users, &facts, &aliases, merge_authenticated);
        let keys = keys::join(&users, &facts, tokens, &mut resolved);
        let mut identity = Identity {
            users,
            facts,
            person: resolved.person,
            next: resolved.next,
            outcomes: resolved.outcomes,
            aliases: resolved.findings,
            keys,
            account: resolved.account,
            in_byte_order: OnceLock::new(),
        };
        identity.count(0);
        identity
    }

    fn learn(&mut self, rows: &RecordBatch, codes: &[u32], prefix: &str) {
        let created = times(rows, &format!("{prefix}created_at"));
        let signed_up = times(rows, &format!("{prefix}signed_up_at"));
        let authenticated = rows
            .column_by_name(&format!("{prefix}is_authenticated"))
            .map(|flags| flags.as_boolean());
        if created.is_none() && signed_up.is_none() && authenticated.is_none() {
            return;
        }
        for (row, user) in codes.iter().enumerate() {
            self.facts.date(*user, value(created, row), value(signed_up, row));
            if authenticated.is_some_and(|flags| flags.is_valid(row) && flags.value(row)) {
                self.facts.authenticate(*user);
            }
        }
    }
}

/// The earlier of two instants, where one is known.
pub(crate) fn earliest(left: Option<i64>, right: Option<i64>) -> Option<i64> {
    match (left, right) {
        (Some(left), Some(right)) => Some(left.min(right)),
        (one, other) => one.or(other),
    }
}

fn times<'a>(rows: &'a RecordBatch, column: &str) -> Option<&'a TimestampMicrosecondArray> {
    rows.column_by_name(column).map(|times| times.as_primitive::<TimestampMicrosecondType>())
}

fn value(times: Option<&TimestampMicrosecondArray>, row: usize) -> Option<i64> {
    times.filter(|times| times.is_valid(row)).map(|times| times.value(row))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, BooleanArray, Int64Array, StringViewArray};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema, TimeUnit};

    use super::*;
    use crate::money::Currency;
    use crate::schema::MAJOR;

    fn instants(values: &[Option<i64>]) -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from(values.to_vec()))
    }

    fn texts(values: &[&str]) -> ArrayRef {
        Arc::new(StringViewArray::from_iter_values(values))
    }

    /// `a` is `b`, who has a profile, as has `d`; `a` and `c` have a session each.
    fn identity() -> Identity {
        let users = Names::numbered(["b", "a", "c", "d"]);
        let mut gathering = Gathering::new(users, true);
        let flags: ArrayRef = Arc::new(BooleanArray::from(vec![true, false]));
        let profiles = RecordBatch::try_from_iter([
            ("created_at", instants(&[Some(100), Some(7)])),
            ("signed_up_at", instants(&[Some(150), None])),
            ("is_authenticated", flags),
        ]);
        gathering.profile(&profiles.unwrap(), &[0, 3], &[]);
        let sessions =
            RecordBatch::try_from_iter([("user_created_at", instants(&[Some(50), None]))]);
        gathering.refer(&sessions.unwrap(), &[1, 2]);
        let aliases = RecordBatch::try_from_iter([("created_at", instants(&[Some(10)]))]);
        gathering.alias(&aliases.unwrap(), &[1], &[0]);
        gathering.resolve(false)
    }

    #[test]
    fn users_and_stubs_are_counted() {
        let mut identity = identity();
        assert_eq!(
            (&identity.person[..], &identity.next[..]),
            (&[0, 0, 2, 3][..], &[0, 0, 2, 3][..])
        );
        let account = &identity.account;
        assert_eq!((account.users, account.persons, account.merged), (4, 3, 1));
        // The alias refers to both of its ends; nothing refers to `d`.
        assert_eq!((account.stubs_seen, account.stubs_healed, account.stubs_left), (3, 1, 2));
        identity.count(5);
        let account = &identity.account;
        assert_eq!((account.users, account.persons, account.merged), (9, 8, 1));
        assert_eq!((account.stubs_seen, account.stubs_healed, account.stubs_left), (8, 1, 7));
        assert_eq!(identity.in_byte_order(), [1, 0, 2, 3]);
        // Without a users table everybody is a stub, and nobody is healed.
        let alone = Gathering::new(Names::numbered(["a", "b"]), false).resolve(false).account;
        assert_eq!((alone.users, alone.persons, alone.merged), (2, 2, 0));
        assert_eq!((alone.stubs_seen, alone.stubs_healed, alone.stubs_left), (2, 0, 2));
    }

    #[test]
    fn persons_have_what_is_known_of_their_users() {
        let persons = persons_table(&identity(), None).unwrap();
        let column = |name: &str| persons.column_by_name(name).unwrap();
        let names: Vec<_> = column("person").as_string_view().iter().flatten().collect();
        assert_eq!(names, ["b", "c", "d"]);
        let users = column("users").as_primitive::<arrow::datatypes::UInt64Type>();
        assert_eq!(users.values()[..], [2, 1, 1]);
        let flags = |name: &str| column(name).as_boolean().iter().flatten().collect::<Vec<_>>();
        assert_eq!(flags("is_stub"), [false, true, false]);
        assert_eq!(flags("is_authenticated"), [true, false, false]);
        let times = |name: &str| {
            column(name).as_primitive::<TimestampMicrosecondType>().iter().collect::<Vec<_>>()
        };
        assert_eq!(times("created_at"), [Some(50), None, Some(7)]);
        assert_eq!(times("signed_up_at"), [Some(150), None, None]);
        assert_eq!(persons.num_columns(), 6);
    }

    #[test]
    fn of_a_persons_profiles_its_own_values_win_and_holes_are_filled() {
        let optional = |values: [Option<&str>; 3]| -> ArrayRef {
            Arc::new(values.into_iter().collect::<StringViewArray>())
        };
        let profiles = RecordBatch::try_from_iter_with_nullable([
            ("external_id", texts(&["a", "b", "d"]), true),
            ("created_at", instants(&[Some(900), Some(100), Some(7)]), true),
            ("country", optional([Some("DE"), Some("FR"), None]), true),
            ("language", optional([Some("de"), None, Some("en")]), true),
        ]);
        let profiles = profiles.unwrap();
        let persons = persons_table(&identity(), Some((&profiles, &[1, 0, 3]))).unwrap();
        assert_eq!(persons.num_columns(), 8);
        let column = |name: &str| {
            let texts = persons.column_by_name(name).unwrap().as_string_view().iter();
            texts.map(|text| text.unwrap_or("-").to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(column("country"), ["FR", "-", "-"]);
        assert_eq!(column("language"), ["de", "-", "en"]);
    }

    #[test]
    fn the_audit_tells_the_way_from_every_user_to_its_person() {
        let mut identity = identity();
        identity.aliases.lost = vec![(1, 3), (2, 3)];
        identity.aliases.refused = vec![(1, 2)];
        let audit = audit_table(&identity).unwrap();
        let column = |name: &str| {
            let texts = audit.column_by_name(name).unwrap().as_string_view().iter();
            texts.map(|text| text.unwrap_or("-").to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(column("user_external_id"), ["a", "b", "c", "d"]);
        assert_eq!(column("person"), ["b", "b", "c", "d"]);
        assert_eq!(column("path"), ["a > b", "b", "c", "d"]);
        assert_eq!(column("outcome"), ["merged", "itself", "itself", "itself"]);
        assert_eq!(column("refused"), ["c, d", "-", "d", "-"]);
    }

    #[test]
    fn a_path_of_many_steps_is_shown_up_to_a_limit() {
        // Each user is the next one, to the last.
        let shown = |users: usize| {
            let names: Vec<String> = (0..users).map(|user| format!("u{user}")).collect();
            let mut gathering = Gathering::new(Names::numbered(&names), false);
            let numbers: Vec<u32> = (0..).take(users).collect();
            let times = vec![Some(1); users - 1];
            let aliases = RecordBatch::try_from_iter([("created_at", instants(&times))]);
            gathering.alias(&aliases.unwrap(), &numbers[..users - 1], &numbers[1..]);
            let audit = audit_table(&gathering.resolve(false)).unwrap();
            let paths = audit.column_by_name("path").unwrap().as_string_view();
            paths.value(0).to_owned()
        };
        assert_eq!(shown(3), "u0 > u1 > u2");
        assert!(shown(33).ends_with(" > u31 > u32"));
        assert!(shown(34).ends_with(" > u31 > u32 > ... > u33"));
    }

    #[test]
    fn an_id_under_two_persons_goes_to_the_latest_row_then_to_the_smallest_person() {
        let identity = identity();
        let held = |updated: [i64; 4], users: [u32; 4]| {
            let rows = RecordBatch::try_from_iter([
                ("external_id", texts(&["x", "x", "y", "z"])),
                ("created_at", instants(&[Some(1); 4])),
                ("updated_at", instants(&updated.map(Some))),
                ("utm_source", texts(&["first", "second", "third", "fourth"])),
            ]);
            let merged = one_row_per_id(
                &identity,
                rows.unwrap(),
                &users,
                "EUR".parse::<Currency>().unwrap(),
                Keep::Users,
            );
            merged.unwrap()
        };
        let latest = held([5, 7, 1, 1], [1, 2, 3, 0]);
        assert_eq!((&latest.person[..], &latest.user[..]), (&[2, 3, 0][..], &[2, 3, 0][..]));
        assert_eq!((latest.versions, latest.conflicts, latest.user_conflicts), (1, 1, 0));
        assert_eq!(latest.rows.num_rows(), 3);
        // `b` comes before `c`; of the users of `b`, `a` had the row.
        let equal = held([5, 5, 1, 1], [2, 1, 3, 0]);
        assert_eq!((&equal.person[..], &equal.user[..]), (&[0, 3, 0][..], &[1, 3, 0][..]));
        let of_one_person = held([5, 7, 1, 1], [0, 1, 3, 0]);
        assert_eq!((of_one_person.person[0], of_one_person.user[0]), (0, 1));
        let counts =
            (of_one_person.versions, of_one_person.conflicts, of_one_person.user_conflicts);
        assert_eq!(counts, (1, 0, 1));
        let source = |merged: &Merged| {
            merged.rows.column_by_name("utm_source").unwrap().as_string_view().value(0).to_owned()
        };
        assert_eq!((source(&latest), source(&equal)), ("second".to_owned(), "second".to_owned()));
        assert_eq!(source(&held([7, 5, 1, 1], [1, 2, 3, 0])), "first");
    }

    #[test]
    fn rows_are_versions_of_one_thing_by_their_id_alone() {
        let identity = identity();
        let held = |ids: [&str; 3], keep| {
            let rows = RecordBatch::try_from_iter([
                ("external_id", texts(&ids)),
                ("created_at", instants(&[Some(1); 3])),
            ]);
            let euro = "EUR".parse::<Currency>().unwrap();
            one_row_per_id(&identity, rows.unwrap(), &[1, 0, 2], euro, keep).unwrap()
        };
        let each = held(["x", "y", "z"], Keep::Users);
        assert_eq!((each.person, each.user, each.versions), (vec![0, 0, 2], vec![1, 0, 2], 0));
        assert!(held(["x", "y", "z"], Keep::Persons).user.is_empty());
        let one = held(["x"; 3], Keep::Persons);
        assert_eq!((one.person, one.versions, one.conflicts), (vec![0], 2, 1));
        assert!(one.user.is_empty());
    }

    #[test]
    fn an_amount_is_of_the_currency_that_another_version_names() {
        // Ten: of euros, that nothing says, a thousand cents; of yen ten.
        let schema = Schema::new(vec![
            Field::new("external_id", DataType::Utf8View, false),
            Field::new("created_at", DataType::Timestamp(TimeUnit::Microsecond, None), true),
            Field::new("updated_at", DataType::Timestamp(TimeUnit::Microsecond, None), true),
            Field::new("subtotal_price", DataType::Int64, true)
                .with_metadata([(MAJOR.to_owned(), String::new())]),
            Field::new("pageviews_count", DataType::Int64, true),
            Field::new("currency", DataType::Utf8View, true),
        ]);
        let numbers: ArrayRef =
            Arc::new(Int64Array::from(vec![Some(1_000), None, Some(1_000), Some(10)]));
        let codes = [None, Some("JPY"), None, Some("JPY")].into_iter().collect::<StringViewArray>();
        let columns = vec![
            texts(&["x", "x", "y", "z"]),
            instants(&[Some(1); 4]),
            instants(&[Some(7), Some(5), Some(5), Some(5)]),
            Arc::clone(&numbers),
            numbers,
            Arc::new(codes),
        ];
        let rows = RecordBatch::try_new(Arc::new(schema), columns).unwrap();
        let euro = "EUR".parse::<Currency>().unwrap();
        let merged = one_row_per_id(&identity(), rows, &[0; 4], euro, Keep::Persons).unwrap();
        let values = |name: &str| {
            merged.rows.column_by_name(name).unwrap().as_primitive::<Int64Type>().values().to_vec()
        };
        assert_eq!(values("subtotal_price"), [10, 1_000, 10]);
        // What is no amount is not scaled.
        assert_eq!(values("pageviews_count"), [1_000, 1_000, 10]);
    }

    #[test]
    fn every_count_of_an_account_is_added() {
        let numbered = |from: u64| Account {
            users: from,
            persons: from + 1,
            stubs_seen: from + 2,
            stubs_healed: from + 3,
            stubs_left: from + 4,
            merged: from + 5,
            alias_conflicts: from + 6,
            alias_self: from + 7,
            alias_cycles: from + 8,
            authenticated_conflicts: from + 9,
            reconciled: from + 10,
            key_conflicts: from + 11,
        };
        let mut account = numbered(100);
        account.add(&numbered(7));
        let counts: Vec<u64> = serde_json::to_value(&account)
            .unwrap()
            .as_object()
            .unwrap()
            .values()
            .map(|count| count.as_u64().unwrap())
            .collect();
        assert_eq!(counts, (0..12).map(|place| 107 + 2 * place).collect::<Vec<_>>());
    }

    #[test]
    fn the_earlier_instant_is_the_one_that_is_known_or_the_lesser() {
        assert_eq!(earliest(Some(3), Some(2)), Some(2));
        assert_eq!((earliest(Some(3), None), earliest(None, Some(4))), (Some(3), Some(4)));
        assert_eq!(earliest(None, None), None);
    }
}
