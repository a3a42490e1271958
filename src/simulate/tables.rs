//! Rows as Arrow batches, in the canonical columns of their tables.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Int64Array, RecordBatch, StringArray,
    StringBuilder, TimestampMicrosecondArray,
};
use chrono::{Datelike, NaiveDate};

use super::ids::Ids;
use super::person::{COUNTRIES, PAGES, Person, SLOTS};
use super::plan::Plan;
use super::rates::RATE_DECIMALS;
use super::rows::{OrderRow, SessionRow, User};
use crate::calendar::SECOND;
use crate::error::Result;
use crate::money::Currency;
use crate::report::decimals;

/// Where pages lie.
const HOST: &str = "https://shop.example.com";

/// Columns with their names.
type Columns = Vec<(&'static str, ArrayRef)>;

fn batch(columns: Columns) -> Result<RecordBatch> {
    let nullable = columns.into_iter().map(|(name, column)| (name, column, true));
    Ok(RecordBatch::try_from_iter_with_nullable(nullable)?)
}

fn ids(ids: Ids, numbers: impl Iterator<Item = Option<(char, u64)>>) -> ArrayRef {
    let mut column = StringBuilder::new();
    let mut text = String::new();
    for number in numbers {
        text.clear();
        if let Some((kind, number)) = number {
            ids.write(kind, number, &mut text);
        }
        column.append_option((!text.is_empty()).then_some(&text));
    }
    Arc::new(column.finish())
}

fn users<'a>(plan: &Plan, users: impl Iterator<Item = &'a User>) -> ArrayRef {
    ids(plan.ids, users.map(|user| Some((user.kind(), user.number))))
}

fn times(times: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(times.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
}

fn strings<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

fn flags(values: impl Iterator<Item = bool>) -> ArrayRef {
    Arc::new(values.map(Some).collect::<BooleanArray>())
}

fn integers(values: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

/// Cents of euros or dollars as decimals.
fn money(values: impl Iterator<Item = Option<i64>>) -> Result<ArrayRef> {
    decimals(values.map(|cents| Some((i128::from(cents?), Currency::NONE))), 2)
}

fn days(values: impl Iterator<Item = NaiveDate>) -> ArrayRef {
    let epoch = NaiveDate::default().num_days_from_ce();
    Arc::new(Date32Array::from_iter_values(values.map(|day| day.num_days_from_ce() - epoch)))
}

/// What every row tells of its user.
fn push_user<'a>(columns: &mut Columns, users: impl Iterator<Item = &'a User> + Clone) {
    columns.extend([
        ("user_created_at", times(users.clone().map(|user| Some(user.since)))),
        ("user_is_authenticated", flags(users.clone().map(|user| user.account))),
        ("user_signed_up_at", times(users.map(|user| user.account.then_some(user.since)))),
    ]);
}

/// Some rows of sessions.
pub(super) fn sessions(plan: &Plan, rows: &[SessionRow]) -> Result<RecordBatch> {
    let channels = || rows.iter().map(|row| &plan.world.channels[usize::from(row.channel)]);
    let mut columns: Columns = vec![
        ("external_id", ids(plan.ids, rows.iter().map(|row| Some(('s', row.number))))),
        ("user_external_id", users(plan, rows.iter().map(|row| &row.user))),
        ("created_at", times(rows.iter().map(|row| Some(row.at)))),
    ];
    let last = plan.period.1 - 1_000;
    let ended = |row: &SessionRow| (row.at + SECOND * i64::from(row.seconds)).min(last);
    if !plan.size.minimal {
        let pages: Vec<String> = PAGES.iter().map(|page| format!("{HOST}{}", page.0)).collect();
        columns.extend([
            ("updated_at", times(rows.iter().map(|row| Some(ended(row))))),
            (
                "landing_page",
                strings(
                    rows.iter().map(|row| pages.get(usize::from(row.page)).map(String::as_str)),
                ),
            ),
        ]);
    }
    columns.extend([
        ("utm_source", strings(channels().map(|channel| channel.utm_source.as_deref()))),
        ("utm_medium", strings(channels().map(|channel| channel.utm_medium.as_deref()))),
    ]);
    if !plan.size.minimal {
        let campaigns = channels().zip(rows).map(|(channel, row)| {
            channel.campaigns.get(usize::from(row.campaign)).map(String::as_str)
        });
        columns.extend([
            ("utm_campaign", strings(campaigns)),
            ("duration", integers(rows.iter().map(|row| i64::from(row.seconds)))),
            ("pageviews_count", integers(rows.iter().map(|row| i64::from(row.pages)))),
            ("interactions_count", integers(rows.iter().map(|row| i64::from(row.interactions)))),
        ]);
        push_user(&mut columns, rows.iter().map(|row| &row.user));
    }
    batch(columns)
}

/// Some rows of orders.
pub(super) fn orders(plan: &Plan, rows: &[OrderRow]) -> Result<RecordBatch> {
    let mut columns: Columns = vec![
        ("external_id", ids(plan.ids, rows.iter().map(|row| Some(('o', row.number))))),
        ("user_external_id", users(plan, rows.iter().map(|row| &row.user))),
        ("created_at", times(rows.iter().map(|row| Some(row.at)))),
    ];
    let refunded = |row: &OrderRow| row.refunded_at.map(|_| row.cents);
    if !plan.size.minimal {
        let sessions = rows.iter().map(|row| Some(('s', row.session?)));
        columns.extend([
            ("updated_at", times(rows.iter().map(|row| Some(row.refunded_at.unwrap_or(row.at))))),
            ("session_external_id", ids(plan.ids, sessions)),
        ]);
    }
    columns.push(("subtotal_price", money(rows.iter().map(|row| Some(row.cents)))?));
    if plan.size.refunds > 0.0 {
        columns.push(("refunded_price", money(rows.iter().map(refunded))?));
    }
    if !plan.size.minimal {
        let codes = rows.iter().map(|row| Some(if row.dollars { "USD" } else { "EUR" }));
        columns.push(("currency", strings(codes)));
        push_user(&mut columns, rows.iter().map(|row| &row.user));
    }
    batch(columns)
}

/// The profiles of some persons' users: of customers, and of whoever was seen, stubs aside.
pub(super) fn profiles(plan: &Plan, persons: &[Person]) -> Result<RecordBatch> {
    let users_of = |person: &Person| {
        let slots = (0..SLOTS).filter(|slot| !person.stub[*slot]);
        let known = slots.filter(|slot| person.known_since[*slot].is_some());
        known.filter_map(|slot| u8::try_from(slot).ok()).collect::<Vec<u8>>()
    };
    let rows: Vec<(&Person, u8, User)> = persons
        .iter()
        .flat_map(|person| {
            let slots = users_of(person).into_iter();
            slots.map(move |slot| (person, slot, User::of(person, slot)))
        })
        .collect();
    let seen = rows
        .iter()
        .map(|(person, slot, user)| Some(person.seen[usize::from(*slot)].max(user.since)));
    let mut email = String::new();
    let mut emails = StringBuilder::new();
    for (_, _, user) in &rows {
        email.clear();
        plan.ids.write(user.kind(), user.number, &mut email);
        email.push_str("@example.com");
        emails.append_option(user.account.then_some(&email));
    }
    let country = |person: &Person| &COUNTRIES[person.country];
    batch(vec![
        ("external_id", users(plan, rows.iter().map(|row| &row.2))),
        ("created_at", times(rows.iter().map(|row| Some(row.2.since)))),
        ("updated_at", times(seen)),
        ("is_authenticated", flags(rows.iter().map(|row| row.2.account))),
        ("signed_up_at", times(rows.iter().map(|row| row.2.account.then_some(row.2.since)))),
        ("email", Arc::new(emails.finish())),
        ("country", strings(rows.iter().map(|row| Some(country(row.0).0)))),
        ("language", strings(rows.iter().map(|row| Some(country(row.0).1)))),
    ])
}

/// The aliases of some persons.
pub(super) fn aliases(plan: &Plan, persons: &[Person]) -> Result<RecordBatch> {
    let rows: Vec<(User, User, i64)> = persons
        .iter()
        .flat_map(|person| {
            let user = |slot: u8| User::of(person, slot);
            person.aliases.iter().map(move |(from, to, at)| (user(*from), user(*to), *at))
        })
        .collect();
    let mut columns: Columns = vec![
        ("from_user_external_id", users(plan, rows.iter().map(|row| &row.0))),
        ("to_user_external_id", users(plan, rows.iter().map(|row| &row.1))),
    ];
    if !plan.size.minimal {
        columns.extend([
            ("to_user_is_authenticated", flags(rows.iter().map(|row| row.1.account))),
            ("to_user_created_at", times(rows.iter().map(|row| Some(row.1.since)))),
            ("created_at", times(rows.iter().map(|row| Some(row.2)))),
        ]);
    }
    batch(columns)
}

/// What is spent on a day: visits that were counted, by channel and campaign.
pub(super) struct Spent {
    pub(super) day: NaiveDate,
    pub(super) channel: usize,
    pub(super) campaign: usize,
    pub(super) cents: i64,
    pub(super) clicks: i64,
}

/// The table of spend.
pub(super) fn spend(plan: &Plan, rows: &[Spent]) -> Result<RecordBatch> {
    let channels = || rows.iter().map(|row| &plan.world.channels[row.channel]);
    let campaigns = channels()
        .zip(rows)
        .map(|(channel, row)| channel.campaigns.get(row.campaign).map(String::as_str));
    batch(vec![
        ("date", days(rows.iter().map(|row| row.day))),
        ("utm_source", strings(channels().map(|channel| Some(channel.source())))),
        ("utm_medium", strings(channels().map(|channel| Some(channel.medium())))),
        ("utm_campaign", strings(campaigns)),
        ("cost", money(rows.iter().map(|row| Some(row.cents)))?),
        ("currency", strings(rows.iter().map(|_| Some("EUR")))),
        ("clicks", integers(rows.iter().map(|row| row.clicks))),
    ])
}

/// The table of exchange rates.
pub(super) fn exchange_rates(plan: &Plan) -> Result<RecordBatch> {
    let rates = &plan.rates.rates;
    let values = rates.iter().map(|(_, rate)| Some(i128::from(*rate)));
    let scale = i8::try_from(RATE_DECIMALS).unwrap_or_default();
    let values = values.collect::<Decimal128Array>().with_precision_and_scale(12, scale)?;
    batch(vec![
        ("date", days(rates.iter().map(|(day, _)| *day))),
        ("currency", strings(rates.iter().map(|_| Some("USD")))),
        ("rate", Arc::new(values)),
    ])
}
