//! What PostgreSQL does in its own way.
//!
//! A claim is one statement and so is a batch of finished runs, its records included: one round trip, one commit.

mod announce;
mod by_key;
mod connect;
mod listen;
mod migrations;
mod pooler;
mod runs;
mod tasks;
mod tls;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use diesel_async::AsyncPgConnection;

use super::{
    Claim, Claimed, StoreError,
    db::sealed,
    pool::{Connections, in_transaction, on_server},
    rows::{ClaimMark, NewTaskRow, Writes, Written},
    url::ServerUrl,
    wake::{Heard, Wake},
};
use crate::domain::AddedTask;
use announce::Announcer;
use by_key::{by_key, by_keys};
use connect::Connector;
use listen::Listener;
use tasks::Plan;

pub(super) type Lease = super::pool::Lease<Connector>;

#[derive(Clone)]
pub(super) struct Postgres {
    pub(super) connections: Connections<Connector>,
    connector: Connector,
    announcer: Arc<Announcer>,
    /// Whether this process hears what is announced.
    hears: Arc<AtomicBool>,
}

impl Postgres {
    pub(super) async fn connect(url: &ServerUrl) -> Result<Self, StoreError> {
        let connector = Connector::new(url)?;
        let connections = Connections::new(url, &connector)?;
        connections
            .single(|| pooler::check(&connector, url.connect_timeout))
            .await?;
        connections.open().await?;
        Ok(Self {
            announcer: Arc::new(Announcer::new(connections.clone())),
            connections,
            connector,
            hears: Arc::default(),
        })
    }

    pub(super) fn url(&self) -> String {
        self.connections.url().shown().to_owned()
    }

    pub(super) fn identity(&self) -> String {
        self.connector.identity()
    }

    /// On a connection of its own: a long migration is no reason to give up.
    pub(super) async fn migrate(&self) -> Result<(), StoreError> {
        let mut conn = self.single().await?;
        migrations::run(&mut conn).await.map_err(|error| error.of(self.url()))
    }

    pub(super) async fn check_schema(&self) -> Result<(), StoreError> {
        let mut conn = self.single().await?;
        migrations::check(&mut conn).await.map_err(|error| error.of(self.url()))
    }

    async fn single(&self) -> Result<AsyncPgConnection, StoreError> {
        self.connections.single(|| self.connector.patient()).await
    }

    /// Looks first: an idle theme costs one small query, and takes no lock.
    pub(super) async fn claim(&self, claim: Claim, mark: Arc<ClaimMark>) -> Result<Claimed, StoreError> {
        let mut lease = self.connections.lease().await?;
        let mut peek = on_server!(lease, |conn| by_key(conn, tasks::peek(conn, &claim, mark.now)).await)?;
        let mut claimed = Claimed {
            next_due: peek.next_due(mark.now),
            ..Claimed::default()
        };
        if !peek.may_claim() {
            return Ok(claimed);
        }
        if peek.has_come() {
            // What is promoted now is claimed now; the next look tells what comes after it.
            let promoted = on_server!(lease, |conn| by_key(conn, tasks::promote(conn, &claim, mark.now)).await)?;
            claimed.passed_over = promoted == 0;
            peek = on_server!(lease, |conn| by_key(conn, tasks::peek(conn, &claim, mark.now)).await)?;
        }
        let due = Plan::of_due(&claim, &peek, claim.limit);
        claimed.more = due.more;
        let rows = if !claim.first.is_empty() {
            in_transaction!(lease, |conn| tasks::claim_first(conn, &claim, &peek, &mark).await)?
        } else if !due.is_empty() {
            on_server!(lease, |conn| by_key(conn, tasks::claim(conn, &due, &mark)).await)?
        } else {
            return Ok(claimed);
        };
        if rows.len() < due.tasks() || !claim.first.is_empty() {
            // Not before the commit: here rows are locked, there segments were.
            on_server!(lease, |conn| by_keys(conn, tasks::let_out(conn, &mark, &rows)).await)?;
        }
        // Other nodes have taken some, or behind tasks that do not wait any more there are others.
        claimed.more |= rows.len() < due.tasks();
        claimed.tasks = rows.into_iter().map(|row| mark.task(row)).collect();
        Ok(claimed)
    }

    /// Ends a task that nobody runs.
    pub(super) async fn cancel_waiting(
        &self,
        theme: String,
        id: i64,
        now: chrono::NaiveDateTime,
    ) -> Result<bool, StoreError> {
        let mut lease = self.connections.lease().await?;
        Ok(in_transaction!(lease, |conn| tasks::cancel_waiting(
            conn, &theme, id, now
        )
        .await)?)
    }

    /// Drops a segment whose tasks do not wait.
    pub(super) async fn drop_segment(&self, segment: i64) -> Result<(), StoreError> {
        let mut lease = self.connections.lease().await?;
        on_server!(lease, |conn| by_key(conn, tasks::drop_segment(conn, segment)).await)?;
        Ok(())
    }

    pub(super) async fn disown(&self, claim: i64, tasks: &[i64]) -> Result<(), StoreError> {
        let mut lease = self.connections.lease().await?;
        on_server!(lease, |conn| by_key(conn, tasks::disown(conn, claim, tasks)).await)?;
        Ok(())
    }

    pub(super) async fn write_runs(&self, writes: Arc<Writes>) -> Result<Written, StoreError> {
        let mut lease = self.connections.lease().await?;
        Ok(on_server!(lease, |conn| runs::write(conn, &writes).await)?)
    }

    pub(super) async fn add_claimed(
        &self,
        row: Arc<NewTaskRow>,
        mark: Arc<ClaimMark>,
    ) -> Result<(i64, i64), StoreError> {
        let mut lease = self.connections.lease_to_add().await?;
        Ok(on_server!(lease, |conn| {
            by_key(conn, tasks::insert_claimed(conn, &row, &mark)).await
        })?)
    }

    pub(super) async fn add(&self, rows: Arc<Vec<NewTaskRow>>) -> Result<Vec<AddedTask>, StoreError> {
        let mut lease = self.connections.lease_to_add().await?;
        if tasks::is_one_statement(&rows) {
            let insert = on_server!(lease, |conn| by_key(conn, tasks::insert(conn, &rows)).await);
            return Ok(insert?);
        }
        Ok(in_transaction!(lease, |conn| tasks::insert(conn, &rows).await)?)
    }
}

impl Wake for Postgres {
    fn hears_others(&self) -> bool {
        self.hears.load(Ordering::Relaxed)
    }

    fn announce(&self, what: Heard<'_>, count: usize) {
        self.announcer.announce(what, count);
    }

    async fn listen(&self, heard: impl Fn(Heard<'_>)) {
        if self.connections.url().transaction_pooler {
            say!(
                Info,
                "behind a pooler of transactions nothing is heard of other processes: new tasks are found by looking"
            );
            std::future::pending::<()>().await;
        }
        let listener = Listener {
            connector: self.connector.clone(),
            announcer: Arc::clone(&self.announcer),
            hears: Arc::clone(&self.hears),
        };
        listener.run(heard).await;
    }
}

impl sealed::Insert for AsyncPgConnection {
    async fn insert_tasks(&mut self, rows: sealed::Rows) -> Result<Vec<AddedTask>, StoreError> {
        let rows = rows.0;
        let added = tasks::insert(self, &rows).await?;
        if let Some(row) = rows.first() {
            // Sent when the caller's transaction commits, to this process too: nobody else tells it.
            announce::tell(self, &row.system_name, "").await?;
        }
        Ok(added)
    }
}
