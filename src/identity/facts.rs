//! What is known of users, in columns that take no room until a table tells something.
//!
//! Most exports say nothing of a user but its id. Not for what follows from it: who is whom is
//! worked out by `aliases` and `keys`.

use crate::identity::earliest;

/// What is known of one user id before users are merged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UserFacts {
    /// Some row says that the user is authenticated.
    pub authenticated: bool,
    /// The earliest creation that any row names.
    pub created_at: Option<i64>,
    /// The earliest sign-up that any row names.
    pub signed_up_at: Option<i64>,
    /// The users table has a row for it.
    pub profile: bool,
    /// A session, postview, order or alias refers to it.
    pub referred: bool,
}

/// What is known of every user.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    users: usize,
    authenticated: Vec<bool>,
    created_at: Vec<Option<i64>>,
    signed_up_at: Vec<Option<i64>>,
    profile: Vec<bool>,
    /// Who is referred to; everybody where that is not noted.
    referred: Option<Vec<bool>>,
}

impl Facts {
    /// Nothing is known of so many users.
    ///
    /// With `profiles`, users may be known by their profile alone, so that it is worth noting who is
    /// referred to; without, everybody is.
    pub fn none(users: usize, profiles: bool) -> Self {
        Self { users, referred: profiles.then(|| vec![false; users]), ..Self::default() }
    }

    /// How many users there are.
    pub fn users(&self) -> usize {
        self.users
    }

    /// What is known of one user.
    pub fn of(&self, user: u32) -> UserFacts {
        let user = user as usize;
        let told = |times: &[Option<i64>]| times.get(user).copied().flatten();
        let flag = |flags: &[bool]| flags.get(user).copied().unwrap_or_default();
        UserFacts {
            authenticated: flag(&self.authenticated),
            created_at: told(&self.created_at),
            signed_up_at: told(&self.signed_up_at),
            profile: flag(&self.profile),
            referred: self.referred.as_ref().is_none_or(|referred| referred[user]),
        }
    }

    /// The users that are authenticated.
    pub fn authenticated(&self) -> impl Iterator<Item = u32> {
        let users = (0_u32..).zip(&self.authenticated);
        users.filter(|(_, authenticated)| **authenticated).map(|(user, _)| user)
    }

    /// Learns that a user is authenticated.
    pub fn authenticate(&mut self, user: u32) {
        set(&mut self.authenticated, self.users, user, true);
    }

    /// Learns that a user was created or signed up no later than some instants.
    pub(super) fn date(&mut self, user: u32, created_at: Option<i64>, signed_up_at: Option<i64>) {
        for (times, told) in
            [(&mut self.created_at, created_at), (&mut self.signed_up_at, signed_up_at)]
        {
            if told.is_some() {
                let known = times.get(user as usize).copied().flatten();
                set(times, self.users, user, earliest(known, told));
            }
        }
    }

    /// Learns of a person what is known of one of its users.
    pub(super) fn add(&mut self, person: u32, user: UserFacts) {
        self.date(person, user.created_at, user.signed_up_at);
        if user.authenticated {
            self.authenticate(person);
        }
        if user.profile {
            self.profile(person);
        }
    }

    /// Learns that the users table has a row for a user.
    pub(super) fn profile(&mut self, user: u32) {
        set(&mut self.profile, self.users, user, true);
    }

    /// Learns that a row refers to a user.
    pub fn refer(&mut self, user: u32) {
        if let Some(referred) = &mut self.referred {
            referred[user as usize] = true;
        }
    }
}

/// Sets the value of a user in a column, which is made when it is first told something.
fn set<T: Clone + Default>(column: &mut Vec<T>, users: usize, user: u32, value: T) {
    if column.is_empty() {
        column.resize(users, T::default());
    }
    column[user as usize] = value;
}
