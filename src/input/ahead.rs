//! Row groups of objects, fetched before their turn: the next ones are on their way while one is
//! decoded.
//!
//! Not for files of this machine: their system reads ahead by itself.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use crate::error::Result;
use crate::objects::{Fetched, Fetching, Object};

/// Row groups that are on their way at most, beside the one that is waited for.
const GROUPS: usize = 4;

/// Bytes of them, where they are more than one.
const BYTES: u64 = 16 << 20;

/// Where the wanted columns of a row group lie.
pub(super) type Parts<'a> = (&'a Object, Vec<Range<u64>>);

/// The row groups of a table while they are read.
pub(super) struct Ahead<'a> {
    groups: Vec<Mutex<Group>>,
    /// What is wanted of a group; `None` where it is a file's of this machine.
    parts: &'a (dyn Fn(usize) -> Option<Parts<'a>> + Sync),
}

enum Group {
    Waiting,
    Coming(Fetching),
    Taken,
}

impl<'a> Ahead<'a> {
    /// So many groups, of which none was asked for.
    pub(super) fn new(
        groups: usize,
        parts: &'a (dyn Fn(usize) -> Option<Parts<'a>> + Sync),
    ) -> Self {
        Self { groups: (0..groups).map(|_| Mutex::new(Group::Waiting)).collect(), parts }
    }

    /// Waits for a group, with the next ones on their way; `None` where it is a file's of this
    /// machine.
    pub(super) fn take(&self, group: usize) -> Result<Option<Fetched>> {
        let Some(parts) = (self.parts)(group) else { return Ok(None) };
        self.begin(group, parts)?;
        let mut bytes = 0;
        for next in (group + 1)..self.groups.len().min(group + 1 + GROUPS) {
            let Some(parts) = (self.parts)(next) else { break };
            bytes += parts.1.iter().map(|part| part.end - part.start).sum::<u64>();
            if next > group + 1 && bytes > BYTES {
                break;
            }
            self.begin(next, parts)?;
        }
        let mut slot = self.groups[group].lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *slot, Group::Taken) {
            Group::Coming(coming) => coming.wait().map(Some),
            Group::Waiting | Group::Taken => Ok(None),
        }
    }

    /// Asks for a group, unless it was.
    fn begin(&self, group: usize, (object, parts): Parts<'_>) -> Result<()> {
        let mut slot = self.groups[group].lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*slot, Group::Waiting) {
            *slot = Group::Coming(object.begin_to_fetch(parts)?);
        }
        Ok(())
    }
}
