//! What ended in the past, in steps of time.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::{
    figures::{Figures, Times},
    text::{as_millis, from_millis, millis},
    text_enum::text_enum,
    validate::{Faults, InvalidInput, MAX_NAME_CHARS},
};

/// How many seconds the shortest span has in which ends are counted. The spans of older counts have a minute, then an hour.
pub(crate) const SHORTEST_SPAN: i64 = 10;

/// The longest step of a chart, in seconds: a week.
const LONGEST_STEP: u32 = 7 * 86_400;

/// The most steps of one answer.
const MAX_STEPS: i64 = 1_000;

text_enum! {
    /// Whose history.
    #[derive(Default)]
    HistoryKind, "kind of history" {
        /// Of tasks: each attempt counts.
        #[default]
        Task = "task",
        /// Of jobs: each run counts.
        Job = "job",
    }
}

/// Of which time and of which tasks or jobs to get the history: of the tasks of all themes, summed, in steps of a minute, unless told
/// otherwise.
///
#[cfg_attr(feature = "sqlite", doc = "```")]
#[cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
/// use chrono::{TimeDelta, Utc};
/// use gaia_actors::{Gaia, admin::GetHistory};
///
/// # #[actix_rt::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let gaia = Gaia::builder().database("sqlite::memory:").start().await?;
/// let now = Utc::now();
/// let last_hour = GetHistory {
///     theme: Some("order-task".to_owned()),
///     by_method: true,
///     ..GetHistory::between(now - TimeDelta::hours(1), now)
/// };
/// for point in gaia.admin().history(last_hour).await?.points {
///     println!("{} {:?}: {} failed, half ran for {:?}", point.at, point.method, point.failed, point.running.p50);
/// }
/// # gaia.stop().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GetHistory {
    /// From this time on. Steps begin at multiples of [`step`](Self::step) since 1970, so the first step may begin a little earlier.
    pub from: DateTime<Utc>,
    /// Before this time; the last step may end a little later.
    pub to: DateTime<Utc>,
    /// Of tasks (the default) or of jobs.
    #[serde(default)]
    pub kind: HistoryKind,
    /// Only this theme, or the job with this name.
    #[serde(default)]
    pub theme: Option<String>,
    /// Only this service.
    #[serde(default)]
    pub service: Option<String>,
    /// Only this method.
    #[serde(default)]
    pub method: Option<String>,
    /// How many seconds a point covers: a multiple of 10, at most a week (604,800). 60 by default. The answer has at most 1,000 steps.
    #[serde(default = "minute")]
    pub step: u32,
    /// Whether each method has points of its own. If not, each point has the sums of all that meet the conditions.
    #[serde(default)]
    pub by_method: bool,
}

fn minute() -> u32 {
    60
}

impl GetHistory {
    /// The history of all tasks from one time until before another, in steps of a minute.
    #[must_use]
    pub fn between(from: DateTime<Utc>, to: DateTime<Utc>) -> Self {
        Self {
            from,
            to,
            kind: HistoryKind::default(),
            theme: None,
            service: None,
            method: None,
            step: minute(),
            by_method: false,
        }
    }

    pub(crate) fn check(&self) -> Result<(), InvalidInput> {
        let mut faults = Faults::default();
        let step = self.step;
        let is_step = (1..=LONGEST_STEP).contains(&step) && i64::from(step) % SHORTEST_SPAN == 0;
        faults.require(is_step, || {
            format!("step is {step} s, expected a multiple of {SHORTEST_SPAN}, at most {LONGEST_STEP}")
        });
        faults.require(self.from < self.to, || {
            format!("from is {}, expected a time before to, which is {}", self.from, self.to)
        });
        if is_step {
            let steps = (self.to - self.from).num_seconds() / i64::from(step);
            faults.require(steps <= MAX_STEPS, || {
                format!(
                    "from and to are {steps} steps of {step} s apart, at most {MAX_STEPS} are allowed: take a longer step or less time"
                )
            });
            // Steps begin before `from` and end after `to`.
            let room = TimeDelta::seconds(i64::from(step));
            let has_room =
                |at: DateTime<Utc>| at.checked_sub_signed(room).is_some() && at.checked_add_signed(room).is_some();
            faults.require(has_room(self.from) && has_room(self.to), || {
                "from and to must not lie at the end of the calendar".to_owned()
            });
        }
        for (what, text) in [
            ("theme", &self.theme),
            ("service", &self.service),
            ("method", &self.method),
        ] {
            if let Some(text) = text {
                faults.label(what, text, MAX_NAME_CHARS);
            }
        }
        faults.into_result()
    }

    /// The beginning of the step in which a time lies.
    pub(crate) fn step_of(&self, at: DateTime<Utc>) -> DateTime<Utc> {
        span_of(at, self.step.into())
    }

    /// The beginning of the first step, and the end of the last one.
    pub(crate) fn range(&self) -> (DateTime<Utc>, DateTime<Utc>) {
        let last = self.step_of(self.to);
        let end = match last == self.to {
            true => last,
            false => last + TimeDelta::seconds(self.step.into()),
        };
        (self.step_of(self.from), end)
    }
}

/// The beginning of the span of so many seconds in which a time lies.
pub(crate) fn span_of(at: DateTime<Utc>, seconds: i64) -> DateTime<Utc> {
    let begin = at.timestamp().div_euclid(seconds.max(1)) * seconds.max(1);
    DateTime::from_timestamp(begin, 0).unwrap_or(at)
}

/// A method of a theme, or a job.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Series {
    /// A [`HistoryKind`], as its text.
    pub(crate) kind: String,
    pub(crate) theme: String,
    pub(crate) service: String,
    pub(crate) method: String,
}

/// What ended in one span of time, of one method or job.
#[derive(Debug, Clone)]
pub(crate) struct HistoryRow {
    /// The beginning of the span.
    pub(crate) at: DateTime<Utc>,
    /// Names the row: a second write of the same row is refused.
    pub(crate) number: i64,
    pub(crate) series: Series,
    pub(crate) figures: Figures,
}

/// What ended in one span of time, of one method or job, as it was counted.
#[derive(Debug, Clone)]
pub(crate) struct Counted {
    /// The beginning of the span.
    pub(crate) at: DateTime<Utc>,
    /// How many seconds the span has.
    pub(crate) width: u32,
    pub(crate) series: Series,
    pub(crate) figures: Figures,
}

/// The history of a time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "web", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct History {
    /// What ended, in the order of time, then of themes and methods. A step in which nothing ended has no point.
    pub points: Vec<HistoryPoint>,
    /// The longest span of time, in seconds, in which this was counted: 10 for the last two hours, 60 for the last two days, then 3600.
    /// What ended in a span counts at the beginning of the span, so a shorter step leaves out steps. 0: nothing ended.
    pub resolution: u32,
}

/// What ended in one step of time.
///
/// A task counts with each attempt. Tasks that were given back to the queue without an attempt, and ends that were not recorded because the
/// task was in other hands, do not count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "web", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct HistoryPoint {
    /// The beginning of the step.
    pub at: DateTime<Utc>,
    /// The theme, or the name of the job, if [`GetHistory::by_method`] is set. Job names beyond 200 in an hour on one node count as
    /// `_other`.
    pub theme: Option<String>,
    /// The service, if [`GetHistory::by_method`] is set; empty for a job that calls a hook. Methods beyond 500 in an hour on one node count
    /// as `_other`, with the service `_other`.
    pub service: Option<String>,
    /// The method, if [`GetHistory::by_method`] is set; empty for a job that calls a hook.
    pub method: Option<String>,
    /// Tasks, or runs of jobs, that have ended with success.
    pub succeeded: u64,
    /// Tasks, or runs of jobs, that have failed for good.
    pub failed: u64,
    /// Attempts that have failed and were followed, or are to be followed, by another one.
    pub retried: u64,
    /// Attempts whose handlers asked to run again later.
    pub snoozed: u64,
    /// Tasks, or runs of jobs, that have ended because a caller cancelled them.
    pub cancelled: u64,
    /// Runs whose nodes died, as other nodes have found. They are counted without service and method; for jobs without name.
    pub lost: u64,
    /// From the time at which a run was due until it began.
    pub waiting: HistoryTimes,
    /// How long attempts of tasks, or whole runs of jobs, took.
    pub running: HistoryTimes,
}

/// How long something took in a step of time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "web", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct HistoryTimes {
    /// How many times were measured.
    pub count: u64,
    /// Their sum. Serialised as `total_ms`.
    #[serde(rename = "total_ms", serialize_with = "as_millis", deserialize_with = "millis")]
    #[cfg_attr(feature = "web", schema(value_type = u64))]
    pub total: Duration,
    /// Half of them were shorter, in whole milliseconds; `None`: there are none. Like the other two it is an estimate: the counts say only
    /// between which two of [`HISTORY_BOUNDS_MS`](super::HISTORY_BOUNDS_MS) a time lies. Serialised as `p50_ms`.
    #[serde(rename = "p50_ms", serialize_with = "as_millis", deserialize_with = "from_millis")]
    #[cfg_attr(feature = "web", schema(value_type = Option<u64>))]
    pub p50: Option<Duration>,
    /// 95 % of them were shorter. Serialised as `p95_ms`.
    #[serde(rename = "p95_ms", serialize_with = "as_millis", deserialize_with = "from_millis")]
    #[cfg_attr(feature = "web", schema(value_type = Option<u64>))]
    pub p95: Option<Duration>,
    /// 99 % of them were shorter. Serialised as `p99_ms`.
    #[serde(rename = "p99_ms", serialize_with = "as_millis", deserialize_with = "from_millis")]
    #[cfg_attr(feature = "web", schema(value_type = Option<u64>))]
    pub p99: Option<Duration>,
}

impl From<&Times> for HistoryTimes {
    fn from(times: &Times) -> Self {
        let quantile = |part| times.spread.quantile(part).map(in_millis);
        Self {
            count: times.spread.count(),
            total: in_millis(times.total),
            p50: quantile(0.5),
            p95: quantile(0.95),
            p99: quantile(0.99),
        }
    }
}

/// The time in whole milliseconds.
fn in_millis(time: Duration) -> Duration {
    Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

/// Puts what was counted into the steps of an answer.
pub(crate) struct Points<'a> {
    get: &'a GetHistory,
    points: BTreeMap<(DateTime<Utc>, Option<Series>), Figures>,
    resolution: u32,
}

impl<'a> Points<'a> {
    pub(crate) fn new(get: &'a GetHistory) -> Self {
        Self {
            get,
            points: BTreeMap::new(),
            resolution: 0,
        }
    }

    pub(crate) fn add(&mut self, counted: Counted) {
        self.resolution = self.resolution.max(counted.width);
        let series = self.get.by_method.then_some(counted.series);
        let figures_of_step = self.points.entry((self.get.step_of(counted.at), series)).or_default();
        figures_of_step.add(&counted.figures);
    }

    pub(crate) fn into_history(self) -> History {
        let point = |((at, series), figures): ((DateTime<Utc>, Option<Series>), Figures)| {
            let (theme, service, method) = match series {
                Some(series) => (Some(series.theme), Some(series.service), Some(series.method)),
                None => (None, None, None),
            };
            HistoryPoint {
                at,
                theme,
                service,
                method,
                succeeded: figures.succeeded,
                failed: figures.failed,
                retried: figures.retried,
                snoozed: figures.snoozed,
                cancelled: figures.cancelled,
                lost: figures.lost,
                waiting: HistoryTimes::from(&figures.waited),
                running: HistoryTimes::from(&figures.ran),
            }
        };
        History {
            points: self.points.into_iter().map(point).collect(),
            resolution: self.resolution,
        }
    }
}
