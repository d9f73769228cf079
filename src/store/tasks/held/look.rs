//! Looks for what no process has noted (model: batch::Looked).

use std::collections::BTreeSet;

use super::{PAGE, list, literal};
use crate::store::{StoreError, TaskStore};

/// What a page of a look has found.
#[derive(Debug)]
pub(crate) struct FoundPage {
    /// Tasks that have ended, and whose ends are not counted; or held tasks that do not exist any more.
    pub(crate) found: Vec<i64>,
    /// The last task of the page; `None`: there are no further pages.
    pub(crate) last: Option<i64>,
}

impl FoundPage {
    /// The tasks of a page but those that are left out. `count`: how many rows the page has.
    fn new(page: &BTreeSet<i64>, but: &BTreeSet<i64>, count: usize) -> Self {
        Self {
            found: (page - but).into_iter().collect(),
            last: page.last().copied().filter(|_| count >= PAGE),
        }
    }
}

impl TaskStore<'_> {
    /// A page of the tasks for which others wait, in the order of their ids: those that have ended, by whatever program.
    pub(crate) async fn ended_page(&self, after: i64) -> Result<FoundPage, StoreError> {
        let links = self.db.dialect().open_links;
        let query = format!(
            "SELECT open_task AS id FROM {links} WHERE open_task > {} ORDER BY open_task LIMIT {PAGE}",
            literal(after)
        );
        let rows = self.ids_by_key(query).await?;
        let (count, page) = (rows.len(), rows.into_iter().collect());
        let unfinished = self
            .existing(&page, " AND task_status IN ('Wait', 'Retry', 'Running')")
            .await?;
        Ok(FoundPage::new(&page, &unfinished, count))
    }

    /// A page of the held tasks, in the order of their ids: those that do not exist any more, and have left traces. Only plain SQL deletes a held
    /// task without its traces, and a version of this crate that does not know of them.
    pub(crate) async fn orphaned_page(&self, after: i64) -> Result<FoundPage, StoreError> {
        let query = format!(
            "SELECT task_id AS id FROM gaia_held WHERE task_id > {} ORDER BY task_id LIMIT {PAGE}",
            literal(after)
        );
        let rows = self.ids_by_key(query).await?;
        let (count, page) = (rows.len(), rows.into_iter().collect());
        let there = self.existing(&page, "").await?;
        Ok(FoundPage::new(&page, &there, count))
    }

    async fn existing(&self, page: &BTreeSet<i64>, condition: &str) -> Result<BTreeSet<i64>, StoreError> {
        if page.is_empty() {
            return Ok(BTreeSet::new());
        }
        let ids: Vec<i64> = page.iter().copied().collect();
        let by_key = self.db.dialect().by_key;
        let query = format!(
            "SELECT id FROM asynctasks{by_key} WHERE id IN ({}){condition}",
            list(&ids)
        );
        Ok(self.ids_by_key(query).await?.into_iter().collect())
    }
}
