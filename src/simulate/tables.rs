//! Rows as Arrow batches, in the canonical columns of their tables.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Int64Array, ListBuilder, RecordBatch,
    StringArray, StringBuilder, TimestampMicrosecondArray,
};
use chrono::{Datelike, NaiveDate};

use super::ids::Ids;
use super::person::{COUNTRIES, DEVICES, MOST_DEVICES, PAGES, Person, SLOTS, UNITED_STATES, ZONES};
use super::plan::Plan;
use super::rates::RATE_DECIMALS;
use super::rows::{OrderRow, SessionRow, User, ViewRow};
use super::world::Channel;
use crate::calendar::SECOND;
use crate::error::Result;
use crate::money::Currency;
use crate::report::decimals;

/// Where pages lie.
const HOST: &str = "https://shop.example.com";

/// The shop in the internet for those who pay in euros, the one for dollars, and the one in town, with
/// what kind of place each is.
pub(super) const DOMAINS: [(&str, &str); 3] =
    [("shop-eu", "web"), ("shop-us", "marketplace"), ("flagship", "retail")];

/// Variants of the test that is shown to visitors; the third is of those who do not take part.
const VARIANTS: [Option<&str>; 3] = [Some("control"), Some("new_checkout"), None];

/// What is paid for shipping, in cents, and the price from which it is free.
const SHIPPING: (i64, i64) = (495, 10_000);

/// Orders that make a customer bronze, silver and gold.
const TIERS: [(usize, &str); 3] = [(4, "gold"), (2, "silver"), (1, "bronze")];

/// How often an advertisement is shown for a click, and for a view that is told of.
const SHOWN: (i64, i64) = (40, 25);

/// The number of the first campaign.
const FIRST_CAMPAIGN: usize = 7_000_000;

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

fn devices_of<'a>(plan: &Plan, rows: impl Iterator<Item = (&'a User, Option<u8>)>) -> ArrayRef {
    let number = |(user, place): (&User, Option<u8>)| Some(('d', device(user.person(), place?)));
    ids(plan.ids, rows.map(number))
}

/// The number of a person's device.
fn device(person: u64, place: u8) -> u64 {
    person * (MOST_DEVICES as u64 + 1) + u64::from(place)
}

/// The number of a campaign, as the click says it.
fn campaign_id(channels: &[Channel], channel: u8, campaign: u8) -> Option<String> {
    let channel = usize::from(channel);
    channels[channel].utm_id_from.as_ref()?;
    let before: usize = channels[..channel].iter().map(|one| one.campaigns.len().max(1)).sum();
    Some((FIRST_CAMPAIGN + 137 * (before + usize::from(campaign))).to_string())
}

/// Some rows of sessions.
pub(super) fn sessions(plan: &Plan, rows: &[SessionRow]) -> Result<RecordBatch> {
    let world = &plan.world;
    // What was typed has lost where it came from.
    let channels =
        || rows.iter().map(|row| (!row.typed).then(|| &world.channels[usize::from(row.channel)]));
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
        ("utm_source", strings(channels().map(|channel| channel?.utm_source.as_deref()))),
        ("utm_medium", strings(channels().map(|channel| channel?.utm_medium.as_deref()))),
    ]);
    if !plan.size.minimal {
        let campaigns = channels().zip(rows).map(|(channel, row)| {
            channel?.campaigns.get(usize::from(row.campaign)).map(String::as_str)
        });
        columns.push(("utm_campaign", strings(campaigns)));
        if world.channels.iter().any(|channel| channel.utm_id_from.is_some()) {
            let number = |row: &SessionRow| {
                (!row.typed).then(|| campaign_id(&world.channels, row.channel, row.campaign))?
            };
            let numbers = rows.iter().map(number).collect::<StringArray>();
            columns.push(("utm_id", Arc::new(numbers)));
            let from = channels().map(|channel| channel?.utm_id_from.as_deref());
            columns.push(("utm_id_from", strings(from)));
        }
        if world.channels.iter().any(|channel| channel.referrer.is_some()) {
            let referrers = channels().map(|channel| channel?.referrer.as_deref());
            columns.push(("referrer", strings(referrers)));
        }
        columns.extend([
            ("duration", integers(rows.iter().map(|row| i64::from(row.seconds)))),
            ("pageviews_count", integers(rows.iter().map(|row| i64::from(row.pages)))),
            ("interactions_count", integers(rows.iter().map(|row| i64::from(row.interactions)))),
        ]);
        push_user(&mut columns, rows.iter().map(|row| &row.user));
    }
    if plan.size.full {
        let variants = rows.iter().map(|row| VARIANTS[usize::from(row.variant)]);
        let zones = rows.iter().map(|row| Some(ZONES[usize::from(row.country)]));
        let devices = rows.iter().map(|row| (&row.user, row.device));
        let domain = |row: &SessionRow| usize::from(usize::from(row.country) == UNITED_STATES);
        columns.extend([
            ("domain_id", strings(rows.iter().map(|row| Some(DOMAINS[domain(row)].0)))),
            ("device_external_id", devices_of(plan, devices)),
            ("timezone", strings(zones)),
            ("app_experiment", strings(variants)),
        ]);
    }
    batch(columns)
}

/// Some rows of views.
pub(super) fn views(plan: &Plan, rows: &[ViewRow]) -> Result<RecordBatch> {
    let channels = || rows.iter().map(|row| &plan.world.channels[usize::from(row.channel)]);
    let mut columns: Columns = vec![
        ("external_id", ids(plan.ids, rows.iter().map(|row| Some(('v', row.number))))),
        ("user_external_id", users(plan, rows.iter().map(|row| &row.user))),
        ("created_at", times(rows.iter().map(|row| Some(row.at)))),
        ("utm_source", strings(channels().map(|channel| channel.utm_source.as_deref()))),
        ("utm_medium", strings(channels().map(|channel| channel.utm_medium.as_deref()))),
    ];
    if !plan.size.minimal {
        let campaigns = channels().zip(rows).map(|(channel, row)| {
            channel.campaigns.get(usize::from(row.campaign)).map(String::as_str)
        });
        columns.push(("utm_campaign", strings(campaigns)));
    }
    if plan.size.full {
        let countries = rows.iter().map(|row| Some(COUNTRIES[usize::from(row.country)].0));
        let devices = rows.iter().map(|row| (&row.user, Some(row.device)));
        columns.extend([
            ("device_external_id", devices_of(plan, devices)),
            ("country", strings(countries)),
        ]);
    }
    batch(columns)
}

/// The devices of some persons who were on the site.
pub(super) fn devices(plan: &Plan, persons: &[Person]) -> Result<RecordBatch> {
    let rows: Vec<(u64, User, usize)> = persons
        .iter()
        .filter(|person| !person.visits.is_empty() || !person.views.is_empty())
        .flat_map(|person| {
            let all = person.devices.iter().zip(0..);
            all.map(|(kind, place)| {
                (device(person.number, place), User::of(person, 0), usize::from(*kind))
            })
        })
        .collect();
    let kinds = || rows.iter().map(|row| &DEVICES[row.2]);
    batch(vec![
        ("external_id", ids(plan.ids, rows.iter().map(|row| Some(('d', row.0))))),
        ("user_external_id", users(plan, rows.iter().map(|row| &row.1))),
        ("device_type", strings(kinds().map(|kind| Some(kind.0)))),
        ("browser", strings(kinds().map(|kind| kind.1))),
        ("os", strings(kinds().map(|kind| Some(kind.2)))),
    ])
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
            (
                "updated_at",
                times(rows.iter().map(|row| row.refunded_at.or(row.cancelled_at).or(Some(row.at)))),
            ),
            ("session_external_id", ids(plan.ids, sessions)),
        ]);
    }
    columns.push(("subtotal_price", money(rows.iter().map(|row| Some(row.cents)))?));
    if plan.size.refunds > 0.0 {
        columns.push(("refunded_price", money(rows.iter().map(refunded))?));
    }
    if plan.size.cancellations > 0.0 {
        columns.push(("cancelled_at", times(rows.iter().map(|row| row.cancelled_at))));
    }
    if plan.world.all_codes().next().is_some() {
        columns.push(("discount_codes", discount_codes(plan, rows)));
    }
    if !plan.size.minimal {
        let codes = rows.iter().map(|row| Some(if row.dollars { "USD" } else { "EUR" }));
        columns.push(("currency", strings(codes)));
        if plan.world.subscriptions > 0.0 {
            let kind = |row: &OrderRow| if row.subscription { "subscription" } else { "order" };
            columns.push(("conversion_type", strings(rows.iter().map(|row| Some(kind(row))))));
        }
        push_user(&mut columns, rows.iter().map(|row| &row.user));
    }
    if plan.size.full {
        let domain = |row: &OrderRow| if row.in_town { 2 } else { usize::from(row.dollars) };
        let shipping = |row: &OrderRow| if row.cents < SHIPPING.1 { SHIPPING.0 } else { 0 };
        let totals = rows.iter().map(|row| Some(row.cents + shipping(row)));
        columns.extend([
            ("domain_id", strings(rows.iter().map(|row| Some(DOMAINS[domain(row)].0)))),
            ("total_price", money(totals)?),
        ]);
    }
    batch(columns)
}

/// The codes of each order, none where it has none.
fn discount_codes(plan: &Plan, rows: &[OrderRow]) -> ArrayRef {
    let codes: Vec<&str> = plan.world.all_codes().collect();
    let mut lists = ListBuilder::new(StringBuilder::new());
    for row in rows {
        for code in row.codes.iter().flatten() {
            lists.values().append_value(codes[usize::from(*code)]);
        }
        lists.append(row.codes.iter().any(Option::is_some));
    }
    Arc::new(lists.finish())
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
    for (person, slot, user) in &rows {
        email.clear();
        let account = User::of(person, 0);
        plan.ids.write(account.kind(), account.number, &mut email);
        email.push_str("@example.com");
        let left = person.left_address[usize::from(*slot)] && account.account;
        if left {
            // The same address, as somebody writes it who fills in a form.
            email.make_ascii_uppercase();
        }
        emails.append_option((user.account || left).then_some(&email));
    }
    let country = |person: &Person| &COUNTRIES[person.country];
    let mut columns: Columns = vec![
        ("external_id", users(plan, rows.iter().map(|row| &row.2))),
        ("created_at", times(rows.iter().map(|row| Some(row.2.since)))),
        ("updated_at", times(seen)),
        ("is_authenticated", flags(rows.iter().map(|row| row.2.account))),
        ("signed_up_at", times(rows.iter().map(|row| row.2.account.then_some(row.2.since)))),
        ("email", Arc::new(emails.finish())),
        ("country", strings(rows.iter().map(|row| Some(country(row.0).0)))),
        ("language", strings(rows.iter().map(|row| Some(country(row.0).1)))),
    ];
    if plan.size.full {
        let tier = |(person, _, user): &(&Person, u8, User)| {
            let kept = person.purchases.iter().filter(|purchase| purchase.cancelled_at.is_none());
            let orders = if user.account { kept.count() } else { 0 };
            TIERS.iter().find(|(least, _)| orders >= *least).map(|tier| tier.1)
        };
        columns.extend([
            ("timezone", strings(rows.iter().map(|row| Some(ZONES[row.0.country])))),
            ("app_loyalty_tier", strings(rows.iter().map(tier))),
        ]);
    }
    batch(columns)
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
    pub(super) views: i64,
}

/// The table of spend.
pub(super) fn spend(plan: &Plan, rows: &[Spent]) -> Result<RecordBatch> {
    let channels = || rows.iter().map(|row| &plan.world.channels[row.channel]);
    let campaigns = channels()
        .zip(rows)
        .map(|(channel, row)| channel.campaigns.get(row.campaign).map(String::as_str));
    let mut columns: Columns = vec![
        ("date", days(rows.iter().map(|row| row.day))),
        ("utm_source", strings(channels().map(|channel| Some(channel.source())))),
        ("utm_medium", strings(channels().map(|channel| Some(channel.medium())))),
        ("utm_campaign", strings(campaigns)),
        ("cost", money(rows.iter().map(|row| Some(row.cents)))?),
        ("currency", strings(rows.iter().map(|_| Some("EUR")))),
        ("clicks", integers(rows.iter().map(|row| row.clicks))),
    ];
    if plan.size.full {
        let shown = |row: &Spent| SHOWN.0 * row.clicks + SHOWN.1 * row.views;
        columns.push(("impressions", integers(rows.iter().map(shown))));
    }
    batch(columns)
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
