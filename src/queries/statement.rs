//! The text of a query, parsed: which frames it names, and which of their columns it can mean.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use sqlparser::ast::{Statement as Parsed, visit_relations};
use sqlparser::dialect::GenericDialect;
use sqlparser::keywords::Keyword;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, Tokenizer};

use crate::error::{Error, Result};
use crate::kept::Frame;

/// Bytes of a query.
const MOST_BYTES: usize = 1 << 20;

/// How deep an expression may be. A chain of `or` or `+` is a tree as deep as it is long, and the SQL layer
/// works one out on threads of its own, whose stacks are small: fifty are too many in a build without
/// optimisation.
const DEEPEST: usize = 40;

/// How many `select`s a query may have: those that `union` joins lie within each other, as steps do.
const MOST_SELECTS: usize = 100;

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
        if sql.len() > MOST_BYTES {
            return Err(failed(format!("it is longer than {} KiB", MOST_BYTES >> 10)));
        }
        let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize();
        let tokens = tokens.map_err(|error| failed(said(&error.to_string())))?;
        check_depth(&tokens).map_err(|(why, hint)| Error::Sql {
            query: query.to_owned(),
            why,
            hint: Some(hint.to_owned()),
        })?;
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

/// Why a query lies deeper within itself than can be worked out, if it does, and what would be right.
fn check_depth(tokens: &[Token]) -> Result<(), (String, &'static str)> {
    let selects = tokens.iter().filter(|token| is_word(token, &[Keyword::SELECT])).count();
    if selects > MOST_SELECTS {
        return Err((
            format!("it has {selects} `select`s, more than {MOST_SELECTS}"),
            "ask it as several queries",
        ));
    }
    let depth = depth(tokens);
    if depth > DEEPEST {
        return Err((
            format!("an expression of it is {depth} operators deep, more than {DEEPEST}"),
            "`column in ('a', 'b')` takes any number of values, `concat(a, b)` any number of texts, and `with` divides a sum into steps",
        ));
    }
    Ok(())
}

/// How many operators lie within each other in the deepest expression, at most: those of a chain do, and
/// those in parentheses lie within those around them.
fn depth(tokens: &[Token]) -> usize {
    /// Between parentheses, or `case` and `end`: the chain that is being read, and the deepest that was.
    #[derive(Default)]
    struct Group {
        chain: usize,
        within: usize,
        deepest: usize,
    }
    impl Group {
        /// An expression ends.
        fn end(&mut self) {
            self.deepest = self.deepest.max(self.chain + self.within);
            (self.chain, self.within) = (0, 0);
        }
    }
    let mut groups = vec![Group::default()];
    for token in tokens {
        let Some(group) = groups.last_mut() else { break };
        if matches!(token, Token::LParen) || is_word(token, &[Keyword::CASE]) {
            groups.push(Group::default());
        } else if matches!(token, Token::RParen) || is_word(token, &[Keyword::END]) {
            group.end();
            let deepest = group.deepest;
            // One that was never opened is told of where it is parsed.
            if groups.len() > 1 {
                groups.pop();
            }
            if let Some(around) = groups.last_mut() {
                around.within = around.within.max(deepest + 1);
            }
        } else if is_word(token, OPERATORS) || is_sign(token) {
            group.chain += 1;
        } else if matches!(token, Token::Comma) || is_word(token, ENDS) {
            group.end();
        }
    }
    for group in &mut groups {
        group.end();
    }
    // What is not closed is as deep as all that is open.
    groups.iter().map(|group| group.deepest).sum()
}

/// Words that join or change values.
const OPERATORS: &[Keyword] = &[
    Keyword::OR,
    Keyword::AND,
    Keyword::NOT,
    Keyword::XOR,
    Keyword::IS,
    Keyword::IN,
    Keyword::LIKE,
    Keyword::ILIKE,
    Keyword::RLIKE,
    Keyword::REGEXP,
    Keyword::SIMILAR,
    Keyword::BETWEEN,
    Keyword::DIV,
    Keyword::COLLATE,
];

/// Words before which an expression ends.
const ENDS: &[Keyword] = &[
    Keyword::SELECT,
    Keyword::FROM,
    Keyword::WHERE,
    Keyword::GROUP,
    Keyword::HAVING,
    Keyword::QUALIFY,
    Keyword::ORDER,
    Keyword::BY,
    Keyword::LIMIT,
    Keyword::JOIN,
    Keyword::ON,
    Keyword::UNION,
    Keyword::EXCEPT,
    Keyword::INTERSECT,
    Keyword::WHEN,
    Keyword::THEN,
    Keyword::ELSE,
];

fn is_word(token: &Token, words: &[Keyword]) -> bool {
    matches!(token, Token::Word(word) if word.quote_style.is_none() && words.contains(&word.keyword))
}

/// Whether a token is a sign that joins or changes values, whatever the SQL layer makes of it.
fn is_sign(token: &Token) -> bool {
    !matches!(
        token,
        Token::Word(_)
            | Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::DoubleQuotedString(_)
            | Token::Whitespace(_)
            | Token::Comma
            | Token::Period
            | Token::SemiColon
            | Token::LParen
            | Token::RParen
            | Token::EOF
    )
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
    fn what_lies_too_deep_is_refused_with_the_limit_and_what_to_do() {
        let chain = |joined: &str, count: usize| vec!["amount"; count].join(joined);
        let nested = |count: usize| format!("{}1{}", "abs(".repeat(count), ")".repeat(count));
        let fine = [
            chain(" + ", 40),
            chain(", ", 500),
            nested(30),
            format!("channel in ({})", chain(", ", 500)),
            format!("case {} end", "when amount > 1 then 2 ".repeat(100)),
        ];
        for expression in fine {
            let sql = format!("select {expression} from credits");
            Statement::parse("a", &sql).unwrap();
        }
        let deep = [
            chain(" or ", 42),
            chain(" || ", 42),
            chain("::double + ", 22),
            format!("({}) + {}", chain(" + ", 20), chain(" * ", 30)),
            vec!["case when amount > 1 then 2 end"; 42].join(" + "),
            chain(" or ", 50_000),
        ];
        for expression in deep {
            let error = Statement::parse("a", &format!("select {expression} from credits"));
            let error = error.unwrap_err();
            assert!(error.to_string().contains("operators deep, more than 40"), "{error}");
            assert!(error.hint().unwrap().contains("any number of values"));
        }
        let many = vec!["select channel from credits"; 101].join(" union all ");
        let error = Statement::parse("a", &many).unwrap_err().to_string();
        assert!(error.contains("it has 101 `select`s, more than 100"), "{error}");
        let long = format!("select 1 -- {}", "x".repeat(1 << 20));
        assert!(Statement::parse("a", &long).unwrap_err().to_string().contains("1024 KiB"));
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
