//! Several values of some settings in one run: tables are read, persons resolved and rows put in
//! order once; orders are attributed once for each distinct window, under every model at a time.
//!
//! Not for what is tried; that is `config`. Not for what the results have in common; that is
//! [`SweepReport`].

use super::{
    Attributed, MergedTables, Named, Names, Ordered, People, PeriodLines, Progress, Ready, Tables,
    Writers, account, attribute, check_rejects, count_orders, gaps, join, label, make_ready,
    make_reports, reattribute, report_lines, require,
};
use crate::config::{Config, Sweep, SweptWindow};
use crate::engine::Tally;
use crate::error::{Error, Result};
use crate::journeys::Window;
use crate::money::Currency;
use crate::output::{self, Format, Sink, Staged};
use crate::report::{EffectsReport, Line, Measures, SweepReport, Tried, render_sweep};
use crate::schema::Table;
use crate::stop;
use crate::summary::{Proof, Summary, SweepAccount, WindowAccount};
use crate::validate::Reject;

/// A sweep that is done, its files written and not yet in their places.
pub struct Swept {
    /// Every result.
    pub report: SweepReport,
    /// What was done.
    pub summary: Summary,
    staged: Vec<Staged>,
}

impl Swept {
    /// Makes every file of the sweep appear.
    pub fn publish(self) -> Result<(SweepReport, Summary)> {
        let _publishing = stop::publishing()?;
        Staged::commit_all(self.staged)?;
        Ok((self.report, self.summary))
    }
}

/// Does a sweep: every result has the bytes of a run with its settings.
///
/// # Errors
///
/// A run that sweeps nothing; whatever makes a run impossible. Nothing has appeared then.
pub fn sweep(mut config: Config, progress: &dyn Progress) -> Result<Swept> {
    let Some(mut sweep) = config.sweep.take() else {
        return Err(Error::Contradiction("no `--sweep` names a setting".to_owned()));
    };
    prepare_sweep(&mut config, &mut sweep);
    every_stage(&config, &sweep, progress)
}

/// Makes a configuration that of a run which all of a sweep can be had from: what one of them needs is read,
/// and what one of them may hold is kept.
pub(super) fn prepare_sweep(config: &mut Config, sweep: &mut Sweep) {
    config.models = std::mem::take(&mut sweep.models);
    config.window = sweep.widest;
}

fn every_stage(config: &Config, sweep: &Sweep, progress: &dyn Progress) -> Result<Swept> {
    require(config, &[Table::Sessions, Table::Orders])?;
    let mut summary = Summary::new(config.as_of);
    let writers = Writers::begin(config)?;
    let Ready { inputs, tables, people, mut merged, mut ordered } =
        make_ready(config, progress, &mut summary)?;
    check_rejects(config, &inputs, &tables, &ordered.rejects, &mut summary)?;
    progress.stage("attributing orders");
    let windows = Windows::new(&sweep.windows);
    let whose = (&tables, &people);
    let (all, lines, measures) =
        each_window(config, &windows.distinct, whose, &mut merged, &mut ordered, &mut summary)?;
    progress.stage("reporting");
    if let Some(first) = all.first() {
        count_orders(&ordered, first, &mut summary)?;
    }
    writers.people(config, &tables, &people, &ordered)?;
    let of_window = |Attributed { tally, effects, .. }| SweptSums {
        tally,
        currencies: ordered.amounts.currencies.clone(),
        effects,
    };
    let sums = all.into_iter().map(of_window).collect();
    let rejects = &ordered.rejects[..];
    conclude_sweep(config, sweep, (sums, lines, measures), (writers, rejects), summary)
}

/// What the orders of a window come to beside the lines of a report.
pub(super) struct SweptSums {
    pub(super) tally: Tally,
    pub(super) currencies: Vec<Currency>,
    pub(super) effects: EffectsReport,
}

/// Makes the report of all windows, and writes the files that are written at the end.
pub(super) fn conclude_sweep(
    config: &Config,
    sweep: &Sweep,
    (all, lines, measures): (Vec<SweptSums>, Vec<Vec<Line>>, Measures),
    (writers, rejects): (Writers, &[Reject]),
    mut summary: Summary,
) -> Result<Swept> {
    let windows = Windows::new(&sweep.windows);
    let reports = make_reports(config, measures, lines, None)?;
    let mut proved = Proved::default();
    for ((sums, report), window) in all.iter().zip(&reports).zip(windows.names(sweep)) {
        let SweptSums { tally, currencies, effects } = sums;
        summary.orders.counted = tally.counted;
        summary.orders.attributed = tally.attributed;
        summary.orders.unattributed = tally.counted - tally.attributed;
        summary.touches.in_journeys = tally.touches;
        account(config, (tally, currencies), None, (report, effects), &mut summary)?;
        proved.take(&mut summary, &window);
    }
    proved.give(&mut summary, sweep);
    let report = SweepReport::new(sweep.settings.clone(), windows.tried(sweep), reports);
    let outputs = &config.outputs;
    if let Some(output) = &outputs.ranges {
        writers.table(Some((output, report.ranges()?)))?;
    }
    if let Some(output) = &outputs.decisions {
        writers.table(Some((output, report.decisions()?)))?;
    }
    let write = |staged: &Staged| write_sweep(outputs.format, &report, staged.sink()?);
    let staged = writers.finish(config, rejects, write, &summary)?;
    Ok(Swept { report, summary, staged })
}

/// Attributes every order once for each window: the sums, the lines of a report, and which measures
/// these have.
fn each_window(
    config: &Config,
    windows: &[Window],
    (tables, people): (&Tables, &People),
    merged: &mut MergedTables,
    ordered: &mut Ordered,
    summary: &mut Summary,
) -> Result<(Vec<Attributed>, Vec<Vec<Line>>, Measures)> {
    // A discount code stands in the place of the last session of a window.
    let clean =
        (!config.vouchers.is_empty()).then(|| (ordered.touches.clone(), merged.touches.clone()));
    let (mut all, mut lines) = (Vec::new(), Vec::new());
    let mut named: Option<Named> = None;
    let mut first: Option<PeriodLines> = None;
    for window in windows {
        ordered.window = *window;
        let called = if let Some(called) = named.take().filter(|_| clean.is_none()) {
            called
        } else {
            if let Some((touches, rows)) = &clean {
                (ordered.touches, merged.touches) = (touches.clone(), rows.clone());
            }
            reattribute(config, merged, ordered)?;
            label(config, &config.by, tables, merged, ordered)?
        };
        let sums = attribute(config, merged, ordered, &called, people, &mut Writers::none())?;
        // Sessions and spend are those of the period, whatever the window.
        let of_window = if let Some(first) = &first {
            let beside = (first.sessions.as_ref(), first.spending.as_ref());
            join(config, Names::new(ordered, &called), &sums.cells, beside)
        } else {
            let whose = (&*merged, people);
            let of_first = report_lines(config, tables, whose, ordered, &called, &sums, summary)?;
            let dated = (ordered.period, ordered.rates.as_ref());
            let of_gaps = || gaps::sessions(config, merged, ordered, of_first.sessions.as_ref());
            gaps::table(config, tables, dated, of_gaps, summary)?;
            first.insert(of_first).lines.clone()
        };
        lines.push(of_window);
        all.push(sums);
        named = Some(called);
    }
    Ok((all, lines, first.map(|first| first.measures).unwrap_or_default()))
}

/// Writes every result in a format, or for people what they have in common.
pub fn write_sweep(format: &Format, report: &SweepReport, sink: Sink) -> Result<()> {
    output::write_result(format, sink, || render_sweep(report), || report.table())
}

/// The distinct windows of a sweep, each attributed once.
pub(super) struct Windows {
    pub(super) distinct: Vec<Window>,
    /// The position of each window of the sweep among them.
    at: Vec<usize>,
}

impl Windows {
    pub(super) fn new(windows: &[SweptWindow]) -> Self {
        let mut distinct: Vec<Window> = Vec::new();
        let at = windows.iter().map(|one| {
            let known = distinct.iter().position(|known| *known == one.window);
            known.unwrap_or_else(|| {
                distinct.push(one.window);
                distinct.len() - 1
            })
        });
        let at = at.collect();
        Self { distinct, at }
    }

    /// Every result of a sweep: each of its windows with each of its models.
    fn tried(&self, sweep: &Sweep) -> Vec<Tried> {
        let windows = self.at.iter().zip(&sweep.windows);
        let tried = windows.flat_map(|(report, window)| {
            sweep.results.iter().map(|result| Tried {
                values: result
                    .values
                    .iter()
                    .zip(&window.values)
                    .map(|(of_model, of_window)| of_model.clone().or_else(|| of_window.clone()))
                    .collect(),
                model: result.name.clone(),
                report: *report,
                at: result.model,
            })
        });
        tried.collect()
    }

    /// The settings that make each of them, of several the first.
    fn names(&self, sweep: &Sweep) -> Vec<String> {
        let name = |distinct: usize| {
            let window = self.at.iter().position(|at| *at == distinct).unwrap_or_default();
            let values = sweep.settings.iter().zip(&sweep.windows[window].values);
            let said = values.filter_map(|(setting, value)| {
                Some(format!("{}={}", setting.name, value.as_ref()?))
            });
            said.collect::<Vec<_>>().join(" ")
        };
        (0..self.distinct.len()).map(name).collect()
    }
}

/// What was proved of each window.
#[derive(Default)]
struct Proved {
    proof: Proof,
    windows: Vec<WindowAccount>,
}

impl Proved {
    /// Takes from the summary what was proved last: of a window.
    fn take(&mut self, summary: &mut Summary, window: &str) {
        let proof = std::mem::take(&mut summary.proof);
        let named = |model: String| format!("{model} {window}").trim_end().to_owned();
        self.proof.holds = proof.holds;
        self.proof.models.extend(proof.models.into_iter().map(|mut line| {
            line.model = named(line.model);
            line
        }));
        self.proof.chains.extend(proof.chains.into_iter().map(|mut chain| {
            chain.model = named(chain.model);
            chain
        }));
        self.windows.push(WindowAccount {
            settings: window.to_owned(),
            attributed: summary.orders.attributed,
            unattributed: summary.orders.unattributed,
            in_journeys: summary.touches.in_journeys,
        });
    }

    /// Gives the summary the proof of all, and the counts of the window with the fewest orders that
    /// have a touch.
    fn give(self, summary: &mut Summary, sweep: &Sweep) {
        summary.proof = self.proof;
        if let Some(fewest) = self.windows.iter().min_by_key(|window| window.attributed) {
            summary.orders.attributed = fewest.attributed;
            summary.orders.unattributed = fewest.unattributed;
            summary.touches.in_journeys = fewest.in_journeys;
        }
        let settings = sweep.settings.iter();
        summary.sweep = Some(SweepAccount {
            settings: settings
                .map(|setting| format!("{}={}", setting.name, setting.values.join(",")))
                .collect(),
            results: (sweep.windows.len() * sweep.results.len()) as u64,
            windows: self.windows,
        });
    }
}
