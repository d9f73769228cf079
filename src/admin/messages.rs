//! The operations of [`Admin`] as messages to its address.

use actix::{Actor, Context};
use serde::{Deserialize, Serialize};

use super::{Admin, BulkOperation, BulkPreview, FoundTasks};
pub use crate::domain::{BulkTasks, ListBulkOperations, SearchTasks};
use crate::{error::Error, operations::operations};

/// What a bulk operation would change: [`Admin::preview_bulk`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PreviewBulk(pub BulkTasks);

/// A bulk operation: [`Admin::bulk_operation`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct GetBulkOperation(pub i64);

/// End a bulk operation that is under way: [`Admin::cancel_bulk`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct CancelBulk(pub i64);

impl Actor for Admin {
    type Context = Context<Self>;
}

operations! {
    Admin:
    Read search_tasks(SearchTasks) => |admin, search| admin.search_tasks(search).await, FoundTasks;
    Change bulk_tasks(BulkTasks) => |admin, bulk| admin.bulk_tasks(bulk).await, BulkOperation;
    Read preview_bulk(PreviewBulk) => |admin, PreviewBulk(bulk)| admin.preview_bulk(bulk).await, BulkPreview;
    Read bulk_operation(GetBulkOperation) => |admin, GetBulkOperation(id)| admin.bulk_operation(id).await, BulkOperation;
    Read bulk_operations(ListBulkOperations) => |admin, list| admin.bulk_operations(list).await, Vec<BulkOperation>;
    Change cancel_bulk(CancelBulk) => |admin, CancelBulk(id)| admin.cancel_bulk(id).await, BulkOperation;
}
