//! How an explanation reads on a terminal, within its width.

use crate::explain::{
    AmountFacts, Beginning, CreditFacts, Explanation, ModelFacts, OrderFacts, Reason, TouchFacts,
    UserFacts, WindowFacts,
};
use crate::models::figure;
use crate::output::table::{aligned, printable, wrapped};
use crate::output::{Align, counted, shortened, thousands};
use crate::report::WIDTH;

/// Touches in a row that are left out for one reason, beyond which those between are counted.
const RUN: usize = 10;

/// Touches that are shown at either end of such a run.
const ENDS: usize = 3;

/// Characters of an id beside other things.
const ID: usize = 24;

/// Where what is said of a touch begins.
const INDENT: usize = 5;

/// An explanation as text.
pub fn render(explanation: &Explanation) -> String {
    let Explanation { order, amount, users, window, touches, models, rejects } = explanation;
    let mut blocks = vec![of_order(order), of_amount(amount)];
    blocks.extend(of_users(order, users));
    blocks.extend(window.as_ref().map(|window| of_window(window, touches)));
    blocks.push(of_touches(&order.person, touches));
    blocks.extend(models.iter().map(|model| of_model(model, &amount.currency)));
    if !rejects.is_empty() {
        let mut text = "rejected rows of this order and its person\n".to_owned();
        for reject in rejects {
            let place = reject.file.iter().zip(reject.row);
            let place = place.map(|(file, row)| format!(", row {} of {file}", number(row)));
            let line = format!(
                "{} {}{}: {}, {}",
                reject.table,
                reject.external_id,
                place.collect::<String>(),
                reject.rule,
                reject.message
            );
            text.push_str(&indented(&line, 2));
        }
        blocks.push(text);
    }
    blocks.join("\n")
}

fn number(count: u64) -> String {
    thousands(&count.to_string())
}

/// Lines that begin so far from the left.
fn indented(text: &str, indent: usize) -> String {
    let mut lines = wrapped(&printable(text), WIDTH - indent);
    for line in &mut lines {
        *line = format!("{:indent$}{line}\n", "");
    }
    lines.concat()
}

/// A name and what is said of it, the names as wide as each other.
fn said(name: &str, text: &str) -> String {
    let lines = wrapped(&printable(text), WIDTH - 18);
    let names = std::iter::once(name).chain(std::iter::repeat(""));
    let line = |(name, text): (&str, &String)| format!("{name:<16}  {text}\n");
    names.zip(&lines).map(line).collect()
}

fn of_order(order: &OrderFacts) -> String {
    let mut text = format!("order {}\n\n", printable(&order.order_external_id));
    text.push_str(&said("made", &order.order_at));
    text.push_str(&said("kind", &order.conversion_type));
    let user = if order.user_external_id == order.person {
        order.person.clone()
    } else {
        format!("{}, under the user id {}", order.person, order.user_external_id)
    };
    text.push_str(&said("person", &user));
    if order.rows > 1 {
        text.push_str(&said("merged from", &counted(order.rows, "row", "rows")));
    }
    if !order.rows_of_others.is_empty() {
        let others = order.rows_of_others.join(", ");
        text.push_str(&said(
            "left out",
            &format!("rows of this id that are of {others}: the latest row holds"),
        ));
    }
    let counts = match (order.counts, order.is_reported) {
        (true, true) => "yes".to_owned(),
        (true, false) => format!("yes, but it is not in the report: {}", order.because.join("; ")),
        (false, _) => format!("no: {}", order.because.join("; ")),
    };
    text.push_str(&said("counts", &counts));
    if let Some(first) = order.is_first_conversion {
        let first = if first {
            "acquisition: the person's first order"
        } else {
            "retention: the person ordered before"
        };
        text.push_str(&said("part", first));
    }
    if !order.same_instant.is_empty() {
        let others = order.same_instant.join(", ");
        text.push_str(&said("same instant", &format!("{others}: with the same journey")));
    }
    text
}

fn of_amount(amount: &AmountFacts) -> String {
    let mut rows = Vec::new();
    let mut row = |name: String, amount: &str, currency: &str| {
        rows.push(vec![name, thousands(amount), currency.to_owned()]);
    };
    let own = &amount.price_currency;
    match &amount.price {
        Some(price) => row(printable(&amount.column), price, own),
        None => row(format!("{} (none)", printable(&amount.column)), "0", own),
    }
    if let Some(refund) = &amount.refunded_price {
        row("\u{2212} refunded_price".to_owned(), refund, own);
    }
    if let Some((rate, day)) = amount.rate.as_ref().zip(amount.rate_date.as_ref()) {
        row(format!("/ rate of {day}"), rate, &format!("{own} for 1 {}", amount.currency));
    }
    row("= amount".to_owned(), &amount.amount, &amount.currency);
    aligned(&[("amount", Align::Left), ("", Align::Right), ("", Align::Left)], rows)
}

fn of_users(order: &OrderFacts, users: &[UserFacts]) -> Option<String> {
    if users.iter().all(|user| user.steps.is_empty()) {
        return None;
    }
    let mut text = format!("user ids of person {}\n\n", printable(&order.person));
    for user in users {
        let mut line = user.user_external_id.clone();
        for step in &user.steps {
            let by = match (step.by.as_str(), &step.created_at) {
                ("alias", Some(at)) => format!("alias of {at}"),
                ("alias", None) => "alias without a time".to_owned(),
                (key, _) => format!("same {key}"),
            };
            line.push_str(&format!(" > {} ({by})", step.to));
        }
        if user.steps.is_empty() {
            line.push_str(" names the person");
        }
        text.push_str(&indented(&line, 2));
    }
    Some(text)
}

fn of_window(window: &WindowFacts, touches: &[TouchFacts]) -> String {
    let begins = |beginning: &Beginning| match &beginning.from {
        Some(from) => format!("from {from}: {}", beginning.because),
        None => beginning.because.clone(),
    };
    let mut text = "window\n\n".to_owned();
    text.push_str(&said("sessions", &begins(&window.sessions)));
    if touches.iter().any(|touch| touch.touch_kind != "session") {
        text.push_str(&said(
            "views",
            &format!("{}; {} count", begins(&window.views), window.view_policy),
        ));
    }
    text.push_str(&said("until", &format!("{}: the order itself", window.until)));
    text.push_str(&said("direct sessions", window.direct_policy));
    text
}

fn of_touches(person: &str, touches: &[TouchFacts]) -> String {
    if touches.is_empty() {
        return "the person has no session and no view\n".to_owned();
    }
    let counted_here = touches.iter().filter(|touch| touch.reason == Reason::Counts).count();
    let mut text = format!(
        "{} of the person, {} in the journey\n\n",
        counted(touches.len() as u64, "touch", "touches"),
        number(counted_here as u64)
    );
    let ids = touches.iter().map(|touch| touch.touch_external_id.chars().count());
    let id = ids.max().unwrap_or_default().min(ID);
    let of_touch = |touch: &TouchFacts| of_touch(touch, person, id);
    for run in touches.chunk_by(|left, right| left.reason == right.reason) {
        let hidden = run.len().saturating_sub(2 * ENDS);
        if run[0].reason == Reason::Counts || run.len() <= RUN {
            text.extend(run.iter().map(of_touch));
            continue;
        }
        text.extend(run[..ENDS].iter().map(of_touch));
        text.push_str(&indented(
            &format!("({} more left out like the one above)", number(hidden as u64)),
            INDENT,
        ));
        text.extend(run[run.len() - ENDS..].iter().map(of_touch));
    }
    text
}

/// A touch in two lines; `id` is how much room ids have.
fn of_touch(touch: &TouchFacts, person: &str, id: usize) -> String {
    let place = touch.position.map_or_else(|| "\u{b7}".to_owned(), |place| format!("{place}"));
    let origin = format!("{} / {}", touch.utm_source, touch.utm_medium);
    let room = WIDTH.saturating_sub(INDENT + touch.touch_at.chars().count() + 4 + id);
    let name = shortened(&printable(&touch.touch_external_id), id);
    let origin = shortened(&printable(&origin), room);
    let first = format!("{place:>3}  {}  {name:<id$}  {origin}", touch.touch_at);
    let mut more = touch.because.clone();
    more.push_str(&format!("; {}", touch.channel));
    if let Some(campaign) = &touch.utm_campaign {
        more.push_str(&format!(", campaign {campaign}"));
    }
    if touch.touch_kind != "session" {
        more.push_str("; an ad that was seen");
    }
    if touch.user_external_id != person {
        more.push_str(&format!("; user id {}", touch.user_external_id));
    }
    format!("{}\n{}", first.trim_end(), indented(&more, INDENT))
}

fn of_model(model: &ModelFacts, currency: &str) -> String {
    let mut text = format!("{} \u{b7} {currency}\n", printable(&model.model));
    text.push_str(&indented(model.formula, 0));
    text.push('\n');
    let header = [
        ("touch", Align::Right),
        ("share", Align::Right),
        ("amount", Align::Right),
        ("because", Align::Left),
    ];
    let figures: Vec<[String; 3]> = model.credits.iter().map(figures).collect();
    let total = [
        "total".to_owned(),
        percent(model.share),
        format!("{} \u{2713}", thousands(&model.amount)),
    ];
    // What is left beside the figures; each column has two blanks after it.
    let width = |at: usize| {
        let cells = figures.iter().chain([&total]).map(|row| row[at].chars().count());
        cells.chain([header[at].0.len()]).max().unwrap_or_default() + 2
    };
    let room = (WIDTH - 1).saturating_sub((0..3).map(width).sum()).max(20);
    let mut rows = Vec::new();
    for (credit, figures) in model.credits.iter().zip(figures) {
        let mut because = credit.because.clone();
        if let Some(left_over) = &credit.left_over {
            let sign = if left_over.starts_with('-') { "" } else { "+" };
            because.push_str(&format!("; {sign}{left_over} left over"));
        }
        let lines = wrapped(&printable(&because), room);
        let mut figures = Some(figures);
        for line in lines {
            let mut cells = figures.take().map_or_else(|| vec![String::new(); 3], Vec::from);
            cells.push(line);
            rows.push(cells);
        }
    }
    rows.push(total.into_iter().chain([String::new()]).collect());
    text.push_str(&aligned(&header, rows));
    if !model.effects.is_empty() {
        text.push('\n');
        text.push_str(&of_effects(model));
    }
    text
}

fn figures(credit: &CreditFacts) -> [String; 3] {
    let place = credit.position.map_or_else(|| "\u{b7}".to_owned(), |place| place.to_string());
    [place, percent(credit.share), thousands(&credit.amount)]
}

fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

/// What the model learnt of the channels, with the columns that it tells.
fn of_effects(model: &ModelFacts) -> String {
    let effects = &model.effects;
    let columns = [
        ("removal effect", effects.iter().map(|one| one.removal_effect).collect::<Vec<_>>()),
        ("Shapley value", effects.iter().map(|one| one.shapley_value).collect()),
        ("coefficient", effects.iter().map(|one| one.coefficient).collect()),
    ];
    let told: Vec<_> =
        columns.iter().filter(|(_, values)| values.iter().any(|value| value.is_some())).collect();
    let mut header = vec![("learnt of channel", Align::Left)];
    header.extend(told.iter().map(|(name, _)| (*name, Align::Right)));
    header.push(("of all effects", Align::Right));
    let rows = effects.iter().enumerate().map(|(at, effect)| {
        let mut cells = vec![shortened(&printable(&effect.channel), ID)];
        cells.extend(told.iter().map(|(_, values)| values[at].map_or_else(String::new, figure)));
        cells.push(percent(effect.effect_share));
        cells
    });
    aligned(&header, rows.collect())
}
