//! Assertions about tasks of a definition: the compiler checks the types of their arguments.

use serde::{Serialize, de::DeserializeOwned};

use super::TestGaia;
use crate::{Task, TaskDef};

impl TestGaia {
    /// The arguments of the unfinished tasks of this definition, in its theme, the newest first, at most 1000.
    ///
    #[cfg_attr(feature = "sqlite", doc = "```")]
    #[cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
    /// use gaia_actors::{prelude::*, testing::TestGaia};
    ///
    /// const SEND: TaskDef<String, ()> = TaskDef::new("Mail", "Send").theme("mail");
    ///
    /// # #[actix_rt::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// // No scheduler: tasks stay where they are.
    /// let test = TestGaia::start(Gaia::builder()).await?;
    /// SEND.add(&test, &"ann".to_owned()).await?;
    /// SEND.add(&test, &"bob".to_owned()).await?;
    /// assert_eq!(test.enqueued_of(SEND).await, ["bob", "ann"]);
    /// test.assert_enqueued_of(SEND, &"ann".to_owned()).await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    /// If the arguments of such a task are no `A`, or if the database does not answer.
    pub async fn enqueued_of<A: DeserializeOwned, R>(&self, definition: TaskDef<A, R>) -> Vec<A> {
        let [theme, service, method] = names(definition);
        let tasks = self.enqueued(theme, service, method).await;
        let args = |task: &Task| {
            serde_json::from_str(&task.arg).unwrap_or_else(|error| {
                panic!(
                    "the arguments of task {} of theme {theme:?} do not fit {service}.{method}: {error}",
                    task.id
                )
            })
        };
        tasks.iter().map(args).collect()
    }

    /// Asserts that an unfinished task of this definition, in its theme, has these arguments, as
    /// [`assert_enqueued`](Self::assert_enqueued) does. Answers with the newest such task.
    ///
    /// # Panics
    /// As [`assert_enqueued`](Self::assert_enqueued).
    pub async fn assert_enqueued_of<A: Serialize + Sync, R>(&self, definition: TaskDef<A, R>, args: &A) -> Task {
        let [theme, service, method] = names(definition);
        self.assert_enqueued(theme, service, method, args).await
    }

    /// Asserts that no task of this definition, in its theme, is unfinished.
    ///
    /// # Panics
    /// If there is such a task, or if the database does not answer.
    pub async fn refute_enqueued_of<A, R>(&self, definition: TaskDef<A, R>) {
        let [theme, service, method] = names(definition);
        self.refute_enqueued(theme, service, method).await;
    }
}

fn names<A, R>(definition: TaskDef<A, R>) -> [&'static str; 3] {
    [
        definition.theme_name(),
        definition.service_name(),
        definition.method_name(),
    ]
}
