//! Remote services: programs in any language that answer calls of their methods by HTTP.
//!
//! [`RemoteService`] is the description that an application or the configuration gives. Registered, it becomes a
//! [`Remote`](remote::Remote), which makes the calls; [`answer`] says what an answer means.

mod register;

#[cfg(not(feature = "hooks"))]
mod absent;
#[cfg(feature = "hooks")]
mod answer;
#[cfg(feature = "hooks")]
mod options;
#[cfg(feature = "hooks")]
mod remote;
#[cfg(feature = "hooks")]
mod request;
#[cfg(feature = "hooks")]
mod retry_after;
#[cfg(feature = "hooks")]
mod silence;

#[cfg(not(feature = "hooks"))]
pub(crate) use absent::RemoteService;
#[cfg(feature = "hooks")]
pub use options::RemoteService;
