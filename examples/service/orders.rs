//! The shop's own table, in the database that the actors use, too: one transaction can hold an order and its task.

use std::{sync::Arc, time::Duration};

use diesel::{ConnectionError, prelude::*, sqlite::SqliteConnection};
use diesel_async::{
    AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection,
    pooled_connection::{
        AsyncDieselConnectionManager,
        bb8::{Pool, RunError},
    },
    sync_connection_wrapper::SyncConnectionWrapper,
};
use gaia_actors::prelude::*;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::work::{CONFIRM_ORDER, Mail, SEND_MAIL};

diesel::table! {
    orders (id) {
        id -> BigInt,
        customer -> Text,
        item -> Text,
        amount -> Integer,
        status -> Text,
    }
}

/// What a customer asks for.
#[derive(Debug, Clone, Deserialize, Insertable)]
#[diesel(table_name = orders)]
pub struct NewOrder {
    pub customer: String,
    pub item: String,
    pub amount: i32,
}

/// A row of the table.
#[derive(Debug, Serialize, Queryable, PartialEq, Eq)]
pub struct Order {
    pub id: i64,
    pub customer: String,
    pub item: String,
    pub amount: i32,
    pub status: String,
}

/// The ids of an order, and of the task that confirms it.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Placed {
    pub order: i64,
    pub task: i64,
}

/// Why the shop's database did not do it.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    #[error("the amount is {0}, expected at least 1")]
    Amount(i32),
    #[error("there is no order {0}")]
    NotFound(i64),
    #[error("the database is {0}, expected sqlite:FILE or postgres://…")]
    Url(String),
    #[error(transparent)]
    Tasks(#[from] Error),
    #[error(transparent)]
    Database(#[from] diesel::result::Error),
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    #[error(transparent)]
    Pool(#[from] RunError),
}

/// The orders. Cloning is cheap.
#[derive(Clone)]
pub enum Orders {
    Sqlite(SqliteFile),
    Postgres(Pool<AsyncPgConnection>),
}

/// A file of SQLite takes one writer at a time. Who waits here is served in turn; who waits for the file, by luck.
#[derive(Clone)]
pub struct SqliteFile {
    path: Arc<str>,
    turn: Arc<Mutex<()>>,
}

/// Does the same with a connection of either database; diesel checks it for both.
macro_rules! on_connection {
    ($orders:expr, |$conn:ident| $work:expr) => {
        match $orders {
            Orders::Sqlite(file) => {
                let $conn = &mut file.connect().await?;
                $work
            }
            Orders::Postgres(pool) => {
                let $conn = &mut *pool.get().await?;
                $work
            }
        }
    };
}

/// The same in a transaction. If the caller is dropped in the middle of it, as a run is at its timeout, the connection goes with it.
macro_rules! in_transaction {
    ($orders:expr, |$conn:ident| $work:expr) => {
        match $orders {
            Orders::Sqlite(file) => {
                let _turn = file.turn.lock().await;
                let mut conn = file.connect().await?;
                conn.immediate_transaction(async |$conn| $work).await
            }
            Orders::Postgres(pool) => pool.get().await?.transaction(async |$conn| $work).await,
        }
    };
}

impl SqliteFile {
    /// A connection for one piece of work: cheap with SQLite, and whatever goes wrong in it goes with it.
    async fn connect(&self) -> Result<SyncConnectionWrapper<SqliteConnection>, OrderError> {
        let mut conn = SyncConnectionWrapper::establish(&self.path).await?;
        // The actors write to the same file: wait for them instead of failing.
        conn.batch_execute("PRAGMA busy_timeout = 5000").await?;
        Ok(conn)
    }
}

impl Orders {
    /// Opens the database of this URL, and makes the table if it is not there. (A larger service has migrations for that, and a pool that is
    /// set up for TLS.)
    pub async fn open(url: &str) -> Result<Self, OrderError> {
        let id = if url.starts_with("postgres") {
            "BIGSERIAL PRIMARY KEY"
        } else {
            "INTEGER PRIMARY KEY AUTOINCREMENT"
        };
        let orders = match url.strip_prefix("sqlite:") {
            Some(path) if !path.contains(":memory:") => Self::Sqlite(SqliteFile {
                path: path_of(path).into(),
                turn: Arc::default(),
            }),
            None if url.starts_with("postgres") => {
                let manager = AsyncDieselConnectionManager::new(url);
                let pool = Pool::builder().max_size(8).connection_timeout(Duration::from_secs(10));
                Self::Postgres(pool.build_unchecked(manager))
            }
            _ => {
                return Err(OrderError::Url(
                    url.split('@').next_back().unwrap_or_default().to_owned(),
                ));
            }
        };
        let create = format!(
            "CREATE TABLE IF NOT EXISTS orders (id {id}, customer TEXT NOT NULL, item TEXT NOT NULL, \
             amount INTEGER NOT NULL, status TEXT NOT NULL DEFAULT 'new')"
        );
        on_connection!(&orders, |conn| conn.batch_execute(&create).await?);
        Ok(orders)
    }

    /// Writes the order and adds the task that confirms it, or neither.
    pub async fn place(&self, scheduler: &Scheduler, new: &NewOrder) -> Result<Placed, OrderError> {
        if new.amount < 1 {
            return Err(OrderError::Amount(new.amount));
        }
        let (order, confirm) = in_transaction!(self, |conn| {
            let order = diesel::insert_into(orders::table)
                .values(new)
                .returning(orders::id)
                .get_result::<i64>(conn)
                .await?;
            let confirm = CONFIRM_ORDER.task(&order).name(format!("confirm order {order}"));
            let confirm = confirm.add_on(scheduler, conn).await?;
            Ok::<_, OrderError>((order, confirm))
        })?;
        // Only now can the workers see it.
        confirm.wake();
        Ok(Placed {
            order,
            task: confirm.id,
        })
    }

    /// Confirms an order and adds the task that tells its customer, or neither. A second run of the same task finds it confirmed, and the
    /// customer gets no second mail.
    pub async fn confirm(&self, ctx: &TaskContext, id: i64) -> Result<Order, OrderError> {
        let (order, mail) = in_transaction!(self, |conn| {
            let is_new = orders::id.eq(id).and(orders::status.eq("new"));
            let confirmed = diesel::update(orders::table.filter(is_new))
                .set(orders::status.eq("confirmed"))
                .execute(conn)
                .await?;
            let order: Option<Order> = orders::table.find(id).first(conn).await.optional()?;
            let order = order.ok_or(OrderError::NotFound(id))?;
            if confirmed == 0 {
                return Ok((order, None));
            }
            let mail = Mail {
                to: order.customer.clone(),
                text: format!("{} of {} will be sent", order.amount, order.item),
            };
            let added = SEND_MAIL.task(&mail).add_on(ctx, conn).await?;
            Ok::<_, OrderError>((order, Some(added)))
        })?;
        if let Some(mail) = mail {
            mail.wake();
        }
        Ok(order)
    }

    pub async fn find(&self, id: i64) -> Result<Order, OrderError> {
        let order: Option<Order> = on_connection!(self, |conn| orders::table.find(id).first(conn).await.optional()?);
        order.ok_or(OrderError::NotFound(id))
    }

    /// How many orders have this status.
    pub async fn count(&self, status: &str) -> Result<i64, OrderError> {
        let counted = orders::table.filter(orders::status.eq(status)).count();
        Ok(on_connection!(self, |conn| counted.get_result(conn).await?))
    }
}

/// The path in a URL of SQLite, behind `sqlite:`.
fn path_of(url: &str) -> &str {
    let path = url.strip_prefix("//").unwrap_or(url);
    path.split('?').next().unwrap_or(path)
}
