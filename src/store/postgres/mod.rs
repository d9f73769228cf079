//! What PostgreSQL does in its own way.
//!
//! A claim is one statement. So are up to 1,000 ends of runs (4 MiB of texts), their records included: one round trip, one commit.

mod add;
mod announce;
mod by_hand;
mod by_key;
mod claim;
mod connect;
mod finish;
mod listen;
mod migrations;
mod pooler;
mod segments;
mod tls;

use crate::store::time::StoredTime;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use diesel::pg::Pg;
use diesel_async::AsyncPgConnection;

use super::{
    Claim, Claimed, StoreError,
    backend::{Announcement, Backend, Dialect, IS_OPEN, RUNS_BY_CLAIM, ThemesOf, hashed_schedules, is_open_of},
    enqueue::{Callers, NewRows},
    server::pool::{Connections, in_transaction, on_server},
    statement::executor::Executor,
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
use announce::Announcer;
use by_key::{by_key, by_keys};
use claim::Plan;
use connect::Connector;
use listen::Listener;

pub(super) type Conn = super::server::pool::Conn<Connector>;

#[derive(Clone)]
pub(super) struct Postgres {
    pub(super) connections: Connections<Connector>,
    connector: Connector,
    announcer: Arc<Announcer>,
    /// Whether this process hears announcements.
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

    async fn single(&self) -> Result<AsyncPgConnection, StoreError> {
        self.connections.single(|| self.connector.patient()).await
    }
}

impl Backend for Postgres {
    const DIALECT: Dialect = Dialect {
        product: "PostgreSQL",
        database_name: "SELECT id::text AS name FROM gaia_database",
        is_server: true,
        has_neighbours: false,
        now: "(clock_timestamp() AT TIME ZONE 'UTC')",
        parameter: |number| format!("${number}"),
        by_key: "",
        open_links: "gaia_links",
        id_in_json_list: [
            "asynctasks.id IN (SELECT listed::bigint FROM json_array_elements_text(",
            "::json) AS listed)",
        ],
        claimed_ids: "array_to_json(ids)::text",
        #[cfg(all(feature = "hooks", feature = "web"))]
        list_of_one: |id| format!("ARRAY[{id}]::bigint[]"),
        ids_in: |table| format!("unnest({table}.ids) i (id)"),
        id_in: "i.id",
        // Triggers put all others into segments and claims.
        unfinished: &["asynctasks WHERE run_at IS NOT NULL"],
        unplaced_themes: &[ThemesOf {
            column: "system_name",
            prefix: "",
            tasks: "asynctasks WHERE run_at IS NOT NULL",
            are_due: false,
        }],
        tasks_of: |table| format!("unnest({table}.ids) i (id) JOIN asynctasks t ON t.id = i.id"),
        runs_by_claim: RUNS_BY_CLAIM,
        // Triggers see to it that each task that runs is in a claim.
        any_runs: "EXISTS (SELECT 1 FROM gaia_claims)",
        any_due: "EXISTS (SELECT 1 FROM gaia_due)",
        cancel_is_wanted: "cancel_requested <> 0",
        is_open: IS_OPEN,
        is_open_of,
        schedule: "cron_expr || '|' || COALESCE(time_zone, '')",
        hashed_schedules: Some(hashed_schedules!("hashtext", "BIGINT", "$1")),
    };

    fn url(&self) -> String {
        self.connections.url().shown().to_owned()
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

    async fn reserve_connections(&self) -> Result<(), StoreError> {
        self.connections.reserve_connections().await
    }

    /// Looks first: an idle theme costs one small query, and takes no lock.
    async fn claim(&self, claim: Claim, claim_id: Arc<ClaimId>) -> Result<Claimed, StoreError> {
        let mut conn = self.connections.acquire().await?;
        let mut peek = on_server!(conn, |conn| by_key(conn, claim::peek(conn, &claim, claim_id.now)).await)?;
        let mut claimed = Claimed {
            next_due: peek.next_due(claim_id.now),
            ..Claimed::default()
        };
        if !peek.may_claim() {
            return Ok(claimed);
        }
        if peek.has_come() {
            // Tasks that become due now are claimed now; the next peek tells when the task after them is due.
            let promoted = on_server!(conn, |conn| by_key(conn, claim::promote(conn, &claim, claim_id.now))
                .await)?;
            claimed.passed_over = promoted == 0;
            peek = on_server!(conn, |conn| by_key(conn, claim::peek(conn, &claim, claim_id.now)).await)?;
        }
        let due = Plan::of_due(&claim, &peek, claim.limit);
        (claimed.more, claimed.left) = (due.more, due.left.clone());
        let rows = if !claim.first.is_empty() {
            in_transaction!(conn, |conn| claim::claim_first(conn, &claim, &peek, &claim_id).await)?
        } else if !due.is_empty() {
            on_server!(conn, |conn| by_key(conn, claim::claim(conn, &due, &claim_id)).await)?
        } else {
            return Ok(claimed);
        };
        if rows.len() < due.tasks() || !claim.first.is_empty() {
            // After the commit of the claim: this locks rows of tasks, and the claim has locked segments.
            on_server!(conn, |conn| by_keys(conn, claim::detach_unread(conn, &claim_id, &rows))
                .await)?;
        }
        // Other nodes have taken some of the tasks, or some do not wait any more; behind them there may be due tasks.
        claimed.more |= rows.len() < due.tasks();
        claimed.tasks = rows.into_iter().map(|row| claim_id.task(row)).collect();
        Ok(claimed)
    }

    /// Ends a task that no node runs.
    async fn cancel_waiting(&self, theme: String, id: i64, now: StoredTime) -> Result<bool, StoreError> {
        let mut conn = self.connections.acquire().await?;
        Ok(in_transaction!(conn, |conn| by_hand::cancel_waiting(
            conn, &theme, id, now
        )
        .await)?)
    }

    async fn cancel_many(&self, ids: Vec<i64>, now: StoredTime) -> Result<Vec<i64>, StoreError> {
        let mut conn = self.connections.acquire().await?;
        Ok(in_transaction!(conn, |conn| by_hand::cancel_many(conn, &ids, now).await)?)
    }

    /// Drops a segment whose tasks do not wait.
    async fn drop_segment(&self, segment: i64) -> Result<(), StoreError> {
        let mut conn = self.connections.acquire().await?;
        on_server!(conn, |conn| by_key(conn, by_hand::drop_segment(conn, segment)).await)?;
        Ok(())
    }

    /// The node does not matter here: if plain SQL gives a task to another node, a trigger makes a new claim for it.
    async fn detach(&self, _node: String, claim: i64, ids: Vec<i64>) -> Result<(), StoreError> {
        let mut conn = self.connections.acquire().await?;
        on_server!(conn, |conn| by_key(conn, by_hand::detach(conn, claim, &ids)).await)?;
        Ok(())
    }

    async fn write_runs(&self, writes: Arc<Writes>) -> Result<Written, StoreError> {
        let mut conn = self.connections.acquire().await?;
        Ok(on_server!(conn, |conn| finish::write(conn, &writes).await)?)
    }

    async fn add_claimed(&self, row: Arc<NewTaskRow>, claim_id: Arc<ClaimId>) -> Result<(i64, i64), StoreError> {
        let mut conn = self.connections.acquire_to_add().await?;
        Ok(on_server!(conn, |conn| {
            by_key(conn, add::insert_claimed(conn, &row, &claim_id)).await
        })?)
    }

    async fn add(&self, rows: Arc<Vec<NewTaskRow>>) -> Result<Vec<AddedTask>, StoreError> {
        let mut conn = self.connections.acquire_to_add().await?;
        if add::is_one_statement(&rows) {
            let insert = on_server!(conn, |conn| by_key(conn, add::insert(conn, &rows)).await);
            return Ok(insert?);
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

    /// In a transaction of its own: a statement that is not prepared yet would come behind the settings of [`by_key`].
    async fn ids_by_key(&self, query: String) -> Result<Vec<i64>, StoreError> {
        let mut conn = self.connections.acquire().await?;
        Ok(in_transaction!(conn, |conn| by_hand::ids(conn, &query).await)?)
    }

    fn hears_others(&self) -> bool {
        self.hears.load(Ordering::Relaxed)
    }

    fn announce(&self, what: Announcement<'_>, count: usize) {
        self.announcer.announce(what, count);
    }

    async fn listen(&self, heard: impl Fn(Announcement<'_>)) {
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

impl Callers for Pg {
    const PRODUCT: &'static str = Postgres::DIALECT.product;

    async fn insert(conn: &mut impl Executor<Self>, rows: &NewRows) -> Result<Vec<AddedTask>, StoreError> {
        let NewRows { rows, target } = rows;
        let added = add::insert_on(conn, rows).await?;
        // Sent when the caller's transaction commits, to this process too, which would not learn of it otherwise.
        let theme = rows.first().map_or("", |row| &row.system_name);
        target.check_name(announce::tell(conn, theme).await?.as_deref())?;
        Ok(added)
    }
}
