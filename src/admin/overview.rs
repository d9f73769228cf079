//! The state of everything at one moment, for people who watch it.

use serde::Serialize;
use utoipa::ToSchema;

use super::{Admin, BulkOperation, ThemeInfo, themes::known};
use crate::{
    error::{Error, ask},
    node::NodeInfo,
};

/// The most bulk operations of an overview.
const OPERATIONS: i64 = 50;

/// For at most so many themes the tasks with a later time are counted: each takes a query.
const COUNTED_THEMES: usize = 100;

/// A theme, and how many of its tasks are unfinished.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct ThemeState {
    #[serde(flatten)]
    pub(crate) info: ThemeInfo,
    pub(crate) unfinished: Unfinished,
}

/// How many tasks of a theme are unfinished. The tasks that run are [`ThemeInfo::running`].
#[derive(Debug, Clone, Copy, Default, Serialize, ToSchema)]
pub(crate) struct Unfinished {
    /// Tasks that wait and are due. Tasks that plain SQL has ended count until a claim passes over them.
    pub(crate) due: u64,
    /// Tasks that wait for a later time, counted up to 10,000. `None`: there are too many themes to count them.
    pub(crate) scheduled: Option<u64>,
}

/// What people see of everything.
#[derive(Debug)]
pub(crate) struct Overview {
    pub(crate) themes: Vec<ThemeState>,
    pub(crate) nodes: Vec<NodeInfo>,
    /// The bulk operations that are under way, the oldest first.
    pub(crate) operations: Vec<BulkOperation>,
}

impl Admin {
    /// How many tasks of one theme are unfinished.
    pub(crate) async fn unfinished(&self, theme: &str) -> Result<Unfinished, Error> {
        let theme = [theme.to_owned()];
        let counts = ask(&self.store, |store| async move {
            let due = store.tasks().due_by_theme().await?;
            let unplaced = store.tasks().unplaced_by_theme(&theme).await?;
            let [theme] = &theme;
            Ok(Unfinished {
                due: due.get(theme).unwrap_or(&0) + unplaced.get(theme).map_or(0, |unplaced| unplaced.due),
                scheduled: unplaced.get(theme).map(|unplaced| unplaced.scheduled),
            })
        });
        counts.await
    }

    /// Reads tables whose size is that of the unfinished work, and no finished task.
    pub(crate) async fn overview(&self) -> Result<Overview, Error> {
        let nodes = self.nodes().await?;
        let stored = ask(&self.store, |store| async move { store.cluster().known_themes().await }).await?;
        let themes = known(stored, &nodes);
        let names: Vec<String> = themes.iter().map(|info| info.theme.clone()).collect();
        let (due, unplaced, operations) = ask(&self.store, |store| async move {
            let due = store.tasks().due_by_theme().await?;
            let counted: &[String] = match names.len() {
                0..=COUNTED_THEMES => &names,
                _ => &[],
            };
            let unplaced = store.tasks().unplaced_by_theme(counted).await?;
            let operations = store.cluster().bulks_under_way(OPERATIONS).await?;
            Ok((due, unplaced, operations))
        })
        .await?;
        let state = |info: ThemeInfo| ThemeState {
            unfinished: Unfinished {
                due: due.get(&info.theme).unwrap_or(&0) + unplaced.get(&info.theme).map_or(0, |unplaced| unplaced.due),
                scheduled: unplaced.get(&info.theme).map(|unplaced| unplaced.scheduled),
            },
            info,
        };
        Ok(Overview {
            themes: themes.into_iter().map(state).collect(),
            nodes,
            operations,
        })
    }
}
