//! Adding tasks on connections of the caller's.

use std::slice;

use super::scheduler::{Scheduler, traced};
use crate::{
    domain::{AddedTask, NewTask},
    error::Error,
    store::{BlockingEnqueueConnection, EnqueueConnection, StoreError},
    traces::Span,
};

impl Scheduler {
    /// Adds a task on a connection of yours, inside the transaction that is open there: the task exists if and only if
    /// your transaction commits. After the commit call [`task_quick_queue`](Self::task_quick_queue) with its id (before, no worker can see the task). Without
    /// that, workers find it with their next scan, on SQLite and MySQL after up to [`scan_interval`](crate::SchedulerOptions::scan_interval), 5 s by
    /// default; on PostgreSQL the commit tells all processes.
    ///
    /// On SQLite the file takes one writer at a time: while your transaction is open, no outcome is written, so keep it
    /// short, and set a `busy_timeout` on your connection. And a diesel-async transaction must not be dropped half-way, as a route of actix-web is
    /// when its client hangs up: the connection would go on in the open transaction. Run it in a separate task, and await that:
    /// `actix_web::rt::spawn(async move { orders.place(&scheduler, &order).await }).await??`, as the example `service` does.
    ///
    /// The connection is any of diesel-async, also from a pool: [`EnqueueConnection`] lists the types. A connection to another database than
    /// this handle's is noticed after the insert: roll your transaction back when the error comes. On SQLite and PostgreSQL the databases are
    /// told apart by the name in the table `gaia_database`, which a copy of a database has, too; its reader needs `SELECT` there, which the
    /// start grants to every role. On MySQL they are told apart by the name of the database alone: a database of the same name on another
    /// server is not noticed. That costs one more round trip for each call on MySQL, and none on PostgreSQL.
    ///
    #[cfg_attr(feature = "sqlite", doc = "```no_run")]
    #[cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
    /// use diesel_async::{RunQueryDsl, sync_connection_wrapper::SyncConnectionWrapper};
    /// use diesel::SqliteConnection;
    /// use gaia_actors::{Error, NewTask, Scheduler};
    ///
    /// # async fn place(
    /// #     orders: &Scheduler,
    /// #     conn: &mut SyncConnectionWrapper<SqliteConnection>,
    /// # ) -> Result<(), Error> {
    /// let task = NewTask::new("OrderService", "AsyncCreateOrder");
    /// let added = conn
    ///     .immediate_transaction(async |conn| {
    ///         diesel::sql_query("INSERT INTO orders (amount) VALUES (7)").execute(conn).await?;
    ///         orders.add_task_on(conn, task).await
    ///     })
    ///     .await?;
    /// orders.task_quick_queue(added.id);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As for [`add_task`](Self::add_task), and [`StoreError::OtherDatabase`](crate::StoreError::OtherDatabase) if the connection leads to
    /// another database.
    pub async fn add_task_on<C: EnqueueConnection>(&self, conn: &mut C, task: NewTask) -> Result<AddedTask, Error> {
        traced(self.span_of(slice::from_ref(&task)), async {
            let row = self.row(task)?;
            one(&self.added_on(self.store.add_on(conn, vec![row]).await)?)
        })
        .await
    }

    /// Adds many tasks, at most 100,000, on a connection of yours, like [`add_task_on`](Self::add_task_on). It takes a statement for each
    /// 1,000 tasks (4 MB of arguments, on MySQL and SQLite a few more), and one for each task with a unique key. So they are added all or none
    /// only inside a transaction: open one, and roll it back after an error.
    ///
    /// # Errors
    /// As for [`add_task_on`](Self::add_task_on); the faults name the task by its position in the list.
    pub async fn add_tasks_on<C: EnqueueConnection>(
        &self,
        conn: &mut C,
        tasks: Vec<NewTask>,
    ) -> Result<Vec<AddedTask>, Error> {
        traced(self.span_of(&tasks), async {
            self.added_on(self.store.add_on(conn, self.rows(tasks)?).await)
        })
        .await
    }

    /// Adds a task on a connection of diesel without async, like [`add_task_on`](Self::add_task_on). It blocks the thread until the
    /// database has answered: call it where your own statements block it, such as in a
    /// [`blocking_fn`](crate::blocking_fn) or in `actix_web::web::block`.
    ///
    #[cfg_attr(feature = "sqlite", doc = "```no_run")]
    #[cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
    /// use diesel::{Connection, RunQueryDsl, SqliteConnection};
    /// use gaia_actors::{Error, NewTask, Scheduler};
    ///
    /// # fn place(orders: &Scheduler, conn: &mut SqliteConnection) -> Result<(), Error> {
    /// let task = NewTask::new("OrderService", "AsyncCreateOrder");
    /// let added = conn.immediate_transaction(|conn| {
    ///     diesel::sql_query("INSERT INTO orders (amount) VALUES (7)").execute(conn)?;
    ///     orders.blocking_add_task_on(conn, task)
    /// })?;
    /// orders.task_quick_queue(added.id);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As for [`add_task_on`](Self::add_task_on).
    pub fn blocking_add_task_on<C: BlockingEnqueueConnection>(
        &self,
        conn: &mut C,
        task: NewTask,
    ) -> Result<AddedTask, Error> {
        let span = self.span_of(slice::from_ref(&task));
        traced_at_once(&span, || {
            let row = self.row(task)?;
            one(&self.added_on(self.store.blocking_add_on(conn, vec![row]))?)
        })
    }

    /// Adds many tasks on a connection of diesel without async, like [`add_tasks_on`](Self::add_tasks_on). It blocks the thread until the
    /// database has answered.
    ///
    /// # Errors
    /// As for [`add_tasks_on`](Self::add_tasks_on).
    pub fn blocking_add_tasks_on<C: BlockingEnqueueConnection>(
        &self,
        conn: &mut C,
        tasks: Vec<NewTask>,
    ) -> Result<Vec<AddedTask>, Error> {
        traced_at_once(&self.span_of(&tasks), || {
            self.added_on(self.store.blocking_add_on(conn, self.rows(tasks)?))
        })
    }

    fn added_on(&self, added: Result<Vec<AddedTask>, StoreError>) -> Result<Vec<AddedTask>, Error> {
        let added = added?;
        self.note_use();
        Ok(added)
    }
}

/// The only task of an addition.
fn one(added: &[AddedTask]) -> Result<AddedTask, Error> {
    let none = || StoreError::Database("the database has answered with no id of the added task".to_owned());
    Ok(added.first().copied().ok_or_else(none)?)
}

/// As [`traced`], for an addition that blocks the thread.
fn traced_at_once<T>(span: &Span, add: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    let added = span.call(add);
    if let Err(error) = &added {
        span.failed(&error.to_string());
    }
    added
}
