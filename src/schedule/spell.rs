//! The shortest cron field for a set of values, which are given as bits.

use std::fmt::Write;

use super::unit::Unit;

/// Writes `mask` as one field: `*`, `0-59/5`, or values and ranges in order. It writes weekdays as names, because numbers mean different
/// days to different programs.
pub(super) fn spell(text: &mut String, unit: Unit, mask: u64) {
    let full = unit.full();
    let mask = mask & full;
    if mask == full {
        text.push('*');
    } else if let Some((first, last, step)) = progression(mask) {
        push_value(text, unit, first);
        text.push('-');
        push_value(text, unit, last);
        // Writing to a String cannot fail.
        let _ = write!(text, "/{step}");
    } else {
        push_runs(text, unit, mask);
    }
}

/// First, last and step, if there are three values or more, each the same step above 1 after the other.
pub(super) fn progression(mask: u64) -> Option<(u32, u32, u32)> {
    let first = mask.trailing_zeros();
    let second = (mask & (mask - 1)).trailing_zeros();
    let last = mask.ilog2();
    let step = second.checked_sub(first).filter(|step| *step > 1 && second < last)?;
    let expected = (first..=last).step_by(step as usize);
    let expected = expected.fold(0_u64, |mask, value| mask | 1 << value);
    (expected == mask).then_some((first, last, step))
}

fn push_runs(text: &mut String, unit: Unit, mask: u64) {
    for (at, (first, last)) in runs(mask).enumerate() {
        if at > 0 {
            text.push(',');
        }
        push_value(text, unit, first);
        if last > first {
            text.push('-');
            push_value(text, unit, last);
        }
    }
}

/// First and last of each unbroken row of bits, in order.
pub(super) fn runs(mask: u64) -> impl Iterator<Item = (u32, u32)> {
    let mut left = mask;
    std::iter::from_fn(move || {
        let first = left.trailing_zeros();
        let length = left.checked_shr(first)?.trailing_ones();
        left &= !((u64::MAX >> (64 - length)) << first);
        Some((first, first + length - 1))
    })
}

fn push_value(text: &mut String, unit: Unit, value: u32) {
    match unit {
        Unit::Weekday => text.push_str(unit.names().get(value as usize).copied().unwrap_or_default()),
        _ => {
            let _ = write!(text, "{value}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelled(unit: Unit, values: &[u32]) -> String {
        let mask = values.iter().fold(0, |mask, value| mask | 1 << value);
        let mut text = String::new();
        spell(&mut text, unit, mask);
        text
    }

    #[test]
    fn the_shortest_text_is_chosen() {
        assert_eq!(spelled(Unit::Minute, &[7]), "7");
        assert_eq!(spelled(Unit::Minute, &[0, 30]), "0,30");
        assert_eq!(spelled(Unit::Minute, &[0, 20, 40]), "0-40/20");
        assert_eq!(spelled(Unit::Hour, &[0, 1, 2, 22, 23]), "0-2,22-23");
        assert_eq!(spelled(Unit::Weekday, &[0, 5, 6]), "SUN,FRI-SAT");
        assert_eq!(spelled(Unit::Weekday, &[0, 1, 2, 3, 4, 5, 6]), "*");
    }
}
