//! One order explained: the stages of a run up to where credit is divided, once, and then what those
//! stages decided for one order, put into facts.
//!
//! Nothing is decided here. Windows, weights, shares and amounts are told by what decides them
//! (`engine::tell`), and a sum that is not the order's is an error. Not for how an explanation reads:
//! that is the crate's `explain`.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch, StringViewArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Int64Type;

use super::{
    Inputs, MergedTables, Named, Ordered, People, Progress, Tables, check, keep_touches, label,
    learn, merge_every, order, order_settings, order_touches, read_whole, reattribute, require,
    resolve, touches_asked_for, want, work,
};
use crate::calendar::{format_duration, format_instant, parse_instant};
use crate::config::{Config, DateBy};
use crate::credits::{WHOLE, share};
use crate::engine::{self, Division, Learnt, Told};
use crate::error::{Error, Result, nearest_ids};
use crate::explain::{
    AmountFacts, Beginning, ChannelFacts, CreditFacts, Explanation, ModelFacts, OrderFacts, Reason,
    RejectFacts, Step, TouchFacts, UserFacts, WindowFacts,
};
use crate::identity::{Keep, Outcome};
use crate::journeys::{
    Begin, DirectPolicy, Fate, Labels, NOT_SET, Role, ViewPolicy, previous_orders,
};
use crate::merge::{external_ids, merge_rows};
use crate::models::figure;
use crate::money::{Currency, convert};
use crate::schema::Table;
use crate::summary::Summary;
use crate::touchpoints::instants;
use crate::validate::{Reject, count_by_rule};

/// The tables whose rows are versions of touches and orders.
const VERSIONED: [Table; 3] = [Table::Sessions, Table::Postviews, Table::Orders];

/// Ids that are named where none is the one that was asked for.
const NEAREST: usize = 3;

/// Steps from a user id to its person that are told.
const STEPS: usize = 32;

/// A run of which any order can be explained.
///
/// Reads the inputs of the run whole, once. Too many rejected rows, which would end a run, do not end
/// an explanation, since they may be what is to be found.
pub struct Explainer {
    config: Config,
    tables: Tables,
    /// The accepted rows of touches and orders, before versions are merged.
    accepted: BTreeMap<Table, RecordBatch>,
    people: People,
    merged: MergedTables,
    /// Every order is reported here, so that each can be told.
    ordered: Ordered,
    /// Which orders the run's period has.
    in_period: Vec<bool>,
    /// Which orders the run's filters ask for.
    wanted: Vec<bool>,
    named: Named,
    learnt: Learnt,
    /// Touches that a filter leaves out.
    left_out: Option<LeftOut>,
    /// What was read.
    summary: Summary,
}

/// Touches that a filter leaves out.
struct LeftOut {
    rows: RecordBatch,
    person: Vec<u32>,
    /// The first row that is a view.
    views_from: usize,
    holds: Vec<bool>,
}

impl Explainer {
    /// Does the stages of a run up to where credit is divided.
    ///
    /// # Errors
    ///
    /// Whatever makes a run impossible.
    pub fn new(mut config: Config, progress: &dyn Progress) -> Result<Self> {
        config.ask_one_thing();
        config.outputs.explanation = true;
        let config = config;
        require(&config, &[Table::Sessions, Table::Orders])?;
        let mut summary = Summary::new(config.as_of);
        let inputs = Inputs::gather(&config, progress)?;
        check(&config, &inputs)?;
        let mut tables = read_whole(&config, &inputs, progress, &mut summary)?;
        progress.stage("resolving identity");
        let people = resolve(&config, &tables, &mut summary);
        let rows = |table: Table| tables.get(&table).map(|loaded| (table, loaded.rows.clone()));
        let accepted = VERSIONED.into_iter().filter_map(rows).collect();
        progress.stage("merging versions");
        let mut merged = merge_every(&config, &mut tables, &people, Keep::Users, &mut summary)?;
        let mut left_out = None;
        if let Some(holds) = touches_asked_for(&config, &merged)? {
            let (rows, person) = (merged.touches.clone(), merged.touch_persons.clone());
            left_out =
                Some(LeftOut { rows, person, views_from: merged.sessions, holds: holds.clone() });
            merged = keep_touches(merged, &holds)?;
        }
        progress.stage("ordering touches");
        let touches = order_touches(&config, &inputs, &tables, &people, &merged, None)?;
        let mut ordered =
            order(&config, &inputs, &tables, &merged, &people, touches, &mut summary)?;
        summary.reject(&count_by_rule(&ordered.rejects));
        want(&config, &tables, &people, &merged, &mut ordered)?;
        reattribute(&config, &mut merged, &mut ordered)?;
        let named = label(&config, &config.by, &tables, &merged, &ordered)?;
        progress.stage("learning");
        let learnt = learn(&work(&config, &ordered, &named), (&ordered, &named), &people)?;
        // From here on nothing is reported, so that what a report leaves out can be told too.
        let count = ordered.orders.row.len();
        let in_period = std::mem::replace(&mut ordered.orders.reported, vec![true; count]);
        let wanted = std::mem::replace(&mut ordered.orders.wanted, vec![true; count]);
        Ok(Self {
            config,
            tables,
            accepted,
            people,
            merged,
            ordered,
            in_period,
            wanted,
            named,
            learnt,
            left_out,
            summary,
        })
    }

    /// What was read, and what a reader should know.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// The ids of all orders, person by person.
    pub fn orders(&self) -> impl Iterator<Item = &str> {
        let ids = external_ids(&self.merged.orders.rows);
        self.ordered.orders.row.iter().map(|row| ids.value(*row as usize))
    }

    /// Explains an order.
    ///
    /// # Errors
    ///
    /// An id that no order has: it says where else the id was found, or which are near it.
    pub fn explain(&self, order: &str) -> Result<Explanation> {
        let Some(position) = self.orders().position(|id| id == order) else {
            return Err(self.no_order(order));
        };
        let orders = &self.ordered.orders;
        let row = orders.row[position] as usize;
        let person = self.merged.orders.person[row];
        let place = position - orders.of(person).start;
        let told = self.tell(person, place)?;
        let amount = self.amount(position)?;
        let mut touches = match &told {
            Some(told) => self.touches(person, place, told)?,
            None => self.uncounted_touches(person, position),
        };
        touches.extend(self.touches_left_out(person));
        touches.extend(self.touches_of_others(person, &touches)?);
        // Touches of one instant stand as in a journey, which is by kind and id, whatever rows they
        // come from; a touch that a code stands for has the session's id, and comes after it.
        touches.sort_by_cached_key(|touch| {
            let is_session = touch.touch_kind == "session";
            (parse_instant(&touch.touch_at), is_session, touch.touch_external_id.clone())
        });
        let models = told.as_ref().map(|told| self.models(position, told)).transpose()?;
        Ok(Explanation {
            order: self.order_facts(person, place, told.as_ref()),
            amount,
            users: self.users(person),
            window: told.as_ref().map(|told| self.window(person, place, told)),
            rejects: self.rejects(person, order, &touches),
            touches,
            models: models.unwrap_or_default(),
        })
    }

    /// How the order is attributed that is at this place among its person's; none where it does not
    /// count.
    fn tell(&self, person: u32, place: usize) -> Result<Option<Told>> {
        let work = work(&self.config, &self.ordered, &self.named);
        // What a period leaves out of credit that is dated by touch is part of the order all the same.
        let work = engine::Work { fitted: &self.learnt.fitted, date_by: DateBy::Order, ..work };
        engine::tell(&work, person, place)
    }

    fn name(&self, user: u32) -> String {
        self.people.identity.users.name(user).to_owned()
    }

    fn order_id(&self, order: usize) -> String {
        let row = self.ordered.orders.row[order] as usize;
        external_ids(&self.merged.orders.rows).value(row).to_owned()
    }

    /// Those of a person's orders that are like one, counted and of its conversion type, at an instant.
    fn orders_at(&self, person: u32, like: usize, at: i64) -> Vec<usize> {
        let orders = &self.ordered.orders;
        let of_kind = |order: &usize| {
            orders.counted[*order]
                && orders.kind[*order] == orders.kind[like]
                && orders.at[*order] == at
        };
        orders.of(person).filter(of_kind).collect()
    }

    fn order_facts(&self, person: u32, place: usize, told: Option<&Told>) -> OrderFacts {
        let orders = &self.ordered.orders;
        let position = orders.of(person).start + place;
        let row = orders.row[position] as usize;
        let id = self.order_id(position);
        let mut because = Vec::new();
        if orders.counted[position] {
            if !self.in_period[position] {
                because.push("it is outside of the period of `--from` and `--to`".to_owned());
            }
            if !self.wanted[position] {
                because.push("`--where-orders` or `--where-persons` leaves it out".to_owned());
            }
        } else {
            because.push(self.why_not_counted(row));
        }
        let at = orders.at[position];
        let others = self.orders_at(person, position, at).into_iter();
        let others = others.filter(|order| *order != position && orders.counted[position]);
        let (rows, persons) = self.versions(&id, person);
        OrderFacts {
            order_at: format_instant(at),
            conversion_type: self.ordered.amounts.kinds[orders.kind[position] as usize].clone(),
            user_external_id: text_of(&self.merged.orders.rows, "user_external_id", row)
                .unwrap_or_default(),
            person: self.name(person),
            rows,
            rows_of_others: persons,
            counts: orders.counted[position],
            is_reported: because.is_empty(),
            because,
            is_first_conversion: told.map(|told| told.first),
            same_instant: others.map(|order| self.order_id(order)).collect(),
            order_external_id: id,
        }
    }

    /// How many rows an order is merged from, and whose rows of its id were left out.
    fn versions(&self, id: &str, person: u32) -> (u64, Vec<String>) {
        let Some(rows) = self.accepted.get(&Table::Orders) else { return (1, Vec::new()) };
        let users = &self.people.users[&Table::Orders];
        let (mut own, mut others) = (0, BTreeSet::new());
        for (other, user) in external_ids(rows).iter().zip(users) {
            let of_user = self.people.identity.person[*user as usize];
            if other == Some(id) && of_user == person {
                own += 1;
            } else if other == Some(id) {
                others.insert(self.name(of_user));
            }
        }
        (own, others.into_iter().collect())
    }

    fn why_not_counted(&self, row: usize) -> String {
        let without = self.ordered.amounts.without_rate.iter();
        let mut without = without.filter(|(other, _)| *other as usize == row).map(|(_, why)| why);
        if let Some(why) = without.next() {
            return format!("it is rejected: {why}");
        }
        match instants_of(&self.merged.orders.rows, "cancelled_at", row) {
            Some(at) => format!("it was cancelled at {}", format_instant(at)),
            None => "it was cancelled".to_owned(),
        }
    }

    fn amount(&self, position: usize) -> Result<AmountFacts> {
        let orders = &self.ordered.orders;
        let row = orders.row[position] as usize;
        let settings = order_settings(&self.config, self.ordered.rates.as_ref());
        let rows = &self.merged.orders.rows;
        let minor = |column: &str| {
            let column = rows.column_by_name(column)?.as_primitive::<Int64Type>();
            column.is_valid(row).then(|| column.value(row))
        };
        let own = text_of(rows, "currency", row).and_then(|code| code.parse().ok());
        let own: Currency = own.unwrap_or(self.config.currency);
        let (price, refund) = (minor(settings.amount), minor("refunded_price"));
        let amount = orders.amount[position];
        let rate = settings.rate(own, orders.at[position]);
        let currency = match rate {
            Some(_) => self.config.currency,
            None => own,
        };
        let net = price.unwrap_or(0).checked_sub(refund.unwrap_or(0));
        let told = net.and_then(|net| match rate {
            Some((_, rate)) => convert(net, own, currency, rate),
            None => Some(net),
        });
        if told != Some(amount) {
            let id = self.order_id(position);
            return Err(Error::Broken(format!("the amount of order `{id}` cannot be explained")));
        }
        let text = |minor: i64| own.format(i128::from(minor));
        Ok(AmountFacts {
            column: settings.amount.to_owned(),
            price: price.map(text),
            refunded_price: refund.map(text),
            price_currency: own.to_string(),
            rate: rate.map(|(_, rate)| rate.normalize().to_string()),
            rate_date: rate.map(|(day, _)| day.to_string()),
            amount: currency.format(i128::from(amount)),
            currency: currency.to_string(),
        })
    }

    /// The user ids of a person in the byte order of the ids, and how each came to it.
    fn users(&self, person: u32) -> Vec<UserFacts> {
        let identity = &self.people.identity;
        let members = (0_u32..).zip(&identity.person).filter(|(_, other)| **other == person);
        let mut users: Vec<UserFacts> = members
            .map(|(user, _)| UserFacts {
                user_external_id: self.name(user),
                steps: self.steps(user),
            })
            .collect();
        users.sort_unstable_by(|left, right| left.user_external_id.cmp(&right.user_external_id));
        users
    }

    fn steps(&self, user: u32) -> Vec<Step> {
        let identity = &self.people.identity;
        let mut steps = Vec::new();
        let mut at = user;
        while identity.next[at as usize] != at && steps.len() < STEPS {
            let next = identity.next[at as usize];
            let by_key = identity.outcomes[at as usize] == Outcome::Reconciled;
            let mut joined = identity.keys.joined.iter().filter(|_| by_key);
            let key = joined.rfind(|key| key.from == at);
            steps.push(Step {
                to: self.name(next),
                by: key.map_or("alias", |key| key.key.column()).to_owned(),
                created_at: match key {
                    Some(_) => None,
                    None => self.alias_time(at, next).map(format_instant),
                },
            });
            at = next;
        }
        steps
    }

    /// When the alias was learnt that leads from one user to another.
    fn alias_time(&self, from: u32, to: u32) -> Option<i64> {
        let rows = &self.tables.get(&Table::UserAliases)?.rows;
        let (from, to) = (self.name(from), self.name(to));
        let texts = |column: &str| rows.column_by_name(column).map(|texts| texts.as_string_view());
        let (from_ids, to_ids) = (texts("from_user_external_id")?, texts("to_user_external_id")?);
        let pair = |row: &usize| from_ids.value(*row) == from && to_ids.value(*row) == to;
        let times = (0..rows.num_rows()).filter(pair);
        times.filter_map(|row| instants_of(rows, "created_at", row)).min()
    }

    /// When the previous order of the one at this place was, whatever it ends.
    fn previous(&self, person: u32, place: usize) -> Option<i64> {
        let mut previous = Vec::new();
        previous_orders(&self.ordered.orders, self.ordered.orders.of(person), &mut previous);
        previous[place]
    }

    fn window(&self, person: u32, place: usize, told: &Told) -> WindowFacts {
        let (window, bounds) = (&self.config.window, told.bounds);
        let position = self.ordered.orders.of(person).start + place;
        let previous_at = self.previous(person, place);
        let previous: Vec<String> = previous_at
            .map(|at| self.orders_at(person, position, at))
            .unwrap_or_default()
            .into_iter()
            .map(|order| self.order_id(order))
            .collect();
        let beginning = |view: bool| {
            let (from, begin) = bounds.begin(view);
            let lookback = if view { window.view_lookback } else { window.lookback };
            let back = lookback.map(format_duration).unwrap_or_default();
            let because = match begin {
                Begin::Previous => {
                    format!("just after the previous order {}", previous.join(", "))
                }
                Begin::Lookback if window.overlap && !previous.is_empty() => format!(
                    "{back} before the order; the previous order ends nothing, by `--overlap`"
                ),
                Begin::Lookback => format!("{back} before the order"),
                Begin::Nothing => "however long before the order".to_owned(),
            };
            Beginning { from: (begin != Begin::Nothing).then(|| format_instant(from)), because }
        };
        WindowFacts {
            sessions: beginning(false),
            views: beginning(true),
            until: format_instant(bounds.order_at),
            previous,
            previous_at: previous_at.map(format_instant),
            overlap: window.overlap,
            view_policy: match window.views {
                ViewPolicy::None => "none",
                ViewPolicy::First => "only the first of them",
                ViewPolicy::Last => "only the last of them",
                ViewPolicy::All => "all of them",
            },
            direct_policy: match window.direct {
                DirectPolicy::Include => "count like others",
                DirectPolicy::Skip => "count only where there is nothing else",
            },
        }
    }

    fn ordered_touch(&self, touch: u32) -> TouchFacts {
        let (touches, at) = (&self.ordered.touches, touch as usize);
        let row = touches.row[at] as usize;
        touch_of(&self.merged.touches, row, touches.view[at], touches.at[at])
    }

    fn touches(&self, person: u32, place: usize, told: &Told) -> Result<Vec<TouchFacts>> {
        let count = told.journey.len();
        let taken = self.taken_by_previous(person, place, told)?;
        let begins = |view: bool| format_instant(told.bounds.begin(view).0);
        let row = self.ordered.orders.row[self.ordered.orders.of(person).start + place] as usize;
        let codes = text_of(&self.merged.orders.rows, "discount_codes", row).unwrap_or_default();
        let mut position = 0;
        let mut facts = Vec::with_capacity(told.fates.len());
        for (touch, fate) in &told.fates {
            let mut one = self.ordered_touch(*touch);
            one.reason = Reason::from(*fate);
            let view = self.ordered.touches.view[*touch as usize];
            one.because = match fate {
                Fate::Counts => {
                    let role = Role::of(position, count).name();
                    position += 1;
                    (one.position, one.role) = (Some(position as u64), Some(role));
                    let code = self.ordered.replacements.iter().any(|other| other.to == *touch);
                    if code { format!("{role}, by discount code {codes}") } else { role.to_owned() }
                }
                Fate::After => "left out: after the order".to_owned(),
                Fate::Previous => match taken.get(touch) {
                    Some(order) => {
                        format!("left out: it is in the journey of the previous order {order}")
                    }
                    None => "left out: not after the previous order".to_owned(),
                },
                Fate::Lookback => {
                    let back = if view { "view lookback" } else { "lookback" };
                    format!("left out: before the {back}, which begins {}", begins(view))
                }
                Fate::NoViews => "left out: no view counts, by `--views none`".to_owned(),
                Fate::OtherView if self.config.window.views == ViewPolicy::First => {
                    "left out: only the first view counts".to_owned()
                }
                Fate::OtherView => "left out: only the last view counts".to_owned(),
                Fate::Direct => "left out: direct, beside others, by `--direct skip`".to_owned(),
                Fate::Replaced => {
                    format!("replaced by what discount code {codes} stands for")
                }
            };
            facts.push(one);
        }
        Ok(facts)
    }

    /// The touches that are in the journey of the previous order, where that ends the window, each
    /// with that order's id.
    fn taken_by_previous(
        &self,
        person: u32,
        place: usize,
        told: &Told,
    ) -> Result<BTreeMap<u32, String>> {
        let mut taken = BTreeMap::new();
        let of_person = self.ordered.orders.of(person);
        let Some(at) = told.bounds.previous else { return Ok(taken) };
        for order in self.orders_at(person, of_person.start + place, at) {
            let Some(told) = self.tell(person, order - of_person.start)? else { continue };
            for (touch, fate) in told.fates {
                if matches!(fate, Fate::Counts | Fate::Replaced) {
                    taken.entry(touch).or_insert_with(|| self.order_id(order));
                }
            }
        }
        Ok(taken)
    }

    /// The touches of the person of an order that does not count.
    fn uncounted_touches(&self, person: u32, position: usize) -> Vec<TouchFacts> {
        let why = self.why_not_counted(self.ordered.orders.row[position] as usize);
        let because = format!("left out: the order does not count, {why}");
        let touches = self.ordered.touches.of(person);
        let facts = (0_u32..)
            .skip(touches.start)
            .take(touches.len())
            .map(|touch| TouchFacts { because: because.clone(), ..self.ordered_touch(touch) });
        facts.collect()
    }

    /// The touches of a person that a filter leaves out.
    fn touches_left_out(&self, person: u32) -> Vec<TouchFacts> {
        let Some(left_out) = &self.left_out else { return Vec::new() };
        let at = instants(&left_out.rows);
        let rows = (0..left_out.rows.num_rows())
            .filter(|row| !left_out.holds[*row] && left_out.person[*row] == person);
        let facts = rows.map(|row| TouchFacts {
            reason: Reason::Filtered,
            because: "left out: `--where-touches` does not hold for it".to_owned(),
            ..touch_of(&left_out.rows, row, row >= left_out.views_from, at[row])
        });
        facts.collect()
    }

    /// The touches with rows of the person that went to another, whose row of the same id is later;
    /// `known` are the touches of the person.
    fn touches_of_others(&self, person: u32, known: &[TouchFacts]) -> Result<Vec<TouchFacts>> {
        if self.summary.touches.person_conflicts == 0 {
            return Ok(Vec::new());
        }
        let mut facts = Vec::new();
        for (table, kind) in [(Table::Sessions, "session"), (Table::Postviews, "postview")] {
            let of_kind = known.iter().filter(|touch| touch.touch_kind == kind);
            let known: BTreeSet<&str> =
                of_kind.map(|touch| touch.touch_external_id.as_str()).collect();
            let Some(rows) = self.accepted.get(&table) else { continue };
            let users = &self.people.users[&table];
            let ids = external_ids(rows).iter();
            let is_lost = |(id, user): (Option<&str>, &u32)| {
                self.people.identity.person[*user as usize] == person
                    && id.is_some_and(|id| !known.contains(id))
            };
            let lost: BooleanArray = ids.zip(users).map(is_lost).map(Some).collect();
            // Of several rows of an id that were lost no file's order may choose.
            let rows = merge_rows(&filter_record_batch(rows, &lost)?)?;
            let (ids, at) = (external_ids(&rows), instants(&rows));
            facts.extend((0..rows.num_rows()).map(|row| TouchFacts {
                reason: Reason::OtherPerson,
                because: format!(
                    "left out: a later row of this id is of person {}",
                    self.holder(ids.value(row)).unwrap_or_default()
                ),
                ..touch_of(&rows, row, table == Table::Postviews, at[row])
            }));
        }
        Ok(facts)
    }

    /// The person that has the touch of an id.
    fn holder(&self, id: &str) -> Option<String> {
        let left_out = self.left_out.as_ref();
        let (rows, persons) = left_out
            .map_or((&self.merged.touches, &self.merged.touch_persons), |left_out| {
                (&left_out.rows, &left_out.person)
            });
        let row = external_ids(rows).iter().position(|other| other == Some(id))?;
        persons.get(row).map(|person| self.name(*person))
    }

    fn models(&self, position: usize, told: &Told) -> Result<Vec<ModelFacts>> {
        let orders = &self.ordered.orders;
        let currencies = &self.ordered.amounts.currencies;
        let currency = currencies[orders.currency[position] as usize];
        let amount = orders.amount[position];
        let mut models = Vec::new();
        for (number, asked) in self.config.models.iter().enumerate() {
            let credits = match told.models.get(number) {
                Some(division) => self.credits(told, division, amount, currency),
                None => vec![CreditFacts {
                    position: None,
                    touch_external_id: None,
                    role: "unattributed",
                    weight: 0.0,
                    share: 1.0,
                    amount: currency.format(i128::from(amount)),
                    left_over: None,
                    because: "no touch is in the journey: unattributed".to_owned(),
                }],
            };
            let whole = Division {
                shares: vec![WHOLE],
                amounts: vec![amount],
                weights: Vec::new(),
                terms: Vec::new(),
                channels: Vec::new(),
                floors: Vec::new(),
            };
            let division = told.models.get(number).unwrap_or(&whole);
            let sum = |cells: &[i64]| cells.iter().map(|cell| i128::from(*cell)).sum::<i128>();
            let (shares, amounts) = (sum(&division.shares), sum(&division.amounts));
            if shares != i128::from(WHOLE) || amounts != i128::from(amount) {
                return Err(Error::Broken(format!(
                    "under `{}` the credits of order `{}` do not add up to it",
                    asked.name,
                    self.order_id(position)
                )));
            }
            models.push(ModelFacts {
                model: asked.name.clone(),
                formula: asked.entry.formula,
                weights: division.weights.iter().sum(),
                credits,
                share: share(shares),
                amount: currency.format(amounts),
                effects: self.effects(number, division),
            });
        }
        Ok(models)
    }

    fn credits(
        &self,
        told: &Told,
        division: &Division,
        amount: i64,
        currency: Currency,
    ) -> Vec<CreditFacts> {
        let count = told.journey.len();
        let all: f64 = division.weights.iter().sum();
        let credit = |(position, touch): (usize, &u32)| {
            let weight = division.weights[position];
            let of_one = share(i128::from(division.shares[position]));
            let percent = format!("{:.2} %", of_one * 100.0);
            let term = match &division.terms[position] {
                Some(term) => term.clone(),
                None => format!("weighs {}", figure(weight)),
            };
            let because = if all > 0.0 {
                format!("{term}; {} / {} = {percent}", figure(weight), figure(all))
            } else {
                format!("{term}; no touch weighs anything: evenly, 1 / {count} = {percent}")
            };
            let left_over = division.amounts[position] - division.floors[position];
            CreditFacts {
                position: Some(position as u64 + 1),
                touch_external_id: Some(self.ordered_touch(*touch).touch_external_id),
                role: Role::of(position, count).name(),
                weight,
                share: of_one,
                amount: currency.format(i128::from(division.amounts[position])),
                left_over: (left_over != 0 && amount != 0)
                    .then(|| currency.format(i128::from(left_over))),
                because,
            }
        };
        told.journey.iter().enumerate().map(credit).collect()
    }

    /// What a model learnt of the channels of a journey.
    fn effects(&self, model: usize, division: &Division) -> Vec<ChannelFacts> {
        let fitted = self.learnt.fitted.get(model).and_then(Option::as_ref);
        let column = self.named.channels.of_model.get(model).copied().flatten();
        let Some((fitted, column)) = fitted.zip(column) else { return Vec::new() };
        let names = &self.named.channels.columns[column].values;
        let of_journey = fitted.effects.channels.iter();
        let of_journey = of_journey.filter(|effect| division.channels.contains(&effect.channel));
        let facts = of_journey.map(|effect| ChannelFacts {
            channel: names[effect.channel as usize].clone(),
            removal_effect: effect.removal,
            shapley_value: effect.value,
            coefficient: effect.coefficient,
            effect_share: effect.share,
        });
        facts.collect()
    }

    /// Rejected rows with the id of an order, of one of the touches of its person or of its user ids.
    fn rejects(&self, person: u32, order: &str, touches: &[TouchFacts]) -> Vec<RejectFacts> {
        let of_touches: BTreeSet<&str> =
            touches.iter().map(|touch| touch.touch_external_id.as_str()).collect();
        let users = &self.people.identity.users;
        let concerns = |reject: &&Reject| {
            let Some(id) = reject.external_id.as_deref() else { return false };
            match reject.table {
                Table::Orders => id == order,
                Table::Sessions | Table::Postviews => of_touches.contains(id),
                Table::Users => users
                    .get(id)
                    .is_some_and(|user| self.people.identity.person[user as usize] == person),
                _ => false,
            }
        };
        self.ordered.rejects.iter().filter(concerns).map(facts_of).collect()
    }

    /// Where an id was found that no order has, else the ids that are near it.
    fn no_order(&self, order: &str) -> Error {
        let mut found = Vec::new();
        for reject in &self.ordered.rejects {
            if reject.external_id.as_deref() == Some(order) {
                let RejectFacts { table, file, row, rule, message, .. } = facts_of(reject);
                let place = file.zip(row).map(|(file, row)| format!(", row {row} of `{file}`"));
                let place = place.unwrap_or_default();
                found.push(format!(
                    "the {table} table has it{place}, rejected by `{rule}`: {message}"
                ));
            }
        }
        for (table, rows) in &self.accepted {
            if *table != Table::Orders && external_ids(rows).iter().any(|id| id == Some(order)) {
                found.push(format!("the {table} table has it; it is no order"));
            }
        }
        if self.people.identity.users.get(order).is_some() {
            found.push("it is a user id; it is no order".to_owned());
        }
        Error::NoOrder {
            order: order.to_owned(),
            found,
            near: nearest_ids(order, self.orders(), NEAREST),
        }
    }
}

/// What a row of merged touches says of where the touch came from.
fn touch_of(rows: &RecordBatch, row: usize, view: bool, at: i64) -> TouchFacts {
    let text = |column: &str| text_of(rows, column, row);
    let or_not_set = |column: &str| text(column).unwrap_or_else(|| NOT_SET.to_owned());
    TouchFacts {
        position: None,
        touch_external_id: text("external_id").unwrap_or_default(),
        touch_kind: if view { "postview" } else { "session" },
        touch_at: format_instant(at),
        user_external_id: text("user_external_id").unwrap_or_default(),
        utm_source: or_not_set("utm_source"),
        utm_medium: or_not_set("utm_medium"),
        utm_campaign: text("utm_campaign"),
        channel: or_not_set("channel"),
        role: None,
        reason: Reason::OrderDoesNotCount,
        because: String::new(),
    }
}

fn facts_of(reject: &Reject) -> RejectFacts {
    RejectFacts {
        table: reject.table.name(),
        file: reject.place.as_ref().map(|(file, _)| file.display().to_string()),
        row: reject.place.as_ref().map(|(_, row)| *row),
        external_id: reject.external_id.clone().unwrap_or_default(),
        rule: reject.rule.name(),
        message: reject.message.clone(),
    }
}

/// A cell of a column as text; none where there is no such column or no value.
fn text_of(rows: &RecordBatch, column: &str, row: usize) -> Option<String> {
    rows.column_by_name(column)?;
    let texts: StringViewArray = Labels::texts(&rows.slice(row, 1), column);
    texts.is_valid(0).then(|| texts.value(0).to_owned())
}

/// A time of a row; none where there is no such column or no value.
fn instants_of(rows: &RecordBatch, column: &str, row: usize) -> Option<i64> {
    use arrow::datatypes::TimestampMicrosecondType;

    let times = rows.column_by_name(column)?.as_primitive::<TimestampMicrosecondType>();
    times.is_valid(row).then(|| times.value(row))
}
