//! What a run did, in numbers, and the proof that they hold.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Decimal128Array, Float64Array, RecordBatch, StringViewArray,
    UInt64Array,
};
use serde::{Deserialize, Serialize};

use crate::bootstrap::{Bootstrap, Draws, Level};
use crate::credits::{WHOLE, share};
use crate::engine::Tally;
use crate::error::{Error, Result};
use crate::identity::Account as IdentityAccount;
use crate::input::Loaded;
use crate::items::Account;
use crate::money::Currency;
use crate::report::{Gap, GapKind, ModelEffects, OrderMeasures, Total};
use crate::schema::Table;
use crate::validate::Rule;

/// What a run did.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Summary {
    /// The version that ran.
    pub version: &'static str,
    /// The run's clock.
    pub as_of: String,
    /// Each table that was read.
    pub tables: Vec<TableRead>,
    /// Rows rejected, over all tables.
    pub rejected: u64,
    /// Rows rejected by table and rule.
    pub rejects: Vec<RejectedBy>,
    /// Rows repaired, over all tables.
    pub repaired: u64,
    /// What identity did.
    pub identity: IdentityAccount,
    /// Sessions and views.
    pub touches: TouchCounts,
    /// Orders.
    pub orders: OrderCounts,
    /// What is known of orders alone, by currency, where that is asked for.
    pub order_measures: Vec<OrderMeasures>,
    /// Where spend and sessions do not meet, by source and medium, where spend is given.
    pub spend_gaps: Vec<SpendGap>,
    /// Whether what was credited is what was owed.
    pub proof: Proof,
    /// The period that is compared with, where there is one.
    pub compared: Option<Compared>,
    /// How figures were resampled, where they were.
    pub resamples: Option<Resamples>,
    /// What came of models that learnt anew in every resample, where any did.
    pub learnt_anew: Vec<LearntAnew>,
    /// What was tried, where several values of a setting were.
    pub sweep: Option<SweepAccount>,
    /// What a reader should know before trusting the numbers.
    pub warnings: Vec<String>,
}

/// How figures were resampled.
#[derive(Debug, Clone, Serialize)]
pub struct Resamples {
    /// How many resamples there were.
    pub resamples: usize,
    /// What they were drawn by.
    pub seed: Option<u64>,
    /// The part of them that an interval holds.
    pub level: Level,
}

/// How a model learnt in resamples.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LearntAnew {
    /// The model.
    pub model: String,
    /// The resamples in which no journey ended in an order: nothing is credited to touches there.
    pub without_orders: usize,
    /// The resamples in which it cannot be worked out: intervals are of the others.
    pub not_worked_out: usize,
}

impl Resamples {
    /// The account of a bootstrap.
    pub fn new(bootstrap: &Bootstrap) -> Self {
        let seed = match bootstrap.draws {
            Draws::Poisson { seed } => Some(seed),
            Draws::Once => None,
        };
        Self { resamples: bootstrap.resamples, seed, level: bootstrap.level }
    }
}

/// What a sweep tried.
#[derive(Debug, Clone, Serialize)]
pub struct SweepAccount {
    /// Each setting with its values: `lookback=30d,90d`.
    pub settings: Vec<String>,
    /// How many results there are.
    pub results: u64,
    /// Each distinct window.
    pub windows: Vec<WindowAccount>,
}

/// What came of a window of a sweep.
#[derive(Debug, Clone, Serialize)]
pub struct WindowAccount {
    /// The settings that make it: `lookback=30d views=all`.
    pub settings: String,
    /// Orders with touches.
    pub attributed: u64,
    /// Orders without.
    pub unattributed: u64,
    /// Touches in journeys.
    pub in_journeys: u64,
}

/// A table that was read.
#[derive(Debug, Clone, Serialize)]
pub struct TableRead {
    /// The table.
    pub table: &'static str,
    /// How many files it has.
    pub files: u64,
    /// Their size; not of the answer, which is the same from files of another size.
    #[serde(skip)]
    pub bytes: u64,
    /// Their rows.
    pub read: u64,
    /// Rows that were accepted.
    pub accepted: u64,
    /// Rows that were rejected.
    pub rejected: u64,
}

/// How many rows of a table a rule rejected.
#[derive(Debug, Clone, Serialize)]
pub struct RejectedBy {
    /// The table.
    pub table: &'static str,
    /// The rule.
    pub rule: &'static str,
    /// The rows.
    pub rows: u64,
}

/// Sessions and views, after merging.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TouchCounts {
    /// Distinct sessions.
    pub sessions: u64,
    /// Distinct views.
    pub postviews: u64,
    /// Rows that were versions of another one.
    pub versions: u64,
    /// Ids that occurred under two persons.
    pub person_conflicts: u64,
    /// Touches in journeys: once for each order that they serve.
    pub in_journeys: u64,
}

/// Orders, after merging.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderCounts {
    /// Rows read.
    pub read: u64,
    /// Rows that were versions of another one.
    pub versions: u64,
    /// Ids that occurred under two persons.
    pub person_conflicts: u64,
    /// Orders that count and are reported: attributed and unattributed.
    pub counted: u64,
    /// Orders with touches.
    pub attributed: u64,
    /// Orders without.
    pub unattributed: u64,
    /// Cancelled orders that do not count.
    pub cancelled: u64,
    /// Orders that a filter leaves out.
    pub filtered: u64,
    /// Orders outside the period.
    pub outside_period: u64,
    /// Orders that are rejected for want of an exchange rate.
    pub without_rate: u64,
}

impl TouchCounts {
    /// Adds what is counted of other persons.
    pub fn add(&mut self, other: &Self) {
        let Self { sessions, postviews, versions, person_conflicts, in_journeys } = other;
        self.sessions += sessions;
        self.postviews += postviews;
        self.versions += versions;
        self.person_conflicts += person_conflicts;
        self.in_journeys += in_journeys;
    }
}

impl OrderCounts {
    /// Adds what is counted of other persons.
    pub fn add(&mut self, other: &Self) {
        let Self {
            read,
            versions,
            person_conflicts,
            counted,
            attributed,
            unattributed,
            cancelled,
            filtered,
            outside_period,
            without_rate,
        } = other;
        self.read += read;
        self.versions += versions;
        self.person_conflicts += person_conflicts;
        self.counted += counted;
        self.attributed += attributed;
        self.unattributed += unattributed;
        self.cancelled += cancelled;
        self.filtered += filtered;
        self.outside_period += outside_period;
        self.without_rate += without_rate;
    }
}

/// A source and medium with spend and no session in the period, or the other way round.
#[derive(Debug, Clone, Serialize)]
pub struct SpendGap {
    /// What is lacking.
    pub gap: GapKind,
    /// The source.
    pub utm_source: String,
    /// The medium.
    pub utm_medium: String,
    /// The currency of the cost.
    pub currency: Option<String>,
    /// What was paid.
    pub cost: Option<String>,
    /// The sessions.
    pub sessions: u64,
}

impl SpendGap {
    /// A gap in words.
    pub fn new(gap: &Gap) -> Self {
        Self {
            gap: gap.kind,
            utm_source: gap.source.clone(),
            utm_medium: gap.medium.clone(),
            currency: gap.spent.map(|(_, currency)| currency.to_string()),
            cost: gap.spent.map(|(cost, currency)| currency.format(i128::from(cost))),
            sessions: gap.sessions,
        }
    }
}

/// The period that a run is compared with, and the proof of its sums.
#[derive(Debug, Clone, Serialize)]
pub struct Compared {
    /// The first day that is reported.
    pub from: String,
    /// The last day that is reported.
    pub to: String,
    /// The first day that is compared with.
    pub from_then: String,
    /// The last day that is compared with.
    pub to_then: String,
    /// Orders of those days that count.
    pub orders_then: u64,
    /// Whether what was credited then is what was owed.
    pub proof_then: Proof,
}

/// The proof sheet: what was credited against what was owed, to the unit.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Proof {
    /// One line a model and currency.
    pub models: Vec<ProofLine>,
    /// Orders and models whose shares did not sum to one, or whose amounts not to the order's.
    pub broken_orders: u64,
    /// What the chain of each model that has one converts with, against the observed rate.
    pub chains: Vec<ChainProof>,
    /// Whether everything holds.
    pub holds: bool,
}

/// The chain of one model: it converts with the observed rate, or the run has failed.
#[derive(Debug, Clone, Serialize)]
pub struct ChainProof {
    /// The model.
    pub model: String,
    /// How many touches the chain remembers; none of a model without one.
    pub order: Option<u64>,
    /// The journeys that it was fitted to.
    pub journeys: u64,
    /// Those of them with an order.
    pub converted: u64,
    /// The probability of conversion, solved.
    pub probability: f64,
}

impl ChainProof {
    /// What a fitted chain converts with.
    pub fn new(model: &ModelEffects) -> Self {
        let ModelEffects { model, effects, .. } = model;
        Self {
            model: model.clone(),
            order: effects.order.map(|order| order as u64),
            journeys: effects.journeys,
            converted: effects.converted,
            probability: effects.probability,
        }
    }
}

/// What one model credited in one currency.
#[derive(Debug, Clone, Serialize)]
pub struct ProofLine {
    /// The model.
    pub model: String,
    /// The currency.
    pub currency: String,
    /// Orders that count.
    pub orders: u64,
    /// Conversions credited.
    pub conversions: f64,
    /// What the orders are worth.
    pub owed: String,
    /// What was credited.
    pub credited: String,
    /// Whether credit is to equal what is owed: not where touches outside the period are left out.
    pub compared: bool,
    /// Whether both agree to the last unit, where they are compared.
    pub holds: bool,
}

impl Proof {
    /// The proof sheet as a table: a row a model and currency.
    ///
    /// # Errors
    ///
    /// Amounts that are no numbers.
    pub fn table(&self) -> Result<RecordBatch> {
        let texts = |of: fn(&ProofLine) -> &str| -> ArrayRef {
            Arc::new(self.models.iter().map(|line| Some(of(line))).collect::<StringViewArray>())
        };
        let flags = |of: fn(&ProofLine) -> bool| -> ArrayRef {
            Arc::new(self.models.iter().map(|line| Some(of(line))).collect::<BooleanArray>())
        };
        let conversions = self.models.iter().map(|line| line.conversions);
        let columns: [(&str, ArrayRef); 8] = [
            ("model", texts(|line| &line.model)),
            ("currency", texts(|line| &line.currency)),
            (
                "orders",
                Arc::new(self.models.iter().map(|line| line.orders).collect::<UInt64Array>()),
            ),
            ("conversions", Arc::new(Float64Array::from_iter_values(conversions))),
            ("owed", amounts(&self.models, |line| &line.owed)?),
            ("credited", amounts(&self.models, |line| &line.credited)?),
            ("compared", flags(|line| line.compared)),
            ("holds", flags(|line| line.holds)),
        ];
        Ok(RecordBatch::try_from_iter(columns)?)
    }
}

/// Amounts of lines as decimals of one scale.
fn amounts(lines: &[ProofLine], of: fn(&ProofLine) -> &str) -> Result<ArrayRef> {
    let decimals = |text: &str| text.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    let scale = lines.iter().map(|line| decimals(of(line))).max().unwrap_or_default();
    let minor = lines.iter().map(|line| {
        let text = of(line);
        let digits = format!("{}{}", text.replace('.', ""), "0".repeat(scale - decimals(text)));
        digits.parse().map(Some).map_err(|_| Error::Overflow { what: format!("`{text}`") })
    });
    let minor: Decimal128Array = minor.collect::<Result<Vec<Option<i128>>>>()?.into();
    let scale = i8::try_from(scale).unwrap_or(i8::MAX);
    Ok(Arc::new(minor.with_precision_and_scale(38, scale)?))
}

impl Summary {
    /// A summary of a run that has read nothing yet.
    pub fn new(as_of: i64) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            as_of: crate::calendar::format_instant(as_of),
            ..Self::default()
        }
    }

    /// Takes note of JSON items that were read: their lines.
    pub fn read_items(&mut self, account: &Account) {
        let rejected = account.rejects.len() as u64;
        self.tables.push(TableRead {
            table: Table::Items.name(),
            files: account.files,
            bytes: 0,
            read: account.read,
            accepted: account.accepted,
            rejected,
        });
        self.repaired += account.repaired;
    }

    /// Takes note of a table that was read.
    pub fn read(&mut self, table: Table, loaded: &Loaded, accepted: usize) {
        self.tables.push(TableRead {
            table: table.name(),
            files: loaded.files.len() as u64,
            bytes: loaded.files.iter().map(|file| file.bytes).sum(),
            read: loaded.read,
            accepted: accepted as u64,
            rejected: loaded.rejects.len() as u64,
        });
        self.repaired += loaded.repaired;
    }

    /// Takes note of what was rejected, by table and rule.
    pub fn reject(&mut self, counts: &[(Table, Rule, u64)]) {
        self.rejected = counts.iter().map(|(_, _, rows)| rows).sum();
        let by = |(table, rule, rows): &(Table, Rule, u64)| RejectedBy {
            table: table.name(),
            rule: rule.name(),
            rows: *rows,
        };
        self.rejects = counts.iter().map(by).collect();
    }

    /// Takes note of what a reader should know, once.
    pub fn warn(&mut self, warning: &str) {
        if !self.warnings.iter().any(|known| known == warning) {
            self.warnings.push(warning.to_owned());
        }
    }

    /// Rows read, over all tables.
    pub fn rows_read(&self) -> u64 {
        self.tables.iter().map(|table| table.read).sum()
    }
}

/// Compares what was credited with what was owed.
///
/// `complete` is false where credit outside the period is left out on purpose (dated by touch
/// within a period): then only the orders themselves are proved.
///
/// # Errors
///
/// An invariant that does not hold: the run has failed.
pub fn prove(
    tally: &Tally,
    totals: &[Total],
    models: &[String],
    currencies: &[Currency],
    complete: bool,
) -> Result<Proof> {
    let mut proof =
        Proof { broken_orders: tally.broken, holds: tally.broken == 0, ..Proof::default() };
    for (model, name) in models.iter().enumerate() {
        for (at, currency) in currencies.iter().enumerate() {
            let total =
                totals.iter().find(|total| total.model == model && total.currency == *currency);
            let (conversions, credited) =
                total.map_or((0, 0), |total| (total.conversions, total.amount));
            let (orders, owed) = (tally.conversions[at], tally.owed[at]);
            let whole = i128::from(orders) * i128::from(WHOLE);
            let holds = !complete || (conversions == whole && credited == owed);
            proof.holds &= holds;
            proof.models.push(ProofLine {
                model: name.clone(),
                currency: currency.to_string(),
                orders,
                conversions: share(conversions),
                owed: currency.format(owed),
                credited: currency.format(credited),
                compared: complete,
                holds,
            });
        }
    }
    if proof.holds {
        return Ok(proof);
    }
    let wrong = proof.models.iter().find(|line| !line.holds);
    Err(Error::Broken(match wrong {
        Some(line) => format!(
            "`{}` credits {} {} of {} owed, and {} conversions of {} orders",
            line.model, line.credited, line.currency, line.owed, line.conversions, line.orders
        ),
        None => format!("the credit of {} orders does not add up", proof.broken_orders),
    }))
}
