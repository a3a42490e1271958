//! Texts as they may be shown: without the passwords and tokens of addresses that they quote.
//!
//! For messages, events and records, which quote what was typed. Not for an address that was understood:
//! that holds no secret to begin with (see `objects` and `databases`).

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

/// What is hidden, and what stands in its place.
static HIDDEN: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let secret = "[a-z0-9_-]*(?:token|secret|signature|password|credential|key|sig)[a-z0-9_-]*";
    let hidden = [
        // A password may hold what ought to be escaped in it: all up to the last `@` is one.
        (r#"([a-z][a-z0-9+.-]*://[^:/@?\s"'`]*):[^\s"'`]*@"#.to_owned(), "$1@"),
        // Of a web address whoever stands before the `@` is a token as often as a name.
        (r#"(https?://)[^/@?\s"'`]+@"#.to_owned(), "$1"),
        (format!(r#"([?&;]{secret}=)[^&\s"'`]*"#), "$1\u{2026}"),
    ];
    let compiled = hidden.into_iter().map(|(pattern, shown)| {
        Regex::new(&format!("(?i){pattern}")).ok().map(|pattern| (pattern, shown))
    });
    compiled.collect::<Option<_>>().unwrap_or_default()
});

/// A text without the passwords and tokens of addresses that it quotes.
pub(crate) fn concealed(text: &str) -> String {
    HIDDEN.iter().fold(text.to_owned(), |text, (pattern, shown)| {
        pattern.replace_all(&text, *shown).into_owned()
    })
}

/// A value in which every text is [`concealed`].
pub(crate) fn concealed_value(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(concealed(&text)),
        Value::Array(values) => values.into_iter().map(concealed_value).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(name, value)| (name, concealed_value(value))).collect()
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_and_no_token_of_an_address_is_shown() {
        for (text, shown) in [
            ("cannot read `s3://bucket/a.parquet`", "cannot read `s3://bucket/a.parquet`"),
            ("postgres://ann:hu:s/h@host/db failed", "postgres://ann@host/db failed"),
            ("postgres://ann:hu@sh@host/db failed", "postgres://ann@host/db failed"),
            ("https://token@host/a and https://a:b@host", "https://host/a and https://host"),
            (
                "http://host:8080/a/b mail ann@example.org",
                "http://host:8080/a/b mail ann@example.org",
            ),
            (
                "https://x/y?X-Amz-Signature=abc&part=1&sig=d",
                "https://x/y?X-Amz-Signature=\u{2026}&part=1&sig=\u{2026}",
            ),
            (
                "3 | output = \"postgres://ann:s3c:ret@h/d?password=s3c&a=b\"",
                "3 | output = \"postgres://ann@h/d?password=\u{2026}&a=b\"",
            ),
        ] {
            assert_eq!(concealed(text), shown);
        }
        let value = serde_json::json!({"a": ["x?key=\"b", {"b": "y://u:p@h"}], "c": 1});
        let shown = serde_json::json!({"a": ["x?key=\u{2026}\"b", {"b": "y://u@h"}], "c": 1});
        assert_eq!(concealed_value(value), shown);
    }
}
