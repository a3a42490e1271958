//! What of a run is kept: its tables, from what the stages before left, and its account.

use arrow::array::RecordBatch;

use super::stored::Stored;
use super::{DEFAULT_AMOUNT, MergedTables, Ordered, People, Progress, Tables, all_persons};
use crate::channels;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::identity::audit_table;
use crate::kept::{
    self, Account, Dated, Frame, KeptOrders, KeptSessions, Writing, in_minor_units, narrowed,
};
use crate::output::StagedFolder;
use crate::report::{EffectsReport, Report};
use crate::schema::Table;
use crate::summary::Summary;
use crate::validate::{Reject, rejects_table};

/// What a run ends with.
pub(super) struct Ended<'a> {
    pub(super) persons: OfPersons<'a>,
    pub(super) whole: OfAll<'a>,
    pub(super) summary: &'a Summary,
}

/// What tables of persons and of what they did are made of.
#[derive(Clone, Copy)]
pub(super) struct OfPersons<'a> {
    pub(super) config: &'a Config,
    pub(super) tables: &'a Tables,
    pub(super) people: &'a People,
    pub(super) merged: &'a MergedTables,
    pub(super) ordered: &'a Ordered,
}

/// What tables of a run as a whole are made of.
#[derive(Clone, Copy)]
pub(super) struct OfAll<'a> {
    pub(super) config: &'a Config,
    pub(super) tables: &'a Tables,
    /// The reported period, and the rates of its orders.
    pub(super) dated: super::Dated<'a>,
    pub(super) rejects: &'a [Reject],
    pub(super) report: &'a Report,
    pub(super) effects: &'a EffectsReport,
}

/// A folder with a run in it that can take its place, and the run's name where it is put in a store.
pub(super) struct Filled {
    pub(super) folder: StagedFolder,
    pub(super) run: Option<String>,
}

impl Ended<'_> {
    /// Writes the tables that were not written while orders were attributed, and the account: the
    /// folder can take its place then.
    pub(super) fn keep(
        &self,
        mut writing: Writing,
        stored: Option<(&Stored, &dyn Progress)>,
    ) -> Result<Filled> {
        // What follows does so in parallel, and must find it done.
        let of_users = [Frame::Persons, Frame::Identity, Frame::Orders, Frame::Sessions];
        if of_users.into_iter().any(|frame| writing.keeps(frame)) {
            self.persons.people.identity.in_byte_order();
        }
        let Self { persons, whole, summary } = self;
        writing.write_each(|frame| match persons.frame(frame)? {
            Some(rows) => Ok(Some(rows)),
            None => whole.frame(frame),
        })?;
        whole.end(writing, summary, stored)
    }
}

impl OfPersons<'_> {
    /// A table, if it is one of persons or of what they did; credits and journeys are written as they come.
    pub(super) fn frame(self, frame: Frame) -> Result<Option<RecordBatch>> {
        let Self { tables, people, ordered, .. } = self;
        Ok(match frame {
            Frame::Sessions => Some(self.sessions()?),
            Frame::Orders => Some(self.orders()?),
            Frame::Persons => {
                let persons = all_persons(tables, people, ordered)?;
                // What is an average in major units is a division of what stays.
                let mut persons = in_minor_units(&persons, &["lifetime_value"], "orders_currency")?;
                for name in ["average_cart", "repeat_cart"] {
                    if let Ok(at) = persons.schema().index_of(name) {
                        persons.remove_column(at);
                    }
                }
                Some(narrowed(&persons)?)
            }
            Frame::Identity => Some(audit_table(&people.identity)?),
            _ => None,
        })
    }

    fn dated(&self) -> Dated {
        Dated { zone: self.config.zone, period: self.ordered.period }
    }

    fn sessions(&self) -> Result<RecordBatch> {
        let Self { config, people, merged, ordered, .. } = self;
        if merged.rows.is_some() {
            return Err(Error::Broken("touches that are kept were not read whole".to_owned()));
        }
        // Behind them are touches that discount codes put in the place of others.
        let own = merged.touch_persons.len();
        let of_person = |person: u32| ordered.touches.of(person);
        let order = people.identity.in_byte_order().iter().copied().flat_map(of_person);
        let order: Vec<u32> = order.map(|touch| ordered.touches.row[touch]).collect();
        let person = |row: u32| people.identity.users.name(merged.touch_persons[row as usize]);
        let kept = KeptSessions {
            rows: &merged.touches.slice(0, own),
            sessions: merged.sessions,
            order,
            person: &person,
            bounce: config.bounce,
        };
        kept::sessions(&kept, self.dated())
    }

    fn orders(&self) -> Result<RecordBatch> {
        let Self { config, people, merged, ordered, .. } = self;
        let of_person = |person: u32| ordered.orders.of(person);
        let order = people.identity.in_byte_order().iter().copied().flat_map(of_person);
        let person = |row: u32| people.identity.users.name(merged.orders.person[row as usize]);
        let kept = KeptOrders {
            rows: &merged.orders.rows,
            orders: &ordered.orders,
            amounts: &ordered.amounts,
            order: order.filter_map(|order| u32::try_from(order).ok()).collect(),
            person: &person,
            amount: config.amount.as_deref().unwrap_or(DEFAULT_AMOUNT),
            currency: config.currency,
        };
        kept::orders(&kept, config.zone)
    }
}

impl OfAll<'_> {
    /// Ends every table of a run that is kept, and writes its account: the folder can take its place then.
    pub(super) fn end(
        self,
        mut writing: Writing,
        summary: &Summary,
        stored: Option<(&Stored, &dyn Progress)>,
    ) -> Result<Filled> {
        let (config, frames) = (self.config, writing.end_tables()?);
        let account = match stored {
            Some((stored, progress)) => {
                stored.end(config, summary, (frames, progress.timings()), &writing)?
            }
            None => Account::new(config, summary, frames, kept::inputs(config)?)?,
        };
        Ok(Filled { folder: writing.finish(&account)?, run: account.run })
    }

    /// A table, if it is of the run as a whole and the run has it.
    pub(super) fn frame(self, frame: Frame) -> Result<Option<RecordBatch>> {
        let Self { config, tables, dated: (period, rates), .. } = self;
        Ok(match frame {
            Frame::Spend => match tables.get(&Table::Spend) {
                Some(loaded) => {
                    let rows = channels::with_channels(&loaded.rows, &config.channels)?;
                    let dated = Dated { zone: config.zone, period };
                    Some(kept::spend(&rows, config.currency, rates, dated)?)
                }
                None => None,
            },
            Frame::Effects if self.effects.models.is_empty() => None,
            Frame::Effects => {
                let amounts = ["effect_amount", "credit_amount", "amount_difference"];
                let bounds = ["", "_low", "_high"];
                let named =
                    amounts.iter().flat_map(|name| bounds.map(|end| format!("{name}{end}")));
                let named: Vec<String> = named.collect();
                let named: Vec<&str> = named.iter().map(String::as_str).collect();
                let effects = in_minor_units(&self.effects.table()?, &named, "currency")?;
                Some(narrowed(&effects)?)
            }
            Frame::Rejects => Some(narrowed(&rejects_table(self.rejects)?)?),
            Frame::Report => Some(self.report.long()?),
            _ => None,
        })
    }
}
