//! Server-sent events, cut out of the parts in which they come.

use std::collections::VecDeque;

use actix_web::web::Bytes;
use futures_util::{Stream, StreamExt, stream};

use crate::exit::{Failure, Result};

/// The longest event that is kept in memory.
const LONGEST: usize = 64 * 1024 * 1024;

#[derive(Default)]
pub struct Feed {
    /// The beginning of an event whose end is to come.
    begun: Vec<u8>,
    events: VecDeque<(String, String)>,
}

impl Feed {
    /// The events of a stream, each with its name and its data.
    pub fn of(parts: impl Stream<Item = Result<Bytes>>) -> impl Stream<Item = Result<(String, String)>> {
        let begin = (Box::pin(parts), Self::default());
        stream::unfold(begin, |(mut parts, mut feed)| async move {
            loop {
                if let Some(event) = feed.events.pop_front() {
                    return Some((Ok(event), (parts, feed)));
                }
                match parts.next().await? {
                    Ok(part) => {
                        if let Err(failure) = feed.take(&part) {
                            return Some((Err(failure), (parts, feed)));
                        }
                    }
                    Err(failure) => return Some((Err(failure), (parts, feed))),
                }
            }
        })
    }

    fn take(&mut self, part: &[u8]) -> Result<()> {
        self.begun.extend_from_slice(part);
        while let Some(end) = self.begun.windows(2).position(|two| two == b"\n\n") {
            let event: Vec<u8> = self.begun.drain(..end + 2).collect();
            self.events.extend(read(&String::from_utf8_lossy(&event)));
        }
        match self.begun.len() > LONGEST {
            true => Err(Failure::away("the server sends an event that does not end")),
            false => Ok(()),
        }
    }
}

/// An event without data is none, as the comments that keep a stream alive.
fn read(text: &str) -> Option<(String, String)> {
    let (mut name, mut data) = (String::new(), Vec::new());
    for line in text.lines() {
        match line.split_once(':') {
            Some(("event", value)) => value.trim_start().clone_into(&mut name),
            Some(("data", value)) => data.push(value.strip_prefix(' ').unwrap_or(value)),
            _ => {}
        }
    }
    (!data.is_empty()).then(|| (name, data.join("\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_whole_however_they_come() {
        let text = "retry: 1000\n\nevent: themes\ndata: {\"themes\": []}\n\n:\n\nevent: nodes\ndata: {\ndata: }\n\nevent: themes\ndata: {";
        for size in [1, 7, text.len()] {
            let mut feed = Feed::default();
            for part in text.as_bytes().chunks(size) {
                feed.take(part).unwrap();
            }
            let expected = [("themes", "{\"themes\": []}"), ("nodes", "{\n}")];
            let expected: Vec<_> = expected.map(|(name, data)| (name.to_owned(), data.to_owned())).into();
            assert_eq!(Vec::from(feed.events), expected);
        }
    }
}
