//! The page as HTML: every text is escaped, and its one style and one script are the only ones that
//! its policy lets a browser use.
//!
//! Not for what is shown; that is the data of [`Page`].

use std::cmp::Ordering;
use std::collections::BTreeSet;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use super::words::{WORDS, meaning};
use super::{Column, Figure, Page, Part, Row, RowKind, Section, Table};
use crate::charts::Chart;
use crate::error::Result;
use crate::output::Align;
use crate::output::table::printable_lines;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// Pixels of a chart on a desk and in a hand.
const WIDE: u32 = 960;
const NARROW: u32 = 420;

/// The whole page.
pub(super) fn document(page: &Page) -> Result<String> {
    let mut ids = Ids::default();
    let sections: Vec<Markup> =
        page.sections.iter().map(|one| section(one, &mut ids)).collect::<Result<_>>()?;
    let body = html! {
        a.skip href="#main" { "Skip to the figures" }
        header {
            div.title {
                h1 { (page.title) }
                (theme_button())
            }
            dl.facts {
                @for (name, value) in &page.facts { div { dt { (name) } dd { (value) } } }
            }
            nav aria-label="Sections" {
                ul {
                    @for one in &page.sections { li { a href={ "#" (one.id) } { (one.title) } } }
                    li { a href="#words" { "Words" } }
                }
            }
        }
        main id="main" tabindex="-1" {
            @if !page.notes.is_empty() {
                aside aria-label="Warnings" {
                    @for note in &page.notes { p { strong { "Note: " } (note) } }
                }
            }
            @for one in &sections { (one) }
            (glossary(&ids.words))
        }
        (footer())
    };
    Ok(around(&page.title, &body))
}

/// A page of one table, for results that have no page of their own; `left_out` rows are not shown.
pub(super) fn table_page(table: &Table, left_out: usize) -> String {
    let mut ids = Ids::default();
    let shown = html! {
        a.skip href="#main" { "Skip to the table" }
        header { div.title { h1 { (table.caption) } (theme_button()) } }
        main id="main" tabindex="-1" {
            @if left_out > 0 {
                aside aria-label="Warnings" {
                    p { strong { "Note: " } (crate::output::counted(left_out, "more row is", "more rows are"))
                        " left out here; the result as CSV or Parquet has them." }
                }
            }
            (self::table(table, &mut ids))
            (glossary(&ids.words))
        }
        (footer())
    };
    around(&table.caption, &shown)
}

fn theme_button() -> Markup {
    html! { button.theme type="button" hidden { "Dark" } }
}

fn footer() -> Markup {
    html! { footer { p { "Made by apportion " (env!("CARGO_PKG_VERSION")) ". The page is complete: it asks for nothing from any network." } } }
}

/// The document around a body, with the policy that lets a browser use this style and this script,
/// and nothing else.
fn around(title: &str, body: &Markup) -> String {
    let hash = |text: &str| BASE64_STANDARD.encode(Sha256::digest(text));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; form-action 'none'",
        hash(STYLE),
        hash(SCRIPT)
    );
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (body)
                div.tip id="tip" role="tooltip" hidden {}
                p.said id="said" aria-live="polite" {}
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    // A browser leaves out what it cannot show, and two labels would look like one.
    let mut text = printable_lines(&page.into_string());
    text.push('\n');
    text
}

/// Numbers for what has to be named, and the words that were used.
#[derive(Default)]
struct Ids {
    charts: usize,
    tables: usize,
    words: BTreeSet<&'static str>,
}

/// How a word is called in links.
fn word_id(word: &str) -> String {
    let letters = word
        .chars()
        .map(|letter| if letter.is_alphanumeric() { letter.to_ascii_lowercase() } else { '-' });
    format!("word-{}", letters.collect::<String>())
}

fn section(section: &Section, ids: &mut Ids) -> Result<Markup> {
    let parts: Vec<Markup> =
        section.parts.iter().map(|one| part(one, ids)).collect::<Result<_>>()?;
    Ok(html! {
        section id=(section.id) aria-labelledby={ (section.id) "-heading" } {
            h2 id={ (section.id) "-heading" } { (section.title) }
            p.lead { (code(&section.lead)) }
            @for one in &parts { (one) }
        }
    })
}

/// A sentence in which words in backticks are code.
fn code(text: &str) -> Markup {
    html! {
        @for (at, piece) in text.split('`').enumerate() {
            @if at % 2 == 1 { code { (piece) } } @else { (piece) }
        }
    }
}

fn part(part: &Part, ids: &mut Ids) -> Result<Markup> {
    Ok(match part {
        Part::Heading(text) => html! { h3 { (text) } },
        Part::Text(text) => html! { p { (text) } },
        Part::Figures(figures) => html! {
            dl.figures { @for one in figures { (figure(one, ids)) } }
        },
        Part::Chart(_, one) => chart(one, ids)?,
        Part::Table(one) => table(one, ids),
    })
}

/// A name that explains itself to whoever points at it or comes to it by keyboard.
fn named(name: &str, word: Option<&'static str>, ids: &mut Ids) -> Markup {
    let Some(word) = word.filter(|word| meaning(word).is_some()) else { return html! { (name) } };
    ids.words.insert(word);
    html! { a.word href={ "#" (word_id(word)) } aria-describedby=(word_id(word)) { (name) } }
}

fn figure(figure: &Figure, ids: &mut Ids) -> Markup {
    html! {
        div {
            dt { (named(&figure.name, figure.word, ids)) }
            dd.value { (figure.value) }
            @if let Some(change) = &figure.change {
                dd class=(match change.direction {
                    Ordering::Greater => "change up",
                    Ordering::Less => "change down",
                    Ordering::Equal => "change",
                }) { (change.text) }
            }
            @if !figure.detail.is_empty() { dd.detail { (figure.detail) } }
        }
    }
}

fn chart(chart: &Chart, ids: &mut Ids) -> Result<Markup> {
    ids.charts += 1;
    let wide = chart.part(WIDE, "wide", &format!("chart-{}", ids.charts))?;
    let narrow = chart.part(NARROW, "narrow", &format!("chart-{}-narrow", ids.charts))?;
    Ok(html! {
        figure {
            figcaption { (chart.title) }
            (PreEscaped(wide))
            (PreEscaped(narrow))
        }
    })
}

fn table(table: &Table, ids: &mut Ids) -> Markup {
    ids.tables += 1;
    let id = format!("table-{}", ids.tables);
    html! {
        div.table id=(id) {
            div.scroll role="region" aria-labelledby={ (id) "-caption" } tabindex="0" {
                table {
                    caption id={ (id) "-caption" } { (table.caption) }
                    thead { tr { @for column in &table.columns { (head(column, ids)) } } }
                    tbody { @for one in &table.rows { (row(one, &table.columns)) } }
                }
            }
        }
    }
}

fn head(column: &Column, ids: &mut Ids) -> Markup {
    let describes = column.word.filter(|word| meaning(word).is_some());
    ids.words.extend(describes);
    html! {
        th scope="col" class=[(column.align == Align::Right).then_some("number")] {
            button type="button" aria-describedby=[describes.map(word_id)] { (column.name) }
        }
    }
}

fn row(row: &Row, columns: &[Column]) -> Markup {
    let kind = match row.kind {
        RowKind::Line => None,
        RowKind::Rest => Some("rest"),
        RowKind::Total => Some("total"),
    };
    html! {
        tr class=[kind] {
            @for (at, (cell, column)) in row.cells.iter().zip(columns).enumerate() {
                @let number = (column.align == Align::Right).then_some("number");
                // What reads like its figure need not be said twice.
                @let value = cell.value.as_ref().filter(|value| **value != cell.text);
                @if at == 0 {
                    th scope="row" class=[number] data-value=[value] { (cell.text) }
                } @else {
                    td class=[number] data-value=[value] { (cell.text) }
                }
            }
        }
    }
}

fn glossary(used: &BTreeSet<&'static str>) -> Markup {
    html! {
        @if !used.is_empty() {
            section id="words" aria-labelledby="words-heading" {
                h2 id="words-heading" { "Words" }
                p.lead { "What the figures mean. Point at a name, or come to it by keyboard, to read its meaning in place." }
                dl.words {
                    @for (word, meaning) in WORDS.iter().filter(|(word, _)| used.contains(word)) {
                        div { dt { (word) } dd id=(word_id(word)) { (meaning) } }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::charts::{Theme, Tone};
    use crate::page::Cell;

    #[test]
    fn whatever_a_source_is_called_it_is_text() {
        let evil = "</script><img src=x onerror=alert(1)>\"'&";
        let table = Table {
            caption: evil.to_owned(),
            columns: vec![Column::text(evil), Column::figure(evil, "Amount")],
            rows: vec![Row::line(vec![
                Cell::text(evil),
                Cell { text: evil.to_owned(), value: Some("\"><b>".to_owned()) },
            ])],
        };
        let text = table_page(&table, 0);
        assert!(!text.contains("<img") && !text.contains("<b>"), "{text}");
        // One script, and it is ours.
        assert_eq!(text.matches("<script").count(), 1);
        assert_eq!(text.matches("</script").count(), 1);
    }

    #[test]
    fn style_and_script_end_where_they_end_and_ask_for_nothing() {
        for text in [STYLE, SCRIPT] {
            assert!(!text.contains("</"), "what would end the element");
            assert!(!text.contains("http") && !text.contains("url(") && !text.contains("@import"));
        }
    }

    #[test]
    fn every_tone_of_a_chart_has_its_like_on_a_dark_screen() {
        for tone in Tone::ALL.into_iter().filter(|tone| *tone != Tone::Paper) {
            let light = tone.hex(Theme::Light);
            for painted in ["fill", "stroke"] {
                let rule = format!("[{painted}=\"{light}\"]");
                assert!(STYLE.contains(&rule), "style.css has no rule for {rule}");
            }
            assert!(STYLE.contains(&tone.hex(Theme::Dark)), "{tone:?}");
        }
    }
}
