//! The past, as several pages show it: sums, charts, and tables for readers who see no charts.

use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use maud::{Markup, html};
use serde_json::{Value, json};

use super::{
    parts::{Ended, bar, empty, errors_path, lasting, number, share},
    view::View,
    words::Words,
};
use crate::{
    domain::{Counted, ErrorAttempts, ErrorsSince, Figures, GetHistory, Series, Times, span_of},
    error::Error,
    web::{call::Call, problem::Problem},
};

/// A page that took longer to look than this is not asked for again by itself.
const LIVE: Duration = Duration::from_millis(250);

/// Whether a page that has begun to look then may be asked for again and again.
pub(super) fn is_cheap(began: Instant) -> bool {
    began.elapsed() < LIVE
}

/// Over so many minutes a rate is measured.
pub(super) const RATE_MINUTES: i64 = 5;

/// How long the steps of a chart are, in seconds.
const fn chart_step(since: ErrorsSince) -> u32 {
    match since {
        ErrorsSince::Hour => 60,
        ErrorsSince::Day => 900,
        ErrorsSince::Week => 3_600,
    }
}

/// How long the steps of a small chart are, in seconds: a row has room for some thirty of them.
const fn spark_step(since: ErrorsSince) -> u32 {
    match since {
        ErrorsSince::Hour => 120,
        ErrorsSince::Day => 3_600,
        ErrorsSince::Week => 21_600,
    }
}

/// What ended in a time before now.
pub(super) struct Past {
    since: ErrorsSince,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    pub(super) counted: Vec<Counted>,
    /// There is more than one page reads, and nothing was read.
    pub(super) is_too_much: bool,
}

impl Past {
    /// What the caller may see of it. `of`: which theme, service and method.
    pub(super) async fn read(call: &Call, view: &View, since: ErrorsSince, of: GetHistory) -> Result<Self, Problem> {
        let get = GetHistory {
            step: chart_step(since),
            ..of
        };
        let (from, to) = get.range();
        let _turn = call.search().await?;
        let counted = call.gaia().admin().counted(&get).await?;
        let is_too_much = counted.is_none();
        let mut counted = counted.unwrap_or_default();
        counted.retain(|counted| call.caller.sees_theme(&counted.series.theme));
        Ok(Self {
            since,
            from,
            to: to.max(view.now),
            counted,
            is_too_much,
        })
    }

    /// The last hour of the themes that the caller may see, as all open pages share it: without methods, at most ten seconds old.
    pub(super) async fn shared_hour(call: &Call, view: &View) -> Result<Self, Problem> {
        let hour = call.watch().last_hour().await.ok_or(Error::Stopped)?;
        let (from, to) = hour.get.range();
        let found = hour.found.as_ref().map_err(Problem::clone)?;
        let sees = |counted: &&Counted| call.caller.sees_theme(&counted.series.theme);
        Ok(Self {
            since: ErrorsSince::Hour,
            from,
            to: to.max(view.now),
            counted: found.iter().flatten().filter(sees).cloned().collect(),
            is_too_much: found.is_none(),
        })
    }

    /// The last steps of a time, of every theme and method.
    pub(super) fn of_all(view: &View, since: ErrorsSince) -> GetHistory {
        let step = TimeDelta::seconds(chart_step(since).into());
        let from = view.now.checked_sub_signed(since.length() - step);
        GetHistory::between(from.unwrap_or(view.now), view.now + TimeDelta::seconds(1))
    }

    /// The sums of those that meet a condition.
    pub(super) fn sum(&self, of: impl Fn(&Counted) -> bool) -> Figures {
        let mut figures = Figures::default();
        for counted in self.counted.iter().filter(|counted| of(counted)) {
            figures.add(&counted.figures);
        }
        figures
    }

    /// The sums of each step, from the first one on, of those that meet a condition.
    fn steps(&self, seconds: u32, of: impl Fn(&Counted) -> bool) -> Vec<(DateTime<Utc>, Figures)> {
        let seconds = i64::from(seconds);
        let first = span_of(self.from, seconds);
        let count = ((self.to - first).num_seconds() + seconds - 1)
            .div_euclid(seconds)
            .clamp(1, 1_000);
        let mut steps: Vec<(DateTime<Utc>, Figures)> = (0..count)
            .map(|step| (first + TimeDelta::seconds(step * seconds), Figures::default()))
            .collect();
        for counted in self.counted.iter().filter(|counted| of(counted)) {
            let at = usize::try_from((counted.at - first).num_seconds().div_euclid(seconds)).ok();
            if let Some((_, figures)) = at.and_then(|at| steps.get_mut(at)) {
                figures.add(&counted.figures);
            }
        }
        steps
    }

    /// The steps of a chart: without the one that is under way, which would look like a fall.
    fn chart_steps(&self, view: &View) -> Vec<(DateTime<Utc>, Figures)> {
        let seconds = chart_step(self.since);
        let mut steps = self.steps(seconds, |_| true);
        let is_under_way = |at: DateTime<Utc>| at + TimeDelta::seconds(seconds.into()) > view.now;
        if steps.len() > 1 && steps.last().is_some_and(|(at, _)| is_under_way(*at)) {
            steps.pop();
        }
        steps
    }

    /// The bars of those that meet a condition.
    pub(super) fn spark(&self, view: &View, of: impl Fn(&Counted) -> bool) -> Markup {
        let seconds = spark_step(self.since);
        let steps: Vec<Ended> = self
            .steps(seconds, of)
            .into_iter()
            .map(|(_, figures)| ended(&figures))
            .collect();
        let step = (view.words.lasting)(Duration::from_secs(seconds.into()));
        super::parts::spark(&steps, &(view.words.ended_per_step)(&step))
    }

    /// What ended in each step, as a chart and as a table.
    pub(super) fn ends_chart(&self, view: &View) -> Markup {
        if let Some(why_not) = self.why_not(view) {
            return why_not;
        }
        let words = view.words;
        let steps = self.chart_steps(view);
        let line = |name: &str, colour: &str, fill: Option<&str>, of: fn(&Figures) -> u64| {
            let values: Vec<u64> = steps.iter().map(|(_, figures)| of(figures)).collect();
            json!({ "name": name, "colour": colour, "fill": fill, "values": values })
        };
        let chart = chart(
            view,
            &steps,
            &[
                line(words.succeeded, "--good", Some("--good-fill"), |figures| {
                    figures.succeeded
                }),
                line(words.retried, "--retry", None, |figures| figures.retried),
                line(words.failed, "--bad", Some("--bad-fill"), bad),
            ],
            "",
        );
        let heads = [
            words.succeeded,
            words.retried,
            words.failed,
            words.lost,
            words.snoozed,
            words.cancelled,
        ];
        let table = self.table(view, "ends-table", &heads, &steps, |figures| {
            let counts = [
                figures.succeeded,
                figures.retried,
                figures.failed,
                figures.lost,
                figures.snoozed,
                figures.cancelled,
            ];
            html! { @for count in counts { td.n { (number(count)) } } }
        });
        html! { div data-chart=(chart) role="img" aria-label=(words.ends_in_time) {} (table) }
    }

    /// How long something took in each step, as a chart and as a table.
    pub(super) fn times_chart(&self, view: &View, id: &str, what: &str, times: fn(&Figures) -> &Times) -> Markup {
        if let Some(why_not) = self.why_not(view) {
            return why_not;
        }
        let steps = self.chart_steps(view);
        let line = |(part, name, colour): (f64, &str, &str)| {
            let values: Vec<Value> = steps
                .iter()
                .map(|(_, figures)| times(figures).spread.quantile(part).map(millis).into())
                .collect();
            json!({ "name": name, "colour": colour, "values": values })
        };
        let lines = [
            (0.5, "p50", "--running"),
            (0.95, "p95", "--retry"),
            (0.99, "p99", "--off"),
        ]
        .map(line);
        let table = self.table(view, id, &["p50", "p95", "p99"], &steps, |figures| {
            quantiles(view, times(figures))
        });
        html! { div data-chart=(chart(view, &steps, &lines, "ms")) role="img" aria-label=(what) {} (table) }
    }

    /// What is said in place of a chart.
    fn why_not(&self, view: &View) -> Option<Markup> {
        let words = view.words;
        match (self.is_too_much, self.counted.is_empty()) {
            (true, _) => Some(html! { p.notice.warn { (words.too_many_counts) } }),
            (false, true) => Some(empty(words.nothing_ended, words.nothing_ended_hint)),
            (false, false) => None,
        }
    }

    /// The figures of the steps in which something ended, the newest first, folded.
    fn table(
        &self,
        view: &View,
        id: &str,
        heads: &[&str],
        steps: &[(DateTime<Utc>, Figures)],
        row: impl Fn(&Figures) -> Markup,
    ) -> Markup {
        let words = view.words;
        let step = Duration::from_secs(chart_step(self.since).into());
        html! {
            details.fold.chart-table id=(id) {
                summary { (words.as_table) }
                div.scroll tabindex="0" role="region" aria-label=(words.as_table) { table {
                    caption.visually-hidden { ((words.ended_per_step)(&(words.lasting)(step))) }
                    thead { tr {
                        th scope="col" { (words.at) " (" (words.utc) ")" }
                        @for head in heads { th.n scope="col" { (head) } }
                    } }
                    tbody {
                        @for (at, figures) in steps.iter().rev().filter(|(_, figures)| runs(figures) > 0) {
                            tr {
                                td.nowrap { time datetime=(at.to_rfc3339_opts(SecondsFormat::Secs, true)) { (at.format("%Y-%m-%d %H:%M")) } }
                                (row(figures))
                            }
                        }
                    }
                } }
            }
        }
    }
}

/// What `data-chart` holds.
fn chart(view: &View, steps: &[(DateTime<Utc>, Figures)], series: &[Value], unit: &str) -> String {
    let times: Vec<i64> = steps.iter().map(|(at, _)| at.timestamp()).collect();
    json!({ "time": view.words.at, "times": times, "series": series, "unit": unit }).to_string()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The median and two high quantiles, each in a cell.
pub(super) fn quantiles(view: &View, times: &Times) -> Markup {
    html! {
        @for part in [0.5, 0.95, 0.99] {
            td.n { (quantile(view, times, part)) }
        }
    }
}

pub(super) fn quantile(view: &View, times: &Times, part: f64) -> Markup {
    html! {
        @match times.spread.quantile(part) {
            Some(time) => (lasting(view, time)),
            None => span.faint { "–" },
        }
    }
}

/// How many times lie below each bound.
pub(super) fn histogram(view: &View, times: &Times) -> Markup {
    let words = view.words;
    let places: Vec<(Option<u64>, u64)> = times.spread.places().collect();
    let most = places.iter().map(|(_, count)| *count).max().unwrap_or(0);
    let last = places.iter().rposition(|(_, count)| *count > 0);
    let first = places.iter().position(|(_, count)| *count > 0);
    let mut shown = Vec::new();
    if let (Some(first), Some(last)) = (first, last) {
        shown.extend_from_slice(&places[first..=last]);
    }
    let long = |millis: u64| (words.lasting)(Duration::from_millis(millis));
    let longest = crate::domain::HISTORY_BOUNDS_MS.last().copied().unwrap_or_default();
    html! {
        @if shown.is_empty() {
            (empty(words.nothing_ended, words.nothing_ended_hint))
        } @else {
            table.spread {
                caption.visually-hidden { (words.spread) }
                tbody {
                    @for (bound, count) in shown {
                        tr {
                            th scope="row" {
                                @match bound {
                                    Some(bound) => ((words.up_to)(&long(bound))),
                                    None => ((words.longer_than)(&long(longest))),
                                }
                            }
                            td { (bar(in_places(count), in_places(most))) }
                            td.n { (number(count)) }
                        }
                    }
                }
            }
        }
    }
}

fn in_places(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// Every attempt that has ended, however it did.
pub(super) fn runs(figures: &Figures) -> u64 {
    figures.succeeded + figures.retried + bad(figures) + figures.snoozed + figures.cancelled
}

/// The rate of what ended in the last minutes.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
pub(super) fn per_minute(count: u64) -> f64 {
    count as f64 / RATE_MINUTES as f64
}

/// What has failed for good.
pub(super) fn bad(figures: &Figures) -> u64 {
    figures.failed + figures.lost
}

fn ended(figures: &Figures) -> Ended {
    Ended {
        good: figures.succeeded,
        retried: figures.retried,
        bad: bad(figures),
    }
}

/// How many of the attempts have failed, as a share.
pub(super) fn attempts_failed(figures: &Figures) -> Markup {
    let failed = bad(figures) + figures.retried;
    share(failed, failed + figures.succeeded)
}

/// The same, which leads to their errors. `theme`: blank for all.
pub(super) fn failure_share(view: &View, figures: &Figures, theme: &str, since: ErrorsSince) -> Markup {
    let share = attempts_failed(figures);
    html! {
        @match bad(figures) + figures.retried {
            0 => (share),
            _ => a href=(view.to(&errors_path(theme, since.as_str(), ErrorAttempts::All.as_str()))) { (share) },
        }
    }
}

/// The method of a series; `None`: what was lost is counted without one.
pub(super) fn method_of(series: &Series) -> Option<(&str, &str)> {
    let is_named = !series.service.is_empty() || !series.method.is_empty();
    is_named.then_some((&series.service, &series.method))
}

/// Links to the times of a page.
pub(super) fn tabs(view: &View, chosen: ErrorsSince, url: impl Fn(&str) -> String) -> Markup {
    html! {
        nav.tabs aria-label=(view.words.since) {
            @for since in ErrorsSince::ALL {
                a href=(view.to(&url(since.as_str()))) aria-current=[(since == chosen).then_some("true")] { (name_of(view.words, since)) }
            }
        }
    }
}

fn name_of(words: &Words, since: ErrorsSince) -> String {
    match since {
        ErrorsSince::Hour => (words.hours)(1),
        ErrorsSince::Day => (words.hours)(24),
        ErrorsSince::Week => (words.days)(7),
    }
}

/// A choice among the themes that the caller sees. `kept`: parameters that stay.
pub(super) fn theme_choice(
    view: &View,
    path: &str,
    themes: &[String],
    chosen: Option<&str>,
    kept: &[(&str, &str)],
) -> Markup {
    let words = view.words;
    let is_known = chosen.is_none_or(|chosen| themes.iter().any(|theme| theme == chosen));
    html! {
        form.search method="get" action=(view.to(path)) {
            @for (name, value) in kept { input type="hidden" name=(name) value=(value); }
            select name="theme" aria-label=(words.theme) {
                option value="" selected[chosen.is_none()] { (words.all_themes) }
                @if let Some(chosen) = chosen.filter(|_| !is_known) { option value=(chosen) selected { (chosen) } }
                @for theme in themes { option value=(theme) selected[chosen == Some(theme.as_str())] { (theme) } }
            }
            button { (words.apply) }
        }
    }
}
