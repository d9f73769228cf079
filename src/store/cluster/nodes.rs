//! The nodes: processes that share the database. Their heartbeats are written and judged by the database's own time.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::{
    dsl::sql,
    prelude::*,
    sql_types::{BigInt, Timestamp},
};
use diesel_async::RunQueryDsl;

use crate::store::{
    ClusterStore, StoreError,
    backend::ReadKind,
    db::{Conn, on_backend},
    lenient::{AnyInt, AnyText, AnyTime, millis, number, text, time},
    schema::gaia_nodes,
    tasks::is_remote,
    time::StoredTime,
};

/// The row of a node, as the node writes it. The database adds the times.
#[derive(Debug, Clone, Insertable)]
#[diesel(table_name = gaia_nodes)]
pub(crate) struct NodeRow {
    pub(crate) id: String,
    pub(crate) host: String,
    pub(crate) pid: i64,
    pub(crate) version: String,
    pub(crate) beat: i64,
    pub(crate) lease_ms: i64,
    pub(crate) themes: String,
    pub(crate) methods: Option<String>,
    /// [`PROTOCOL`].
    pub(crate) protocol: i32,
}

/// The number of the rules by which a node claims. The column has no default and accepts no smaller number, so that a node of an older
/// version cannot make its row; a node without a row gets no task.
pub(crate) const PROTOCOL: i32 = 3;

#[derive(Queryable, Selectable)]
#[diesel(table_name = gaia_nodes)]
pub(in crate::store) struct SeenRow {
    id: AnyText,
    host: AnyText,
    pid: AnyInt,
    version: AnyText,
    beat: AnyInt,
    lease_ms: AnyInt,
    themes: AnyText,
    methods: Option<AnyText>,
    started_at: AnyTime,
    heartbeat: AnyTime,
}

/// A node as other nodes read it. Plain SQL may have spoilt its row.
#[derive(Debug, Clone)]
pub(crate) struct SeenNode {
    pub(crate) id: String,
    pub(crate) host: String,
    pub(crate) pid: i64,
    pub(crate) version: String,
    /// `None`: the row holds no number. A living node writes one with its next heartbeat.
    pub(crate) beat: Option<i64>,
    pub(crate) lease: Duration,
    pub(crate) themes: String,
    pub(crate) methods: Option<String>,
    pub(crate) started_at: Option<DateTime<Utc>>,
    pub(crate) heartbeat: Option<DateTime<Utc>>,
}

/// The lease if the row holds none: the default of the options.
const DEFAULT_LEASE: Duration = Duration::from_secs(20);

impl From<SeenRow> for SeenNode {
    fn from(row: SeenRow) -> Self {
        Self {
            id: row.id.0,
            host: row.host.0,
            pid: number(row.pid).unwrap_or_default(),
            version: row.version.0,
            beat: number(row.beat),
            lease: millis(Some(row.lease_ms))
                .filter(|lease| !lease.is_zero())
                .unwrap_or(DEFAULT_LEASE),
            themes: row.themes.0,
            methods: text(row.methods),
            started_at: time(row.started_at),
            heartbeat: time(row.heartbeat),
        }
    }
}

/// The result of a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beat {
    /// The node's row was there.
    Alive,
    /// The node's row was gone: other nodes have declared this node dead.
    DeclaredDead,
}

/// All nodes, as they were at one moment.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a question of its own")]
pub(crate) struct Nodes {
    pub(crate) now: DateTime<Utc>,
    pub(crate) rows: Vec<SeenNode>,
    /// Whether any task runs, of any theme on any node. If not, there are no tasks of dead nodes to rescue.
    pub(crate) any_runs: bool,
    /// Whether any task is due, of any theme.
    pub(crate) any_due: bool,
    /// Whether any task waits for others, or has waited and is not deleted.
    pub(crate) any_held: bool,
    /// Whether any method has a limit, or has had one for its keys.
    pub(crate) any_limits: bool,
}

/// SQL for a number that is 0 if the condition does not hold: the databases have different types for conditions.
fn as_number(condition: &str) -> String {
    format!("(SELECT COUNT(*) FROM gaia_nodes WHERE {condition})")
}

impl ClusterStore<'_> {
    /// The connection for the row of this node. No heartbeat of a node waits for rows of remote workers.
    async fn connection_of(self, id: &str) -> Result<Conn, StoreError> {
        match is_remote(id) {
            true => self.db.write().await,
            false => self.db.heartbeat().await,
        }
    }

    /// Makes the node's row. From then on the node may claim.
    pub(crate) async fn register_node(&self, node: &NodeRow) -> Result<(), StoreError> {
        let now = self.db.dialect().now;
        let mut conn = self.connection_of(&node.id).await?;
        on_backend!(conn, |conn| {
            diesel::insert_into(gaia_nodes::table)
                .values((
                    node,
                    gaia_nodes::started_at.eq(sql::<Timestamp>(now)),
                    gaia_nodes::heartbeat.eq(sql::<Timestamp>(now)),
                ))
                .execute(conn)
                .await
        })?;
        Ok(())
    }

    pub(crate) async fn beat(&self, node: &NodeRow) -> Result<Beat, StoreError> {
        let now = self.db.dialect().now;
        let mut conn = self.connection_of(&node.id).await?;
        let updated = on_backend!(conn, |conn| {
            diesel::update(gaia_nodes::table.filter(gaia_nodes::id.eq(&node.id)))
                .set((
                    gaia_nodes::heartbeat.eq(sql::<Timestamp>(now)),
                    gaia_nodes::beat.eq(node.beat),
                    gaia_nodes::lease_ms.eq(node.lease_ms),
                    gaia_nodes::themes.eq(&node.themes),
                    gaia_nodes::methods.eq(&node.methods),
                ))
                .execute(conn)
                .await
        })?;
        Ok(match updated {
            0 => Beat::DeclaredDead,
            _ => Beat::Alive,
        })
    }

    /// Notes that a remote worker lives, if it has a row.
    #[cfg(feature = "web")]
    pub(crate) async fn note_alive(&self, id: &str, beat: i64) -> Result<(), StoreError> {
        let now = self.db.dialect().now;
        let mut conn = self.db.write().await?;
        on_backend!(conn, |conn| {
            diesel::update(gaia_nodes::table.filter(gaia_nodes::id.eq(id)))
                .set((
                    gaia_nodes::heartbeat.eq(sql::<Timestamp>(now)),
                    gaia_nodes::beat.eq(beat),
                ))
                .execute(conn)
                .await
        })?;
        Ok(())
    }

    /// Reads all nodes, and sets the clock of this process by the database's.
    pub(crate) async fn nodes(&self) -> Result<Nodes, StoreError> {
        let now = self.db.dialect().now;
        let mut conn = self.db.read().await?;
        let asked = self.clock().uptime();
        let ends = self.ends.before_look();
        let (runs, due) = (
            as_number(self.db.dialect().any_runs),
            as_number(self.db.dialect().any_due),
        );
        let held = as_number("EXISTS (SELECT 1 FROM gaia_held)");
        let limits = as_number("EXISTS (SELECT 1 FROM gaia_limits) OR EXISTS (SELECT 1 FROM gaia_keys)");
        let rows: Vec<(SeenRow, StoredTime, i64, i64, i64, i64)> = on_backend!(conn, |conn| {
            gaia_nodes::table
                .order(gaia_nodes::id)
                .select((
                    SeenRow::as_select(),
                    sql::<Timestamp>(now),
                    sql::<BigInt>(&runs),
                    sql::<BigInt>(&due),
                    sql::<BigInt>(&held),
                    sql::<BigInt>(&limits),
                ))
                .load(conn)
                .await
        })?;
        let first = rows.as_slice().first();
        let now = first.map(|(_, now, ..)| now.utc());
        // No row: the conditions were not computed, and count as true.
        let [any_runs, any_due, any_held, any_limits] = first.map_or([true; 4], |(.., runs, due, held, limits)| {
            [*runs, *due, *held, *limits].map(|number| number != 0)
        });
        self.ends.looked(ends, any_held);
        if let Some(now) = now {
            self.follow(now, asked);
        }
        Ok(Nodes {
            now: now.unwrap_or_else(|| self.clock().now()),
            rows: rows.into_iter().map(|(row, ..)| row.into()).collect(),
            any_runs,
            any_due,
            any_held,
            any_limits,
        })
    }

    /// Sets the clock of this process by the database's. Asks three times: the quickest answer is the most exact.
    pub(in crate::store) async fn follow_clock(&self) -> Result<(), StoreError> {
        if !self.db.is_server() {
            return Ok(());
        }
        let sql_now = format!("SELECT {}", self.db.dialect().now);
        let mut conn = self.db.read().await?;
        for _ in 0..3 {
            let asked = self.clock().uptime();
            let now: StoredTime = on_backend!(conn, |conn| sql::<Timestamp>(&sql_now).get_result(conn).await)?;
            self.follow(now.utc(), asked);
        }
        Ok(())
    }

    fn follow(self, now: DateTime<Utc>, asked: Duration) {
        // SQLite has the clock of this machine.
        if self.db.is_server() {
            self.clock().follow(now, asked);
        }
    }

    /// Whether there is a row of this node: it has not stopped, and no other node has declared it dead.
    pub(crate) async fn has_node(&self, id: &str) -> Result<bool, StoreError> {
        let mut conn = self.db.read_as(ReadKind::Detail).await?;
        let nodes: i64 = on_backend!(conn, |conn| {
            gaia_nodes::table
                .filter(gaia_nodes::id.eq(id))
                .count()
                .get_result(conn)
                .await
        })?;
        Ok(nodes > 0)
    }

    /// Removes a node's row if it has written no heartbeat since `beat`. Its running tasks are orphans from then on. A row without a
    /// readable beat is removed in any case: a living node makes a new row.
    pub(crate) async fn remove_node(&self, id: &str, beat: Option<i64>) -> Result<bool, StoreError> {
        let Some(beat) = beat else {
            return self.retire_node(id).await;
        };
        let mut conn = self.db.write().await?;
        let removed = on_backend!(conn, |conn| {
            diesel::delete(gaia_nodes::table)
                .filter(gaia_nodes::id.eq(id))
                .filter(gaia_nodes::beat.eq(beat))
                .execute(conn)
                .await
        })?;
        drop(conn);
        if removed > 0 {
            self.close_requests_of(id).await;
        }
        Ok(removed > 0)
    }

    /// Removes the row of a node that stops; answers whether there was one.
    pub(crate) async fn retire_node(&self, id: &str) -> Result<bool, StoreError> {
        let mut conn = self.db.write().await?;
        let removed = on_backend!(conn, |conn| {
            diesel::delete(gaia_nodes::table)
                .filter(gaia_nodes::id.eq(id))
                .execute(conn)
                .await
        })?;
        drop(conn);
        if removed > 0 {
            self.close_requests_of(id).await;
        }
        Ok(removed > 0)
    }

    /// Gives open runs of jobs whose node no write can name the name of a node that does not exist: so they are orphans, and the next look ends
    /// them. Only SQLite accepts a value that is no text as the name of a node, and such a row would keep its job from firing.
    pub(crate) async fn disown_unnamed(&self) -> Result<(), StoreError> {
        if self.db.is_server() {
            return Ok(());
        }
        let mut conn = self.db.write().await?;
        let updated = on_backend!(conn, |conn| diesel::sql_query(UNNAMED).execute(conn).await)?;
        if updated > 0 {
            say!(
                Warn,
                "{updated} open runs of jobs did not name their node as a text; they are taken for lost"
            );
        }
        Ok(())
    }
}

/// Finds the runs by the index over open runs. A text may hold bytes that are no characters: a name with characters beyond ASCII counts as
/// such, unless a node has that name.
const UNNAMED: &str = "UPDATE job_record SET node_id = 'unreadable' \
     WHERE job_result_flag IS NULL AND node_id IS NOT NULL AND (typeof(node_id) <> 'text' \
       OR node_id GLOB '*[^ -~]*' AND NOT EXISTS (SELECT 1 FROM gaia_nodes WHERE gaia_nodes.id = node_id))";
