//! Lists of which a caller reads one page at a time.

use serde::{Deserialize, Deserializer, Serialize};

use super::{
    Parameters, TaskFilter,
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

    /// The parameters `page` and `page_size`.
    pub(crate) fn read(parameters: &mut Parameters) -> Self {
        let default = Self::default();
        Self {
            page: parameters.value("page").unwrap_or(default.page),
            page_size: parameters.value("page_size").unwrap_or(default.page_size),
        }
    }

    pub(crate) fn check(self) -> Result<(), InvalidInput> {
        let mut faults = Faults::default();
        self.note_faults(&mut faults);
        faults.into_result()
    }

    fn note_faults(self, faults: &mut Faults) {
        faults.require(self.page >= 1, || "page is 0, pages count from 1".to_owned());
        faults.require((1..=MAX_PAGE_SIZE).contains(&self.page_size), || {
            let size = self.page_size;
            format!("page_size is {size}, expected 1 to {MAX_PAGE_SIZE}")
        });
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
/// use gaia_actors::{PageRequest, TaskStatus, admin::TaskFilter, messages::ListTasks};
///
/// let waiting = ListTasks {
///     filter: TaskFilter {
///         statuses: vec![TaskStatus::Wait, TaskStatus::Retry],
///         name_contains: Some("订单".to_owned()),
///         ..TaskFilter::default()
///     },
///     page: PageRequest::new(1, 50),
/// };
/// ```
///
/// As JSON it is one object: `page`, `page_size`, and the conditions of [`TaskFilter`] under their names. The same names are parameters of a
/// query string, so that a handler of actix-web takes it as `web::Query<ListTasks>`. A list is a parameter that is repeated, or whose
/// value has commas between its parts; a blank parameter counts as none, since browsers send the blank fields of forms, too. Every unknown
/// parameter and every bad value is named in the error.
///
#[cfg_attr(feature = "web", doc = "```")]
#[cfg_attr(not(feature = "web"), doc = "```ignore")]
/// use actix_web::web;
/// use gaia_actors::messages::ListTasks;
///
/// let sent = "page=2&statuses=Failed,Cancelled&error_contains=refused&ended_from=2026-01-31T08:00:00Z&service=";
/// let list = web::Query::<ListTasks>::from_query(sent).unwrap().into_inner();
/// assert_eq!((list.page.page, list.filter.statuses.len(), list.filter.service), (2, 2, None));
///
/// let text = web::Query::<ListTasks>::from_query("pgae=2&ids=x").unwrap_err().to_string();
/// assert!(text.contains("unknown parameter \"pgae\"; the nearest known is page"), "{text}");
/// assert!(text.contains("ids is \"x\""), "{text}");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ListTasks {
    /// Which page.
    #[serde(flatten)]
    pub page: PageRequest,
    /// Which tasks. A theme that it names must be the one whose tasks are listed.
    #[serde(flatten)]
    pub filter: TaskFilter,
}

impl ListTasks {
    pub(crate) fn check(&self, theme: &str) -> Result<(), InvalidInput> {
        let mut faults = Faults::default();
        self.page.note_faults(&mut faults);
        for other in self.filter.themes.iter().filter(|other| *other != theme) {
            faults.add(format!(
                "the filter names the theme {other:?}, but the list is of the theme {theme:?}; Admin::search_tasks finds tasks of any theme"
            ));
        }
        self.filter.check(&mut faults);
        faults.into_result()
    }
}

impl<'de> Deserialize<'de> for ListTasks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Parameters::deserialize(deserializer, |parameters| Self {
            page: PageRequest::read(parameters),
            filter: TaskFilter::read(parameters),
        })
    }
}
