//! Every word of the pages, one table for each language: a word that a table lacks does not compile.

mod en;
mod faults;
mod zh;
mod zh_faults;

use std::time::Duration;

use actix_web::http::header::{ACCEPT_LANGUAGE, HeaderMap};
use chrono::Weekday;

use crate::domain::{
    AlertKind, AlertSeverity, BulkAction, BulkState, ErrorAttempts, JobType, MisfirePolicy, OverlapPolicy, RunFlag,
    SkipReason, TaskStatus,
};

/// A language of the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    English,
    Chinese,
}

impl Language {
    pub(super) const ALL: [Self; 2] = [Self::English, Self::Chinese];

    /// As `lang` of HTML has it, and the cookie.
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Chinese => "zh-CN",
        }
    }

    /// Its own name.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::English => "English",
            Self::Chinese => "中文",
        }
    }

    pub(super) const fn words(self) -> &'static Words {
        match self {
            Self::English => &en::WORDS,
            Self::Chinese => &zh::WORDS,
        }
    }

    pub(super) fn of_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|language| language.code() == code)
    }

    /// The first language of the browser's list that is known here.
    pub(super) fn accepted(headers: &HeaderMap) -> Option<Self> {
        let accepted = headers.get(ACCEPT_LANGUAGE)?.to_str().ok()?;
        accepted.split([',', ';']).find_map(|range| {
            let primary = range.trim().split('-').next().unwrap_or_default();
            Self::ALL
                .into_iter()
                .find(|language| language.code().split('-').next() == Some(primary))
        })
    }
}

/// A count and what is counted.
pub(super) type Counted = fn(u64) -> String;

/// The words of one language.
pub(super) struct Words {
    // Faults.
    /// The label of a field of a form.
    pub(super) field: fn(&str) -> Option<&'static str>,
    /// The first row that fits counts.
    fault_table: &'static [faults::Row],
    semicolon: &'static str,
    pub(super) colon: &'static str,

    // Places.
    pub(super) overview: &'static str,
    pub(super) tasks: &'static str,
    pub(super) task: &'static str,
    pub(super) errors: &'static str,
    pub(super) methods: &'static str,
    pub(super) jobs: &'static str,
    pub(super) job: &'static str,
    pub(super) run: &'static str,
    pub(super) nodes: &'static str,
    pub(super) node: &'static str,
    pub(super) audit: &'static str,
    pub(super) theme: &'static str,
    pub(super) themes: &'static str,
    pub(super) operation: &'static str,
    pub(super) operations: &'static str,

    // The frame.
    pub(super) skip_to_content: &'static str,
    pub(super) menu: &'static str,
    pub(super) language: &'static str,
    pub(super) appearance: &'static str,
    pub(super) light: &'static str,
    pub(super) dark: &'static str,
    pub(super) as_system: &'static str,
    pub(super) refresh: &'static str,
    pub(super) refresh_off: &'static str,
    pub(super) every: fn(u32) -> String,
    pub(super) apply: &'static str,
    pub(super) signed_in_as: fn(&str) -> String,
    pub(super) read_only: &'static str,
    pub(super) updates_stopped: &'static str,
    pub(super) offline: &'static str,

    // Times and numbers.
    pub(super) ago: fn(Duration) -> String,
    pub(super) in_future: fn(Duration) -> String,
    pub(super) just_now: &'static str,
    pub(super) lasting: fn(Duration) -> String,
    pub(super) none: &'static str,
    pub(super) more_than: fn(u64) -> String,
    pub(super) utc: &'static str,

    // Tasks.
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    pub(super) service: &'static str,
    pub(super) method: &'static str,
    pub(super) status: &'static str,
    pub(super) statuses: fn(TaskStatus) -> &'static str,
    pub(super) status_means: fn(TaskStatus) -> &'static str,
    pub(super) priority: &'static str,
    pub(super) attempts: &'static str,
    pub(super) attempt_of: fn(i64, i64) -> String,
    pub(super) created: &'static str,
    pub(super) updated: &'static str,
    pub(super) started: &'static str,
    pub(super) ended: &'static str,
    pub(super) duration: &'static str,
    pub(super) due_at: &'static str,
    /// Followed by the id of a task.
    pub(super) waits_for_task: &'static str,
    /// How many tasks have not ended, of how many.
    pub(super) waits_for_tasks: fn(u64, u64) -> String,
    pub(super) waits_for_key: &'static str,
    pub(super) timeout: &'static str,
    pub(super) unique_key: &'static str,
    pub(super) limit_key: &'static str,
    pub(super) tenant: &'static str,
    pub(super) trace: &'static str,
    pub(super) log_id: &'static str,
    pub(super) progress: &'static str,
    pub(super) args: &'static str,
    pub(super) result: &'static str,
    pub(super) error: &'static str,
    pub(super) hidden: &'static str,
    pub(super) cancel_requested: &'static str,
    pub(super) life: &'static str,
    pub(super) last_attempt: &'static str,
    pub(super) no_attempts: &'static str,
    pub(super) search: &'static str,
    pub(super) search_help: &'static str,
    pub(super) newer: &'static str,
    pub(super) older: &'static str,
    pub(super) searched_back_to: fn(i64) -> String,
    pub(super) search_on: &'static str,
    pub(super) export: &'static str,
    pub(super) no_tasks: &'static str,
    pub(super) no_tasks_hint: &'static str,
    pub(super) select: fn(i64) -> String,
    pub(super) select_all: &'static str,
    pub(super) with_selected: &'static str,
    pub(super) with_all_found: &'static str,
    pub(super) all_statuses: &'static str,
    pub(super) all_themes: &'static str,
    pub(super) retries_used: &'static str,
    pub(super) not_retried: &'static str,
    pub(super) tasks_or_more: fn(u64, bool) -> String,
    pub(super) none_found_yet: &'static str,
    pub(super) none_found_yet_hint: &'static str,
    pub(super) no_tasks_at_all: &'static str,
    pub(super) no_tasks_at_all_hint: &'static str,
    /// A search line, and what it finds.
    pub(super) search_terms: &'static [(&'static str, &'static str)],
    pub(super) further_conditions: &'static str,
    pub(super) take_away: fn(&str) -> String,
    pub(super) in_the_search: &'static str,
    pub(super) due_now: &'static str,
    pub(super) own_timeout: &'static str,
    pub(super) cut: fn(u64) -> String,
    pub(super) whole_text: &'static str,
    pub(super) attempt_number: &'static str,
    pub(super) newer_page: &'static str,
    pub(super) page_of: fn(u64, u64) -> String,
    pub(super) facts: &'static str,
    pub(super) times_retried: fn(i64) -> String,
    pub(super) how_to_search: &'static str,
    pub(super) no_args: &'static str,
    pub(super) past_step: &'static str,
    pub(super) next_step: &'static str,
    pub(super) comma: &'static str,

    // Actions.
    pub(super) cancel: &'static str,
    pub(super) retry: &'static str,
    pub(super) run_now: &'static str,
    pub(super) delete: &'static str,
    pub(super) pause: &'static str,
    pub(super) resume: &'static str,
    pub(super) resize: &'static str,
    pub(super) enable: &'static str,
    pub(super) disable: &'static str,
    pub(super) edit: &'static str,
    pub(super) save: &'static str,
    pub(super) new_job: &'static str,
    pub(super) keep: &'static str,
    pub(super) reason: &'static str,
    pub(super) reason_hint: &'static str,
    pub(super) author: &'static str,
    pub(super) action: &'static str,
    pub(super) target: &'static str,
    pub(super) done: fn(&str) -> Option<&'static str>,
    pub(super) not_done: &'static str,
    /// What a status of HTTP means; `None`: its usual words.
    pub(super) refused: fn(u16) -> Option<&'static str>,
    pub(super) really: fn(&str) -> &'static str,
    pub(super) these_tasks: Counted,
    pub(super) samples: &'static str,
    pub(super) nothing_to_do: &'static str,
    pub(super) bulk_actions: fn(BulkAction) -> &'static str,
    pub(super) bulk_means: fn(BulkAction) -> &'static str,
    pub(super) bulk_this: fn(BulkAction, u64, bool) -> String,
    pub(super) bulk_every: &'static str,
    pub(super) bulk_every_seen: &'static str,
    pub(super) bulk_when_it_runs: &'static str,
    pub(super) bulk_changes_only: fn(&str) -> String,
    pub(super) nothing_selected: &'static str,
    pub(super) nothing_selected_hint: &'static str,
    pub(super) back_to_list: &'static str,
    pub(super) which_tasks: &'static str,
    pub(super) every_task: &'static str,
    pub(super) bulk_states: fn(BulkState) -> &'static str,
    pub(super) skip_reasons: fn(SkipReason) -> &'static str,
    pub(super) changed: &'static str,
    pub(super) left_as_they_were: &'static str,
    pub(super) done_down_to: fn(i64) -> String,
    pub(super) at_most: &'static str,
    pub(super) no_operations: &'static str,
    pub(super) no_operations_hint: &'static str,

    // Themes.
    pub(super) due: &'static str,
    pub(super) oldest_due: &'static str,
    pub(super) running: &'static str,
    pub(super) workers: &'static str,
    pub(super) busy_of_all: &'static str,
    pub(super) rate: &'static str,
    pub(super) no_such_theme: &'static str,
    pub(super) theme_without_page: &'static str,
    pub(super) changes_of_it: &'static str,
    pub(super) value_not_told: &'static str,
    pub(super) log: &'static str,
    pub(super) level: &'static str,
    pub(super) message: &'static str,
    pub(super) log_target: &'static str,
    pub(super) lines: &'static str,
    pub(super) lines_left_out: Counted,
    pub(super) no_lines: &'static str,
    pub(super) no_lines_yet: &'static str,
    pub(super) keep_logs_hint: &'static str,
    pub(super) keep_job_logs_hint: &'static str,
    pub(super) per_minute: fn(f64) -> String,
    pub(super) failure_share: &'static str,
    pub(super) last_hour: &'static str,
    pub(super) paused: &'static str,
    pub(super) paused_by: fn(Option<&str>, Option<&str>) -> String,
    pub(super) first_paused_by: fn(Option<&str>, Option<&str>) -> String,
    pub(super) resized_by: fn(Option<&str>, Option<&str>) -> String,
    /// From which number, by whom, why.
    pub(super) set_on_node: fn(Option<u64>, &str, Option<&str>) -> String,
    pub(super) nobody_serves: fn(u64) -> String,
    pub(super) nobody_works: Counted,
    pub(super) no_workers: &'static str,
    pub(super) workers_of_each_node: &'static str,
    pub(super) workers_own: &'static str,
    pub(super) no_themes: &'static str,
    pub(super) no_themes_hint: &'static str,
    pub(super) all_well: &'static str,
    pub(super) needs_attention: &'static str,
    pub(super) scheduled: &'static str,
    pub(super) not_paused: &'static str,
    pub(super) unserved: &'static str,
    pub(super) unserved_hint: &'static str,
    pub(super) unserved_due: &'static str,
    pub(super) workers_on_nodes: &'static str,
    pub(super) no_node_works: &'static str,
    pub(super) no_node_works_hint: &'static str,
    pub(super) blank_is_own: &'static str,
    pub(super) tasks_by_status: &'static str,
    pub(super) count_tasks: &'static str,
    pub(super) count_reads_all: &'static str,
    pub(super) drain: &'static str,

    // History.
    pub(super) succeeded: &'static str,
    pub(super) failed: &'static str,
    pub(super) retried: &'static str,
    pub(super) snoozed: &'static str,
    pub(super) cancelled: &'static str,
    pub(super) lost: &'static str,
    pub(super) runs: &'static str,
    pub(super) waiting_time: &'static str,
    pub(super) running_time: &'static str,
    pub(super) ended_per_step: fn(&str) -> String,
    pub(super) ends_in_time: &'static str,
    pub(super) times_in_time: &'static str,
    pub(super) waits_in_time: &'static str,
    pub(super) as_table: &'static str,
    pub(super) nothing_ended: &'static str,
    pub(super) nothing_ended_hint: &'static str,
    pub(super) too_many_counts: &'static str,
    pub(super) up_to: fn(&str) -> String,
    pub(super) longer_than: fn(&str) -> String,
    pub(super) spread: &'static str,

    // Errors.
    pub(super) since: &'static str,
    pub(super) hours: fn(u32) -> String,
    pub(super) days: fn(u32) -> String,
    pub(super) first_seen: &'static str,
    pub(super) last_seen: &'static str,
    pub(super) newest: &'static str,
    pub(super) retrying: &'static str,
    pub(super) no_errors: &'static str,
    pub(super) retry_group: &'static str,
    pub(super) no_errors_hint: &'static str,
    pub(super) error_attempts: fn(ErrorAttempts) -> &'static str,
    pub(super) no_failed_attempts: &'static str,
    pub(super) no_failed_attempts_hint: &'static str,
    pub(super) succeeded_since: &'static str,
    pub(super) no_error_text: &'static str,
    pub(super) sample: &'static str,
    pub(super) more_groups: Counted,
    pub(super) not_looked_at: &'static str,

    // Methods and nodes.
    pub(super) served_by: &'static str,
    pub(super) nobody: &'static str,
    pub(super) no_methods: &'static str,
    pub(super) host: &'static str,
    pub(super) remote_worker: &'static str,
    pub(super) process: &'static str,
    pub(super) version: &'static str,
    pub(super) alive: &'static str,
    pub(super) silent: &'static str,
    pub(super) last_beat: &'static str,
    pub(super) up_since: &'static str,
    pub(super) no_nodes: &'static str,
    pub(super) no_nodes_hint: &'static str,
    pub(super) counters: &'static str,
    pub(super) no_methods_hint: &'static str,
    pub(super) limits: &'static str,
    pub(super) limit: &'static str,
    pub(super) at_once: &'static str,
    pub(super) starts: &'static str,
    pub(super) starts_count: &'static str,
    pub(super) starts_per: &'static str,
    pub(super) time_unit: &'static str,
    pub(super) time_units: [&'static str; 5],
    pub(super) pace: fn(u64, Duration) -> String,
    pub(super) tasks_wait: &'static str,
    pub(super) per_limit_key: &'static str,
    pub(super) running_at_once: fn(u64) -> String,
    /// For how many keys tasks wait.
    pub(super) keys_wait: fn(u64) -> String,
    pub(super) at_once_of_key: &'static str,
    pub(super) starts_of_key: &'static str,
    pub(super) set_limit: &'static str,
    pub(super) lift_limit: &'static str,
    pub(super) blank_is_any: &'static str,
    pub(super) latest_failed: &'static str,
    pub(super) none_failed: &'static str,
    pub(super) load: &'static str,
    pub(super) answered_by: &'static str,
    pub(super) written_at: &'static str,
    pub(super) no_counters: &'static str,
    pub(super) themes_left_out: Counted,
    pub(super) no_themes_here: &'static str,
    pub(super) tasks_of_node: &'static str,
    pub(super) ended_lately: fn(&str) -> String,
    pub(super) fenced: &'static str,
    pub(super) shared: &'static str,
    pub(super) draining: &'static str,
    pub(super) unserved_here: &'static str,
    pub(super) handler_died: &'static str,
    pub(super) served_elsewhere: &'static str,
    pub(super) lease: fn(&str) -> String,
    pub(super) counter: fn(&str) -> &'static str,

    // Jobs.
    pub(super) schedule: &'static str,
    pub(super) time_zone: &'static str,
    pub(super) next_fires: &'static str,
    pub(super) last_runs: &'static str,
    pub(super) enabled: &'static str,
    pub(super) disabled: &'static str,
    pub(super) calls: &'static str,
    pub(super) overlap: &'static str,
    pub(super) misfire: &'static str,
    pub(super) misfire_grace: &'static str,
    pub(super) max_retry: &'static str,
    pub(super) retry_delay: &'static str,
    pub(super) job_type: &'static str,
    pub(super) hook_url: &'static str,
    pub(super) hook_method: &'static str,
    pub(super) hook_headers: &'static str,
    pub(super) no_jobs: &'static str,
    pub(super) no_jobs_hint: &'static str,
    pub(super) no_runs: &'static str,
    pub(super) scheduled_for: &'static str,
    pub(super) edit_conflict: &'static str,
    pub(super) set_by_code: &'static str,
    pub(super) job_unserved: &'static str,
    pub(super) all_jobs: &'static str,
    pub(super) no_jobs_found: &'static str,
    pub(super) no_jobs_found_hint: &'static str,
    pub(super) name_contains: &'static str,
    pub(super) next_fire: &'static str,
    pub(super) last_run: &'static str,
    pub(super) job_types: fn(JobType) -> &'static str,
    pub(super) overlaps: fn(OverlapPolicy) -> &'static str,
    pub(super) misfires: fn(MisfirePolicy) -> &'static str,
    pub(super) run_flags: fn(RunFlag) -> &'static str,
    pub(super) run_so: fn(i64, &str) -> String,
    pub(super) by_hand: &'static str,
    pub(super) cannot_fire: &'static str,
    pub(super) cancel_runs: &'static str,
    pub(super) missed_since: &'static str,
    pub(super) stop_requested: &'static str,
    pub(super) hook_secret: &'static str,
    pub(super) hook_secret_hint: &'static str,
    pub(super) hook_secret_kept: &'static str,
    pub(super) hook_secret_remove: &'static str,
    pub(super) headers_hint: &'static str,
    pub(super) args_hint: &'static str,
    pub(super) cron_expr: &'static str,
    pub(super) cron_hint: &'static str,
    pub(super) time_zone_hint: fn(&str) -> String,
    pub(super) timeout_seconds: &'static str,
    pub(super) rules: &'static str,
    pub(super) show_fires: &'static str,
    pub(super) in_zone: fn(&str) -> String,
    pub(super) weekdays: fn(Weekday) -> &'static str,
    pub(super) fires_if_enabled: &'static str,
    pub(super) not_saved: &'static str,
    pub(super) present_state: &'static str,
    pub(super) edit_anew: &'static str,
    pub(super) edit_hidden: &'static str,
    pub(super) without_saving: &'static str,
    pub(super) yes: &'static str,
    pub(super) no: &'static str,

    // Alerts.
    pub(super) alerts: &'static str,
    pub(super) alert: &'static str,
    pub(super) subject: &'static str,
    pub(super) times: &'static str,
    pub(super) last_text: &'static str,
    pub(super) no_alerts: &'static str,
    pub(super) no_alerts_hint: &'static str,
    pub(super) alert_since: &'static str,
    pub(super) open_alerts: Counted,
    pub(super) alert_kinds: fn(AlertKind) -> &'static str,
    pub(super) severities: fn(AlertSeverity) -> &'static str,

    // Audit.
    pub(super) at: &'static str,
    pub(super) no_audit: &'static str,
    pub(super) pending: &'static str,
    pub(super) no_audit_found: &'static str,
    pub(super) no_audit_hint: &'static str,
    pub(super) clear_filter: &'static str,
    pub(super) all_actions: &'static str,
    pub(super) change_done: &'static str,
    pub(super) change_refused: &'static str,
    pub(super) change_failed: &'static str,
    pub(super) actions: fn(&str) -> Option<&'static str>,
}

/// The largest unit of a duration and the next smaller one: `1 h 5 min`.
fn in_units(duration: Duration, units: [&str; 5], gap: &str) -> String {
    let seconds = duration.as_secs();
    let [ms, s, min, h, d] = units;
    let two = |large: u64, of: &str, small: u64, than: &str| match small {
        0 => format!("{large}{gap}{of}"),
        _ => format!("{large}{gap}{of}{gap}{small}{gap}{than}"),
    };
    match seconds {
        0 => format!("{}{gap}{ms}", duration.as_millis()),
        1..60 => match duration.subsec_millis() / 100 {
            tenths @ 1.. if seconds < 10 => format!("{seconds}.{tenths}{gap}{s}"),
            _ => format!("{seconds}{gap}{s}"),
        },
        60..3_600 => two(seconds / 60, min, seconds % 60, s),
        3_600..86_400 => two(seconds / 3_600, h, seconds % 3_600 / 60, min),
        _ => two(seconds / 86_400, d, seconds % 86_400 / 3_600, h),
    }
}

/// A number with a mark between its thousands.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    #[test]
    fn durations_have_two_units_at_most() {
        let [en, zh] = Language::ALL.map(|language| language.words().lasting);
        for (millis, english, chinese) in [
            (0, "0 ms", "0 毫秒"),
            (999, "999 ms", "999 毫秒"),
            (1_500, "1.5 s", "1.5 秒"),
            (59_999, "59 s", "59 秒"),
            (60_000, "1 min", "1 分钟"),
            (3_661_000, "1 h 1 min", "1 小时 1 分钟"),
            (90_000_000, "1 d 1 h", "1 天 1 小时"),
        ] {
            let duration = Duration::from_millis(millis);
            assert_eq!((en(duration), zh(duration)), (english.to_owned(), chinese.to_owned()));
        }
    }

    #[test]
    fn numbers_are_grouped_by_thousands() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (12_345_678, "12,345,678")] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn the_first_known_language_of_the_browser_counts() {
        for (accepted, expected) in [
            ("zh-CN,zh;q=0.9,en;q=0.8", Some(Language::Chinese)),
            ("de-DE, en-GB;q=0.7", Some(Language::English)),
            ("fr", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_LANGUAGE, HeaderValue::from_static(accepted));
            assert_eq!(Language::accepted(&headers), expected, "{accepted}");
        }
    }
}
