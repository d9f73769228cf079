//! Additions that are done once: a caller repeats an addition whose answer was lost, and no task is added a second time.

use std::borrow::Cow;

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    held::AddedBatch,
    new_task::NewTask,
    task::AddedTask,
    text::hex,
    validate::{Faults, InvalidInput},
};

/// Longest idempotency key, in characters.
pub const MAX_IDEMPOTENCY_KEY_CHARS: usize = 255;

/// How long an idempotency key is kept.
pub(crate) const KEY_LIFE: TimeDelta = TimeDelta::hours(24);

/// The answer of [`Scheduler::add_tasks_once`](crate::Scheduler::add_tasks_once), [`add_chain_once`](crate::Scheduler::add_chain_once) and
/// [`add_after_once`](crate::Scheduler::add_after_once).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AddedOnce {
    /// One for each task, in the order of the list. A repeated call gets the answers of the first call.
    pub tasks: Vec<AddedTask>,
    /// True if an earlier call with the same key has added the tasks, and this call has added nothing.
    pub replayed: bool,
}

/// The answer of [`Scheduler::add_batch_once`](crate::Scheduler::add_batch_once).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AddedBatchOnce {
    /// The batch. A repeated call gets the batch of the first call.
    pub batch: AddedBatch,
    /// True if an earlier call with the same key has added the batch, and this call has added nothing.
    pub replayed: bool,
}

impl AddedOnce {
    /// The last of the tasks waits for the others.
    pub(crate) fn into_batch(mut self) -> AddedBatchOnce {
        let id = self.tasks.pop().map_or(0, |callback| callback.id);
        AddedBatchOnce {
            batch: AddedBatch { id, tasks: self.tasks },
            replayed: self.replayed,
        }
    }
}

/// By what an addition is known again. The database gets hashes alone: of one length, and a key may be a secret of its caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OnceKey {
    /// SHA-256 of the caller's name, the theme and the key.
    pub(crate) key: String,
    /// SHA-256 of what the caller wants added.
    pub(crate) body: String,
}

impl OnceKey {
    /// The key of this caller in this theme, for what a request says: with another body the key is refused.
    #[cfg(feature = "web")]
    pub(crate) fn of_request(caller: &str, theme: &str, key: &str, body: &[u8]) -> Result<Self, InvalidInput> {
        Self::new(caller, theme, key, Parts::default().and(body))
    }

    /// The key of the program itself, which has no name among callers, for these tasks. `waits` says which of them waits for which: nothing
    /// if none waits.
    pub(crate) fn of_tasks<'a>(
        theme: &str,
        key: &str,
        waits: Option<&str>,
        tasks: impl IntoIterator<Item = &'a NewTask>,
    ) -> Result<Self, InvalidInput> {
        // A task is a JSON object, so no task is equal to this text.
        let mut body = waits.map_or_else(Parts::default, |waits| Parts::default().and(waits.as_bytes()));
        for task in tasks {
            let text = serde_json::to_vec(&untraced(task)).map_err(|error| InvalidInput::one(error.to_string()))?;
            body = body.and(&text);
        }
        Self::new("", theme, key, body)
    }

    fn new(caller: &str, theme: &str, key: &str, body: Parts) -> Result<Self, InvalidInput> {
        check_key(key)?;
        let parts = [caller, theme, key].map(str::as_bytes);
        Ok(Self {
            key: parts.into_iter().fold(Parts::default(), Parts::and).hash(),
            body: body.hash(),
        })
    }
}

/// The task without its trace: a caller who repeats a call may do so in another span. A task that says nothing of retries is hashed as in earlier
/// versions, which wrote the default.
fn untraced(task: &NewTask) -> Cow<'_, NewTask> {
    match (&task.traceparent, task.max_retry) {
        (None, Some(_)) => Cow::Borrowed(task),
        _ => Cow::Owned(NewTask {
            traceparent: None,
            max_retry: Some(task.max_retry.unwrap_or(3)),
            ..task.clone()
        }),
    }
}

/// Checks that a key is 1 to 255 visible ASCII characters.
pub(crate) fn check_key(key: &str) -> Result<(), InvalidInput> {
    let is_visible = key.bytes().all(|byte| byte.is_ascii_graphic());
    let mut faults = Faults::default();
    faults.require(
        (1..=MAX_IDEMPOTENCY_KEY_CHARS).contains(&key.len()) && is_visible,
        || format!("an idempotency key is 1 to {MAX_IDEMPOTENCY_KEY_CHARS} visible ASCII characters, such as a UUID"),
    );
    faults.into_result()
}

/// Texts that are hashed one after the other. The length of each is hashed before it, so that no two lists of texts give the same hash.
#[derive(Default)]
struct Parts(Sha256);

impl Parts {
    fn and(self, part: &[u8]) -> Self {
        let length = (part.len() as u64).to_be_bytes();
        Self(self.0.chain_update(length).chain_update(part))
    }

    fn hash(self) -> String {
        hex(&self.0.finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_visible_ascii_of_a_limited_length() {
        for key in [
            "a",
            "\"8e03978e-40d5-43dd-bc93-6894a57f9324\"",
            &"~".repeat(MAX_IDEMPOTENCY_KEY_CHARS),
        ] {
            assert!(check_key(key).is_ok(), "{key}");
        }
        for key in [
            "",
            "a b",
            "a\t",
            "é",
            "\u{7f}",
            &"a".repeat(MAX_IDEMPOTENCY_KEY_CHARS + 1),
        ] {
            assert!(check_key(key).is_err(), "{key}");
        }
    }

    #[test]
    fn a_key_belongs_to_one_caller_and_one_theme() {
        let key = |caller, theme, key| OnceKey::new(caller, theme, key, Parts::default()).map(|once| once.key);
        let mine = key("a", "bc", "d");
        assert_eq!(mine, key("a", "bc", "d"));
        for other in [key("ab", "c", "d"), key("a", "b", "cd"), key("", "abc", "d")] {
            assert_ne!(mine, other);
        }
    }

    #[test]
    fn other_tasks_have_another_hash() {
        let waits = |waits, tasks: &[NewTask]| OnceKey::of_tasks("demo", "k", waits, tasks).map(|once| once.body);
        let body = |tasks: &[NewTask]| waits(None, tasks);
        let task = || NewTask::new("Demo", "run");
        assert_eq!(body(&[task()]), body(&[task()]));
        assert_ne!(body(&[task()]), body(&[task(), task()]));
        assert_ne!(body(&[task()]), body(&[task().priority(1)]));
        let traced = task().traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        assert_eq!(body(&[task()]), body(&[traced]));
        let chain = waits(Some("chain"), &[task()]);
        assert_eq!(chain, waits(Some("chain"), &[task()]));
        for other in [body(&[task()]), waits(Some("batch"), &[task()])] {
            assert_ne!(chain, other);
        }
    }
}
