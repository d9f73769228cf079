//! The HTTP client for jobs that call an endpoint: a fresh, judged and verified connection, one signed request, and an
//! answer of bounded size.
//!
//! It has no time limit but for connecting. A caller drops the future when a run's time is over, which
//! closes the connection at once. No proxy is taken from the environment: behind a proxy, addresses could not be judged.

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
mod error;
#[cfg(feature = "hooks")]
mod head;
#[cfg(feature = "hooks")]
mod options;
#[cfg(feature = "hooks")]
mod signature;
#[cfg(feature = "hooks")]
mod wire;

#[cfg(not(feature = "hooks"))]
pub(crate) use absent::{HookClient, HookError, HookOptions};
pub(crate) use call::{HookAnswer, HookCall};
#[cfg(feature = "hooks")]
pub use options::HookOptions;
#[cfg(feature = "hooks")]
pub(crate) use {client::HookClient, error::HookError};

#[cfg(feature = "hooks")]
#[cfg(test)]
mod tests;
