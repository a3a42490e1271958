//! Why credit changed: the causes, in the order in which an order is asked for them.
//!
//! Not for how much: that is `account`.

use serde::Serialize;

/// Why credit is another in the second run.
///
/// An order is asked for causes from the first on. What an order as a whole is (it is there, it counts, in
/// which currency) is one cause; else what it is worth, what its touches are called, and which
/// touches it has are each of one cause, and what each does is kept apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The order is only in the second run.
    NewOrder,
    /// The order is only in the first run.
    GoneOrder,
    /// The order was cancelled between the runs.
    Cancelled,
    /// The order is no longer cancelled.
    Reinstated,
    /// The order lies in the period of one of the runs only.
    Moved,
    /// A filter of one of the runs leaves the order out.
    Filtered,
    /// The order has no exchange rate in one of the runs.
    Rate,
    /// The order is in another currency.
    Currency,
    /// Another part of the order was paid back.
    Refund,
    /// The order has another price.
    Price,
    /// Price and refund are the same, and what they are worth is not: another rate.
    Converted,
    /// The utm fields of the touch are others.
    Tags,
    /// A discount code of the order stands for another origin.
    DiscountCode,
    /// Other fields of the touch are others: its referrer, landing page, domain or device.
    Fields,
    /// The touch is the same, and the rules give it another channel.
    ChannelRules,
    /// The journey has touches that the first run did not know.
    LateTouches,
    /// The journey lacks touches that the second run does not know.
    GoneTouches,
    /// Other user ids are the order's person.
    Identity,
    /// Another previous order ends the window.
    PreviousOrder,
    /// The order or its touches were at other times.
    Times,
    /// The runs were asked otherwise.
    Settings,
    /// The touches are the same and weigh otherwise: what a model learnt, or its parameters.
    Weights,
    /// None of these.
    Other,
}

impl Cause {
    /// Every cause, in the order in which an order is asked for them.
    pub const ALL: [Self; 23] = [
        Self::NewOrder,
        Self::GoneOrder,
        Self::Cancelled,
        Self::Reinstated,
        Self::Moved,
        Self::Filtered,
        Self::Rate,
        Self::Currency,
        Self::Refund,
        Self::Price,
        Self::Converted,
        Self::Tags,
        Self::DiscountCode,
        Self::Fields,
        Self::ChannelRules,
        Self::LateTouches,
        Self::GoneTouches,
        Self::Identity,
        Self::PreviousOrder,
        Self::Times,
        Self::Settings,
        Self::Weights,
        Self::Other,
    ];

    /// The cause's name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NewOrder => "new_order",
            Self::GoneOrder => "gone_order",
            Self::Cancelled => "cancelled",
            Self::Reinstated => "reinstated",
            Self::Moved => "moved",
            Self::Filtered => "filtered",
            Self::Rate => "rate",
            Self::Currency => "currency",
            Self::Refund => "refund",
            Self::Price => "price",
            Self::Converted => "converted",
            Self::Tags => "tags",
            Self::DiscountCode => "discount_code",
            Self::Fields => "fields",
            Self::ChannelRules => "channel_rules",
            Self::LateTouches => "late_touches",
            Self::GoneTouches => "gone_touches",
            Self::Identity => "identity",
            Self::PreviousOrder => "previous_order",
            Self::Times => "times",
            Self::Settings => "settings",
            Self::Weights => "weights",
            Self::Other => "other",
        }
    }

    /// The cause in a few words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::NewOrder => "orders that are new",
            Self::GoneOrder => "orders that are gone",
            Self::Cancelled => "orders cancelled",
            Self::Reinstated => "orders no longer cancelled",
            Self::Moved => "orders in the period of one run",
            Self::Filtered => "orders left out by a filter",
            Self::Rate => "orders without a rate",
            Self::Currency => "orders in another currency",
            Self::Refund => "refunds",
            Self::Price => "prices",
            Self::Converted => "exchange rates",
            Self::Tags => "utm fields of touches",
            Self::DiscountCode => "discount codes",
            Self::Fields => "other fields of touches",
            Self::ChannelRules => "channel rules",
            Self::LateTouches => "touches that are new",
            Self::GoneTouches => "touches that are gone",
            Self::Identity => "identity",
            Self::PreviousOrder => "previous orders",
            Self::Times => "times of orders or touches",
            Self::Settings => "settings",
            Self::Weights => "weights of the same touches",
            Self::Other => "other",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_json_has_and_stand_in_the_order_of_causes() {
        assert!(Cause::ALL.is_sorted());
        for cause in Cause::ALL {
            let json = serde_json::to_value(cause).unwrap();
            assert_eq!(json, cause.name());
        }
    }
}
