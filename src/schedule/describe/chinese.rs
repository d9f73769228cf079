//! In Chinese: from the year down to the second, as dates are said.

use super::{
    Day, Entry, Every, Field, Fields, Moment, Unit, cycle, day, hour_span, moment, plain, rows, specials, week,
};

/// Sunday stands on both sides.
const WEEKDAYS: [&str; 8] = ["日", "一", "二", "三", "四", "五", "六", "日"];
const NTH: [&str; 6] = ["", "一", "二", "三", "四", "五"];

pub(super) fn every(every: Every) -> String {
    let parts = every.parts().into_iter().zip(["天", "小时", "分钟", "秒"]);
    let words = parts
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!(" {count} {unit}"));
    format!("每{}", words.collect::<String>())
}

pub(super) fn fields(fields: &Fields) -> String {
    let days = days(fields);
    let or_daily = |days: String| if days.is_empty() { "每天".to_owned() } else { days };
    match moment(fields) {
        Moment::Clock(times) => spaced(&or_daily(days), &times.join("、")),
        Moment::Hours(hours) => spaced(&days, &format!("每 {hours} 小时")),
        Moment::Hourly(first, last) => spaced(&or_daily(days), &format!("{first} 至 {last} 每小时一次")),
        Moment::Parts if cycle(&fields.hour) == Some(1) => spaced(&days, &parts(fields)),
        Moment::Parts => {
            let hours = hours(fields.hour.mask());
            spaced(&or_daily(days), &(hours + &parts(fields)))
        }
    }
}

/// A wide bracket has its blank in it.
fn spaced(days: &str, text: &str) -> String {
    match days.is_empty() || days.ends_with('）') {
        true => format!("{days}{text}"),
        false => format!("{days} {text}"),
    }
}

fn numbers(mask: u64) -> String {
    rows(mask, |one| one.to_string(), |first, last| format!("{first} 至 {last}")).join("、")
}

fn hours(mask: u64) -> String {
    match hour_span(mask) {
        Some((first, last)) => format!("{first:02}:00 至 {last:02}:59 之间"),
        None => format!("{} 点期间", numbers(mask)),
    }
}

/// `每 5 分钟`, or nothing if they are counted one by one.
fn repeated(field: &Field, unit: &str) -> Option<String> {
    cycle(field).map(|step| match step {
        1 => format!("每{unit}"),
        _ => format!("每 {step} {unit}"),
    })
}

fn parts(fields: &Fields) -> String {
    let every_hour = match cycle(&fields.hour) {
        Some(1) => "每小时",
        _ => "",
    };
    if fields.second.mask() != 1 {
        return second_parts(fields, every_hour);
    }
    match (repeated(&fields.minute, "分钟"), fields.minute.mask()) {
        (Some(repeated), _) => repeated,
        (None, 1) => format!("{every_hour}整点"),
        (None, mask) => format!("{every_hour}第 {} 分钟", numbers(mask)),
    }
}

fn second_parts(fields: &Fields, every_hour: &str) -> String {
    let seconds = repeated(&fields.second, "秒");
    let minutes = format!("{every_hour}第 {} 分钟", numbers(fields.minute.mask()));
    let listed = format!("第 {} 秒", numbers(fields.second.mask()));
    match (seconds, cycle(&fields.minute)) {
        (Some(repeated), Some(1)) => repeated,
        (None, Some(1)) => format!("每分钟{listed}"),
        (Some(repeated), _) => format!("{minutes}内{repeated}"),
        (None, _) => format!("{minutes}的{listed}"),
    }
}

/// Empty if every day matches.
fn days(fields: &Fields) -> String {
    let months = match fields.month.is_any() {
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
            let condition = match second.unit {
                Unit::Weekday => weekdays(second.mask()),
                _ => format!(" {}", numbers_of_days(second.mask())),
            };
            format!("{}（仅当该日是{condition}）", on(first))
        }
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
        (Some(mask), _) => vec![format!("{prefix} {}", numbers_of_days(mask))],
    };
    words.extend(specials(field, |entry| prefix.clone() + &special(entry)));
    words.join("以及")
}

/// In every month there is no need to say so.
fn on_weekdays(mask: u64, months: Option<&[String]>) -> String {
    match months {
        None => format!("每{}", weekdays(mask)),
        Some(months) => format!("每年 {}的每{}", months.join("、"), weekdays(mask)),
    }
}

fn numbers_of_days(mask: u64) -> String {
    rows(
        mask,
        |one| format!("{one} 日"),
        |first, last| format!("{first} 日至 {last} 日"),
    )
    .join("、")
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
