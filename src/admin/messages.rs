//! The operations of [`Admin`] as messages to its address.

use actix::{Actor, Context};

use super::{Admin, FoundTasks};
pub use crate::domain::SearchTasks;
use crate::{error::Error, operations::operations};

impl Actor for Admin {
    type Context = Context<Self>;
}

operations! {
    Admin:
    Read search_tasks(SearchTasks) => |admin, search| admin.search_tasks(search).await, FoundTasks;
}
