//! How coverage reads on a terminal: titled tables, the longest ones cut and summed up.

use std::collections::BTreeMap;

use crate::channels::{NOT_MAPPED, Near};
use crate::credits::share;
use crate::engine::Credited;
use crate::money::Currency;
use crate::output::table::{aligned, printable};
use crate::output::{Align, shortened, thousands};
use crate::report::coverage::{Coverage, Covered};
use crate::report::terminal::{ROWS, WIDTH};

/// Characters of a name, from what is comfortable to what must do; see [`Layout::block`].
const ROOMS: [usize; 4] = [28, 24, 20, 16];

/// Coverage as text: by channel, by rule, what is not mapped, what each source and medium is taken
/// for, near misses, and own rules that took nothing. Amounts of a table add up to its orders.
pub fn render_coverage(coverage: &Coverage) -> String {
    let mut text = String::new();
    for currency in coverage.currencies() {
        let of_currency: Vec<&Covered> =
            coverage.covered.iter().filter(|covered| covered.currency == currency).collect();
        let layout = Layout { currency, orders: coverage.orders, covered: &of_currency };
        // What is not mapped is one channel here; its sources stand below.
        let channel = |covered: &Covered| {
            let mapped = covered.is_mapped() || covered.unattributed;
            vec![if mapped { covered.channel.clone() } else { NOT_MAPPED.to_owned() }]
        };
        text.push_str(&layout.mapped());
        text.push_str(&layout.table("by channel", &["channel"], &|_| true, &channel));
        let rule = |covered: &Covered| vec![covered.rule.clone()];
        text.push_str(&layout.table("by rule", &["rule"], &|_| true, &rule));
        let both = |covered: &Covered| vec![format!("{} / {}", covered.source, covered.medium)];
        let not_mapped = |covered: &Covered| !covered.is_mapped() && !covered.unattributed;
        text.push_str(&layout.table("not mapped", &["source / medium"], &not_mapped, &both));
        let with_rule = |covered: &Covered| {
            if covered.unattributed {
                return vec![covered.rule.clone()];
            }
            vec![format!("{} / {}", covered.source, covered.medium), covered.rule.clone()]
        };
        let names = ["source / medium", "rule"];
        text.push_str(&layout.table("which rule took it", &names, &|_| true, &with_rule));
        text.push_str(&layout.near_misses(coverage));
    }
    if !coverage.dead.is_empty() {
        text.push_str("own rules that took nothing\n\n");
        for [rule, ..] in &coverage.dead {
            text.push_str(&format!("{}\n", printable(rule)));
        }
        text.push('\n');
    }
    text.pop();
    text
}

/// What several entries come to.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    sessions: u64,
    credited: Credited,
}

impl Sum {
    fn of<'a>(covered: impl IntoIterator<Item = &'a Covered>) -> Self {
        let mut sum = Self::default();
        for covered in covered {
            sum.sessions += covered.sessions;
            sum.credited.add(&covered.credited);
        }
        sum
    }

    fn add(&mut self, other: &Self) {
        self.sessions += other.sessions;
        self.credited.add(&other.credited);
    }
}

struct Layout<'a> {
    currency: Currency,
    orders: bool,
    covered: &'a [&'a Covered],
}

impl Layout<'_> {
    fn title(&self, title: &str) -> String {
        if self.orders {
            format!("{title} \u{b7} {}\n\n", self.currency)
        } else {
            format!("{title}\n\n")
        }
    }

    /// The share of sessions and of attributed credit that rules took.
    fn mapped(&self) -> String {
        let touched = || self.covered.iter().copied().filter(|covered| !covered.unattributed);
        let (all, mapped) =
            (Sum::of(touched()), Sum::of(touched().filter(|covered| covered.is_mapped())));
        let number = |count: u64| thousands(&count.to_string());
        let of = |part: i128, whole: i128| {
            let part = 100.0 * part as f64 / whole as f64;
            if part.is_finite() { format!(" ({part:.1} %)") } else { String::new() }
        };
        let mut text = format!(
            "{} of {} sessions are mapped to a channel{}\n",
            number(mapped.sessions),
            number(all.sessions),
            of(mapped.sessions.into(), all.sessions.into())
        );
        if self.orders {
            let amount = |sum: &Sum| thousands(&self.currency.format(sum.credited.amount));
            text.push_str(&format!(
                "{} of {} {} attributed by last click are{}\n",
                amount(&mapped),
                amount(&all),
                self.currency,
                of(mapped.credited.amount, all.credited.amount)
            ));
        }
        text.push('\n');
        text
    }

    /// A titled table of what `wanted` holds for, summed by name; nothing where that is nothing.
    fn table(
        &self,
        title: &str,
        names: &[&str],
        wanted: &dyn Fn(&Covered) -> bool,
        name: &dyn Fn(&Covered) -> Vec<String>,
    ) -> String {
        let mut sums: BTreeMap<(bool, Vec<String>), Sum> = BTreeMap::new();
        for covered in self.covered.iter().filter(|covered| wanted(covered)) {
            let sum = sums.entry((covered.unattributed, name(covered))).or_default();
            sum.add(&Sum::of([*covered]));
        }
        let rows = sums.into_iter().map(|((_, names), sum)| (names, sum)).collect();
        self.block(title, names, rows)
    }

    /// Sources and mediums that are likely misspelt, and what is under that spelling.
    fn near_misses(&self, coverage: &Coverage) -> String {
        let mut rows: Vec<(Vec<String>, Sum)> = Vec::new();
        let mut add = |found: &BTreeMap<String, Near>,
                       field: &str,
                       of: &dyn Fn(&Covered) -> &String| {
            for (text, near) in found {
                let under = self.covered.iter().copied();
                let under = under.filter(|covered| !covered.unattributed && of(covered) == text);
                let names = [field, text, &near.to, &near.by.to_string()].map(str::to_owned);
                rows.push((names.to_vec(), Sum::of(under)));
            }
        };
        add(&coverage.sources, "source", &|covered| &covered.source);
        add(&coverage.mediums, "medium", &|covered| &covered.medium);
        self.block("near misses in spelling", &["of", "written", "near to", "differs by"], rows)
    }

    /// A titled table of sums: the greatest amount, then the most sessions, first; what is not
    /// shown is summed up. Shares are of everything.
    ///
    /// What is wider than a terminal loses what can best be done without, then gets less room for names.
    fn block(&self, title: &str, names: &[&str], mut rows: Vec<(Vec<String>, Sum)>) -> String {
        if rows.is_empty() {
            return String::new();
        }
        rows.sort_by(|(left_names, left), (right_names, right)| {
            (right.credited.amount.cmp(&left.credited.amount))
                .then_with(|| right.sessions.cmp(&left.sessions))
                .then_with(|| left_names.cmp(right_names))
        });
        let mut total = Sum::default();
        for (_, sum) in &rows {
            total.add(sum);
        }
        let whole = Sum::of(self.covered.iter().copied());
        if rows.len() > ROWS + 1 {
            let mut rest = Sum::default();
            for (_, sum) in &rows[ROWS..] {
                rest.add(sum);
            }
            let more = format!("({} more)", thousands(&(rows.len() - ROWS).to_string()));
            rows.truncate(ROWS);
            rows.push((vec![more], rest));
        }
        // A value may stand under two spellings, its source's and its medium's: no sum means anything.
        if names.len() <= 2 {
            rows.push((vec!["total".to_owned()], total));
        }
        let full: &[&str] = if self.orders {
            &["sessions", "conversions", "amount", "share"]
        } else {
            &["sessions", "share"]
        };
        let brief: &[&str] = if self.orders { &["sessions", "amount"] } else { &["sessions"] };
        let layouts = [full, brief];
        let layouts = layouts.iter().flat_map(|figures| ROOMS.map(|room| (*figures, room)));
        let mut text = String::new();
        for (figures, room) in layouts {
            text = self.laid_out(names, figures, &rows, whole, room);
            if text.lines().all(|line| line.chars().count() <= WIDTH) {
                break;
            }
        }
        format!("{}{text}\n", self.title(title))
    }

    fn laid_out(
        &self,
        names: &[&str],
        figures: &[&str],
        rows: &[(Vec<String>, Sum)],
        whole: Sum,
        room: usize,
    ) -> String {
        let mut header: Vec<(&str, Align)> =
            names.iter().map(|name| (*name, Align::Left)).collect();
        header.extend(figures.iter().map(|name| (*name, Align::Right)));
        let cells = rows.iter().map(|(labels, sum)| {
            let label = |at: usize| labels.get(at).map_or("", String::as_str);
            // The name of a rule says which it is with its first letters, and is not cut.
            let cell = |at: usize| {
                let text = printable(label(at));
                if names[at] == "rule" { text } else { shortened(&text, room) }
            };
            let figures = figures.iter().map(|figure| self.figure(figure, sum, &whole));
            (0..names.len()).map(cell).chain(figures).collect()
        });
        aligned(&header, cells.collect())
    }

    fn figure(&self, figure: &str, sum: &Sum, whole: &Sum) -> String {
        let percent = |part: f64| {
            if part.is_finite() { format!("{:.1} %", part * 100.0) } else { String::new() }
        };
        match figure {
            "sessions" => thousands(&sum.sessions.to_string()),
            "conversions" => thousands(&format!("{:.2}", share(sum.credited.conversions))),
            "amount" => thousands(&self.currency.format(sum.credited.amount)),
            _ if self.orders && whole.credited.amount != 0 => {
                percent(sum.credited.amount as f64 / whole.credited.amount as f64)
            }
            _ => percent(sum.sessions as f64 / whole.sessions as f64),
        }
    }
}
