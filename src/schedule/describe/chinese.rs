//! The words in Chinese: from the year down to the second, as Chinese orders dates.

use super::{
    Beat, Day, Entry, Every, Field, Fields, Hours, Moment, Span, Steps, Unit, cycle, day, hours, is_full, moment,
    only_steps, pieces, plain, rows, specials, week,
};

/// Sunday is 0 and 7.
const WEEKDAYS: [&str; 8] = ["日", "一", "二", "三", "四", "五", "六", "日"];
const NTH: [&str; 6] = ["", "一", "二", "三", "四", "五"];

pub(super) fn every(every: Every) -> String {
    let parts = every.parts().into_iter().zip(["天", "小时", "分钟", "秒"]);
    let parts: Vec<_> = parts.filter(|(count, _)| *count > 0).collect();
    if let [(count, unit)] = parts[..] {
        return every_so_many(count, unit);
    }
    let words = parts.iter().map(|(count, unit)| format!(" {count} {unit}"));
    format!("每{}", words.collect::<String>())
}

/// `每 5 分钟`, `每分钟`.
fn every_so_many(step: u32, unit: &str) -> String {
    match step {
        1 => format!("每{unit}"),
        _ => format!("每 {step} {unit}"),
    }
}

pub(super) fn fields(fields: &Fields) -> String {
    let days = days(fields);
    let or_daily = |days: String| if days.is_empty() { "每天".to_owned() } else { days };
    match moment(fields) {
        Moment::Clock(times) => spaced(or_daily(days), &times.join("、")),
        Moment::Hours(hours) => spaced(days, &every_so_many(hours, "小时")),
        Moment::Hourly(step, spans) => {
            let often = every_so_many(step, "小时");
            spaced(or_daily(days), &format!("{} {often}一次", span_words(&spans)))
        }
        Moment::Within(beat, spans) => spaced(or_daily(days), &within(&beat, &spans)),
        Moment::Parts => match hours(fields) {
            Hours::Any => spaced(days, &parts(fields)),
            hours => spaced(or_daily(days), &spaced(hour_words(fields, &hours), &parts(fields))),
        },
    }
}

fn within(beat: &Beat, spans: &[Span]) -> String {
    let unit = match beat.unit {
        Unit::Second => "秒",
        _ => "分钟",
    };
    let (spans, often) = (span_words(spans), every_so_many(beat.step, unit));
    match beat.to_the_end {
        true => format!("{spans} {often}一次"),
        false => format!("{spans} 之间{often}"),
    }
}

fn span_words(spans: &[Span]) -> String {
    let spans: Vec<_> = spans.iter().map(|(from, to)| format!("{from} 至 {to}")).collect();
    spans.join("、")
}

/// Joins the texts, with a blank where Chinese and Latin characters meet. After a wide bracket there is none: its glyph has the blank.
fn spaced(before: String, text: &str) -> String {
    let is_latin = |char: Option<char>| char.is_some_and(|char| char.is_ascii_alphanumeric());
    let has_bracket = before.is_empty() || before.ends_with('）');
    let meet = is_latin(before.chars().next_back()) != is_latin(text.chars().next());
    match meet && !has_bracket {
        true => format!("{before} {text}"),
        false => before + text,
    }
}

fn numbers(mask: u64) -> String {
    rows(mask, |one| one.to_string(), |first, last| format!("{first} 至 {last}")).join("、")
}

/// `1 日起每 2 天`, `1 日至 21 日每 2 天`.
fn stepped(Steps { first, last, step, .. }: &Steps, number: impl Fn(u32) -> String, unit: &str) -> String {
    match last {
        Some(last) => spaced(
            format!("{}至", number(*first)),
            &format!("{}每 {step} {unit}", number(*last)),
        ),
        None => format!("{}起每 {step} {unit}", number(*first)),
    }
}

/// The hours, worded so that the following words mean times inside them.
fn hour_words(fields: &Fields, hours: &Hours) -> String {
    match (hours, only_steps(&fields.hour)) {
        (Hours::Any, _) => String::new(),
        (Hours::Spans(spans), _) => format!("{} 之间", span_words(spans)),
        (Hours::Listed, Some(steps)) => {
            let steps = stepped(&steps, |hour| format!("{hour:02}:00 "), "小时");
            format!("{steps}的首个小时内")
        }
        (Hours::Listed, None) => format!("{} 点期间", numbers(fields.hour.mask())),
    }
}

/// `每 5 分钟`; `None` if the field does not match every nth value for ever.
fn repeated(field: &Field, unit: &str) -> Option<String> {
    cycle(field).map(|step| every_so_many(step, unit))
}

/// `第 0、15 分钟`, `从第 1 分钟起每 2 分钟`.
fn numbered(field: &Field, unit: &str) -> String {
    let pieces = pieces(field);
    let number = |number: u32| format!("第 {number} {unit}");
    let mut words: Vec<_> = pieces
        .steps
        .iter()
        .map(|steps| format!("从{}", stepped(steps, number, unit)))
        .collect();
    if pieces.listed != 0 {
        words.push(format!("第 {} {unit}", numbers(pieces.listed)));
    }
    words.join("以及")
}

fn parts(fields: &Fields) -> String {
    // A single hour needs no 每小时, nor do the hours of `Hours::Listed`.
    let is_every =
        is_full(&fields.hour) || matches!(hours(fields), Hours::Spans(_)) && fields.hour.mask().count_ones() > 1;
    let every_hour = if is_every { "每小时" } else { "" };
    if fields.second.mask() != 1 {
        return second_parts(fields, every_hour);
    }
    match (repeated(&fields.minute, "分钟"), fields.minute.mask()) {
        (Some(repeated), _) => repeated,
        (None, 1) => format!("{every_hour}整点"),
        (None, _) => format!("{every_hour}{}", numbered(&fields.minute, "分钟")),
    }
}

fn second_parts(fields: &Fields, every_hour: &str) -> String {
    let minutes = format!("{every_hour}{}", numbered(&fields.minute, "分钟"));
    // Of every 5 minutes, the field matches only the first.
    let minutes = match only_steps(&fields.minute) {
        None => minutes,
        Some(_) => format!("{minutes}的首分钟"),
    };
    let seconds = numbered(&fields.second, "秒");
    match (repeated(&fields.second, "秒"), is_full(&fields.minute)) {
        (Some(repeated), true) => repeated,
        (None, true) => format!("每分钟{seconds}"),
        (Some(repeated), false) => format!("{minutes}内{repeated}"),
        (None, false) => format!("{minutes}的{seconds}"),
    }
}

/// Days and months; empty if every day matches.
fn days(fields: &Fields) -> String {
    let months = match is_full(&fields.month) {
        true => None,
        false => Some(rows(
            fields.month.mask(),
            |one| format!("{one} 月"),
            |first, last| format!("{first} 月至 {last} 月"),
        )),
    };
    let on = |field| on_days(field, months.as_deref());
    match (day(fields), &months) {
        (Day::Any, None) => String::new(),
        (Day::Any, Some(months)) => format!("每年 {}的每天", months.join("、")),
        (Day::One(field), _) => on(field),
        (Day::Either(first, second), _) => format!("{}以及{}", on(first), on(second)),
        (Day::Both(first, second), _) => {
            format!("{}（{}）", on(first), condition(second))
        }
    }
}

fn condition(field: &Field) -> String {
    match (field.unit, only_steps(field)) {
        (Unit::Weekday, _) => format!("仅当该日是{}", weekdays(field.mask())),
        (_, Some(_)) => format!("仅限 {}的日期", numbers_of_days(field)),
        (_, None) => format!("仅当该日是 {}", numbers_of_days(field)),
    }
}

fn on_days(field: &Field, months: Option<&[String]>) -> String {
    let prefix = match months {
        None => "每月".to_owned(),
        Some([only]) => format!("每年 {only}"),
        Some(many) => format!("每年 {}的", many.join("、")),
    };
    let mut words = match (plain(field), field.unit) {
        (None, _) => Vec::new(),
        (Some(mask), Unit::Weekday) => vec![on_weekdays(mask, months)],
        (Some(_), _) => vec![format!("{prefix} {}", numbers_of_days(field))],
    };
    words.extend(specials(field, |entry| prefix.clone() + &special(entry)));
    words.join("以及")
}

/// If every month matches, the words do not mention months.
fn on_weekdays(mask: u64, months: Option<&[String]>) -> String {
    match months {
        None => format!("每{}", weekdays(mask)),
        Some(months) => format!("每年 {}的每{}", months.join("、"), weekdays(mask)),
    }
}

fn numbers_of_days(field: &Field) -> String {
    let pieces = pieces(field);
    let day = |day: u32| format!("{day} 日");
    let mut words: Vec<_> = pieces.steps.iter().map(|steps| stepped(steps, day, "天")).collect();
    words.extend(rows(pieces.listed, day, |first, last| {
        format!("{}至 {}", day(first), day(last))
    }));
    words.join("、")
}

fn special(entry: Entry) -> String {
    match entry {
        Entry::Last { before: 0 } => "最后一天".to_owned(),
        // The last day is the first from the end.
        Entry::Last { before } => format!("倒数第 {} 天", before + 1),
        Entry::LastWorkday => "最后一个工作日（周一至周五）".to_owned(),
        Entry::Workday { day } => format!("最接近 {day} 日的工作日（周一至周五）"),
        Entry::LastOf { weekday } => format!("最后一个星期{}", name(&WEEKDAYS, weekday)),
        Entry::Nth { weekday, nth } => format!("第{}个星期{}", name(&NTH, nth), name(&WEEKDAYS, weekday)),
        Entry::All { .. } | Entry::Range { .. } => String::new(),
    }
}

fn weekdays(mask: u64) -> String {
    let one = |day| format!("周{}", name(&WEEKDAYS, day));
    rows(week(mask), one, |first, last| format!("{}至{}", one(first), one(last))).join("、")
}

fn name(names: &[&'static str], at: u32) -> &'static str {
    names.get(at as usize).copied().unwrap_or_default()
}
