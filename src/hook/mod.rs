//! The HTTP client for jobs that call an endpoint: a fresh, judged and verified connection, one signed request, and an
//! answer of bounded size.
//!
//! It has no time limit but for connecting. A caller drops the future when a run's time is over, which
//! closes the connection at once. No proxy is taken from the environment: behind a proxy, addresses could not be judged.

mod address;
mod answer;
mod client;
mod connect;
mod error;
mod head;
mod options;
mod signature;
mod wire;

pub(crate) use answer::HookAnswer;
pub(crate) use client::{HookCall, HookClient};
pub(crate) use error::HookError;
pub use options::HookOptions;

#[cfg(test)]
mod tests;
