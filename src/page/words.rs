//! What the figures of a page mean, each in a sentence or two.
//!
//! `docs/measures.md` says the same at length, with examples.

/// A word, and what it means.
pub(super) const WORDS: &[(&str, &str)] = &[
    ("Acquisition", "The part of the credit that is of orders that are the first of their person."),
    (
        "Amount",
        "The sum of the parts of orders' amounts that a model gives to the touches of a line. Exact: the lines of a model add up to the orders.",
    ),
    (
        "Assist ratio",
        "Touches that started or assisted a journey, for each one that closed it or stood alone. Above one a line rather starts and assists than closes.",
    ),
    ("Attributed", "Orders whose journey has at least one touch."),
    ("Average order", "What orders are worth, by their number."),
    (
        "Average time to conversion",
        "Seconds from a touch to its order, each weighted by the touch's share of the order.",
    ),
    ("Bounce rate", "The part of the sessions that were short and had no interactions."),
    ("Buyers", "Distinct persons with an order."),
    ("Change", "The figure of this period minus that of the period that it is compared with."),
    ("Conversion rate", "Conversions of a line by its sessions."),
    (
        "Conversions",
        "The sum of the shares of orders that a model gives to the touches of a line. An order is one conversion in all.",
    ),
    ("Cost", "What was paid for a line in the period."),
    ("CPA", "Cost per acquisition: cost by conversions."),
    (
        "Credited",
        "What a model gave to touches and to the line of orders without touches. It must equal what is owed.",
    ),
    ("Cross-device", "Orders whose journey has touches on more than one type of device."),
    (
        "High",
        "The upper end of the interval of the figure before it: other persons of the same kind would seldom have given more.",
    ),
    (
        "Low",
        "The lower end of the interval of the figure before it: other persons of the same kind would seldom have given less.",
    ),
    (
        "Orders",
        "Distinct orders that count: in the period, not cancelled, asked for. Of a line: those with a touch of it, whoever gets the credit.",
    ),
    ("Owed", "What the orders are worth that a model had to divide."),
    ("Path length", "How many touches the journey of an order has, in its window."),
    ("Persons", "Distinct persons with an order that has a touch of the line."),
    ("Relative change", "The change as a part of what the figure was."),
    ("Repeat orders", "Orders that are not the first of their person."),
    (
        "Retention",
        "The part of the credit that is of orders that are not the first of their person.",
    ),
    (
        "Revenue",
        "What all orders are worth, net of refunds. Every model divides it, and none adds to it.",
    ),
    ("ROAS", "Return on advertising spend: amount by cost."),
    (
        "Roles",
        "A touch is alone in its journey, initiator (the first), closer (the last) or assisting (between); counted once for each order.",
    ),
    (
        "Rows",
        "Rows of a table as they were read, accepted and rejected: accepted and rejected make up all.",
    ),
    ("Sessions", "Sessions of the period, whether they led to an order or not."),
    ("Share", "The figure by its sum over all lines of the same model and currency."),
    (
        "Spread",
        "The greatest minus the least amount that any model of this report gives to the line: how much hangs on the choice of a model.",
    ),
    (
        "Stubs",
        "Users that are known only from a session, an order or an alias. They are healed when their profile is read.",
    ),
    ("Then", "The figure of the period that is compared with."),
    ("Time lag", "The time from the first touch of an order's journey to the order."),
    (
        "Unattributed",
        "Orders without a touch in their window. Their amount is a line of its own, so that every report adds up.",
    ),
];

/// What a word means.
pub(super) fn meaning(word: &str) -> Option<&'static str> {
    WORDS.iter().find(|(known, _)| *known == word).map(|(_, meaning)| *meaning)
}

/// The word that defines a column of the report or of another table.
pub(super) fn of_column(name: &str) -> Option<&'static str> {
    let endings = [
        ("_low", "Low"),
        ("_high", "High"),
        ("_then", "Then"),
        ("_change_ratio", "Relative change"),
        ("_change", "Change"),
        ("_share", "Share"),
    ];
    if let Some((_, word)) = endings.iter().find(|(ending, _)| name.ends_with(ending)) {
        return Some(word);
    }
    let starts = [("acquisition_", "Acquisition"), ("retention_", "Retention")];
    if let Some((_, word)) = starts.iter().find(|(start, _)| name.starts_with(start)) {
        return Some(word);
    }
    Some(match name {
        "alone" | "initiator" | "assisting" | "closer" => "Roles",
        "average_time_to_conversion" => "Average time to conversion",
        "bounce_rate" => "Bounce rate",
        "conversion_rate" => "Conversion rate",
        "cost" => "Cost",
        "cpa" => "CPA",
        "orders" => "Orders",
        "persons" => "Persons",
        "roas" => "ROAS",
        "sessions" => "Sessions",
        name if name == "amount" || name.ends_with("_amount") => "Amount",
        name if name == "conversions" || name.ends_with("_conversions") => "Conversions",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_in_the_order_of_the_alphabet_and_have_a_meaning() {
        let folded = |word: &str| word.to_lowercase();
        assert!(WORDS.windows(2).all(|pair| folded(pair[0].0) < folded(pair[1].0)));
        assert!(WORDS.iter().all(|(_, meaning)| meaning.ends_with('.')));
    }

    #[test]
    fn every_word_that_a_column_has_is_there() {
        let columns = [
            "amount_low",
            "linear_amount",
            "acquisition_amount",
            "amount_share",
            "closer",
            "cost",
            "cpa",
            "orders",
            "persons",
            "roas",
            "sessions",
            "bounce_rate",
            "conversion_rate",
            "amount_then",
            "average_time_to_conversion",
            "amount_change",
            "amount_change_ratio",
            "amount_high",
            "retention_conversions",
            "linear_conversions",
        ];
        for column in columns {
            assert!(of_column(column).and_then(meaning).is_some(), "{column}");
        }
        assert_eq!(of_column("channel"), None);
    }
}
