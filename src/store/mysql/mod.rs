//! What MySQL and MariaDB do in their own way. Everything here is in the words of both.
//!
//! Neither has partial indexes (generated columns stand for them), nor `UPDATE … RETURNING`: rows are picked and locked in
//! the order of their keys, then changed, in one short transaction at READ COMMITTED, where no gap is ever locked. A batch
//! travels as one JSON text.

mod add;
mod adopt;
mod by_hand;
mod claim;
mod connect;
mod finish;
mod migrations;
mod neighbour;
mod plain;
mod queue;
mod time_zone;

use crate::store::time::StoredTime;
use chrono::{DateTime, FixedOffset, Utc};
use std::sync::Arc;

use diesel::sql_types::Text;
use diesel_async::AsyncMysqlConnection;

use super::{
    Claim, Claimed, Neighbours, StoreError,
    backend::{Backend, Dialect, RUNS_BY_CLAIM, ThemesOf, hashed_schedules},
    enqueue::{Callers, NewRows},
    server::pool::{Connections, in_time, in_transaction, on_server},
    statement::{executor::Executor, prepared::prepared},
    tasks::{
        claimed::ClaimId,
        held::{Addition, NewHeld, Released, release::Ended},
        new_row::NewTaskRow,
        once::request::{NewOnce, Told},
        writes::{Writes, Written},
    },
    url::ServerUrl,
};
use crate::domain::AddedTask;
use by_hand::{ANY_DUE, ANY_RUNS};
use connect::Connector;
use neighbour::Neighbour;

pub(super) type Conn = super::server::pool::Conn<Connector>;

#[derive(Clone)]
pub(super) struct Mysql {
    pub(super) connections: Connections<Connector>,
    connector: Connector,
    neighbour: Neighbour,
}

impl Mysql {
    pub(super) async fn connect(url: &ServerUrl) -> Result<Self, StoreError> {
        let connector = Connector::new(url);
        let connections = Connections::new(url, &connector)?;
        connections.open().await?;
        Ok(Self {
            connections,
            connector,
            neighbour: Neighbour::default(),
        })
    }

    async fn single(&self) -> Result<AsyncMysqlConnection, StoreError> {
        self.connections.single(|| self.connector.for_migrations()).await
    }
}

impl Backend for Mysql {
    const DIALECT: Dialect = Dialect {
        product: "MySQL or MariaDB",
        database_name: "SELECT LOWER(DATABASE()) AS name",
        is_server: true,
        has_neighbours: true,
        // Sessions are in the zone of the columns.
        now: "CURRENT_TIMESTAMP(6)",
        parameter: |_| "?".to_owned(),
        // A scan would lock what it passes, and go through all of a small table.
        by_key: " FORCE INDEX (PRIMARY)",
        open_links: "gaia_links FORCE INDEX (gaia_links_open)",
        id_in_json_list: [
            "asynctasks.id IN (SELECT listed.id FROM JSON_TABLE(",
            ", '$[*]' COLUMNS (id BIGINT PATH '$')) listed)",
        ],
        claimed_ids: "ids",
        #[cfg(all(feature = "hooks", feature = "web"))]
        list_of_one: |id| format!("'[{id}]'"),
        ids_in: |table| format!("JSON_TABLE({table}.ids, '$[*]' COLUMNS (id BIGINT PATH '$')) i"),
        id_in: "i.id",
        unfinished: &[
            "asynctasks FORCE INDEX (gaia_tasks_scheduled) WHERE later_theme IS NOT NULL",
            "asynctasks FORCE INDEX (gaia_tasks_stray) WHERE stray IS NOT NULL",
        ],
        unplaced_themes: &[
            ThemesOf {
                column: "later_theme",
                prefix: "",
                tasks: "asynctasks FORCE INDEX (gaia_tasks_scheduled) WHERE later_theme IS NOT NULL",
                are_due: false,
            },
            ThemesOf {
                column: "stray",
                prefix: "due ",
                tasks: "asynctasks FORCE INDEX (gaia_tasks_stray) WHERE stray LIKE 'due %'",
                are_due: true,
            },
        ],
        tasks_of: |table| {
            format!(
                "JSON_TABLE({table}.ids, '$[*]' COLUMNS (id BIGINT PATH '$')) i \
                 STRAIGHT_JOIN asynctasks t FORCE INDEX (PRIMARY) ON t.id = i.id"
            )
        },
        runs_by_claim: RUNS_BY_CLAIM,
        any_runs: ANY_RUNS,
        any_due: ANY_DUE,
        cancel_is_wanted: "stray IN ('cancel', 'unheld') AND cancel_requested <> 0",
        // A generated column: the job, of an open run.
        is_open: "open_job IS NOT NULL",
        is_open_of: |job_id| format!("open_job = {job_id}"),
        schedule: "CONCAT(cron_expr, '|', COALESCE(time_zone, ''))",
        hashed_schedules: Some(hashed_schedules!("CRC32", "SIGNED", "?")),
    };

    fn url(&self) -> String {
        self.connections.url().shown().to_owned()
    }

    fn zone(&self) -> FixedOffset {
        self.connections.url().zone
    }

    async fn check_zone(&self, now: DateTime<Utc>) -> Result<(), StoreError> {
        let mut conn = self.single().await?;
        let url = self.connections.url();
        time_zone::check(&mut conn, url, now).await?;
        in_time(url.zone, Box::pin(self.neighbour.look(&mut conn))).await?;
        Ok(())
    }

    fn has_neighbours(&self) -> bool {
        self.neighbour.may_be_there()
    }

    async fn meet_neighbours(&self, node: String, themes: Vec<String>) -> Result<Neighbours, StoreError> {
        self.neighbour.meet(&self.connections, &node, &themes).await
    }

    fn identity(&self) -> String {
        self.connector.identity()
    }

    /// On a separate connection: a long migration is no reason to give up.
    async fn migrate(&self) -> Result<(), StoreError> {
        let mut conn = self.single().await?;
        migrations::run(&mut conn).await.map_err(|error| error.of(self.url()))
    }

    async fn pending_migrations(&self) -> Result<Vec<&'static str>, StoreError> {
        let mut conn = self.single().await?;
        migrations::names(&mut conn).await.map_err(|error| error.of(self.url()))
    }

    async fn changes_before_migrations(&self) -> Result<Vec<String>, StoreError> {
        let mut conn = self.single().await?;
        migrations::before(&mut conn)
            .await
            .map_err(|error| error.of(self.url()))
    }

    async fn reserve_connections(&self) -> Result<(), StoreError> {
        self.connections.reserve_connections().await
    }

    /// Looks first: an idle theme costs one small query, and takes no lock.
    async fn claim(&self, claim: Claim, claim_id: Arc<ClaimId>) -> Result<Claimed, StoreError> {
        let mut conn = self.connections.acquire().await?;
        let peek = on_server!(conn, |conn| claim::peek(conn, &claim, claim_id.now).await)?;
        let nothing = Claimed {
            next_due: peek.next_due(claim_id.now),
            ..Claimed::default()
        };
        if !peek.may_claim() {
            return Ok(nothing);
        }
        if !peek.is_unsorted() && claim.first.is_empty() {
            let shares = on_server!(conn, |conn| claim::plan(conn, &claim, claim.limit).await)?;
            if shares.all.is_empty() {
                return Ok(Claimed {
                    more: shares.more,
                    left: shares.left,
                    ..nothing
                });
            }
        }
        Ok(in_transaction!(conn, |conn| async {
            let claimed = claim::claim(conn, &claim, &peek, &claim_id).await?;
            self.neighbour.begin(conn, claim.first.iter().copied()).await?;
            Ok(claimed)
        }
        .await)?)
    }

    /// Puts strays into segments, some thousand of them.
    async fn queue_strays(&self, theme: String) -> Result<(), StoreError> {
        let mut conn = self.connections.acquire().await?;
        if on_server!(conn, |conn| queue::is_any_stray(conn, &theme).await)? {
            in_transaction!(conn, |conn| queue::queue_strays(conn, &theme, 0).await)?;
        }
        Ok(())
    }

    /// Makes claims for Running tasks that no claim holds: tasks that plain SQL set to Running under a node, and tasks that were claimed by
    /// their inserts.
    async fn make_missing_claims(&self, now: StoredTime) -> Result<(), StoreError> {
        let mut conn = self.connections.acquire().await?;
        while on_server!(conn, |conn| by_hand::is_any_unheld(conn).await)?
            && in_transaction!(conn, |conn| by_hand::make_missing_claims(conn, now).await)? > 0
        {}
        Ok(())
    }

    /// Takes some of these tasks out of their claim: Running tasks that plain SQL has given to another node, and tasks that plain SQL has
    /// ended while they were unseen.
    async fn detach(&self, node: String, claim: i64, ids: Vec<i64>) -> Result<(), StoreError> {
        let mut conn = self.connections.acquire().await?;
        Ok(in_transaction!(conn, |conn| by_hand::detach(conn, &node, claim, &ids).await)?)
    }

    /// Ends a task that no node runs. An unseen task is not ended: its row is set to Running.
    async fn cancel_waiting(&self, theme: String, id: i64, now: StoredTime) -> Result<bool, StoreError> {
        let mut conn = self.connections.acquire().await?;
        Ok(in_transaction!(conn, |conn| async {
            let is_ended = by_hand::cancel_waiting(conn, &theme, id, now).await?;
            self.neighbour.begin(conn, std::iter::once(id)).await?;
            Ok(is_ended)
        }
        .await)?)
    }

    async fn cancel_many(&self, ids: Vec<i64>, now: StoredTime) -> Result<Vec<i64>, StoreError> {
        let mut conn = self.connections.acquire().await?;
        Ok(in_transaction!(conn, |conn| by_hand::cancel_many(conn, &ids, now).await)?)
    }

    /// Drops a segment whose tasks do not wait.
    async fn drop_segment(&self, segment: i64) -> Result<(), StoreError> {
        let mut conn = self.connections.acquire().await?;
        Ok(in_transaction!(conn, |conn| queue::drop_segment(conn, segment).await)?)
    }

    async fn write_runs(&self, writes: Arc<Writes>) -> Result<Written, StoreError> {
        let mut conn = self.connections.acquire().await?;
        Ok(in_transaction!(conn, |conn| async {
            let written = finish::write(conn, &writes).await?;
            self.neighbour.begin(conn, writes.begun()).await?;
            Ok(written)
        }
        .await)?)
    }

    async fn add_claimed(&self, row: Arc<NewTaskRow>, claim_id: Arc<ClaimId>) -> Result<(i64, i64), StoreError> {
        let mut conn = self.connections.acquire_to_add().await?;
        Ok(on_server!(conn, |conn| add::insert_claimed(conn, &row, &claim_id).await)?)
    }

    async fn add(&self, rows: Arc<Vec<NewTaskRow>>) -> Result<Vec<AddedTask>, StoreError> {
        let mut conn = self.connections.acquire_to_add().await?;
        if add::is_one_statement(&rows) {
            return Ok(on_server!(conn, |conn| add::insert(conn, &rows).await)?);
        }
        Ok(in_transaction!(conn, |conn| add::insert(conn, &rows).await)?)
    }

    async fn add_once(&self, once: Arc<NewOnce>) -> Result<Told, StoreError> {
        let mut conn = self.connections.acquire_to_add().await?;
        Ok(in_transaction!(conn, |conn| add::insert_once(conn, &once).await)?)
    }

    async fn add_held(&self, new: Arc<NewHeld>) -> Result<Addition, StoreError> {
        let mut conn = self.connections.acquire_to_add().await?;
        Ok(in_transaction!(conn, |conn| add::insert_held(conn, &new).await)?)
    }

    async fn release(&self, ended: Arc<Ended>) -> Result<Released, StoreError> {
        let mut conn = self.connections.acquire().await?;
        Ok(in_transaction!(conn, |conn| by_hand::release(conn, &ended).await)?)
    }

    async fn ids_by_key(&self, query: String) -> Result<Vec<i64>, StoreError> {
        let mut conn = self.connections.acquire().await?;
        Ok(on_server!(conn, |conn| by_hand::ids(conn, &query).await)?)
    }
}

impl Callers for diesel::mysql::Mysql {
    const PRODUCT: &'static str = Mysql::DIALECT.product;

    async fn insert(conn: &mut impl Executor<Self>, rows: &NewRows) -> Result<Vec<AddedTask>, StoreError> {
        let NewRows { rows, target } = rows;
        let added = add::insert_on(conn, rows, false).await?;
        let names: Vec<String> = conn
            .load(prepared(Mysql::DIALECT.database_name).columns::<Text>())
            .await?;
        target.check_name(names.first().map(String::as_str))?;
        Ok(added)
    }
}
