//! Which touches the journey of an order has.
//!
//! The touches of the order's person in the window `max(previous, t − lookback) … t`, `previous`
//! excluded, both other ends included; then the policies for views and for direct touches.

use std::ops::Range;

use crate::journeys::{Orders, Touches};
use crate::models::Journey;

/// Which views of a journey count.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    serde::Deserialize,
    serde::Serialize,
    clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum ViewPolicy {
    /// None of them.
    None,
    /// The first in the window.
    #[default]
    First,
    /// The last in the window.
    Last,
    /// All in the window.
    All,
}

/// Whether direct touches count beside others.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    serde::Deserialize,
    serde::Serialize,
    clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum DirectPolicy {
    /// Like every other touch.
    #[default]
    Include,
    /// Only when there is nothing else.
    Skip,
}

/// The rules of a journey's window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// How long before the order a session still counts, in microseconds; `None` is for ever.
    pub lookback: Option<i64>,
    /// The same for a view.
    pub view_lookback: Option<i64>,
    /// Which views count.
    pub views: ViewPolicy,
    /// Whether direct touches count beside others.
    pub direct: DirectPolicy,
    /// Whether a touch can serve several orders: the previous order does not end the window.
    pub overlap: bool,
}

/// The touches of one journey; its space is used again and again.
#[derive(Debug, Default)]
pub struct Selected {
    /// The touches, as positions in [`Touches`], oldest first.
    pub touches: Vec<u32>,
    touched_at: Vec<i64>,
    direct: Vec<bool>,
    watched_until: Vec<i64>,
}

impl Selected {
    /// The journey as models see it that do not look at channels.
    pub fn journey(&self, order_at: i64) -> Journey<'_> {
        Journey {
            order_at,
            touched_at: &self.touched_at,
            direct: &self.direct,
            channels: &[],
            watched_until: &self.watched_until,
        }
    }

    /// Says of a journey without an order until when each touch was watched for one: until `end`, the
    /// last instant of the data, or as long as an order would still have it in its window.
    pub fn watch(&mut self, window: &Window, touches: &Touches, end: i64) {
        let until = |touch: &u32| {
            let touch = *touch as usize;
            let lookback = if touches.view[touch] { window.view_lookback } else { window.lookback };
            lookback.map_or(end, |lookback| end.min(touches.at[touch].saturating_add(lookback)))
        };
        self.watched_until.extend(self.touches.iter().map(until));
    }

    /// Selects the touches of an order at `order_at` among its person's touches `of`.
    ///
    /// `previous` is when the person's previous order was, where there is one; `replaced` names a
    /// touch of this order and the one that stands in its place.
    ///
    /// ```text
    ///        t − lookback          previous                     t
    /// touches   │ ●    ●      ●       ●      ●       ●     ●    ●   ●
    ///           └ too early: the previous    └──── the journey ─┘
    ///             order ends the window
    /// ```
    pub fn select(
        &mut self,
        window: &Window,
        touches: &Touches,
        of: Range<usize>,
        order_at: i64,
        previous: Option<i64>,
        replaced: Option<(u32, u32)>,
    ) {
        self.touches.clear();
        let times = &touches.at[of.clone()];
        // What lies after is excluded by the microsecond, what lies at an end is included.
        let earliest = |lookback: Option<i64>| {
            let after_previous =
                previous.filter(|_| !window.overlap).map(|at| at.saturating_add(1));
            let in_lookback = lookback.map(|lookback| order_at.saturating_sub(lookback));
            after_previous.max(in_lookback).unwrap_or(i64::MIN)
        };
        let sessions_from = earliest(window.lookback);
        let views_from = earliest(window.view_lookback);
        let views_count = window.views != ViewPolicy::None;
        let from = if views_count { sessions_from.min(views_from) } else { sessions_from };
        let start = of.start + times.partition_point(|at| *at < from);
        let end = of.start + times.partition_point(|at| *at <= order_at);
        if touches.view[start..end].contains(&true) {
            self.select_with_views(window.views, touches, start..end, (sessions_from, views_from));
        } else {
            let start = start.max(of.start + times.partition_point(|at| *at < sessions_from));
            self.touches.extend(numbers(start..end.max(start)));
        }
        if let Some((from, to)) = replaced
            && let Some(touch) = self.touches.iter_mut().rev().find(|touch| **touch == from)
        {
            *touch = to;
        }
        if window.direct == DirectPolicy::Skip
            && self.touches.iter().any(|touch| !touches.direct[*touch as usize])
        {
            self.touches.retain(|touch| !touches.direct[*touch as usize]);
        }
        self.touched_at.clear();
        self.direct.clear();
        self.watched_until.clear();
        self.touched_at.extend(self.touches.iter().map(|touch| touches.at[*touch as usize]));
        self.direct.extend(self.touches.iter().map(|touch| touches.direct[*touch as usize]));
    }

    /// Selects among touches of which some are views: sessions and views from an instant on each.
    fn select_with_views(
        &mut self,
        views: ViewPolicy,
        touches: &Touches,
        among: Range<usize>,
        (sessions_from, views_from): (i64, i64),
    ) {
        let view_counts = |touch: &usize| touches.view[*touch] && touches.at[*touch] >= views_from;
        let only_view = match views {
            ViewPolicy::First => among.clone().find(view_counts),
            ViewPolicy::Last => among.clone().rfind(view_counts),
            ViewPolicy::None | ViewPolicy::All => None,
        };
        let counts = |touch: &usize| {
            if !touches.view[*touch] {
                return touches.at[*touch] >= sessions_from;
            }
            match views {
                ViewPolicy::None => false,
                ViewPolicy::All => view_counts(touch),
                ViewPolicy::First | ViewPolicy::Last => only_view == Some(*touch),
            }
        };
        self.touches.extend(numbers(among).filter(|touch| counts(&(*touch as usize))));
    }
}

/// Positions as the numbers of touches.
#[expect(clippy::cast_possible_truncation, reason = "touches are numbered in 32 bits")]
fn numbers(positions: Range<usize>) -> Range<u32> {
    positions.start as u32..positions.end as u32
}

/// When the previous order of each of a person's orders was, in the order of `of`.
///
/// The previous order is the latest counted one strictly before, of the same conversion type.
/// Orders that do not count have an entry too, so that positions agree.
pub fn previous_orders(orders: &Orders, of: Range<usize>, previous: &mut Vec<Option<i64>>) {
    previous.clear();
    // For each conversion type: the last instant with a counted order, and the one before it.
    let mut latest: Vec<(u32, i64, Option<i64>)> = Vec::new();
    for order in of {
        let (kind, at) = (orders.kind[order], orders.at[order]);
        let known = latest.iter().position(|(known, ..)| *known == kind);
        let before = known.and_then(|known| {
            let (_, last, before_last) = latest[known];
            if last < at { Some(last) } else { before_last }
        });
        previous.push(before);
        if orders.counted[order] {
            match known {
                Some(known) => latest[known] = (kind, at, before),
                None => latest.push((kind, at, None)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Window = Window {
        lookback: Some(100),
        view_lookback: Some(10),
        views: ViewPolicy::All,
        direct: DirectPolicy::Include,
        overlap: false,
    };

    /// Touches of one person: when, and whether it is direct (`d`) or a view (`v`).
    fn touches(of: &[(i64, char)]) -> Touches {
        let count = u32::try_from(of.len()).unwrap();
        Touches {
            first: 0,
            starts: vec![0, count],
            at: of.iter().map(|touch| touch.0).collect(),
            direct: of.iter().map(|touch| touch.1 == 'd').collect(),
            view: of.iter().map(|touch| touch.1 == 'v').collect(),
            row: (0..count).collect(),
        }
    }

    fn selected(
        window: &Window,
        of: &[(i64, char)],
        order_at: i64,
        previous: Option<i64>,
    ) -> Vec<u32> {
        let mut selected = Selected::default();
        let touches = touches(of);
        selected.select(window, &touches, touches.of(0), order_at, previous, None);
        selected.touches
    }

    #[test]
    fn the_ends_of_the_window_are_in_it_and_the_previous_order_is_not() {
        let of = [(99, 's'), (100, 's'), (150, 's'), (151, 's'), (200, 's'), (201, 's')];
        assert_eq!(selected(&WINDOW, &of, 200, None), [1, 2, 3, 4]);
        assert_eq!(selected(&WINDOW, &of, 200, Some(150)), [3, 4]);
        assert_eq!(
            selected(&Window { overlap: true, ..WINDOW }, &of, 200, Some(150)),
            [1, 2, 3, 4]
        );
        assert_eq!(selected(&Window { lookback: None, ..WINDOW }, &of, 200, None), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn views_have_their_own_window_and_policy() {
        let of = [(180, 'v'), (190, 'v'), (192, 's'), (195, 'v'), (199, 'v')];
        let with = |views| selected(&Window { views, ..WINDOW }, &of, 200, None);
        assert_eq!(with(ViewPolicy::All), [1, 2, 3, 4]);
        assert_eq!(with(ViewPolicy::First), [1, 2]);
        assert_eq!(with(ViewPolicy::Last), [2, 4]);
        assert_eq!(with(ViewPolicy::None), [2]);
    }

    #[test]
    fn direct_touches_are_skipped_only_beside_others() {
        let skip = Window { direct: DirectPolicy::Skip, ..WINDOW };
        assert_eq!(selected(&skip, &[(150, 'd'), (160, 's'), (170, 'd')], 200, None), [1]);
        assert_eq!(selected(&skip, &[(150, 'd'), (170, 'd')], 200, None), [0, 1]);
    }

    #[test]
    fn the_previous_order_is_strictly_before_counted_and_of_the_same_type() {
        let orders = Orders {
            starts: vec![0, 6],
            at: vec![1, 5, 5, 7, 9, 9],
            kind: vec![0, 0, 0, 1, 0, 1],
            counted: vec![true, true, true, true, false, true],
            ..Orders::default()
        };
        let mut previous = Vec::new();
        previous_orders(&orders, 0..6, &mut previous);
        assert_eq!(previous, [None, Some(1), Some(1), None, Some(5), Some(7)]);
    }
}
