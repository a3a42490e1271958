//! How effects read on a terminal: what each model learnt, tables of its channels in as many columns as
//! there is room for, and why what is owed and what is credited differ.
//!
//! Not for what the figures are; that is `effects`.

use arrow::array::AsArray;
use arrow::datatypes::Float64Type;

use crate::models::Fitting;
use crate::output::table::{aligned, printable, wrapped};
use crate::output::{Align, cell_text, counted, shortened, thousands};
use crate::report::effects::{EffectIntervals, EffectOf, EffectsReport, ModelEffects};
use crate::report::terminal::WIDTH;

/// Characters of a channel's name beside figures, and the fewest that figures may leave it.
const ROOM: usize = 24;
const LEAST_ROOM: usize = 16;

/// Channels of a level that are named.
const NAMED: usize = 5;

/// A figure of a channel: its title, and its column in the table of effects.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Figure {
    title: &'static str,
    column: &'static str,
}

const fn figure(title: &'static str, column: &'static str) -> Figure {
    Figure { title, column }
}

/// What a model says of a channel.
const EFFECT: [Figure; 8] = [
    figure("effect", "removal_effect"),
    figure("value", "shapley_value"),
    figure("error", "shapley_error"),
    figure("strength", "strength"),
    figure("half-life", "half_life"),
    figure("share", "effect_share"),
    figure("orders", "orders"),
    figure("evidence", "evidence"),
];

/// What that is in conversions, and what orders credit.
const CONVERSIONS: [Figure; 3] = [
    figure("owed", "effect_conversions"),
    figure("credited", "credit_conversions"),
    figure("difference", "conversions_difference"),
];

/// The same in an amount.
const AMOUNT: [Figure; 3] = [
    figure("owed", "effect_amount"),
    figure("credited", "credit_amount"),
    figure("difference", "amount_difference"),
];

/// Effects as text: what each model learnt from, tables of its channels, and whether a split of the
/// orders could meet them.
pub fn render_effects(report: &EffectsReport) -> String {
    let mut row = 0;
    let of_model = |model: &ModelEffects| {
        let first = row;
        row += model.lines.len();
        render_model(model, first, report.intervals.as_ref())
    };
    report.models.iter().map(of_model).collect::<Vec<_>>().join("\n")
}

fn render_model(model: &ModelEffects, first: usize, intervals: Option<&EffectIntervals>) -> String {
    let mut text = learnt(model, intervals);
    let mut row = first;
    let currencies = model.lines.chunk_by(|left, right| left.currency == right.currency);
    for (at, lines) in currencies.clone().enumerate() {
        let table = Table { model, lines, first: row, intervals };
        row += lines.len();
        if at == 0 {
            let of_model = |figure: &Figure| table.has(*figure);
            let figures: Vec<Figure> = EFFECT.into_iter().filter(of_model).collect();
            text.push_str(&format!("\n{}", table.text("channel", &figures)));
        }
        let currency = lines[0].currency;
        let conversions = match currencies.clone().nth(1) {
            Some(_) => format!("conversions in {currency}"),
            None => "conversions".to_owned(),
        };
        text.push_str(&format!("\n{}", table.text(&conversions, &CONVERSIONS)));
        text.push_str(&format!("\n{}", table.text(currency.code(), &AMOUNT)));
    }
    text.push('\n');
    for line in wrapped(&explained(model), WIDTH) {
        text.push_str(&format!("{line}\n"));
    }
    text
}

/// What a model learnt from, and how.
fn learnt(model: &ModelEffects, intervals: Option<&EffectIntervals>) -> String {
    let effects = &model.effects;
    let mut text = format!("{}\n", printable(&model.model));
    let mut say = |sentence: &str| {
        for line in wrapped(sentence, WIDTH - 2) {
            text.push_str(&format!("  {line}\n"));
        }
    };
    let chain = effects.order.map(|order| format!(", a chain of order {order}"));
    say(&format!(
        "{} with an order of {}: P = {:.6}{}",
        thousands(&effects.converted.to_string()),
        counted(effects.journeys, "journey", "journeys"),
        effects.probability,
        chain.unwrap_or_default()
    ));
    effects.notes.iter().for_each(|note| say(note));
    for tried in &effects.curve {
        let chosen = if Some(tried.order) == effects.order { ", chosen" } else { "" };
        say(&format!(
            "order {}: {} probabilities, log-likelihood of a held-out step {:.6}{chosen}",
            tried.order,
            thousands(&tried.parameters.to_string()),
            tried.likelihood
        ));
    }
    if let Some(samples) = effects.samples {
        let errors = effects.channels.iter().filter_map(|channel| channel.error);
        say(&format!(
            "values are estimated from {} orders in which channels can join; standard errors are at most {:.2e}",
            thousands(&samples.to_string()),
            errors.fold(0.0, f64::max)
        ));
    }
    if let Some(EffectIntervals { resamples, level, .. }) = intervals {
        let resamples = thousands(&resamples.to_string());
        say(&format!("low to high: {level} of {resamples} resamples, each learnt anew"));
    }
    text
}

/// The lines of a model in one currency.
struct Table<'a> {
    model: &'a ModelEffects,
    lines: &'a [EffectOf],
    /// The row of the first of them in the table of effects.
    first: usize,
    intervals: Option<&'a EffectIntervals>,
}

impl Table<'_> {
    /// Whether the model tells a figure.
    fn has(&self, figure: Figure) -> bool {
        let tells = |of: &dyn Fn(&EffectOf) -> Option<f64>| {
            self.lines.iter().any(|line| of(line).is_some())
        };
        match figure.column {
            "removal_effect" => {
                // A dash in every line says that there is none.
                let others =
                    [tells(&|line| line.channel.value), tells(&|line| line.channel.strength)];
                tells(&|line| line.channel.removal) || !others.contains(&true)
            }
            "shapley_value" => tells(&|line| line.channel.value),
            "shapley_error" => tells(&|line| line.channel.error),
            "strength" => tells(&|line| line.channel.strength),
            "half_life" => tells(&|line| line.channel.half_life),
            _ => true,
        }
    }

    /// The lines with some figures and their bounds, as far as there is room for those.
    fn text(&self, title: &str, figures: &[Figure]) -> String {
        let bounded = |figure: &Figure| self.bound(*figure, 0, "low").is_some();
        // Bounds that are missed least are left out first, of a difference with all of it.
        let mut with_bounds: Vec<Figure> = figures.iter().copied().filter(bounded).collect();
        let mut shown = figures.to_vec();
        loop {
            let text = self.laid_out(title, &shown, &with_bounds, ROOM);
            let width = text.lines().map(|line| line.chars().count()).max().unwrap_or(0);
            let names = self.lines.iter().map(|line| self.name(line).chars().count().min(ROOM));
            let room = (names.max().unwrap_or(0) + WIDTH).saturating_sub(width);
            if width <= WIDTH {
                return text;
            }
            if room >= LEAST_ROOM || with_bounds.is_empty() {
                return self.laid_out(title, &shown, &with_bounds, room.max(LEAST_ROOM / 2));
            }
            if let Some(spare) = with_bounds.pop()
                && spare.title == "difference"
            {
                shown.retain(|figure| *figure != spare);
            }
        }
    }

    fn laid_out(&self, title: &str, figures: &[Figure], bounds: &[Figure], room: usize) -> String {
        let mut header = vec![(title, Align::Left)];
        for figure in figures {
            let align = if figure.column == "evidence" { Align::Left } else { Align::Right };
            header.push((figure.title, align));
            if bounds.contains(figure) {
                header.extend([("low", Align::Right), ("high", Align::Right)]);
            }
        }
        let row = |(at, line): (usize, &EffectOf)| {
            let mut cells = vec![shortened(&self.name(line), room)];
            for figure in figures {
                cells.push(value(*figure, line));
                if bounds.contains(figure) {
                    let bound = |end| self.bound(*figure, at, end).unwrap_or_default();
                    cells.extend(["low", "high"].map(bound));
                }
            }
            cells
        };
        aligned(&header, self.lines.iter().enumerate().map(row).collect())
    }

    fn name(&self, line: &EffectOf) -> String {
        printable(&self.model.names[line.channel.channel as usize])
    }

    /// A bound of a figure of a line as text; none where it has no bounds.
    fn bound(&self, figure: Figure, line: usize, end: &str) -> Option<String> {
        if matches!(figure.column, "orders" | "evidence") {
            return None;
        }
        let (table, row) = (&self.intervals?.table, self.first + line);
        let place = table.schema().index_of(&format!("{}_{end}", figure.column)).ok()?;
        let text = cell_text(table, place, row).unwrap_or_else(|| "-".to_owned());
        let number = table.column(place).as_primitive_opt::<Float64Type>();
        Some(match number {
            Some(numbers) if text != "-" => written(figure, numbers.value(row)),
            _ => thousands(&text),
        })
    }
}

/// A figure of a line as text.
fn value(figure: Figure, line: &EffectOf) -> String {
    let amount = |minor: i128| thousands(&line.currency.format(minor));
    let number = match figure.column {
        "removal_effect" => line.channel.removal,
        "shapley_value" => line.channel.value,
        "shapley_error" => line.channel.error,
        "strength" => line.channel.strength,
        "half_life" => line.channel.half_life,
        "effect_share" => Some(line.channel.share),
        "effect_conversions" => Some(line.conversions),
        "credit_conversions" => Some(line.credited),
        "conversions_difference" => Some(line.conversions - line.credited),
        "effect_amount" => return amount(line.amount.into()),
        "credit_amount" => return amount(line.credited_amount),
        "amount_difference" => return amount(i128::from(line.amount) - line.credited_amount),
        "orders" => return thousands(&line.evidence.orders.to_string()),
        _ => {
            let few = line.suffices();
            return if few == "enough" { String::new() } else { few.to_owned() };
        }
    };
    number.map_or_else(|| "-".to_owned(), |number| written(figure, number))
}

/// A number as its figure is written.
fn written(figure: Figure, number: f64) -> String {
    // What is nearly nothing has no sign.
    let digits = |digits: usize| {
        let text = format!("{number:.digits$}");
        let zero = text.trim_start_matches('-').chars().all(|digit| matches!(digit, '0' | '.'));
        if zero { text.trim_start_matches('-').to_owned() } else { thousands(&text) }
    };
    match figure.column {
        "removal_effect" => digits(3),
        "shapley_value" | "shapley_error" | "strength" => digits(5),
        "half_life" => in_units(number),
        "effect_share" => format!("{:.1} %", 100.0 * number),
        _ => digits(2),
    }
}

/// Seconds in the greatest unit of which there is one: `3.5d`.
fn in_units(seconds: f64) -> String {
    let units = [("d", 86_400.0), ("h", 3_600.0), ("m", 60.0)];
    let unit = units.into_iter().find(|(_, length)| seconds >= *length);
    let (name, length) = unit.unwrap_or(("s", 1.0));
    format!("{:.1}{name}", seconds / length)
}

/// Why what is owed and what is credited need not agree.
fn explained(model: &ModelEffects) -> String {
    if model.effects.channels.iter().any(|channel| channel.strength.is_some()) {
        return "What is owed is what the touches of a channel are likely to have triggered of all orders. What is credited is the same order by order: conversions differ only because ages are learnt in steps, amounts because orders are not all worth the same.".to_owned();
    }
    let blocked = model.blocked.as_ref().map(|blocked| {
        format!(
            "No split of the orders gives every channel what it is owed: {} {} owed {} conversions, and touched only {}.",
            named(model, &blocked.channels),
            if blocked.channels.len() == 1 { "is" } else { "are" },
            thousands(&format!("{:.2}", blocked.owed)),
            counted(blocked.orders, "order", "orders")
        )
    });
    match (&model.effects.fitting, blocked) {
        (Some(fitting), None) => format!(
            "Orders are divided so that all together give every channel what it is owed, to within {:.0e} conversions; each order adds up.",
            fitting.off.max(1e-12)
        ),
        (Some(fitting), Some(blocked)) => format!("{blocked} {}", closest(model, fitting)),
        (None, Some(blocked)) => format!(
            "{blocked} What is credited adds up order by order, and so gives the rest to the channels that were there."
        ),
        (None, None) => {
            let by = match model.effects.order {
                Some(_) => "in proportion to the effects of the channels of each order",
                None => "by what each channel adds beside the others of the order",
            };
            format!(
                "What is credited adds up order by order, {by}; what is owed is a channel's part of all orders. Some split of the orders would give every channel what it is owed, as `credits=fitted` does; dividing each in proportion is not it."
            )
        }
    }
}

/// How close a split comes that cannot be what is owed.
fn closest(model: &ModelEffects, fitting: &Fitting) -> String {
    let part = |part: f64| format!("{:.1} %", 100.0 * part);
    let levels = fitting.levels.iter().map(|level| level.part);
    let first = fitting.levels.first();
    let least = first.map_or_else(String::new, |level| {
        format!(
            "{} {} {} of it",
            named(model, &level.channels),
            if level.channels.len() == 1 { "gets" } else { "get" },
            part(level.part)
        )
    });
    let others = match (fitting.levels.get(1), levels.clone().next_back()) {
        (Some(next), Some(most)) if next.part < most => {
            format!(", the others {} to {}", part(next.part), part(most))
        }
        (Some(next), _) => format!(", the others {}", part(next.part)),
        (None, _) => String::new(),
    };
    format!(
        "What is credited comes as close as can be, first for the channels that get least: {least}{others}. Each order adds up."
    )
}

/// Channels by name, as many as there is room for.
fn named(model: &ModelEffects, channels: &[u32]) -> String {
    let names = channels.iter().take(NAMED).map(|channel| &model.names[*channel as usize]);
    let names: Vec<String> = names.map(|name| printable(name)).collect();
    match channels.len().checked_sub(NAMED).filter(|more| *more > 0) {
        Some(more) => format!("{} and {more} more", names.join(", ")),
        None => names.join(", "),
    }
}
