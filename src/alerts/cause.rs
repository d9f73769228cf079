//! Causes of alerts, with their figures, and the sentences about them in both languages.

use std::{fmt::Write, sync::Arc};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use crate::{
    domain::AlertKind,
    line::{OneLine, beginning},
};

/// The most characters of the first line of an error.
const MAX_ERROR_CHARS: usize = 500;

/// The most bytes of a subject: names that plain SQL writes may be longer than this crate allows.
const MAX_SUBJECT_BYTES: usize = 1_000;

/// The most characters of the theme in a row.
const MAX_THEME_CHARS: usize = 100;

/// A cause of an alert. Users and the database have written the texts.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cause {
    TaskFailed {
        method: Method,
        task: i64,
        error: String,
    },
    FailureShare {
        method: Method,
        failed: u64,
        ended: u64,
    },
    OldestDue {
        theme: String,
        waited: TimeDelta,
        due: u64,
    },
    Unserved {
        theme: String,
        due: u64,
    },
    NodeDead {
        node: String,
    },
    NodeFenced {
        process: Process,
        silent: TimeDelta,
    },
    JobBad {
        job: Job,
        error: String,
    },
    JobOverdue {
        job: Job,
        due_at: DateTime<Utc>,
        late: TimeDelta,
    },
    JobFailed {
        job: Job,
        run: i64,
        timed_out: bool,
        error: String,
    },
    OutcomesUnwritten {
        process: Process,
        component: String,
        lasted: TimeDelta,
        error: String,
    },
    OutcomeRefused {
        process: Process,
        component: String,
        theme: Option<String>,
        id: i64,
        error: String,
    },
    DatabaseAway {
        process: Process,
        lasted: TimeDelta,
        error: String,
    },
    /// More of a kind than there are alerts for.
    Others(AlertKind),
}

/// A method of a theme.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Method {
    pub(super) theme: String,
    pub(super) service: String,
    pub(super) method: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Job {
    pub(super) id: i64,
    pub(super) name: String,
}

/// A process, as messages name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) node: Arc<str>,
    pub(super) host: Arc<str>,
    pub(super) pid: u32,
}

/// One sentence in each language.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Texts {
    pub(super) en: String,
    pub(super) zh: String,
}

impl Method {
    fn name(&self) -> String {
        format!("{}.{}", self.service, self.method)
    }
}

impl std::fmt::Display for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}, pid {})", self.node, self.host, self.pid)
    }
}

impl Cause {
    pub(super) const fn kind(&self) -> AlertKind {
        match self {
            Self::TaskFailed { .. } => AlertKind::TaskFailed,
            Self::FailureShare { .. } => AlertKind::FailureShare,
            Self::OldestDue { .. } => AlertKind::OldestDue,
            Self::Unserved { .. } => AlertKind::Unserved,
            Self::NodeDead { .. } => AlertKind::NodeDead,
            Self::NodeFenced { .. } => AlertKind::NodeFenced,
            Self::JobBad { .. } => AlertKind::JobBad,
            Self::JobOverdue { .. } => AlertKind::JobOverdue,
            Self::JobFailed { .. } => AlertKind::JobFailed,
            Self::OutcomesUnwritten { .. } => AlertKind::OutcomesUnwritten,
            Self::OutcomeRefused { .. } => AlertKind::OutcomeRefused,
            Self::DatabaseAway { .. } => AlertKind::DatabaseAway,
            Self::Others(kind) => *kind,
        }
    }

    /// The subject: together with the kind it tells one alert from another.
    pub(super) fn subject(&self) -> String {
        let subject = match self {
            Self::TaskFailed { method, .. } | Self::FailureShare { method, .. } => {
                format!("{} {}", method.theme, method.name())
            }
            Self::OldestDue { theme, .. } | Self::Unserved { theme, .. } => theme.clone(),
            Self::NodeDead { node } => node.clone(),
            Self::NodeFenced { process, .. } | Self::DatabaseAway { process, .. } => process.node.to_string(),
            Self::JobBad { job, .. } | Self::JobOverdue { job, .. } | Self::JobFailed { job, .. } => job.name.clone(),
            Self::OutcomesUnwritten { process, component, .. } | Self::OutcomeRefused { process, component, .. } => {
                format!("{} {component}", process.node)
            }
            Self::Others(_) => "_other".to_owned(),
        };
        beginning(&one_line(&subject), MAX_SUBJECT_BYTES).to_owned()
    }

    /// The kind and the subject.
    pub(super) fn key(&self) -> String {
        key(self.kind(), &self.subject())
    }

    /// The theme to which the subject belongs.
    pub(super) fn theme(&self) -> Option<String> {
        let theme = match self {
            Self::TaskFailed { method, .. } | Self::FailureShare { method, .. } => Some(&method.theme),
            Self::OldestDue { theme, .. } | Self::Unserved { theme, .. } => Some(theme),
            Self::OutcomeRefused { theme, .. } => theme.as_ref(),
            _ => None,
        };
        theme.map(|theme| {
            theme
                .chars()
                .filter(|char| *char != '\0')
                .take(MAX_THEME_CHARS)
                .collect()
        })
    }

    /// The page of the dashboard.
    pub(super) fn place(&self) -> String {
        match self {
            Self::TaskFailed { task, .. } => format!("tasks/{task}"),
            Self::OutcomeRefused { theme: Some(_), id, .. } => format!("tasks/{id}"),
            Self::FailureShare { method, .. } => format!("errors?theme={}", encoded(&method.theme)),
            Self::OldestDue { theme, .. } | Self::Unserved { theme, .. } => format!("themes/{}", encoded(theme)),
            Self::NodeDead { .. } => "nodes".to_owned(),
            Self::NodeFenced { process, .. }
            | Self::OutcomesUnwritten { process, .. }
            | Self::OutcomeRefused { process, .. }
            | Self::DatabaseAway { process, .. } => format!("nodes/{}", encoded(&process.node)),
            Self::JobBad { job, .. } | Self::JobOverdue { job, .. } | Self::JobFailed { job, .. } => {
                format!("jobs/{}", job.id)
            }
            Self::Others(_) => "alerts".to_owned(),
        }
    }

    /// The sentences, if it has happened so often since the last message.
    pub(super) fn texts(&self, times: u64) -> Texts {
        let (en, zh) = match self {
            Self::TaskFailed { method, task, error } => task_failed(method, *task, &first_line(error), times),
            Self::FailureShare { method, failed, ended } => failure_share(method, *failed, *ended),
            Self::OldestDue { theme, waited, due } => (
                format!(
                    "theme {theme}: the oldest due task has waited for {}; {}",
                    span(*waited),
                    are_due(*due)
                ),
                format!(
                    "主题 {theme}：最早到期的任务已等待 {}，共有 {due} 个任务到期",
                    span_zh(*waited)
                ),
            ),
            Self::Unserved { theme, due } => (
                format!(
                    "theme {theme}: {}, and no living node serves their methods",
                    are_due(*due)
                ),
                format!("主题 {theme}：{due} 个任务已到期，但没有存活的节点提供对应方法"),
            ),
            Self::NodeDead { node } => (
                format!("node {node} is dead: it has not beaten for its lease, and other nodes take its work over"),
                format!("节点 {node} 已失联：超过租约时长没有心跳，其他节点正在接管它的工作"),
            ),
            Self::NodeFenced { process, silent } => node_fenced(process, *silent),
            Self::JobBad { job, error } => job_bad(job, &first_line(error)),
            Self::JobOverdue { job, due_at, late } => job_overdue(job, *due_at, *late),
            Self::JobFailed {
                job,
                run,
                timed_out,
                error,
            } => job_failed(job, *run, *timed_out, &first_line(error), times),
            Self::OutcomesUnwritten {
                process,
                component,
                lasted,
                error,
            } => outcomes_unwritten(process, component, *lasted, &first_line(error)),
            Self::OutcomeRefused {
                process,
                component,
                id,
                error,
                ..
            } => outcome_refused(process, component, *id, &first_line(error), times),
            Self::DatabaseAway { process, lasted, error } => database_away(process, *lasted, &first_line(error)),
            Self::Others(kind) => (
                format!("{}: there are more of them than this list holds", title(*kind).en),
                format!("{}：数量超出告警列表的上限", title(*kind).zh),
            ),
        };
        Texts {
            en: one_line(&en),
            zh: one_line(&zh),
        }
    }
}

fn task_failed(method: &Method, task: i64, error: &str, times: u64) -> (String, String) {
    let (theme, name) = (&method.theme, method.name());
    match times {
        0 | 1 => (
            format!("theme {theme}: task {task} ({name}) failed for good: {error}"),
            format!("主题 {theme}：任务 {task}（{name}）最终失败：{error}"),
        ),
        times => (
            format!("theme {theme}: {times} tasks of {name} failed for good, the last one was task {task}: {error}"),
            format!("主题 {theme}：{name} 有 {times} 个任务最终失败，最近一个是任务 {task}：{error}"),
        ),
    }
}

fn failure_share(method: &Method, failed: u64, ended: u64) -> (String, String) {
    let (theme, name, percent) = (&method.theme, method.name(), failed * 100 / ended.max(1));
    (
        format!("theme {theme}: {failed} of {ended} tasks of {name} failed for good within 5 minutes ({percent} %)"),
        format!("主题 {theme}：{name} 在 5 分钟内结束的 {ended} 个任务中有 {failed} 个最终失败（{percent}%）"),
    )
}

fn node_fenced(process: &Process, silent: TimeDelta) -> (String, String) {
    let (silent, silent_zh) = (span(silent), span_zh(silent));
    (
        format!(
            "node {process} has lost its lease after {silent} without a heartbeat: it has cancelled its runs and claims nothing"
        ),
        format!("节点 {process} 在 {silent_zh} 没有心跳后失去租约：已取消正在执行的任务，不再领取新任务"),
    )
}

fn job_bad(job: &Job, error: &str) -> (String, String) {
    let name = &job.name;
    (
        format!("job {name}: its schedule cannot be read, so it never fires: {error}"),
        format!("定时任务 {name}：无法解析其调度表达式，不会触发：{error}"),
    )
}

fn job_overdue(job: &Job, due_at: DateTime<Utc>, late: TimeDelta) -> (String, String) {
    let (name, at) = (&job.name, due_at.to_rfc3339_opts(SecondsFormat::Secs, true));
    (
        format!(
            "job {name}: it was due at {at}, {} ago, and no node has claimed the fire",
            span(late)
        ),
        format!("定时任务 {name}：应在 {at} 触发，已过 {}，没有节点领取", span_zh(late)),
    )
}

fn job_failed(job: &Job, run: i64, timed_out: bool, error: &str, times: u64) -> (String, String) {
    let name = &job.name;
    let (what, what_zh) = match timed_out {
        true => ("was out of time", "超时"),
        false => ("failed", "失败"),
    };
    match times {
        0 | 1 => (
            format!("job {name}: run {run} {what}: {error}"),
            format!("定时任务 {name}：第 {run} 号执行{what_zh}：{error}"),
        ),
        times => (
            format!("job {name}: {times} runs failed, the last one, run {run}, {what}: {error}"),
            format!("定时任务 {name}：{times} 次执行失败，最近一次为第 {run} 号执行，{what_zh}：{error}"),
        ),
    }
}

fn outcomes_unwritten(process: &Process, component: &str, lasted: TimeDelta, error: &str) -> (String, String) {
    let (lasted, lasted_zh) = (span(lasted), span_zh(lasted));
    (
        format!(
            "node {process}, {component}: ends of runs could not be written for {lasted}, and are lost if the process dies: {error}"
        ),
        format!("节点 {process}，{component}：执行结果已有 {lasted_zh} 无法写入，进程若退出将会丢失：{error}"),
    )
}

fn outcome_refused(process: &Process, component: &str, id: i64, error: &str, times: u64) -> (String, String) {
    match times {
        0 | 1 => (
            format!("node {process}, {component}: the database refuses the end of {id} in every form: {error}"),
            format!("节点 {process}，{component}：数据库拒绝写入 {id} 的执行结果：{error}"),
        ),
        times => (
            format!(
                "node {process}, {component}: the database refused {times} ends of runs in every form, the last one of {id}: {error}"
            ),
            format!("节点 {process}，{component}：数据库拒绝写入 {times} 个执行结果，最近一个是 {id}：{error}"),
        ),
    }
}

fn database_away(process: &Process, lasted: TimeDelta, error: &str) -> (String, String) {
    (
        format!(
            "node {process} has not reached the database for {}: {error}",
            span(lasted)
        ),
        format!("节点 {process} 已有 {} 无法访问数据库：{error}", span_zh(lasted)),
    )
}

fn are_due(tasks: u64) -> String {
    match tasks {
        1 => "1 task is due".to_owned(),
        tasks => format!("{tasks} tasks are due"),
    }
}

/// The kind and the subject tell one alert from another.
pub(super) fn key(kind: AlertKind, subject: &str) -> String {
    format!("{kind}:{subject}")
}

/// A few words in each language.
pub(crate) struct Titles {
    pub(crate) en: &'static str,
    pub(crate) zh: &'static str,
}

/// A few words for a kind.
pub(crate) const fn title(kind: AlertKind) -> Titles {
    let (en, zh) = match kind {
        AlertKind::TaskFailed => ("Task failed for good", "任务最终失败"),
        AlertKind::FailureShare => ("Many tasks of a method fail", "方法失败率过高"),
        AlertKind::OldestDue => ("Tasks wait too long", "任务等待过久"),
        AlertKind::Unserved => ("Due tasks without a node", "到期任务无节点处理"),
        AlertKind::NodeDead => ("Node is dead", "节点失联"),
        AlertKind::NodeFenced => ("Node has lost its lease", "节点失去租约"),
        AlertKind::JobBad => ("Job cannot be scheduled", "定时任务无法调度"),
        AlertKind::JobOverdue => ("Job is overdue", "定时任务逾期未触发"),
        AlertKind::JobFailed => ("Job failed", "定时任务失败"),
        AlertKind::OutcomesUnwritten => ("Outcomes are not written", "执行结果无法写入"),
        AlertKind::OutcomeRefused => ("Outcome is refused", "执行结果被拒绝"),
        AlertKind::DatabaseAway => ("Database is away", "数据库无法访问"),
    };
    Titles { en, zh }
}

/// The sentences of the message that the cause is over. `held_back`: how often it has happened since the last message.
pub(super) fn over(kind: AlertKind, subject: &str, lasted: TimeDelta, held_back: u64) -> Texts {
    let (what, what_zh) = match kind {
        AlertKind::TaskFailed => ("no further task has failed for good", "没有新的任务最终失败"),
        AlertKind::FailureShare => ("the share of failures is low again", "失败率已恢复正常"),
        AlertKind::OldestDue => ("no due task waits too long any more", "到期任务不再等待过久"),
        AlertKind::Unserved => ("living nodes serve the due tasks again", "到期任务已有节点处理"),
        AlertKind::NodeDead => ("the death of the node is past", "节点失联已成过去"),
        AlertKind::NodeFenced => ("the node beats again, or is gone", "节点已恢复心跳，或已退出"),
        AlertKind::JobBad => (
            "the schedule can be read again, or the job is disabled",
            "调度表达式已可解析，或任务已停用",
        ),
        AlertKind::JobOverdue => ("the job fires again, or is disabled", "任务已恢复触发，或已停用"),
        AlertKind::JobFailed => (
            "the job runs well again, or has not failed again",
            "任务已恢复正常，或没有再次失败",
        ),
        AlertKind::OutcomesUnwritten => (
            "outcomes are written again, or the process is gone",
            "执行结果已可写入，或进程已退出",
        ),
        AlertKind::OutcomeRefused => ("no further outcome was refused", "没有新的执行结果被拒绝"),
        AlertKind::DatabaseAway => (
            "the process reaches the database again, or is gone",
            "进程已可访问数据库，或已退出",
        ),
    };
    let (mut en, mut zh) = (
        format!("{subject}: {what}, {} after the alert", span(lasted)),
        format!("{subject}：{what_zh}，距告警 {}", span_zh(lasted)),
    );
    if held_back > 0 {
        // Writing to a text cannot fail.
        let _ = write!(en, "; it had happened {held_back} times since the last message");
        let _ = write!(zh, "；自上次消息以来又发生了 {held_back} 次");
    }
    Texts { en, zh }
}

/// The first line of an error, not longer than a message can have it.
fn first_line(error: &str) -> String {
    let line = error.lines().next().unwrap_or_default();
    match line.char_indices().nth(MAX_ERROR_CHARS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

/// A text whose control characters are written as escapes. PostgreSQL stores no NUL, and a name must not begin a line of a message.
fn one_line(text: &str) -> String {
    OneLine(format_args!("{text}")).to_string()
}

/// A time in the largest two units.
fn parts(time: TimeDelta) -> [(i64, usize); 2] {
    let seconds = time.num_seconds().max(0);
    match seconds {
        0..60 => [(seconds, 0), (0, 0)],
        60..3_600 => [(seconds / 60, 1), (seconds % 60, 0)],
        3_600..86_400 => [(seconds / 3_600, 2), (seconds % 3_600 / 60, 1)],
        _ => [(seconds / 86_400, 3), (seconds % 86_400 / 3_600, 2)],
    }
}

fn span(time: TimeDelta) -> String {
    let [(first, unit), (second, smaller)] = parts(time);
    let units = ["s", "min", "h", "d"];
    match second {
        0 => format!("{first} {}", units[unit]),
        _ => format!("{first} {} {second} {}", units[unit], units[smaller]),
    }
}

fn span_zh(time: TimeDelta) -> String {
    let [(first, unit), (second, smaller)] = parts(time);
    let units = ["秒", "分钟", "小时", "天"];
    match second {
        0 => format!("{first} {}", units[unit]),
        _ => format!("{first} {} {second} {}", units[unit], units[smaller]),
    }
}

/// A name as a part of a path.
fn encoded(name: &str) -> String {
    name.bytes().fold(String::with_capacity(name.len()), |mut text, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'~' => text.push(char::from(byte)),
            // Writing to a text cannot fail.
            byte => drop(write!(text, "%{byte:02X}")),
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(theme: &str, error: &str) -> Cause {
        Cause::TaskFailed {
            method: Method {
                theme: theme.to_owned(),
                service: "Mail".to_owned(),
                method: "Send".to_owned(),
            },
            task: 17,
            error: error.to_owned(),
        }
    }

    #[test]
    fn a_sentence_has_the_figures_and_the_first_line_of_the_error() {
        let texts = failed("orders", "no route\nat line 7").texts(1);
        assert_eq!(texts.en, "theme orders: task 17 (Mail.Send) failed for good: no route");
        assert_eq!(texts.zh, "主题 orders：任务 17（Mail.Send）最终失败：no route");
        let texts = failed("orders", &"é".repeat(600)).texts(25);
        assert!(
            texts.en.starts_with("theme orders: 25 tasks of Mail.Send failed"),
            "{}",
            texts.en
        );
        assert!(texts.en.ends_with(&format!(": {}…", "é".repeat(500))));
    }

    #[test]
    fn hostile_names_stay_in_one_line_and_in_one_part_of_a_path() {
        let theme = "a\r\n@all\0<script>/../é";
        let cause = failed(theme, "x");
        let texts = cause.texts(1);
        assert!(!texts.en.contains(char::is_control) && !texts.zh.contains(char::is_control));
        assert!(!cause.subject().contains(char::is_control));
        let place = Cause::Unserved {
            theme: theme.to_owned(),
            due: 1,
        }
        .place();
        assert_eq!(place, "themes/a%0D%0A%40all%00%3Cscript%3E%2F%2E%2E%2F%C3%A9");
    }

    #[test]
    fn times_have_two_units() {
        let texts = [0, 59, 60, 61, 3_600, 3_720, 90_000].map(|seconds| span(TimeDelta::seconds(seconds)));
        assert_eq!(
            texts,
            ["0 s", "59 s", "1 min", "1 min 1 s", "1 h", "1 h 2 min", "1 d 1 h"]
        );
        assert_eq!(span_zh(TimeDelta::seconds(61)), "1 分钟 1 秒");
    }
}
