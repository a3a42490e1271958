//! Rules that models learnt, of whichever kind: one can be sent to where touches are, and weighs there.
//!
//! Not for how a rule weighs, nor for how it was learnt: both are its model's.

use serde::{Deserialize, Serialize};

use crate::models::Model;
use crate::models::by_channel::ByChannel;
use crate::models::{fitted, hazard, logistic};

/// A rule that a model learnt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LearntRule(Kind);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Kind {
    ByChannel(ByChannel),
    Fitted(fitted::Fitted),
    Logistic(logistic::Learnt),
    Hazard(hazard::Learnt),
}

impl LearntRule {
    /// The rule as the model that weighs.
    pub fn model(&self) -> &dyn Model {
        match &self.0 {
            Kind::ByChannel(rule) => rule,
            Kind::Fitted(rule) => rule,
            Kind::Logistic(rule) => rule,
            Kind::Hazard(rule) => rule,
        }
    }
}

impl From<ByChannel> for LearntRule {
    fn from(rule: ByChannel) -> Self {
        Self(Kind::ByChannel(rule))
    }
}

impl From<fitted::Fitted> for LearntRule {
    fn from(rule: fitted::Fitted) -> Self {
        Self(Kind::Fitted(rule))
    }
}

impl From<logistic::Learnt> for LearntRule {
    fn from(rule: logistic::Learnt) -> Self {
        Self(Kind::Logistic(rule))
    }
}

impl From<hazard::Learnt> for LearntRule {
    fn from(rule: hazard::Learnt) -> Self {
        Self(Kind::Hazard(rule))
    }
}
