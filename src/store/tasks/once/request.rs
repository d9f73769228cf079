//! What a transaction is to add once, and what it has done.

use crate::store::time::StoredTime;
use diesel::QueryResult;
use serde::{Deserialize, Serialize};

use crate::{
    domain::{AddedTask, OnceKey},
    store::tasks::{
        held::{Addition, NewHeld},
        new_row::NewTaskRow,
    },
};

/// Tasks to add once, and their key.
#[derive(Debug)]
pub(in crate::store) struct NewOnce {
    pub(in crate::store) key: OnceKey,
    pub(in crate::store) new: New,
    pub(super) now: StoredTime,
    /// A key that was stored then, or before, is free.
    pub(super) expired: StoredTime,
}

/// Tasks to add.
#[derive(Debug)]
pub(in crate::store) enum New {
    Rows(Vec<NewTaskRow>),
    /// With tasks for which they wait.
    Held(NewHeld),
}

/// What the transaction has done.
#[derive(Debug)]
pub(in crate::store) enum Told {
    /// The key was free.
    Done(Addition),
    /// What an earlier call has stored.
    Stored {
        body: String,
        tasks: String,
    },
    Busy,
}

/// Whose the key is.
#[derive(Debug)]
pub(in crate::store) enum Taken {
    /// The transaction has the key.
    Free,
    /// An earlier transaction has stored this.
    Stored { body: String, tasks: String },
    /// Another transaction has the key and does not end.
    Busy,
}

/// The ids of tasks that were added, and the key of the addition.
#[derive(Debug)]
pub(in crate::store) struct Kept {
    pub(super) key: String,
    /// `None`: the addition was refused, and leaves the key free.
    pub(super) tasks: Option<String>,
}

/// The ids of added tasks, as they are stored.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Ids {
    /// In the order in which the tasks were handed in.
    ids: Vec<i64>,
    /// Which of them, by their places from 0, were there before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    duplicates: Vec<usize>,
}

impl Ids {
    fn of(added: &[AddedTask]) -> Self {
        let duplicates = added.iter().enumerate().filter(|(_, task)| task.duplicate);
        Self {
            ids: added.iter().map(|task| task.id).collect(),
            duplicates: duplicates.map(|(at, _)| at).collect(),
        }
    }

    pub(super) fn into_tasks(self) -> Vec<AddedTask> {
        let mut tasks: Vec<AddedTask> = self.ids.into_iter().map(AddedTask::new).collect();
        for at in self.duplicates {
            if let Some(task) = tasks.get_mut(at) {
                task.duplicate = true;
            }
        }
        tasks
    }
}

fn unwritable(error: serde_json::Error) -> diesel::result::Error {
    diesel::result::Error::SerializationError(error.into())
}

impl NewOnce {
    /// How many rows the transaction writes, about.
    #[cfg(feature = "sqlite")]
    pub(in crate::store) fn rows(&self) -> usize {
        let rows = match &self.new {
            New::Rows(rows) => rows.len(),
            New::Held(held) => held.rows(),
        };
        rows + 1
    }

    /// What is stored after this addition.
    pub(in crate::store) fn kept(&self, addition: &Addition) -> QueryResult<Kept> {
        let tasks = match addition {
            Addition::Added { tasks, .. } => Some(serde_json::to_string(&Ids::of(tasks)).map_err(unwritable)?),
            Addition::NoPredecessor(_) | Addition::PredecessorEnded(..) => None,
        };
        Ok(Kept {
            key: self.key.key.clone(),
            tasks,
        })
    }
}

impl Told {
    /// `None`: the key is the caller's, who now adds the tasks.
    pub(in crate::store) fn without_adding(taken: Taken) -> Option<Self> {
        match taken {
            Taken::Free => None,
            Taken::Stored { body, tasks } => Some(Self::Stored { body, tasks }),
            Taken::Busy => Some(Self::Busy),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_duplicates_are_read_as_they_were_stored() {
        let added = [AddedTask::new(3), AddedTask::duplicate_of(1), AddedTask::new(4)];
        let text = serde_json::to_string(&Ids::of(&added)).expect("is JSON");
        assert_eq!(text, r#"{"ids":[3,1,4],"duplicates":[1]}"#);
        let ids: Ids = serde_json::from_str(&text).expect("is read");
        assert_eq!(ids.into_tasks(), added);
    }
}
