//! The HTTP client for jobs that call an endpoint, and for remote services. Each connection goes to an address that is judged, and the
//! certificate is verified. A call sends one request, signed if there is a secret, and reads an answer of bounded size. Each call of a job
//! makes a fresh connection; calls of a remote service keep theirs.
//!
//! The client limits only the time for connecting. When a run's time is over, the caller drops the future, which closes the connection at
//! once. The client takes no proxy from the environment: behind a proxy, it could not judge addresses.

mod call;

#[cfg(not(feature = "hooks"))]
mod absent;
#[cfg(feature = "hooks")]
mod address;
#[cfg(feature = "hooks")]
mod answer;
#[cfg(feature = "hooks")]
mod client;
#[cfg(feature = "hooks")]
mod connect;
#[cfg(feature = "hooks")]
mod connection;
#[cfg(feature = "hooks")]
mod error;
#[cfg(feature = "hooks")]
mod head;
#[cfg(feature = "hooks")]
mod kept;
#[cfg(feature = "hooks")]
mod options;
#[cfg(feature = "hooks")]
mod pool;
#[cfg(feature = "hooks")]
mod signature;
#[cfg(feature = "hooks")]
mod wire;

#[cfg(not(feature = "hooks"))]
pub(crate) use absent::{HookClient, HookError, HookOptions};
#[cfg(feature = "hooks")]
pub(crate) use call::ServiceAnswer;
pub(crate) use call::{HookAnswer, HookCall};
#[cfg(feature = "hooks")]
pub use options::HookOptions;
#[cfg(feature = "hooks")]
pub(crate) use {
    client::HookClient,
    error::{HookError, named},
    kept::KeptClient,
};

#[cfg(feature = "hooks")]
#[cfg(test)]
mod tests;
