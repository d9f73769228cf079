//! The HTTP client for jobs that call an endpoint. Each call makes a fresh connection whose address is judged and whose certificate is
//! verified, sends one signed request, and reads an answer of bounded size.
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
