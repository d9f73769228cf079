//! The state of everything at one moment, for people who watch it.

#[cfg(feature = "web")]
use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{Admin, ThemeInfo, themes::known};
#[cfg(feature = "web")]
use super::{BulkOperation, ListAlerts, MethodInfo, OpenAlert, methods::served};
use crate::{
    error::{Error, ask},
    node::NodeInfo,
    registry::MethodName,
    store::{Placed, Store, StoreError},
};

/// The most bulk operations of an overview.
#[cfg(feature = "web")]
const OPERATIONS: i64 = 50;

/// For at most so many themes the oldest due task is looked for and the tasks with a later time are counted: each takes a query or two.
const COUNTED_THEMES: usize = 100;

/// A theme, and how many of its tasks are unfinished.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "web", derive(utoipa::ToSchema))]
pub(crate) struct ThemeState {
    #[serde(flatten)]
    pub(crate) info: ThemeInfo,
    pub(crate) unfinished: Unfinished,
}

/// How many tasks of a theme are unfinished. The tasks that run are [`ThemeInfo::running`].
#[derive(Debug, Clone, Copy, Default, Serialize)]
#[cfg_attr(feature = "web", derive(utoipa::ToSchema))]
pub(crate) struct Unfinished {
    /// Tasks that wait and are due. Tasks that plain SQL has ended count until a claim passes over them.
    pub(crate) due: u64,
    /// Since when the oldest of them is due. `None`: none is due, or there are too many themes to look.
    pub(crate) oldest_due: Option<DateTime<Utc>>,
    /// The due tasks that call methods for which no living node with workers for the theme has a handler.
    pub(crate) unserved: u64,
    /// Tasks that wait for a later time, counted up to 10,000. `None`: there are too many themes to count them.
    pub(crate) scheduled: Option<u64>,
}

/// How many due tasks call a service and method; a method may come twice.
type DueByMethod = Vec<((String, String), u64)>;

/// What people see of everything.
#[derive(Debug)]
pub(crate) struct Overview {
    pub(crate) themes: Vec<ThemeState>,
    pub(crate) nodes: Vec<NodeInfo>,
    /// The bulk operations that are under way, the oldest first.
    #[cfg(feature = "web")]
    pub(crate) operations: Vec<BulkOperation>,
    /// The methods that due tasks call.
    #[cfg(feature = "web")]
    pub(crate) due: Vec<DueMethod>,
    /// The alerts whose causes go on.
    #[cfg(feature = "web")]
    pub(crate) alerts: Vec<OpenAlert>,
}

/// A method that due tasks of a theme call.
#[cfg(feature = "web")]
#[derive(Debug)]
pub(crate) struct DueMethod {
    pub(crate) theme: String,
    pub(crate) name: MethodName,
    pub(crate) due: u64,
    /// A living node that works on the theme serves it.
    pub(crate) is_served: bool,
}

#[cfg(feature = "web")]
impl Overview {
    /// The methods that living nodes serve. `themes`: by nodes that work on one of these; `None`: by any.
    pub(crate) fn methods(&self, themes: Option<&[&str]>) -> BTreeMap<MethodName, MethodInfo> {
        let Some(themes) = themes else {
            return served(&self.nodes, None);
        };
        let mut together: BTreeMap<MethodName, MethodInfo> = BTreeMap::new();
        for (name, info) in themes.iter().flat_map(|theme| served(&self.nodes, Some(theme))) {
            let known = &mut together.entry(name).or_insert_with_key(MethodInfo::of).nodes;
            known.extend(info.nodes);
            known.sort_unstable();
            known.dedup();
        }
        together
    }
}

impl Admin {
    /// How many tasks of one theme are unfinished, and the methods that its nodes serve and its due tasks call. Unlike
    /// [`methods`](Self::methods) this writes nothing, and counts tasks that plain SQL has ended until a node comes upon them.
    #[cfg(feature = "web")]
    pub(crate) async fn unfinished(&self, theme: &str) -> Result<(Unfinished, Vec<MethodInfo>), Error> {
        let nodes = self.nodes().await?;
        let mut methods = served(&nodes, Some(theme));
        let theme = theme.to_owned();
        let read = ask(&self.store, |store| async move {
            let placed = store.tasks().placed(Some(&theme)).await?.remove(&theme);
            let placed = placed.unwrap_or_default();
            Unfinished::read(&store, &theme, &placed, &nodes, true).await
        });
        let (unfinished, by_method) = read.await?;
        for info in methods.values_mut() {
            info.due = Some(0);
        }
        for ((service, method), due) in by_method {
            let name = MethodName { service, method };
            let info = methods.entry(name).or_insert_with_key(MethodInfo::of);
            info.due = Some(info.due.unwrap_or_default() + due);
        }
        Ok((unfinished, methods.into_values().collect()))
    }

    /// Reads tables whose size is that of the unfinished work, and no finished task.
    pub(crate) async fn overview(&self) -> Result<Overview, Error> {
        let nodes = self.nodes().await?;
        let stored = ask(&self.store, |store| async move { store.cluster().known_themes().await }).await?;
        let infos = known(stored, &nodes);
        let read = |store: Store| async move {
            let is_counted = infos.len() <= COUNTED_THEMES;
            let mut placed = store.tasks().placed(None).await?;
            let mut themes = Vec::with_capacity(infos.len());
            #[cfg(feature = "web")]
            let mut due = Vec::new();
            for info in infos {
                let placed = placed.remove(&info.theme).unwrap_or_default();
                let read = Unfinished::read(&store, &info.theme, &placed, &nodes, is_counted).await?;
                #[cfg(feature = "web")]
                let (unfinished, by_method) = read;
                #[cfg(not(feature = "web"))]
                let (unfinished, _) = read;
                #[cfg(feature = "web")]
                due.extend(due_methods(&info.theme, by_method, &nodes));
                themes.push(ThemeState { info, unfinished });
            }
            #[cfg(feature = "web")]
            let operations = store.cluster().bulks_under_way(OPERATIONS).await?;
            #[cfg(feature = "web")]
            let alerts = store.cluster().alerts(&ListAlerts::default()).await?;
            Ok(Overview {
                themes,
                nodes,
                #[cfg(feature = "web")]
                operations,
                #[cfg(feature = "web")]
                due,
                #[cfg(feature = "web")]
                alerts: alerts.into_iter().map(|stored| stored.alert).collect(),
            })
        };
        ask(&self.store, read).await
    }
}

#[cfg(feature = "web")]
fn due_methods(theme: &str, due: DueByMethod, nodes: &[NodeInfo]) -> Vec<DueMethod> {
    let served = served(nodes, Some(theme));
    let method = |((service, method), due)| {
        let name = MethodName { service, method };
        DueMethod {
            theme: theme.to_owned(),
            is_served: served.contains_key(&name),
            name,
            due,
        }
    };
    due.into_iter().map(method).collect()
}

impl Unfinished {
    /// And the due tasks of each method. `is_counted`: also what takes a query for each theme.
    async fn read(
        store: &Store,
        theme: &str,
        placed: &Placed,
        nodes: &[NodeInfo],
        is_counted: bool,
    ) -> Result<(Self, DueByMethod), StoreError> {
        let working: Vec<&NodeInfo> = nodes
            .iter()
            .filter(|node| node.alive && node.works_on(Some(theme)))
            .collect();
        let is_served = |(service, method): &(String, String)| {
            let serves = |name: &MethodName| name.service == *service && name.method == *method;
            working.iter().any(|node| node.methods.iter().any(serves))
        };
        let unserved = placed.by_method.iter().filter(|(method, _)| !is_served(method));
        let mut by_method: DueByMethod = placed
            .by_method
            .iter()
            .map(|(name, due)| (name.clone(), *due))
            .collect();
        let mut unfinished = Self {
            due: placed.by_method.values().sum(),
            unserved: unserved.map(|(_, due)| due).sum(),
            ..Self::default()
        };
        if is_counted {
            let unplaced = store.tasks().unplaced(theme, store.clock().now()).await?;
            let oldest = store.tasks().oldest_due(placed).await?;
            unfinished.due += unplaced.due;
            unfinished.oldest_due = oldest.into_iter().chain(unplaced.oldest_due).min();
            unfinished.scheduled = Some(unplaced.scheduled);
            by_method.extend(unplaced.by_method);
        }
        // A node that works on the theme would have put them into segments.
        if working.is_empty() {
            unfinished.unserved = unfinished.due;
        }
        Ok((unfinished, by_method))
    }
}
