//! How near each model comes to the truth of simulated worlds, over several of them.
//!
//! A world is made, attributed by the same pipeline as any export, and what each model credits is
//! held against what was caused. Not for how worlds work: that is [`simulate`](crate::simulate).

mod score;

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, UInt64Array};

use self::score::{rank_agreement, share_error, shares};
use crate::config::{Config, Settings};
use crate::credits::share;
use crate::error::{Error, Result};
use crate::output::{Align, table};
use crate::pipeline::{self, Progress};
use crate::report::{Report, texts};
use crate::simulate::{Plan, Size, Truth, World, simulate};
use crate::stop;

pub use self::score::Figure;

/// What models are held against besides the truth, and each other.
const REFERENCES: [&str; 4] = ["(caused)", "(lost)", "(sessions)", "(even)"];

/// Worlds that are made at most.
const MOST_SEEDS: u64 = 1_000;

/// What is evaluated on which worlds.
pub struct Trial {
    /// How channels work.
    pub world: World,
    /// How large each world is; its seed is the first.
    pub size: Size,
    /// How many worlds there are, each with the next seed.
    pub seeds: u64,
    /// What a run is set to beside its inputs: models, lookback and so on.
    pub settings: Settings,
}

/// What was found.
pub struct Evaluation {
    /// A row a model, the nearest to the truth first, then what they are held against.
    pub scores: Vec<Score>,
    /// Conversions of each world, model and channel.
    cells: Vec<Cell>,
    /// The names of the channels.
    channels: Vec<(String, String)>,
    /// Orders of all worlds: counted, of them with a touch, expected to be caused.
    orders: [f64; 3],
}

/// How near a model comes to the truth.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    /// The model, as asked for.
    pub model: String,
    /// In how many worlds.
    pub seeds: u64,
    /// The part of all credit that is at the wrong channel.
    pub share_error: Option<Figure>,
    /// Kendall's tau-b of channels by credit and by what they caused.
    pub rank_agreement: Option<Figure>,
    /// The part of what a budget could earn that is lost where it follows the model.
    pub regret: Option<Figure>,
}

/// What a model credits in a world, by channel, and what was caused there.
struct Cell {
    seed: u64,
    model: String,
    credited: Vec<f64>,
    caused: Vec<f64>,
    regret: Option<f64>,
}

/// Makes the worlds of a trial and attributes each.
///
/// # Errors
///
/// Sizes that exclude each other, settings that a run would not take, a disk that is full.
pub fn evaluate(trial: &Trial, progress: &dyn Progress) -> Result<Evaluation> {
    if !(1..=MOST_SEEDS).contains(&trial.seeds) {
        let why = format!("write a number from 1 to {MOST_SEEDS}");
        return Err(Error::setting("--seeds", trial.seeds.to_string(), why));
    }
    // What no run would take is said before the first world is made.
    Config::new(trial.settings.clone(), 0)?;
    let mut cells = Vec::new();
    let mut orders = [0.0; 3];
    for seed in (0..trial.seeds).map(|more| trial.size.seed.wrapping_add(more)) {
        let size = Size { seed, minimal: true, ..trial.size.clone() };
        let plan = Plan::new(trial.world.clone(), size)?;
        let (truth, report, counted) = attributed(trial, &plan, progress)?;
        for (sum, more) in orders.iter_mut().zip(counted) {
            *sum += more;
        }
        cells.extend(judged(&plan, &truth, &report));
    }
    let channels = trial.world.channels.iter();
    let channels = channels.map(|one| (one.source().to_owned(), one.medium().to_owned())).collect();
    Ok(Evaluation { scores: scores(&cells), cells, channels, orders })
}

/// Makes a world and attributes it: its truth, the report, and its orders that are counted, that
/// have a touch, and that are expected to be caused.
fn attributed(
    trial: &Trial,
    plan: &Plan,
    progress: &dyn Progress,
) -> Result<(Truth, Report, [f64; 3])> {
    let folder = tempfile::tempdir().map_err(Error::io("write", &std::env::temp_dir()))?;
    stop::temporary(folder.path());
    let (truth, _) = simulate(plan, folder.path(), progress)?.publish()?;
    let of_world = Settings::read(&folder.path().join("apportion.toml"))?;
    let settings = Settings {
        by: vec!["utm_source".to_owned(), "utm_medium".to_owned()],
        ..trial.settings.clone().over(of_world)
    };
    let finished = pipeline::run(&Config::new(settings, 0)?, progress)?;
    let orders = &finished.summary.orders;
    let caused: f64 = truth.conversions().iter().sum();
    let counted = [orders.counted as f64, orders.attributed as f64, caused];
    Ok((truth, finished.report, counted))
}

/// What every model says of a world, and what it is held against.
fn judged(plan: &Plan, truth: &Truth, report: &Report) -> Vec<Cell> {
    let caused = truth.conversions();
    let place = |values: &[String]| {
        let mut channels = plan.world.channels.iter();
        channels.position(|one| one.source() == values[0] && one.medium() == values[1])
    };
    let mut said: Vec<(String, Vec<f64>)> = Vec::new();
    for (model, name) in report.models.iter().enumerate() {
        let mut credited = vec![0.0; caused.len()];
        for line in report.lines.iter().filter(|line| !line.unattributed) {
            if let Some(channel) = place(&line.values) {
                credited[channel] += share(line.credited[model].conversions);
            }
        }
        said.push((name.clone(), credited));
    }
    let sessions = truth.channel_sessions().into_iter().map(|count| count as f64).collect();
    let references = [caused.clone(), truth.lost(), sessions, vec![1.0; caused.len()]];
    said.extend(REFERENCES.map(str::to_owned).into_iter().zip(references));
    let weights: Vec<Vec<f64>> = said
        .iter()
        .map(|(_, credited)| credited.iter().map(|credit| credit.max(0.0)).collect())
        .collect();
    let regrets = plan.regrets(&weights);
    let seed = plan.size.seed;
    said.into_iter()
        .zip(regrets)
        .map(|((model, credited), regret)| Cell {
            seed,
            model,
            credited,
            caused: caused.clone(),
            regret,
        })
        .collect()
}

/// Scores over worlds: models by their share error, then references.
fn scores(cells: &[Cell]) -> Vec<Score> {
    let first = cells.first().map(|cell| cell.seed);
    let names = cells.iter().filter(|cell| Some(cell.seed) == first).map(|cell| &cell.model);
    let mut scores: Vec<Score> = names
        .map(|model| {
            let of_model = || cells.iter().filter(|cell| cell.model == *model);
            let figure = |of: &dyn Fn(&Cell) -> Option<f64>| Figure::of(of_model().map(of));
            Score {
                model: model.clone(),
                seeds: of_model().count() as u64,
                share_error: figure(&|cell| Some(share_error(&cell.credited, &cell.caused))),
                rank_agreement: figure(&|cell| rank_agreement(&cell.credited, &cell.caused)),
                regret: figure(&|cell| cell.regret),
            }
        })
        .collect();
    let models = scores.len() - REFERENCES.len().min(scores.len());
    let error = |score: &Score| score.share_error.map_or(f64::INFINITY, |figure| figure.mean);
    scores[..models].sort_by(|left, right| {
        error(left).total_cmp(&error(right)).then_with(|| left.model.cmp(&right.model))
    });
    scores
}

impl Evaluation {
    /// The scores as a table, each figure with the ends of its interval.
    pub fn table(&self) -> Result<RecordBatch> {
        let mut columns: Vec<(String, ArrayRef)> = vec![
            ("model".to_owned(), texts(self.scores.iter().map(|score| score.model.as_str()))),
            (
                "seeds".to_owned(),
                Arc::new(UInt64Array::from_iter_values(self.scores.iter().map(|one| one.seeds))),
            ),
        ];
        for (name, of, least) in FIGURES {
            let figures = || self.scores.iter().map(of);
            // No figure leaves its own bounds, whatever the interval says.
            let end = |sign: f64| {
                figures().map(move |figure| {
                    let figure = figure?;
                    Some((figure.mean + sign * figure.half_width?).clamp(least, 1.0))
                })
            };
            let means = figures().map(|figure| Some(figure?.mean));
            columns.extend([
                (name.to_owned(), Arc::new(means.collect::<Float64Array>()) as ArrayRef),
                (format!("{name}_low"), Arc::new(end(-1.0).collect::<Float64Array>())),
                (format!("{name}_high"), Arc::new(end(1.0).collect::<Float64Array>())),
            ]);
        }
        let columns = columns.into_iter().map(|(name, column)| (name, column, true));
        Ok(RecordBatch::try_from_iter_with_nullable(columns)?)
    }

    /// What each model credits to each channel of each world, beside what was caused.
    pub fn shares(&self) -> Result<RecordBatch> {
        let count = self.channels.len();
        let rows = || self.cells.iter().flat_map(|cell| (0..count).map(move |at| (cell, at)));
        let floats = |of: &dyn Fn(&Cell) -> Vec<f64>| -> ArrayRef {
            Arc::new(Float64Array::from_iter_values(self.cells.iter().flat_map(of)))
        };
        Ok(RecordBatch::try_from_iter([
            (
                "seed",
                Arc::new(UInt64Array::from_iter_values(rows().map(|row| row.0.seed))) as ArrayRef,
            ),
            ("model", texts(rows().map(|row| row.0.model.as_str()))),
            ("utm_source", texts(rows().map(|row| self.channels[row.1].0.as_str()))),
            ("utm_medium", texts(rows().map(|row| self.channels[row.1].1.as_str()))),
            ("conversions", floats(&|cell| cell.credited.clone())),
            ("share", floats(&|cell| shares(&cell.credited))),
            ("caused_conversions", floats(&|cell| cell.caused.clone())),
            ("caused_share", floats(&|cell| shares(&cell.caused))),
        ])?)
    }

    /// The scores for reading.
    pub fn text(&self) -> String {
        let header: Vec<(&str, Align)> = [("model", Align::Left)]
            .into_iter()
            .chain(FIGURES.map(|(name, ..)| (name, Align::Right)))
            .collect();
        let cell = |figure: Option<Figure>| match figure {
            None => String::new(),
            Some(Figure { mean, half_width: None }) => format!("{mean:.3}"),
            Some(Figure { mean, half_width: Some(width) }) => format!("{mean:.3} ± {width:.3}"),
        };
        let rows = self.scores.iter().map(|score| {
            let figures = FIGURES.map(|(_, of, _)| cell(of(score)));
            [score.model.clone()].into_iter().chain(figures).collect()
        });
        let mut text = table::aligned(&header, rows.collect());
        let [counted, attributed, caused] = self.orders;
        let percent = |part: f64| if counted > 0.0 { 100.0 * part / counted } else { 0.0 };
        let told = format!(
            "{:.1} % of the orders are expected to be caused by a channel; {:.1} % have a touch, and models credit all of those. Shares are of what is credited, and of what was caused.",
            percent(caused),
            percent(attributed)
        );
        for line in [String::new()].into_iter().chain(table::wrapped(&told, 78)) {
            text.push_str(&format!("{line}\n"));
        }
        text
    }
}

/// The figures of a score: name, value, and the least that it can be.
#[expect(clippy::type_complexity, reason = "a table of three columns")]
const FIGURES: [(&str, fn(&Score) -> Option<Figure>, f64); 3] = [
    ("share_error", |score| score.share_error, 0.0),
    ("rank_agreement", |score| score.rank_agreement, -1.0),
    ("regret", |score| score.regret, 0.0),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::MODELS;
    use crate::pipeline::Silent;

    fn trial(seeds: u64) -> Trial {
        Trial {
            world: World::read(None).unwrap(),
            size: Size { sessions: 3_000, orders: 300, persons: 500, ..Size::default() },
            seeds,
            settings: Settings {
                model: MODELS.iter().map(|entry| entry.name.to_owned()).collect(),
                ..Settings::default()
            },
        }
    }

    #[test]
    fn every_model_is_scored_and_nothing_is_better_than_the_truth() {
        let evaluation = evaluate(&trial(2), &Silent).unwrap();
        let names: Vec<&str> = evaluation.scores.iter().map(|score| score.model.as_str()).collect();
        for entry in MODELS {
            assert!(names.contains(&entry.name), "{} is not scored", entry.name);
        }
        assert_eq!(names.len(), MODELS.len() + REFERENCES.len());
        for score in &evaluation.scores {
            let error = score.share_error.unwrap().mean;
            assert!((0.0..=1.0).contains(&error));
            assert!(score.regret.unwrap().mean >= -1e-9, "{} beats the best", score.model);
        }
        let truth = evaluation.scores.iter().find(|score| score.model == "(caused)").unwrap();
        assert!(truth.share_error.unwrap().mean < 1e-12);
        assert!((truth.rank_agreement.unwrap().mean - 1.0).abs() < 1e-12);
        let shares = evaluation.shares().unwrap();
        assert_eq!(shares.num_rows(), 2 * names.len() * evaluation.channels.len());
        let again = evaluate(&trial(2), &Silent).unwrap();
        assert_eq!(evaluation.table().unwrap(), again.table().unwrap());
        assert!(evaluation.text().lines().all(|line| line.chars().count() <= 80));
    }

    #[test]
    fn as_many_worlds_as_can_be() {
        assert!(evaluate(&trial(0), &Silent).err().unwrap().to_string().contains("--seeds"));
    }
}
