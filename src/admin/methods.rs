//! Which methods the nodes serve, and which of a theme have due tasks.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Admin, GetMethods};
use crate::{
    domain::{Faults, check_theme},
    error::{Error, ask},
    node::NodeInfo,
    registry::MethodName,
};

/// The most methods with due tasks of which an answer counts the tasks.
const COUNTED: usize = 200;

/// A method that a node serves, or that due tasks call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "web", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct MethodInfo {
    /// The service.
    pub service: String,
    /// The method.
    pub method: String,
    /// The living nodes that have a handler for it, by their last heartbeats; of a theme: those of them that have workers for the theme. If
    /// tasks are due and no node is named here, no node will run them: the name may be misspelt, or a process may be missing.
    pub nodes: Vec<String>,
    /// How many tasks of the theme are due that call it. `None` if no theme was named.
    pub due: Option<u64>,
}

impl Admin {
    /// The methods that living nodes serve, by name, and of a theme also those that due tasks call. A node tells its first 1,000 methods; of a
    /// theme 200 methods with due tasks are counted. On a server, tasks that a node takes into the queue at this moment are not counted yet.
    ///
    #[cfg_attr(feature = "sqlite", doc = "```")]
    #[cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
    /// use gaia_actors::{admin::GetMethods, prelude::*};
    ///
    /// # #[actix_rt::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let gaia = Gaia::builder().database("sqlite::memory:").start().await?;
    /// gaia.scheduler("mail")?.add_task(NewTask::new("Mail", "Snd")).await?;
    ///
    /// let methods = gaia.admin().methods(GetMethods { theme: Some("mail".to_owned()) }).await?;
    /// assert_eq!((methods[0].method.as_str(), methods[0].due), ("Snd", Some(1)));
    /// assert!(methods[0].nodes.is_empty(), "no node serves it");
    /// # gaia.stop().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Invalid`] for a name that no theme can have, [`Error::Store`].
    pub async fn methods(&self, get: GetMethods) -> Result<Vec<MethodInfo>, Error> {
        let mut faults = Faults::default();
        if let Some(theme) = &get.theme {
            faults.take(check_theme(theme));
        }
        faults.into_result()?;
        let mut methods = served(&self.nodes().await?, get.theme.as_deref());
        if let Some(theme) = get.theme {
            let count = |store: crate::store::Store| async move { store.tasks().due_by_method(&theme, COUNTED).await };
            for info in methods.values_mut() {
                info.due = Some(0);
            }
            for (service, method, due) in ask(&self.store, count).await? {
                let name = MethodName { service, method };
                methods.entry(name).or_insert_with_key(MethodInfo::of).due = Some(due);
            }
        }
        Ok(methods.into_values().collect())
    }
}

impl MethodInfo {
    pub(crate) fn of(name: &MethodName) -> Self {
        Self {
            service: name.service.clone(),
            method: name.method.clone(),
            nodes: Vec::new(),
            due: None,
        }
    }
}

/// What the living nodes serve: all of it, or what they serve for a theme.
pub(super) fn served(nodes: &[NodeInfo], theme: Option<&str>) -> BTreeMap<MethodName, MethodInfo> {
    let mut methods = BTreeMap::new();
    for node in nodes.iter().filter(|node| node.alive && node.works_on(theme)) {
        for name in &node.methods {
            let info = methods.entry(name.clone()).or_insert_with_key(MethodInfo::of);
            info.nodes.push(node.id.clone());
        }
    }
    methods
}
