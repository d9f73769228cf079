//! Random expressions, and the plainest way to say whether they match: every field is asked about every instant.

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveDateTime, TimeDelta, TimeZone, Timelike, Utc};
use gaia_actors::schedule::Zone;
use proptest::{collection::vec, prelude::*, sample::select};

/// An entry of a field, and how it is written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Item {
    Star,
    StarStep(u32),
    One(u32),
    From(u32, u32),
    Range(u32, u32),
    RangeStep(u32, u32, u32),
    Last(u32),
    LastWorkday,
    Workday(u32),
    LastOf(u32),
    Nth(u32, u32),
}

/// Seconds first. Without seconds the expression has five fields.
#[derive(Debug, Clone)]
pub(crate) struct Random {
    pub(crate) second: Option<Vec<Item>>,
    pub(crate) minute: Vec<Item>,
    pub(crate) hour: Vec<Item>,
    pub(crate) day: Vec<Item>,
    pub(crate) month: Vec<Item>,
    pub(crate) weekday: Vec<Item>,
}

impl Item {
    fn text(self) -> String {
        match self {
            Self::Star => "*".to_owned(),
            Self::StarStep(step) => format!("*/{step}"),
            Self::One(value) => value.to_string(),
            Self::From(first, step) => format!("{first}/{step}"),
            Self::Range(first, last) => format!("{first}-{last}"),
            Self::RangeStep(first, last, step) => format!("{first}-{last}/{step}"),
            Self::Last(0) => "L".to_owned(),
            Self::Last(before) => format!("L-{before}"),
            Self::LastWorkday => "LW".to_owned(),
            Self::Workday(day) => format!("{day}W"),
            Self::LastOf(weekday) => format!("{weekday}L"),
            Self::Nth(weekday, nth) => format!("{weekday}#{nth}"),
        }
    }

    pub(crate) fn is_star(self) -> bool {
        matches!(self, Self::Star | Self::StarStep(_))
    }

    fn is_interval(self) -> bool {
        self.is_star() || matches!(self, Self::From(..) | Self::RangeStep(..))
    }

    /// Whether a plain entry of a field with the values `min..=max` has this one.
    fn has(self, value: u32, min: u32, max: u32) -> bool {
        let (first, last, step) = match self {
            Self::Star => (min, max, 1),
            Self::StarStep(step) => (min, max, step),
            Self::One(only) => (only, only, 1),
            Self::From(first, step) => (first, max, step),
            Self::Range(first, last) => (first, last, 1),
            Self::RangeStep(first, last, step) => (first, last, step),
            _ => return false,
        };
        let mut walk = first;
        let mut taken = 0;
        loop {
            if taken % step == 0 && walk == value {
                return true;
            }
            if walk == last {
                return false;
            }
            walk = if walk == max { min } else { walk + 1 };
            taken += 1;
        }
    }
}

fn has(items: &[Item], value: u32, min: u32, max: u32) -> bool {
    items.iter().any(|item| item.has(value, min, max))
}

impl Random {
    pub(crate) fn text(&self) -> String {
        let fields = [&self.minute, &self.hour, &self.day, &self.month, &self.weekday];
        let fields = self.second.iter().chain(fields);
        let words = fields.map(|field| field.iter().map(|item| item.text()).collect::<Vec<_>>().join(","));
        words.collect::<Vec<_>>().join(" ")
    }

    /// No clock field has a star or a step.
    pub(crate) fn is_fixed(&self) -> bool {
        let fields = self.second.iter().chain([&self.minute, &self.hour]);
        !fields.flatten().any(|item| item.is_interval())
    }

    pub(crate) fn matches(&self, local: NaiveDateTime) -> bool {
        let zero = [Item::One(0)];
        has(self.second.as_deref().unwrap_or(&zero), local.second(), 0, 59)
            && has(&self.minute, local.minute(), 0, 59)
            && has(&self.hour, local.hour(), 0, 23)
            && self.matches_date(local.date())
    }

    pub(crate) fn matches_date(&self, date: NaiveDate) -> bool {
        let day = self
            .day
            .iter()
            .any(|item| item.has(date.day(), 1, 31) || is_special_day(*item, date));
        let weekday = date.weekday().num_days_from_sunday();
        let weekday = self
            .weekday
            .iter()
            .any(|item| item.has(weekday, 0, 6) || is_special_day(*item, date));
        let days = match self.day[0].is_star() || self.weekday[0].is_star() {
            true => day && weekday,
            false => day || weekday,
        };
        days && has(&self.month, date.month(), 1, 12)
    }

    /// Whether the schedule fires at an instant. A fixed time comes up the first time its clock time is shown, or with the first second
    /// after a gap that has it.
    pub(crate) fn fires(&self, zone: &Zone, at: DateTime<Utc>) -> bool {
        let local = |at: DateTime<Utc>| at.with_timezone(zone).naive_local();
        let (before, now) = (local(at - TimeDelta::seconds(1)), local(at));
        if !self.is_fixed() {
            return self.matches(now);
        }
        let mut skipped = before + TimeDelta::seconds(1);
        while skipped < now {
            if self.matches(skipped) {
                return true;
            }
            skipped += TimeDelta::seconds(1);
        }
        self.matches(now) && zone.from_local_datetime(&now).earliest() == Some(at.with_timezone(zone))
    }
}

fn is_special_day(item: Item, date: NaiveDate) -> bool {
    let days = u32::from(date.num_days_in_month());
    let weekday = date.weekday().num_days_from_sunday();
    match item {
        Item::Last(before) => date.day() + before == days,
        Item::LastWorkday => last_workday(date) == date,
        Item::Workday(day) => nearest_workday(date, day) == Some(date),
        Item::LastOf(wanted) => weekday == wanted % 7 && date.day() + 7 > days,
        Item::Nth(wanted, nth) => weekday == wanted % 7 && (date.day() - 1) / 7 + 1 == nth,
        _ => false,
    }
}

fn is_workday(date: NaiveDate) -> bool {
    date.weekday().num_days_from_monday() < 5
}

fn last_workday(date: NaiveDate) -> NaiveDate {
    let first = date.with_day(1).expect("every month has a first");
    let mut last = first + Months::new(1) - Days::new(1);
    while !is_workday(last) {
        last = last - Days::new(1);
    }
    last
}

/// The workday of the month of `date` that is nearest its `day`; the earlier one if two are as near.
fn nearest_workday(date: NaiveDate, day: u32) -> Option<NaiveDate> {
    let wanted = date.with_day(day)?;
    let offsets = [0, -1, 1, -2, 2].map(TimeDelta::days);
    let near = offsets.map(|offset| wanted + offset);
    near.into_iter()
        .find(|near| is_workday(*near) && near.month() == wanted.month())
}

/// Entries of a field, without wrapping ranges.
fn plain(min: u32, max: u32) -> impl Strategy<Value = Item> + Clone {
    let value = min..=max;
    let step = 1..=(max - min).max(2);
    let sorted = |(a, b): (u32, u32)| (a.min(b), a.max(b));
    prop_oneof![
        3 => value.clone().prop_map(Item::One),
        2 => (value.clone(), value.clone()).prop_map(move |pair| { let (a, b) = sorted(pair); Item::Range(a, b) }),
        1 => (value.clone(), value.clone(), step.clone())
            .prop_map(move |(a, b, step)| { let (a, b) = sorted((a, b)); Item::RangeStep(a, b, step) }),
        1 => (value, step.clone()).prop_map(|(value, step)| Item::From(value, step)),
        1 => step.prop_map(Item::StarStep),
    ]
}

/// A star in half of all fields, else a list.
pub(crate) fn field(min: u32, max: u32) -> impl Strategy<Value = Vec<Item>> {
    prop_oneof![Just(vec![Item::Star]), vec(plain(min, max), 1..4)]
}

/// As [`field`], with ranges that may wrap.
fn wrapping(min: u32, max: u32) -> impl Strategy<Value = Vec<Item>> {
    let value = min..=max;
    let wraps = prop_oneof![
        (value.clone(), value.clone()).prop_map(|(a, b)| Item::Range(a, b)),
        (value.clone(), value, 1..5_u32).prop_map(|(a, b, step)| Item::RangeStep(a, b, step)),
    ];
    let item = prop_oneof![3 => plain(min, max), 1 => wraps];
    prop_oneof![2 => Just(vec![Item::Star]), 3 => vec(item, 1..4)]
}

fn special_day() -> impl Strategy<Value = Item> + Clone {
    prop_oneof![
        (0..31_u32).prop_map(Item::Last),
        Just(Item::LastWorkday),
        (1..32_u32).prop_map(Item::Workday),
    ]
}

fn special_weekday() -> impl Strategy<Value = Item> + Clone {
    prop_oneof![
        (0..8_u32).prop_map(Item::LastOf),
        (0..8_u32, 1..6_u32).prop_map(|(weekday, nth)| Item::Nth(weekday, nth)),
    ]
}

pub(crate) fn special() -> impl Strategy<Value = Item> {
    prop_oneof![special_day(), special_weekday()]
}

/// One list of plain and special entries; what begins with a star has no special ones.
fn with_specials(
    plain: impl Strategy<Value = Vec<Item>>,
    special: impl Strategy<Value = Item> + Clone,
) -> impl Strategy<Value = Vec<Item>> {
    let lists = (plain, vec(special, 0..3));
    lists.prop_map(|(mut items, specials)| {
        if !specials.is_empty() && items[0].is_star() {
            return specials;
        }
        items.extend(specials);
        items
    })
}

/// Any accepted expression.
pub(crate) fn any() -> impl Strategy<Value = Random> {
    let second = prop_oneof![Just(None), wrapping(0, 59).prop_map(Some)];
    let day = prop_oneof![3 => wrapping(1, 31).boxed(), 1 => with_specials(field(1, 31), special_day()).boxed()];
    let weekday = prop_oneof![3 => wrapping(0, 6).boxed(), 1 => with_specials(field(0, 6), special_weekday()).boxed()];
    (second, wrapping(0, 59), hours(), day, wrapping(1, 12), weekday).prop_map(build)
}

/// Clocks are turned in the small hours: half of the expressions are about these.
fn hours() -> impl Strategy<Value = Vec<Item>> {
    prop_oneof![wrapping(0, 23), vec((0..4_u32).prop_map(Item::One), 1..3)]
}

/// Without notations that other crates do not share.
pub(crate) fn common() -> impl Strategy<Value = Random> {
    let second = field(0, 59).prop_map(Some);
    (
        second,
        field(0, 59),
        field(0, 23),
        field(1, 31),
        field(1, 12),
        field(0, 6),
    )
        .prop_map(build)
}

type Parts = (Option<Vec<Item>>, Vec<Item>, Vec<Item>, Vec<Item>, Vec<Item>, Vec<Item>);

fn build((second, minute, hour, day, month, weekday): Parts) -> Random {
    Random {
        second,
        minute,
        hour,
        day,
        month,
        weekday,
    }
}

/// Zones of all habits.
pub(crate) fn zone() -> impl Strategy<Value = Zone> {
    let zones = [
        "UTC",
        "America/New_York",
        "Europe/London",
        "Australia/Lord_Howe",
        "Asia/Shanghai",
        "Africa/Casablanca",
        "America/Havana",
        "America/Sao_Paulo",
        "Asia/Kathmandu",
    ];
    select(zones.map(crate::named).to_vec())
}

/// Any second of the years 1970 to 2099.
pub(crate) fn moment() -> impl Strategy<Value = DateTime<Utc>> {
    (0..4_102_444_800_i64).prop_map(|at| DateTime::from_timestamp(at, 0).expect("is in range"))
}

/// A zone and one of its changes of offset, to the second.
pub(crate) fn shift() -> impl Strategy<Value = (Zone, DateTime<Utc>)> {
    let shifts = [
        ("America/New_York", "2026-03-08T07:00:00Z"),
        ("America/New_York", "2026-11-01T06:00:00Z"),
        ("Europe/London", "2026-03-29T01:00:00Z"),
        ("Europe/London", "2026-10-25T01:00:00Z"),
        ("Australia/Lord_Howe", "2026-04-04T15:00:00Z"),
        ("Australia/Lord_Howe", "2026-10-03T15:30:00Z"),
        ("Africa/Casablanca", "2026-02-15T02:00:00Z"),
        ("Africa/Casablanca", "2026-03-22T02:00:00Z"),
        ("America/Havana", "2026-03-08T05:00:00Z"),
        ("America/Havana", "2026-11-01T05:00:00Z"),
        ("Asia/Shanghai", "1991-09-14T17:00:00Z"),
        ("Pacific/Apia", "2011-12-30T10:00:00Z"),
    ];
    select(
        shifts
            .map(|(zone, at)| (crate::named(zone), crate::instant(at)))
            .to_vec(),
    )
}
