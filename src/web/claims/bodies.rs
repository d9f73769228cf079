//! What remote workers send.

use std::{borrow::Cow, time::Duration};

use chrono::{DateTime, Utc};
use log::Level;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ArrayBuilder, ObjectBuilder, RefOr, Schema, schema::AdditionalProperties},
};

use crate::{
    domain::{Faults, InvalidInput, Json, check_theme},
    logs::level,
    registry::MethodName,
    remote::{ClaimTasks, End, LEASE, LONGEST_LEASE, RemoteLine, SHORTEST_LEASE},
    web::openapi::schemas::{Named, named, reference},
};

/// The most tasks of one claim, methods of a claim, and runs of one call.
const MOST: usize = 1_000;

/// The longest wait for tasks, in milliseconds.
const LONGEST_WAIT: u32 = 60_000;

/// The longest name of a worker: the column of the owner has room for it and for what stands before it.
const MOST_NAME: usize = 50;

/// The most lines of one run in one call.
const MOST_LINES: usize = 1_000;

/// The longest snooze: a hundred years.
const LONGEST_SNOOZE: Duration = Duration::from_secs(100 * 365 * 86_400);

/// What a worker asks for.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ClaimTasks)]
#[serde(deny_unknown_fields)]
pub(super) struct AskedClaim {
    /// The worker's name, for people: letters, digits, `.`, `_` and `-`.
    #[schema(min_length = 1, max_length = 50)]
    worker: String,
    /// The theme whose tasks are wanted.
    theme: String,
    /// The methods that the worker serves.
    #[schema(min_items = 1, max_items = 1000)]
    methods: Vec<MethodName>,
    /// At most so many tasks.
    #[serde(default = "one")]
    #[schema(minimum = 1, maximum = 1000, default = 1)]
    count: usize,
    /// For how long the worker may be silent. Then its tasks run elsewhere.
    #[serde(default = "usual_lease")]
    #[schema(minimum = 1000, maximum = 3_600_000, default = 30000)]
    lease_ms: u64,
    /// How long to wait if nothing is due.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 60000, default = 0)]
    wait_ms: u32,
}

fn one() -> usize {
    1
}

fn usual_lease() -> u64 {
    millis(LEASE)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl AskedClaim {
    pub(super) fn checked(self) -> Result<ClaimTasks, InvalidInput> {
        let mut faults = Faults::default();
        let is_plain = |char: char| char.is_ascii_alphanumeric() || matches!(char, '.' | '_' | '-');
        let is_name = (1..=MOST_NAME).contains(&self.worker.len()) && self.worker.chars().all(is_plain);
        faults.require(is_name, || {
            format!(
                "worker is {:?}, expected 1 to {MOST_NAME} letters, digits, dots, underscores and hyphens",
                self.worker
            )
        });
        faults.take(check_theme(&self.theme));
        faults.require((1..=MOST).contains(&self.methods.len()), || {
            format!("methods has {} methods, expected 1 to {MOST}", self.methods.len())
        });
        faults.require((1..=MOST).contains(&self.count), || {
            format!("count is {}, expected 1 to {MOST}", self.count)
        });
        let (shortest, longest) = (millis(SHORTEST_LEASE), millis(LONGEST_LEASE));
        faults.require((shortest..=longest).contains(&self.lease_ms), || {
            format!("lease_ms is {}, expected {shortest} to {longest}", self.lease_ms)
        });
        faults.require(self.wait_ms <= LONGEST_WAIT, || {
            format!("wait_ms is {}, expected 0 to {LONGEST_WAIT}", self.wait_ms)
        });
        faults.into_result()?;
        Ok(ClaimTasks {
            worker: self.worker,
            theme: self.theme,
            methods: self.methods,
            count: self.count,
            lease: Duration::from_millis(self.lease_ms),
            wait: Duration::from_millis(self.wait_ms.into()),
        })
    }
}

/// Runs that a worker says something about.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Runs<T> {
    runs: Vec<T>,
}

impl<T> Runs<T> {
    pub(super) fn checked(self) -> Result<Vec<T>, InvalidInput> {
        let mut faults = Faults::default();
        faults.require((1..=MOST).contains(&self.runs.len()), || {
            format!("runs has {} runs, expected 1 to {MOST}", self.runs.len())
        });
        faults.into_result()?;
        Ok(self.runs)
    }
}

impl<T: ToSchema> PartialSchema for Runs<T> {
    fn schema() -> RefOr<Schema> {
        let runs = ArrayBuilder::new()
            .items(reference::<T>())
            .min_items(Some(1))
            .max_items(Some(MOST))
            .description(Some("The runs, each once."));
        ObjectBuilder::new()
            .property("runs", runs)
            .required("runs")
            .additional_properties(Some(AdditionalProperties::FreeForm(false)))
            .into()
    }
}

impl<T: ToSchema> ToSchema for Runs<T> {
    fn name() -> Cow<'static, str> {
        Cow::Owned(format!("{}s", T::name()))
    }

    fn schemas(schemas: &mut Named) {
        named::<T>(schemas);
    }
}

/// Something that is said about one run.
pub(super) trait Names {
    fn token(&self) -> &str;
}

macro_rules! names {
    ($($body:ident)*) => {$(
        impl Names for $body {
            fn token(&self) -> &str {
                &self.token
            }
        }
    )*};
}

names! { Beat Progress Log Finish Fail Snooze Release }

/// A run that goes on.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = BeatingRun)]
#[serde(deny_unknown_fields)]
pub(super) struct Beat {
    /// The token that came with the task.
    token: String,
}

/// How far a run is.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ProgressOfRun)]
#[serde(deny_unknown_fields)]
pub(super) struct Progress {
    /// The token that came with the task.
    token: String,
    /// 0 to 100.
    #[schema(minimum = 0, maximum = 100)]
    percent: Percent,
    /// A note, at most 65,535 bytes of it are kept.
    #[serde(default)]
    note: String,
}

#[derive(Debug, ToSchema)]
struct Percent(u8);

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let percent = u8::deserialize(deserializer)?;
        match percent <= 100 {
            true => Ok(Self(percent)),
            false => Err(serde::de::Error::custom(format!(
                "{percent} percent, expected 0 to 100"
            ))),
        }
    }
}

impl Progress {
    pub(super) fn report(self) -> (u8, String) {
        (self.percent.0, self.note)
    }
}

/// Lines that were logged in a run.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = LogOfRun)]
#[serde(deny_unknown_fields)]
pub(super) struct Log {
    /// The token that came with the task.
    token: String,
    /// The oldest first.
    #[serde(deserialize_with = "lines")]
    #[schema(max_items = 1000)]
    lines: Vec<Line>,
}

/// One line.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = LoggedLine)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    /// `error`, `warn`, `info`, `debug` or `trace`.
    #[serde(default = "info", deserialize_with = "level::deserialize")]
    #[schema(value_type = String, default = "info")]
    level: Level,
    /// At most 8 KiB of it are kept.
    message: String,
    /// When it was logged. Left out: now.
    #[serde(default)]
    time: Option<DateTime<Utc>>,
}

fn info() -> Level {
    Level::Info
}

fn lines<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Line>, D::Error> {
    let lines = Vec::<Line>::deserialize(deserializer)?;
    match lines.len() <= MOST_LINES {
        true => Ok(lines),
        false => Err(serde::de::Error::custom(format!(
            "{} lines, expected {MOST_LINES} at most",
            lines.len()
        ))),
    }
}

impl Log {
    pub(super) fn lines(self) -> Vec<RemoteLine> {
        let line = |line: Line| RemoteLine {
            at: line.time,
            level: line.level,
            message: line.message,
        };
        self.lines.into_iter().map(line).collect()
    }
}

/// A run that has succeeded.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = FinishedRun)]
#[serde(deny_unknown_fields)]
pub(super) struct Finish {
    /// The token that came with the task.
    token: String,
    /// Any JSON. Left out: `null`.
    #[serde(default)]
    #[schema(value_type = Option<serde_json::Value>)]
    result: Option<Box<RawValue>>,
}

impl Finish {
    pub(super) fn end(self) -> End {
        let text = self.result.map(|result| Box::<str>::from(result).into_string());
        End::Finished(Json::from_column(text))
    }
}

/// A run that has failed.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = FailedRun)]
#[serde(deny_unknown_fields)]
pub(super) struct Fail {
    /// The token that came with the task.
    token: String,
    /// Why, at most 1 MiB of it are kept.
    error: String,
    /// No further attempt: it would fail again.
    #[serde(default)]
    discard: bool,
}

impl Fail {
    pub(super) fn end(self) -> End {
        End::Failed {
            error: self.error,
            discard: self.discard,
        }
    }
}

/// A run that wants to be tried later, without using an attempt.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = SnoozedRun)]
#[serde(deny_unknown_fields)]
pub(super) struct Snooze {
    /// The token that came with the task.
    token: String,
    /// After how long.
    delay_ms: u64,
}

impl Snooze {
    pub(super) fn end(self) -> End {
        End::Snoozed(Duration::from_millis(self.delay_ms).min(LONGEST_SNOOZE))
    }
}

/// A run that its worker does not bring to its end.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ReleasedRun)]
#[serde(deny_unknown_fields)]
pub(super) struct Release {
    /// The token that came with the task.
    token: String,
    /// Whether the worker has begun the run.
    #[serde(default = "yes")]
    #[schema(default = true)]
    started: bool,
}

fn yes() -> bool {
    true
}

impl Release {
    pub(super) fn end(self) -> End {
        End::Released { started: self.started }
    }
}
