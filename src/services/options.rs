//! What an application says of a remote service.

use std::{fmt, time::Duration};

use url::Url;

use super::remote::{Remote, RemoteParts};
use crate::{
    clock::Clock,
    config::ServiceConfig,
    domain::{Faults, HookSecret, InvalidInput, MAX_NAME_CHARS, check_hook_url, without_user},
    hook::{HookClient, HookOptions, KeptClient},
    registry::AnyMethod,
    traces::Traces,
};

/// The most calls of one service at the same time: a guard against a typing error.
const MOST_CALLS: usize = 10_000;

/// The most methods that can be named beforehand.
const MOST_METHODS: usize = 1_000;

/// A service that is called by HTTP, in any language: a call of its method `M` is `POST {url}/{M}` with the arguments as JSON.
///
/// The registry serves every method of the service. It need not know the names: a process that runs a theme finds the methods that due tasks
/// call, about half a second after a task with a new method was added, up to 1,000 methods of a service.
///
/// | answer | meaning |
/// |---|---|
/// | 200 to 299, but not 202 | success; the body is the result as JSON, an empty body is `null` |
/// | 4xx with `{"discard": true, "error": "…"}` | failed, and no further attempt |
/// | 429 or 503 with `Retry-After` | the task is run again then, within 24 hours; no attempt is used |
/// | anything else, or none | a failed attempt; a text `error` or `detail` of a JSON body becomes the error's text |
///
/// A service whose host refuses connections is down: for ten minutes its tasks come again after 1 to 30 seconds and use no attempt. A run of a
/// job cannot be put off: there a refused connection and a 503 are failed attempts.
///
/// A run that is cancelled or out of time closes the connection. Otherwise connections are kept for further calls, for a minute at most.
///
#[cfg_attr(feature = "sqlite", doc = "```")]
#[cfg_attr(not(feature = "sqlite"), doc = "```no_run")]
/// use std::time::Duration;
/// use gaia_actors::{RemoteService, prelude::*};
///
/// # #[actix_rt::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let orders = RemoteService::at("http://127.0.0.1:9000/orders")
///     .secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
///     .timeout(Duration::from_secs(30))
///     .max_concurrent(50);
/// let gaia = Gaia::builder()
///     .database("sqlite::memory:")
///     .service("OrderService", orders)
///     .scheduler(SchedulerOptions::new("orders"))
///     .start()
///     .await?;
/// // Posted to http://127.0.0.1:9000/orders/AsyncCreateOrder.
/// let task = NewTask::new("OrderService", "AsyncCreateOrder").args(&serde_json::json!({"amount": 7}));
/// gaia.scheduler("orders")?.add_task(task).await?;
/// # gaia.stop().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "a service is not called until it is registered"]
pub struct RemoteService {
    url: String,
    secret: Option<String>,
    timeout: Option<Duration>,
    max_concurrent: usize,
    methods: Vec<String>,
    hooks: HookOptions,
}

impl RemoteService {
    /// The service at this URL, `http` or `https`, to which a slash and the name of the method are added. The name is one segment of the
    /// path: all characters but letters, digits and `-._~` are percent-encoded.
    pub fn at(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            secret: None,
            timeout: None,
            max_concurrent: 100,
            methods: Vec::new(),
            hooks: HookOptions::default(),
        }
    }

    /// Signs the requests by the rules of [Standard Webhooks](https://www.standardwebhooks.com). The secret is the text of a
    /// [`HookSecret`]: `whsec_` and 24 to 64 bytes in base64. Default: requests are not signed.
    pub fn secret(mut self, secret: impl Into<String>) -> Self {
        self.secret = Some(secret.into());
        self
    }

    /// The longest time of one call; a longer one is a failed attempt. Default: none, so that only the timeouts of the task, of its theme or
    /// of the job hold. Must not be zero.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// How many calls this process makes at the same time, 1 to 10,000. Further calls wait. Default 100.
    pub fn max_concurrent(mut self, calls: usize) -> Self {
        self.max_concurrent = calls;
        self
    }

    /// Methods that are known from the start, at most 1,000: operators see them before a task calls them. Default none.
    pub fn methods<T: Into<String>>(mut self, methods: impl IntoIterator<Item = T>) -> Self {
        self.methods = methods.into_iter().map(Into::into).collect();
        self
    }

    /// Which addresses may be called, and how long an answer may be: an answer that is longer than
    /// [`response_limit`](HookOptions::response_limit) is cut, and then it is no JSON.
    pub fn hooks(mut self, options: HookOptions) -> Self {
        self.hooks = options;
        self
    }

    /// The service of an entry of the section `Services`.
    pub(crate) fn of(config: &ServiceConfig) -> Self {
        let service = Self::at(&config.url).methods(&config.methods);
        let service = Self {
            secret: config.secret.clone(),
            timeout: config.timeout.map(Duration::from_secs_f64),
            ..service
        };
        match config.max_concurrent {
            Some(calls) => service.max_concurrent(calls),
            None => service,
        }
    }

    pub(crate) fn known_methods(&self) -> &[String] {
        &self.methods
    }

    /// Notes all faults, each with the place at which it stands.
    pub(crate) fn check(&self, place: &str, faults: &mut Faults) {
        if let Err(found) = self.read() {
            for fault in found.of(place).faults() {
                faults.require(false, || fault.clone());
            }
        }
    }

    /// The service, ready to be called under this name.
    pub(crate) fn ready(&self, name: &str, clock: &Clock, traces: &Traces) -> Result<Box<dyn AnyMethod>, InvalidInput> {
        let (url, secret, hooks) = self.read().map_err(|faults| faults.of(&format!("service {name:?}")))?;
        Ok(Box::new(Remote::new(RemoteParts {
            name: name.to_owned(),
            url,
            secret,
            timeout: self.timeout,
            max_concurrent: self.max_concurrent,
            client: KeptClient::new(hooks.traced(traces.clone()), self.max_concurrent),
            clock: clock.clone(),
        })))
    }

    fn read(&self) -> Result<(Url, Option<HookSecret>, HookClient), InvalidInput> {
        let mut faults = Faults::default();
        let url = faults.take(read_url(&self.url));
        let secret = self.secret.as_deref().map(HookSecret::parse).transpose();
        let secret = faults.take(secret.map_err(|fault| fault.to_string().replace("the hook's secret", "the secret")));
        faults.require(self.timeout.is_none_or(|limit| !limit.is_zero()), || {
            "the timeout is 0, expected a longer time, or none".to_owned()
        });
        let calls = self.max_concurrent;
        faults.require((1..=MOST_CALLS).contains(&calls), || {
            format!("max_concurrent is {calls}, expected 1 to {MOST_CALLS}")
        });
        let methods = self.methods.len();
        faults.require(methods <= MOST_METHODS, || {
            format!("it names {methods} methods, expected at most {MOST_METHODS}")
        });
        for method in &self.methods {
            faults.name("a method's name", method, MAX_NAME_CHARS);
        }
        let client = faults.take(HookClient::new(&self.hooks));
        match (url, secret, client) {
            (Some(url), Some(secret), Some(client)) => faults.into_result().map(|()| (url, secret, client)),
            _ => Err(faults.into_error()),
        }
    }
}

/// Reads the URL of a service, to whose path a method can be added.
fn read_url(url: &str) -> Result<Url, String> {
    const NO_USER: &str =
        "the URL holds a user name or a password, which logs would show; expected none: a secret signs the requests";
    let read = Url::parse(url).map_err(|error| format!("the URL cannot be read: {error}"));
    if matches!(&read, Ok(read) if !read.username().is_empty() || read.password().is_some()) {
        return Err(NO_USER.to_owned());
    }
    check_hook_url(url).map_err(|fault| fault.replace("the hook's URL", "the URL"))?;
    let url = read?;
    match (url.query(), url.fragment()) {
        (None, None) => Ok(url),
        _ => Err("the URL has a query or a fragment, behind which no method can stand; expected a path, as in http://localhost:9000/orders".to_owned()),
    }
}

/// Shows neither a user name nor the secret.
impl fmt::Debug for RemoteService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteService")
            .field("url", &without_user(&self.url))
            .field("is_signed", &self.secret.is_some())
            .field("timeout", &self.timeout)
            .field("max_concurrent", &self.max_concurrent)
            .field("methods", &self.methods)
            .finish_non_exhaustive()
    }
}
