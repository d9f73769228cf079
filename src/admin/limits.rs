//! The limits of methods.

use serde::{Deserialize, Serialize};

use super::Admin;
use crate::{
    domain::{InvalidInput, Limit, check_limit, check_names},
    error::{Error, ask},
    store::{LimitUse, MOST_LIMITS, StoredLimit},
};

/// Limit a method: [`Admin::set_limit`].
///
/// ```
/// use gaia_actors::{Limit, admin::SetLimit};
///
/// let set = SetLimit::new("Mail", "Send", Limit::running(5));
/// assert_eq!(set, serde_json::from_str(r#"{"service": "Mail", "method": "Send", "limit": {"running": 5}}"#)?);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetLimit {
    /// The service.
    pub service: String,
    /// The method.
    pub method: String,
    /// How many of its tasks may run at once, and how many may start in a time.
    pub limit: Limit,
}

impl SetLimit {
    /// A limit of a method.
    pub fn new(service: impl Into<String>, method: impl Into<String>, limit: Limit) -> Self {
        Self {
            service: service.into(),
            method: method.into(),
            limit,
        }
    }

    pub(crate) fn check(&self) -> Result<(), InvalidInput> {
        check_limit(&self.service, &self.method, &self.limit)
    }

    /// Whether it limits this method.
    pub(crate) fn is_of(&self, service: &str, method: &str) -> bool {
        self.service == service && self.method == method
    }

    pub(crate) fn stored(self) -> StoredLimit {
        let Self { service, method, limit } = self;
        StoredLimit { service, method, limit }
    }
}

/// Lift the limit of a method: [`Admin::remove_limit`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoveLimit {
    /// The service.
    pub service: String,
    /// The method.
    pub method: String,
}

/// The limits of methods: [`Admin::limits`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetLimits;

/// The limit of a method, and how much of it is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "web", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct MethodLimit {
    /// The service.
    pub service: String,
    /// The method.
    pub method: String,
    /// How many of its tasks may run at once, and how many may start in a time.
    pub limit: Limit,
    /// How many slots nodes and remote workers have: for tasks that run, and for a moment before and after. 0 if there is no limit of tasks
    /// that run at once.
    pub slots: u64,
    /// Whether due tasks wait for slots that others have.
    pub waits: bool,
    /// For how many [limit keys](crate::NewTask::limit_key) tasks wait until fewer tasks of the key run, or may start.
    pub waiting_keys: u64,
}

impl From<LimitUse> for MethodLimit {
    fn from(used: LimitUse) -> Self {
        let StoredLimit { service, method, limit } = used.limit;
        Self {
            service,
            method,
            limit,
            slots: used.slots,
            waits: used.is_wanted,
            waiting_keys: used.waiting_keys,
        }
    }
}

/// The fault of a limit for one method too many.
pub(crate) fn too_many_limits(most: usize) -> InvalidInput {
    InvalidInput::one(format!(
        "{most} methods have limits, and no more can; remove limits that are not needed"
    ))
}

impl Admin {
    /// The limits of methods, by service and method, with the slots that are used.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn limits(&self) -> Result<Vec<MethodLimit>, Error> {
        let limits = ask(&self.store, |store| async move { store.cluster().limit_uses().await }).await?;
        Ok(limits.into_iter().map(MethodLimit::from).collect())
    }

    /// Limits how many tasks of a method run at once in the whole cluster, and how many start in a time. Tasks beyond that wait, and tasks of
    /// other methods pass them. A limit that the method has is replaced.
    ///
    /// This process follows at once, others within 10 s. If the limit becomes lower, runs that go on are not stopped, and
    /// no task starts until there is room. Tasks that were running when the method got its first limit are not counted.
    ///
    #[cfg_attr(feature = "sqlite", doc = "```")]
    #[cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
    /// use gaia_actors::{Gaia, Limit, admin::SetLimit};
    ///
    /// # #[actix_rt::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let gaia = Gaia::builder().database("sqlite::memory:").start().await?;
    /// // The provider takes five connections of ours.
    /// gaia.admin().set_limit(SetLimit::new("Mail", "Send", Limit::running(5))).await?;
    ///
    /// let limits = gaia.admin().limits().await?;
    /// assert_eq!(limits[0].limit.running, Some(5));
    /// # gaia.stop().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Invalid`] with every fault: a name that no method can have, a limit of 0, a limit that limits nothing, a limit for a
    /// thousand-and-first method; [`Error::Store`].
    pub async fn set_limit(&self, set: SetLimit) -> Result<(), Error> {
        set.check()?;
        let most = usize::try_from(MOST_LIMITS).unwrap_or(usize::MAX);
        let limits = ask(&self.store, |store| async move {
            let there = store.cluster().limits().await?;
            let is_there = there.iter().any(|other| set.is_of(&other.service, &other.method));
            if there.len() >= most && !is_there {
                return Ok(None);
            }
            store.cluster().set_limit(&set.stored()).await?;
            store.cluster().limits().await.map(Some)
        });
        let limits = limits.await?.ok_or_else(|| too_many_limits(most))?;
        self.follow_limits(limits);
        Ok(())
    }

    /// Lifts the limit of a method; answers whether it had one. A process that sets the limit when it starts
    /// ([`GaiaBuilder::limit`](crate::GaiaBuilder::limit)) sets it again at its next start.
    ///
    /// # Errors
    /// [`Error::Invalid`] for names that no method can have, [`Error::Store`].
    pub async fn remove_limit(&self, remove: RemoveLimit) -> Result<bool, Error> {
        check_names(&remove.service, &remove.method)?;
        let (removed, limits) = ask(&self.store, |store| async move {
            let removed = store.cluster().remove_limit(&remove.service, &remove.method).await?;
            Ok((removed, store.cluster().limits().await?))
        })
        .await?;
        self.follow_limits(limits);
        Ok(removed)
    }

    /// This process knows the limits now, and others hear that they have changed.
    fn follow_limits(&self, limits: Vec<StoredLimit>) {
        self.themes.limits().follow(limits);
        self.store.cluster().announce_requests();
    }
}
