//! What MySQL and MariaDB do in their own way. Everything here is in the words of both.
//!
//! Neither has partial indexes (generated columns stand for them), nor `UPDATE … RETURNING`: rows are picked and locked in
//! the order of their keys, then changed, in one short transaction at READ COMMITTED, where no gap is ever locked. A batch
//! travels as one JSON text.

mod connect;
mod migrations;
mod runs;
mod tasks;

use std::sync::Arc;

use diesel_async::AsyncMysqlConnection;

use super::{
    Claim, Claimed, StoreError,
    db::sealed,
    pool::{Connections, in_transaction, on_server},
    rows::{ClaimMark, NewTaskRow, Writes, Written},
    url::ServerUrl,
    wake::Wake,
};
use crate::domain::AddedTask;
use connect::Connector;
pub(super) use tasks::{ANY_DUE, ANY_RUNS};

pub(super) type Lease = super::pool::Lease<Connector>;

#[derive(Clone)]
pub(super) struct Mysql {
    pub(super) connections: Connections<Connector>,
    connector: Connector,
}

impl Mysql {
    pub(super) async fn connect(url: &ServerUrl) -> Result<Self, StoreError> {
        let connector = Connector::new(url);
        let connections = Connections::new(url, &connector)?;
        connections.open().await?;
        Ok(Self { connections, connector })
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

    async fn single(&self) -> Result<AsyncMysqlConnection, StoreError> {
        self.connections.single(|| self.connector.for_migrations()).await
    }

    /// Looks first: an idle theme costs one small query, and takes no lock.
    pub(super) async fn claim(&self, claim: Claim, mark: Arc<ClaimMark>) -> Result<Claimed, StoreError> {
        let mut lease = self.connections.lease().await?;
        let peek = on_server!(lease, |conn| tasks::peek(conn, &claim, mark.now).await)?;
        let nothing = Claimed {
            next_due: peek.next_due(mark.now),
            ..Claimed::default()
        };
        if !peek.may_claim() {
            return Ok(nothing);
        }
        if !peek.is_unsorted() && claim.first.is_empty() {
            let shares = on_server!(lease, |conn| tasks::plan(conn, &claim, claim.limit).await)?;
            if shares.all.is_empty() {
                return Ok(Claimed {
                    more: shares.more,
                    ..nothing
                });
            }
        }
        Ok(in_transaction!(lease, |conn| tasks::claim(conn, &claim, &peek, &mark).await)?)
    }

    /// Puts tasks that wait into segments, some thousand of those that are in none.
    pub(super) async fn take_in(&self, theme: &str) -> Result<(), StoreError> {
        let mut lease = self.connections.lease().await?;
        if on_server!(lease, |conn| tasks::is_any_stray(conn, theme).await)? {
            in_transaction!(lease, |conn| tasks::take_in(conn, theme, 0).await)?;
        }
        Ok(())
    }

    /// Makes claims of running tasks that are in none: those that plain SQL has put under a node, and those that were claimed by
    /// their inserts.
    pub(super) async fn hold_unheld(&self, now: chrono::NaiveDateTime) -> Result<(), StoreError> {
        let mut lease = self.connections.lease().await?;
        while on_server!(lease, |conn| tasks::is_any_unheld(conn).await)?
            && in_transaction!(lease, |conn| tasks::hold_unheld(conn, now).await)? > 0
        {}
        Ok(())
    }

    /// Has tasks of a claim be in none: running ones that plain SQL has put under another node, and those that plain SQL has ended
    /// unseen.
    pub(super) async fn disown(&self, node: &str, claim: i64, ids: &[i64]) -> Result<(), StoreError> {
        let mut lease = self.connections.lease().await?;
        Ok(in_transaction!(lease, |conn| tasks::disown(conn, node, claim, ids).await)?)
    }

    /// Ends a task that nobody runs. If a claim has it unseen, its row says from then on that it runs.
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
        Ok(in_transaction!(lease, |conn| tasks::drop_segment(conn, segment).await)?)
    }

    pub(super) async fn write_runs(&self, writes: Arc<Writes>) -> Result<Written, StoreError> {
        let mut lease = self.connections.lease().await?;
        Ok(in_transaction!(lease, |conn| runs::write(conn, &writes).await)?)
    }

    pub(super) async fn add_claimed(
        &self,
        row: Arc<NewTaskRow>,
        mark: Arc<ClaimMark>,
    ) -> Result<(i64, i64), StoreError> {
        let mut lease = self.connections.lease_to_add().await?;
        Ok(on_server!(lease, |conn| tasks::insert_claimed(conn, &row, &mark).await)?)
    }

    pub(super) async fn add(&self, rows: Arc<Vec<NewTaskRow>>) -> Result<Vec<AddedTask>, StoreError> {
        let mut lease = self.connections.lease_to_add().await?;
        if tasks::is_one_statement(&rows) {
            return Ok(on_server!(lease, |conn| tasks::insert(conn, &rows).await)?);
        }
        Ok(in_transaction!(lease, |conn| tasks::insert(conn, &rows).await)?)
    }
}

impl Wake for Mysql {}

impl sealed::Insert for AsyncMysqlConnection {
    async fn insert_tasks(&mut self, rows: sealed::Rows) -> Result<Vec<AddedTask>, StoreError> {
        Ok(tasks::insert(self, &rows.0).await?)
    }
}
