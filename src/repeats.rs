//! Messages that would be logged again and again.

use std::{
    collections::HashMap,
    hash::Hash,
    time::{Duration, Instant},
};

/// A message that has not changed is said again after this time, then after twice that, and so on, up to `LONGEST`.
const FIRST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(3_600);

/// `Repeats` remembers so many keys at most; when another key comes, it forgets them all.
const MOST: usize = 10_000;

/// Decides when a message about a key is said: at once if it is new or has changed; else seldom, with the number of times that it has
/// come. Goes by real time, not by [`Clock`](crate::Clock).
#[derive(Debug)]
pub(crate) struct Repeats<K>(HashMap<K, Repeated>);

#[derive(Debug)]
struct Repeated {
    text: String,
    said: Instant,
    pause: Duration,
    /// How often the message has come since it was last said.
    unsaid: u64,
    count: u64,
}

impl<K> Default for Repeats<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash> Repeats<K> {
    /// Notes that the message `text` about `key` has come. Answers with the text to say now, if any; a repeated text says how often it has
    /// come since it was last said.
    pub(crate) fn say(&mut self, key: K, text: &str) -> Option<String> {
        self.say_at(key, text, Instant::now())
    }

    fn say_at(&mut self, key: K, text: &str, now: Instant) -> Option<String> {
        match self.0.get_mut(&key) {
            Some(repeated) if repeated.text == text => repeated.again(now),
            _ => {
                if self.0.len() >= MOST {
                    self.0.clear();
                }
                self.0.insert(key, Repeated::new(text, now));
                Some(text.to_owned())
            }
        }
    }

    /// Whether a message about `key` has come, and `over` was not called since.
    pub(crate) fn is_known(&self, key: &K) -> bool {
        self.0.contains_key(key)
    }

    /// Notes that the cause of the message about `key` is over. Answers how often the message had come, if it had.
    pub(crate) fn over(&mut self, key: &K) -> Option<u64> {
        self.0.remove(key).map(|repeated| repeated.count)
    }
}

impl Repeated {
    fn new(text: &str, now: Instant) -> Self {
        Self {
            text: text.to_owned(),
            said: now,
            pause: FIRST,
            unsaid: 0,
            count: 1,
        }
    }

    fn again(&mut self, now: Instant) -> Option<String> {
        self.unsaid += 1;
        self.count += 1;
        if now.saturating_duration_since(self.said) < self.pause {
            return None;
        }
        let said = format!("{} ({} times since this was last said)", self.text, self.unsaid);
        (self.said, self.unsaid) = (now, 0);
        self.pause = (self.pause * 2).min(LONGEST);
        Some(said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_change_is_said_ever_more_seldom_and_with_its_count() {
        let (mut repeats, began) = (Repeats::default(), Instant::now());
        let said: Vec<_> = (0..400)
            .filter_map(|second| {
                let said = repeats.say_at(1, "no", began + Duration::from_secs(second));
                said.map(|said| (second, said))
            })
            .collect();
        let again = |count: u64| format!("no ({count} times since this was last said)");
        assert_eq!(said, [(0, "no".to_owned()), (60, again(60)), (180, again(120))]);
        assert_eq!(repeats.over(&1), Some(400));
        assert_eq!(repeats.over(&1), None);
    }

    #[test]
    fn what_is_new_or_has_changed_is_said_at_once() {
        let mut repeats = Repeats::default();
        assert_eq!(repeats.say(1, "no").as_deref(), Some("no"));
        assert_eq!(repeats.say(1, "no"), None);
        assert_eq!(repeats.say(2, "no").as_deref(), Some("no"));
        assert_eq!(repeats.say(1, "not so").as_deref(), Some("not so"));
        repeats.over(&2);
        assert_eq!(repeats.say(2, "no").as_deref(), Some("no"));
    }

    #[test]
    fn it_does_not_grow_for_ever() {
        let mut repeats = Repeats::default();
        for key in 0..3 * MOST {
            repeats.say(key, "no");
        }
        assert!(repeats.0.len() <= MOST);
    }
}
