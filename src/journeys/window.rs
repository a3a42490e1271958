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

/// Where the window of one order begins, and what begins it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bounds {
    /// When the order was made: the window's end, included.
    pub order_at: i64,
    /// When the previous order was, where it can end the window: excluded, as all before it.
    pub previous: Option<i64>,
    /// The first instant within the lookback of sessions; none where they count for ever.
    pub lookback_from: Option<i64>,
    /// The same for views.
    pub view_lookback_from: Option<i64>,
}

/// What a window begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// Just after the previous order.
    Previous,
    /// As long before the order as is looked back.
    Lookback,
    /// Nothing: every touch before the order is in it.
    Nothing,
}

impl Bounds {
    /// The first instant that is in the window of sessions, or of views, and what it begins with.
    ///
    /// # Example
    ///
    /// ```
    /// use apportion::journeys::{Begin, Bounds};
    /// let bounds = Bounds { order_at: 200, previous: Some(150), lookback_from: Some(100), ..Bounds::default() };
    /// assert_eq!(bounds.begin(false), (151, Begin::Previous));
    /// assert_eq!(Bounds { previous: Some(99), ..bounds }.begin(false), (100, Begin::Lookback));
    /// ```
    pub fn begin(&self, view: bool) -> (i64, Begin) {
        // What lies at the previous order is excluded by the microsecond.
        let after_previous = self.previous.map(|at| (at.saturating_add(1), Begin::Previous));
        let lookback = if view { self.view_lookback_from } else { self.lookback_from };
        match (after_previous, lookback) {
            (Some(previous), Some(from)) if from >= previous.0 => (from, Begin::Lookback),
            (Some(previous), _) => previous,
            (None, Some(from)) => (from, Begin::Lookback),
            (None, None) => (i64::MIN, Begin::Nothing),
        }
    }
}

impl Window {
    /// The bounds of the window of an order; `previous` is when the person's previous order was.
    pub fn bounds(&self, order_at: i64, previous: Option<i64>) -> Bounds {
        let before = |lookback: Option<i64>| lookback.map(|time| order_at.saturating_sub(time));
        Bounds {
            order_at,
            previous: previous.filter(|_| !self.overlap),
            lookback_from: before(self.lookback),
            view_lookback_from: before(self.view_lookback),
        }
    }
}

/// What became of a touch of an order's person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is in the journey.
    Counts,
    /// It was after the order.
    After,
    /// It was at the previous order or before, where the window begins after that.
    Previous,
    /// It was before the lookback, where the window begins with that.
    Lookback,
    /// It is a view, and none counts.
    NoViews,
    /// It is a view, and another one is the one that counts.
    OtherView,
    /// It is direct, and there are others.
    Direct,
    /// The touch that a discount code stands for is in its place.
    Replaced,
}

/// The part of a person's touches that an order's window cuts out, and what is needed to say of each
/// touch whether it counts.
struct Cut {
    range: Range<usize>,
    sessions: (i64, Begin),
    views: (i64, Begin),
    policy: ViewPolicy,
    has_views: bool,
    /// The view that counts, where only one does.
    only_view: Option<usize>,
}

impl Cut {
    fn new(policy: ViewPolicy, bounds: &Bounds, touches: &Touches, of: &Range<usize>) -> Self {
        let (sessions, views) = (bounds.begin(false), bounds.begin(true));
        let views_count = policy != ViewPolicy::None;
        let from = if views_count { sessions.0.min(views.0) } else { sessions.0 };
        let times = &touches.at[of.clone()];
        let start = of.start + times.partition_point(|at| *at < from);
        let end = of.start + times.partition_point(|at| *at <= bounds.order_at);
        let view_counts = |touch: &usize| touches.view[*touch] && touches.at[*touch] >= views.0;
        let has_views = touches.view[start..end].contains(&true);
        let only_view = match policy {
            ViewPolicy::First if has_views => (start..end).find(view_counts),
            ViewPolicy::Last if has_views => (start..end).rfind(view_counts),
            _ => None,
        };
        Self { range: start..end, sessions, views, policy, has_views, only_view }
    }

    /// What becomes of a touch before direct ones are looked at.
    fn fate(&self, touches: &Touches, touch: usize) -> Fate {
        let view = touches.view[touch];
        if touch >= self.range.end {
            return Fate::After;
        }
        if view && self.policy == ViewPolicy::None {
            return Fate::NoViews;
        }
        let (from, begin) = if view { self.views } else { self.sessions };
        if touches.at[touch] < from {
            return if begin == Begin::Previous { Fate::Previous } else { Fate::Lookback };
        }
        let is_one = matches!(self.policy, ViewPolicy::First | ViewPolicy::Last);
        if view && is_one && self.only_view != Some(touch) {
            return Fate::OtherView;
        }
        Fate::Counts
    }
}

/// The touches of one journey; its space is used again and again.
#[derive(Debug, Default)]
pub struct Selected {
    /// The touches, as positions in [`Touches`], oldest first.
    pub touches: Vec<u32>,
    /// The window that they were selected by.
    pub bounds: Bounds,
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
        self.bounds = window.bounds(order_at, previous);
        let cut = Cut::new(window.views, &self.bounds, touches, &of);
        if cut.has_views {
            let counts = |touch: &u32| cut.fate(touches, *touch as usize) == Fate::Counts;
            self.touches.extend(numbers(cut.range.clone()).filter(counts));
        } else {
            // All are sessions, and times do not decrease: those that count are a range.
            let too_early = |at: &i64| *at < cut.sessions.0;
            let first = of.start + touches.at[of].partition_point(too_early);
            let start = cut.range.start.max(first);
            self.touches.extend(numbers(start..cut.range.end.max(start)));
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

    /// What became of every touch of the person, in their order, when the journey was selected.
    ///
    /// Takes what [`select`](Self::select) took. A touch that stands in the place of another comes
    /// after that one.
    pub fn fates(
        &self,
        window: &Window,
        touches: &Touches,
        of: Range<usize>,
        replaced: Option<(u32, u32)>,
    ) -> Vec<(u32, Fate)> {
        let cut = Cut::new(window.views, &self.bounds, touches, &of);
        let mut fates = Vec::with_capacity(of.len() + 1);
        // The journey stands in the order of the touches, so that one walk meets each of it.
        let mut journey = self.touches.iter().peekable();
        let mut in_journey = |touch: u32| match journey.next_if_eq(&&touch) {
            Some(_) => Fate::Counts,
            None => Fate::Direct,
        };
        for (touch, number) in of.clone().zip(numbers(of)) {
            let fate = cut.fate(touches, touch);
            match replaced.filter(|(from, _)| fate == Fate::Counts && *from == number) {
                Some((_, to)) => fates.extend([(number, Fate::Replaced), (to, in_journey(to))]),
                None if fate == Fate::Counts => fates.push((number, in_journey(number))),
                None => fates.push((number, fate)),
            }
        }
        fates
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
    fn sessions_do_not_count_for_as_long_as_views_do() {
        let window = Window { lookback: Some(10), view_lookback: Some(100), ..WINDOW };
        assert_eq!(selected(&window, &[(150, 's'), (195, 's')], 200, None), [1]);
        assert_eq!(selected(&window, &[(149, 's'), (150, 'v'), (195, 's')], 200, None), [1, 2]);
    }

    #[test]
    fn a_window_begins_with_the_later_of_the_previous_order_and_the_lookback() {
        let bounds = |previous| WINDOW.bounds(200, previous);
        assert_eq!(bounds(Some(98)).begin(false), (100, Begin::Lookback));
        // Both name the same instant: what is earlier is before the lookback.
        assert_eq!(bounds(Some(99)).begin(false), (100, Begin::Lookback));
        assert_eq!(bounds(Some(100)).begin(false), (101, Begin::Previous));
        assert_eq!(bounds(Some(100)).begin(true), (190, Begin::Lookback));
        let for_ever = Window { lookback: None, ..WINDOW };
        assert_eq!(for_ever.bounds(200, Some(3)).begin(false), (4, Begin::Previous));
        assert_eq!(for_ever.bounds(200, None).begin(false), (i64::MIN, Begin::Nothing));
    }

    #[test]
    fn touches_without_an_order_are_watched_until_they_leave_the_window_or_the_data_ends() {
        let touches = touches(&[(150, 's'), (195, 'v'), (199, 'v')]);
        let mut selected = Selected::default();
        selected.select(&WINDOW, &touches, touches.of(0), 200, None, None);
        selected.watch(&WINDOW, &touches, 207);
        let journey = selected.journey(200);
        // Sessions are in the window for 100, views for 10.
        assert_eq!([0, 1, 2].map(|touch| journey.watched(touch)), [57, 10, 8]);
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
    fn every_touch_has_its_fate() {
        use Fate::{After, Counts, Direct, Lookback, NoViews, OtherView, Previous, Replaced};
        let of =
            [(90, 's'), (120, 'd'), (150, 's'), (185, 'v'), (191, 'v'), (195, 'v'), (201, 's')];
        let told = |window: &Window, previous, replaced| {
            let touches = touches(&of);
            let mut selected = Selected::default();
            selected.select(window, &touches, touches.of(0), 200, previous, replaced);
            let fates = selected.fates(window, &touches, touches.of(0), replaced);
            let counted: Vec<u32> =
                fates.iter().filter(|(_, fate)| *fate == Counts).map(|(touch, _)| *touch).collect();
            assert_eq!(counted, selected.touches);
            fates.into_iter().map(|(_, fate)| fate).collect::<Vec<_>>()
        };
        let first = Window { views: ViewPolicy::First, direct: DirectPolicy::Skip, ..WINDOW };
        assert_eq!(
            told(&first, None, None),
            [Lookback, Direct, Counts, Lookback, Counts, OtherView, After]
        );
        assert_eq!(
            told(&first, Some(150), None),
            [Previous, Previous, Previous, Lookback, Counts, OtherView, After]
        );
        let overlap = Window { overlap: true, ..first };
        assert_eq!(told(&overlap, Some(150), None), told(&first, None, None));
        let none = Window { views: ViewPolicy::None, ..WINDOW };
        assert_eq!(
            told(&none, None, Some((2, 4))),
            [Lookback, Counts, Replaced, Counts, NoViews, NoViews, NoViews, After]
        );
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
