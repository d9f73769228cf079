//! The operations of the handles: each a message to the handle's address, and a row in a table that names it and says whether it
//! changes anything.
//!
//! ```
//! use gaia_actors::{Jobs, Scheduler, operations::OperationKind};
//!
//! for operation in Scheduler::OPERATIONS {
//!     let changes = operation.kind == OperationKind::Change;
//!     println!("{} {}", operation.name, if changes { "(changes something)" } else { "" });
//! }
//! assert!(Jobs::OPERATIONS.iter().any(|operation| operation.name == "toggle_job"));
//! ```

use futures_util::future::BoxFuture;
use serde::{Serialize, de::DeserializeOwned};

use crate::{domain::InvalidInput, error::Error};

/// Whether an operation changes anything: who may look may not do everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationKind {
    /// It only looks.
    Read,
    /// It adds, changes, stops or removes something.
    Change,
}

/// One operation of a handle `H`: what a server, a command line or an audit must know of it.
///
/// ```
/// # async fn later(scheduler: gaia_actors::Scheduler) -> Result<(), gaia_actors::Error> {
/// use gaia_actors::Scheduler;
///
/// let add = Scheduler::OPERATIONS.iter().find(|operation| operation.name == "add_task");
/// let add = add.expect("is in the table");
/// let answer = add.run(&scheduler, r#"{"service": "Demo", "method": "Noop"}"#).await?;
/// assert_eq!(answer, r#"{"id":1,"duplicate":false}"#);
/// # Ok(())
/// # }
/// ```
pub struct Operation<H: 'static> {
    /// Its name: that of the handle's method.
    pub name: &'static str,
    /// Whether it changes anything.
    pub kind: OperationKind,
    pub(crate) run: Run<H>,
}

/// From a message as JSON to an answer as JSON.
pub(crate) type Run<H> = fn(H, &str) -> Result<BoxFuture<'static, Result<String, Error>>, Error>;

impl<H: Clone> Operation<H> {
    /// Runs it. `message` is the JSON of its message, such as `{"page": {"page_size": 50}}` for `list_tasks`, and `null` for a message
    /// without content; the result is the JSON of its answer.
    ///
    /// # Errors
    /// [`Error::Invalid`] if `message` is not the JSON of the operation's message, and whatever the operation can answer.
    pub async fn run(&self, handle: &H, message: &str) -> Result<String, Error> {
        (self.run)(handle.clone(), message)?.await
    }
}

impl<H> std::fmt::Debug for Operation<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Operation")
            .field("name", &self.name)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

pub(crate) fn message<T: DeserializeOwned>(name: &str, json: &str) -> Result<T, Error> {
    let message = serde_json::from_str(json);
    Ok(message.map_err(|error| InvalidInput::one(format!("this is no message of {name}: {error}")))?)
}

pub(crate) fn answer<T: Serialize>(answer: &T) -> Result<String, Error> {
    let json = serde_json::to_string(answer);
    Ok(json.map_err(|error| InvalidInput::one(format!("the answer cannot be written as JSON: {error}")))?)
}

/// Declares that messages to the actor of a handle are answered by methods of the handle, and the table of these operations.
macro_rules! operations {
    ($actor:ident: $(
        $kind:ident $name:ident($message:ty) => |$handle:ident, $msg:pat_param| $call:expr, $answer:ty;
    )*) => {
        $(
            impl actix::Message for $message {
                type Result = Result<$answer, Error>;
            }

            impl actix::Handler<$message> for $actor {
                type Result = actix::ResponseFuture<Result<$answer, Error>>;

                fn handle(&mut self, $msg: $message, _: &mut actix::Context<Self>) -> Self::Result {
                    let $handle = self.clone();
                    Box::pin(async move { $call })
                }
            }
        )*

        impl $actor {
            /// Starts an actor for this handle on the calling arbiter, and answers with its address: for callers that send messages instead of
            /// calling methods. Each call starts another actor, which ends when its last address is dropped.
            ///
            /// # Panics
            /// If the calling thread runs no arbiter of actix.
            #[must_use]
            pub fn addr(&self) -> actix::Addr<Self> {
                actix::Actor::start(self.clone())
            }

            /// All its operations, by name, for programs that offer them in another form.
            pub const OPERATIONS: &[$crate::operations::Operation<Self>] = &[$(
                $crate::operations::Operation {
                    name: stringify!($name),
                    kind: $crate::operations::OperationKind::$kind,
                    run: |$handle, json| {
                        let $msg: $message = $crate::operations::message(stringify!($name), json)?;
                        Ok(Box::pin(async move {
                            let answer: Result<$answer, Error> = $call;
                            $crate::operations::answer(&answer?)
                        }))
                    },
                },
            )*];
        }
    };
}
pub(crate) use operations;
