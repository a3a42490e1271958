//! The text of a query, parsed: which frames it names, and which of their columns it can mean.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use sqlparser::ast::{Statement as Parsed, visit_relations};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, Tokenizer};

use crate::error::{Error, Result};
use crate::kept::Frame;

/// A query that has been parsed.
#[derive(Debug, Clone)]
pub struct Statement {
    /// The tables that it names, in lower case.
    relations: BTreeSet<String>,
    /// Every word of it that could be a column; none where it may take all of them.
    words: Option<BTreeSet<String>>,
}

impl Statement {
    /// Parses a query: one statement that selects, and changes nothing.
    ///
    /// # Errors
    ///
    /// Text that is none, with the place where it goes wrong.
    ///
    /// # Example
    ///
    /// ```
    /// use apportion::kept::Frame;
    /// use apportion::queries::Statement;
    /// let statement = Statement::parse("one.sql", "select channel from credits")?;
    /// assert!(statement.names(Frame::Credits) && !statement.names(Frame::Orders));
    /// assert!(statement.takes("channel") && !statement.takes("amount"));
    /// # Ok::<(), apportion::Error>(())
    /// ```
    pub fn parse(query: &str, sql: &str) -> Result<Self> {
        let failed = |why: String| Error::Sql { query: query.to_owned(), why, hint: None };
        let parsed = Parser::parse_sql(&GenericDialect {}, sql);
        let parsed = parsed.map_err(|error| failed(said(&error.to_string())))?;
        let [Parsed::Query(_)] = &parsed[..] else {
            return Err(failed("it must be one `select`, which may begin with `with`".to_owned()));
        };
        let mut relations = BTreeSet::new();
        let _: ControlFlow<()> = visit_relations(&parsed, |relation| {
            relations.insert(relation.to_string().trim_matches('"').to_lowercase());
            ControlFlow::Continue(())
        });
        let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize();
        let tokens = tokens.map_err(|error| failed(said(&error.to_string())))?;
        Ok(Self { relations, words: words(&tokens) })
    }

    /// Whether it names a frame.
    pub fn names(&self, frame: Frame) -> bool {
        self.relations.contains(frame.name())
    }

    /// The frames of a run that it names.
    pub fn frames(&self) -> BTreeSet<Frame> {
        Frame::ALL.into_iter().filter(|frame| self.names(*frame)).collect()
    }

    /// Whether it may mean a column of this name.
    pub fn takes(&self, column: &str) -> bool {
        self.words.as_ref().is_none_or(|words| words.contains(&column.to_lowercase()))
    }
}

/// Every word, in lower case; none where a star or a word may stand for columns that are not named.
fn words(tokens: &[Token]) -> Option<BTreeSet<String>> {
    let telling: Vec<&Token> =
        tokens.iter().filter(|token| !matches!(token, Token::Whitespace(_))).collect();
    let mut words = BTreeSet::new();
    for (at, token) in telling.iter().enumerate() {
        match token {
            Token::Word(word) => {
                let word = word.value.to_lowercase();
                // Both speak of columns without their names.
                if ["natural", "columns"].contains(&word.as_str()) {
                    return None;
                }
                words.insert(word);
            }
            Token::Mul => {
                let before = |back: usize| at.checked_sub(back).map(|at| telling[at]);
                let is = |token: Option<&Token>, word: &str| matches!(token, Some(Token::Word(known)) if known.value.eq_ignore_ascii_case(word));
                let counts = matches!(before(1), Some(Token::LParen)) && is(before(2), "count");
                let selects = is(before(1), "select")
                    || is(before(1), "distinct")
                    || matches!(before(1), Some(Token::Comma | Token::Period | Token::LParen));
                if selects && !counts {
                    return None;
                }
            }
            _ => {}
        }
    }
    Some(words)
}

/// What the parser says, in the words of our errors.
fn said(message: &str) -> String {
    let words = [
        ("sql parser error: ", ""),
        ("Expected: ", "expected "),
        ("found: EOF", "found the end of the query"),
        ("found: ", "found "),
        (" at Line: ", " at line "),
        (", Column: ", ", column "),
    ];
    let said =
        words.iter().fold(message.to_owned(), |said, (theirs, ours)| said.replace(theirs, ours));
    said.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_named_is_taken_and_a_star_takes_everything() {
        let parse = |sql: &str| Statement::parse("a", sql).unwrap();
        let counted = parse("select count(*) as n, 2 * sum(c.amount) from credits as c");
        assert!(counted.takes("amount") && !counted.takes("model"));
        for all in [
            "select * from credits",
            "select c.* from credits c",
            "select distinct * from credits",
            "select * exclude (role) from credits",
            "select count(*), (select count(*) from (select * from orders)) from credits",
        ] {
            assert!(parse(all).takes("model"), "{all}");
        }
        let with = parse(
            "with named as (select channel from credits) select channel from named join orders using (channel) -- from spend",
        );
        assert_eq!(with.frames(), [Frame::Credits, Frame::Orders].into());
    }

    #[test]
    fn what_is_no_question_is_refused_with_the_place() {
        for (sql, why) in [
            ("select channel frm credits", "found credits at line 1, column 20"),
            ("select channel from credits where", "the end of the query"),
            ("drop table credits", "one `select`"),
            ("select 1; select 2", "one `select`"),
            ("", "one `select`"),
        ] {
            let error = Statement::parse("a", sql).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
