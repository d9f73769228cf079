//! `traceparent` of the W3C's Trace Context: which trace a task belongs to, and which span has caused the task.
//!
//! `00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01`: a version, the id of the trace, the id of the span, flags.

use super::validate::Faults;

/// The length of one in characters, and the width of its column.
const LENGTH: usize = 55;

/// Whether the text is a `traceparent` of the version 00.
pub(crate) fn is_traceparent(text: &str) -> bool {
    version(text) == Some("00")
}

/// The version of a text that begins like a `traceparent` and is as long.
fn version(text: &str) -> Option<&str> {
    let parts: Vec<&str> = text.splitn(4, '-').collect();
    let [version, trace, span, flags] = parts[..] else {
        return None;
    };
    let is_id = |text: &str, digits| is_hex(text, digits) && text.bytes().any(|byte| byte != b'0');
    let is_whole = is_hex(version, 2) && is_id(trace, 32) && is_id(span, 16) && is_hex(flags, 2);
    is_whole.then_some(version)
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Notes a fault if the text is no `traceparent`.
pub(crate) fn check_traceparent(faults: &mut Faults, text: &str) {
    faults.require(is_traceparent(text), || {
        let shown: String = text.chars().take(LENGTH).collect();
        format!(
            "traceparent is {shown:?}, expected 00, 32 digits of a trace, 16 digits of a span and 2 digits of flags with `-` between \
             them, all hexadecimal in lower case"
        )
    });
}

/// The value of a request's header as one of the version 00. A value of a later version may go on after its flags, as the W3C says.
/// `None`: the header is no `traceparent`, and counts as missing.
#[cfg(feature = "web")]
pub(crate) fn of_header(value: &str) -> Option<String> {
    if is_traceparent(value) {
        return Some(value.to_owned());
    }
    let (known, rest) = value.split_at_checked(LENGTH)?;
    let is_later = !matches!(version(known)?, "00" | "ff") && (rest.is_empty() || rest.starts_with('-'));
    // Of a later version only the ids and the lowest flag are known.
    let flags = u8::from_str_radix(known.get(LENGTH - 2..)?, 16).ok()? & 1;
    is_later.then(|| format!("00{}{flags:02x}", &known[2..LENGTH - 2]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn what_is_no_traceparent_is_told_from_one() {
        assert!(is_traceparent(GOOD) && GOOD.len() == LENGTH);
        for bad in [
            "",
            "00",
            "00---",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 ",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c8031é-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g",
            "'; DROP TABLE asynctasks; --",
        ] {
            assert!(!is_traceparent(bad), "{bad}");
            let mut faults = Faults::default();
            check_traceparent(&mut faults, bad);
            assert!(faults.into_error().faults()[0].starts_with("traceparent is "), "{bad}");
        }
    }

    #[cfg(feature = "web")]
    #[test]
    fn a_header_of_a_later_version_counts_as_far_as_it_is_known() {
        assert_eq!(of_header(GOOD).as_deref(), Some(GOOD));
        for later in [
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03",
            "fe-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-comes-é",
        ] {
            assert_eq!(of_header(later).as_deref(), Some(GOOD), "{later}");
        }
        for none in [
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.more",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "é0-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "",
        ] {
            assert_eq!(of_header(none), None, "{none}");
        }
    }
}
