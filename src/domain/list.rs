//! Lists of which a caller reads one page at a time.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    TaskStatus,
    validate::{Faults, InvalidInput, MAX_PAGE_SIZE},
};

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<T> {
    /// The rows of this page.
    pub items: Vec<T>,
    /// How many rows all pages have together.
    pub total: i64,
    /// Which page this is, from 1.
    pub page: u32,
    /// How many rows a full page has.
    pub page_size: u32,
}

/// Which page of a list, and how many rows a page has. The default is page 1, 20 rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PageRequest {
    /// The number of the page, from 1.
    pub page: u32,
    /// How many rows a page has: 1 to 1000.
    pub page_size: u32,
}

impl Default for PageRequest {
    fn default() -> Self {
        Self { page: 1, page_size: 20 }
    }
}

impl PageRequest {
    /// Page `page` (from 1) of `page_size` rows (1 to 1000).
    #[must_use]
    pub const fn new(page: u32, page_size: u32) -> Self {
        Self { page, page_size }
    }

    pub(crate) fn check(self) -> Result<(), InvalidInput> {
        let mut faults = Faults::default();
        faults.require(self.page >= 1, || "page is 0, pages count from 1".to_owned());
        faults.require((1..=MAX_PAGE_SIZE).contains(&self.page_size), || {
            let size = self.page_size;
            format!("page_size is {size}, expected 1 to {MAX_PAGE_SIZE}")
        });
        faults.into_result()
    }

    pub(crate) fn offset(self) -> i64 {
        i64::from(self.page.saturating_sub(1)) * i64::from(self.page_size)
    }

    pub(crate) fn of<T>(self, items: Vec<T>, total: i64) -> Page<T> {
        Page {
            items,
            total,
            page: self.page,
            page_size: self.page_size,
        }
    }
}

/// Which tasks of a theme to list, newest first. The default lists all of them, 20 a page.
///
/// It is also the message that asks a [`Scheduler`](crate::Scheduler)'s address for the list.
///
/// ```
/// use gaia_actors::{PageRequest, TaskStatus, messages::ListTasks};
///
/// let waiting = ListTasks {
///     statuses: vec![TaskStatus::Wait, TaskStatus::Retry],
///     name_contains: Some("订单".to_owned()),
///     page: PageRequest::new(1, 50),
///     ..ListTasks::default()
/// };
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ListTasks {
    /// Which page.
    pub page: PageRequest,
    /// Only tasks with one of these statuses; empty: all.
    pub statuses: Vec<TaskStatus>,
    /// Only tasks whose names contain this text (`%` and `_` have no special meaning).
    pub name_contains: Option<String>,
    /// Only tasks that call this service.
    pub service: Option<String>,
    /// Only tasks that call this method.
    pub method: Option<String>,
    /// Only tasks added at or after this time.
    pub created_from: Option<DateTime<Utc>>,
    /// Only tasks added before this time.
    pub created_before: Option<DateTime<Utc>>,
}
