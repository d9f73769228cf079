//! What SQLite does in its own way.
//!
//! One connection writes, one reads for the actors of this crate, and two read for people (WAL: readers never wait for the writer). Each
//! transaction runs as one piece of blocking code, so that a dropped future can never leave one open, and a batch costs one hop
//! to the thread pool. Transactions that wait for the connection are done together.

mod add;
mod by_hand;
mod claim;
mod connection;
mod file;
mod finish;
mod group;
mod migrations;
mod queue;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use diesel::{prelude::*, sql_types::Text, sqlite::SqliteConnection};

use by_hand::{ANY_DUE, ANY_RUNS, UNFINISHED, UNPLACED_THEMES};
pub(super) use connection::Conn;
use connection::Shared;
use file::OpenFiles;
use group::{Durability, Work};

use super::{
    Claim, Claimed, StoreError,
    backend::{Backend, Dialect, IS_OPEN, ReadKind, is_open_of},
    enqueue::{Callers, NewRows},
    statement::{executor::Executor, id_row::Id, prepared::prepared},
    tasks::{
        claimed::ClaimId,
        held::{Addition, NewHeld, Released, release::Ended},
        new_row::NewTaskRow,
        once::request::{NewOnce, Told},
        writes::{Writes, Written},
    },
    time::StoredTime,
    url::SqliteUrl,
};
use crate::domain::AddedTask;

#[derive(Clone)]
pub(super) struct Sqlite {
    writer: Shared,
    /// For reading by the actors of this crate.
    reader: Shared,
    /// For people who read one row.
    details: Shared,
    /// For people who read many rows.
    lists: Shared,
    /// `None`: in memory, or the system does not tell files apart.
    file: Option<Arc<OpenFiles>>,
    url: SqliteUrl,
    identity: Arc<str>,
}

impl Sqlite {
    pub(super) async fn connect(url: &SqliteUrl) -> Result<Self, StoreError> {
        let writer = Shared::open(url).await?;
        let another = async || match &url.path {
            Some(_) => Shared::open(url).await,
            // Each connection to `:memory:` is a separate database.
            None => Ok(writer.clone()),
        };
        let (reader, details, lists) = (another().await?, another().await?, another().await?);
        Ok(Self {
            // The first connection to a new file makes no log yet; the others do.
            file: url.path.as_deref().and_then(OpenFiles::now_at).map(Arc::new),
            reader,
            details,
            lists,
            writer,
            url: url.clone(),
            identity: identity(url).into(),
        })
    }

    pub(super) async fn read(&self) -> Result<Conn, StoreError> {
        self.acquire(&self.reader).await
    }

    pub(super) async fn read_as(&self, kind: ReadKind) -> Result<Conn, StoreError> {
        self.acquire(match kind {
            ReadKind::Detail => &self.details,
            ReadKind::List => &self.lists,
        })
        .await
    }

    pub(super) async fn write(&self) -> Result<Conn, StoreError> {
        self.acquire(&self.writer).await
    }

    async fn acquire(&self, connection: &Shared) -> Result<Conn, StoreError> {
        let conn = connection.acquire().await;
        self.check_files()?;
        Ok(conn)
    }

    /// Does `change`, which changes about `rows` rows, in a transaction that takes the write lock at its beginning, perhaps
    /// together with the changes of other callers. `change` may be called more than once.
    pub(super) async fn transaction<T: Send + 'static>(
        &self,
        rows: usize,
        change: impl Fn(&mut SqliteConnection) -> QueryResult<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.grouped(Work::new(rows, change)).await
    }

    async fn grouped<T: Send + 'static>(&self, work: Work<T>) -> Result<T, StoreError> {
        self.file.as_ref().map_or(Ok(()), |file| file.check_database())?;
        let done = self.writer.transaction(work).await;
        // A file may have gone while the work waited for its turn.
        self.check_files()?;
        Ok(done?)
    }
}

impl Backend for Sqlite {
    const DIALECT: Dialect = Dialect {
        product: "SQLite",
        database_name: "SELECT id AS name FROM gaia_database",
        is_server: false,
        has_neighbours: false,
        now: "strftime('%Y-%m-%d %H:%M:%f', 'now')",
        parameter: |_| "?".to_owned(),
        by_key: "",
        open_links: "gaia_links",
        id_in_json_list: ["asynctasks.id IN (SELECT value FROM json_each(", "))"],
        claimed_ids: "ids",
        #[cfg(all(feature = "hooks", feature = "web"))]
        list_of_one: |id| format!("'[{id}]'"),
        ids_in: |table| format!("json_each({table}.ids) i"),
        id_in: "i.value",
        unfinished: UNFINISHED,
        unplaced_themes: UNPLACED_THEMES,
        tasks_of: |table| format!("json_each({table}.ids) i CROSS JOIN asynctasks t ON t.id = i.value"),
        runs_by_claim: "(t.task_status = 'Running' AND t.lease_owner IS NOT NULL \
             AND (t.lease_owner = gaia_claims.node_id OR t.lease_token <= gaia_claims.id OR typeof(t.lease_token) <> 'integer') \
             OR t.queued = 1 AND t.lease_token < gaia_claims.id)",
        any_runs: ANY_RUNS,
        any_due: ANY_DUE,
        cancel_is_wanted: "cancel_requested <> 0",
        is_open: IS_OPEN,
        is_open_of,
        schedule: "cron_expr || '|' || COALESCE(time_zone, '')",
        hashed_schedules: None,
    };

    /// An error if the paths do not lead to the open files any more: no other process would see writes there, and they are
    /// gone with this process.
    fn check_files(&self) -> Result<(), StoreError> {
        self.file.as_ref().map_or(Ok(()), |file| file.check())
    }

    fn url(&self) -> String {
        super::url::DatabaseUrl::Sqlite(self.url.clone()).to_string()
    }

    fn identity(&self) -> String {
        self.identity.to_string()
    }

    async fn migrate(&self) -> Result<(), StoreError> {
        let mut conn = self.write().await?;
        let migrated = conn.spawn_blocking(|conn| Ok(migrations::run(conn)));
        migrated.await?.map_err(|error| error.of(self.url()))
    }

    async fn pending_migrations(&self) -> Result<Vec<&'static str>, StoreError> {
        let mut conn = self.write().await?;
        let pending = conn.spawn_blocking(|conn| Ok(migrations::names(conn)));
        pending.await?.map_err(|error| error.of(self.url()))
    }

    /// Looks first: an idle theme takes no lock.
    async fn claim(&self, claim: Claim, claim_id: Arc<ClaimId>) -> Result<Claimed, StoreError> {
        let (looked_for, now, marked) = (claim.clone(), claim_id.now, Arc::clone(&claim_id));
        let work = Work {
            rows: claim.limit,
            durability: Durability::NoDisk,
            look: Some(Box::new(move |conn| {
                let peek = claim::peek(conn, &looked_for, now)?;
                Ok((!peek.due).then(|| (claim::Taken::default(), peek.next_due)))
            })),
            change: Box::new(move |conn| {
                let peek = claim::peek(conn, &claim, marked.now)?;
                // Tasks that were due until now are claimed or moved; later ones are as they were.
                Ok((claim::claim_due(conn, &claim, &marked)?, peek.next_due))
            }),
        };
        let (taken, next_due) = self.grouped(work).await?;
        Ok(Claimed {
            tasks: taken.rows.into_iter().map(|row| claim_id.task(row)).collect(),
            next_due: next_due.map(StoredTime::utc),
            passed_over: false,
            more: taken.more,
            left: taken.left,
        })
    }

    /// Puts strays into segments, some thousand of them.
    async fn queue_strays(&self, theme: String) -> Result<(), StoreError> {
        let mut conn = self.read().await?;
        let looked_at = theme.clone();
        let is_any = conn
            .spawn_blocking(move |conn| queue::is_any_stray(conn, &looked_at))
            .await?;
        drop(conn);
        if is_any {
            self.transaction(1, move |conn| queue::queue_strays(conn, &theme, 0))
                .await?;
        }
        Ok(())
    }

    /// Makes claims for Running tasks that no claim holds, because plain SQL set them to Running under a node.
    async fn make_missing_claims(&self, now: StoredTime) -> Result<(), StoreError> {
        let mut conn = self.read().await?;
        let is_any = conn.spawn_blocking(by_hand::is_any_unheld).await?;
        drop(conn);
        while is_any
            && self
                .transaction(1_000, move |conn| by_hand::make_missing_claims(conn, now))
                .await?
                > 0
        {}
        Ok(())
    }

    /// Takes some of these tasks out of their claim: Running tasks that plain SQL has given to another node, or to an owner that no write can
    /// name, and tasks that plain SQL has ended while they were unseen.
    async fn detach(&self, node: String, claim: i64, ids: Vec<i64>) -> Result<(), StoreError> {
        let detach = self.transaction(ids.len(), move |conn| by_hand::detach(conn, &node, claim, &ids));
        detach.await.map(drop)
    }

    /// Ends a task that no node runs. An unseen task is not ended: its row is set to Running.
    async fn cancel_waiting(&self, theme: String, id: i64, now: StoredTime) -> Result<bool, StoreError> {
        self.transaction(1, move |conn| by_hand::cancel_waiting(conn, &theme, id, now))
            .await
    }

    async fn cancel_many(&self, ids: Vec<i64>, now: StoredTime) -> Result<Vec<i64>, StoreError> {
        self.transaction(ids.len(), move |conn| by_hand::cancel_many(conn, &ids, now))
            .await
    }

    /// Drops a segment whose tasks do not wait.
    async fn drop_segment(&self, segment: i64) -> Result<(), StoreError> {
        self.transaction(1, move |conn| queue::drop_segment(conn, segment))
            .await
    }

    async fn write_runs(&self, writes: Arc<Writes>) -> Result<Written, StoreError> {
        self.transaction(writes.rows(), move |conn| finish::write(conn, &writes))
            .await
    }

    async fn add(&self, rows: Arc<Vec<NewTaskRow>>) -> Result<Vec<AddedTask>, StoreError> {
        self.transaction(rows.len(), move |conn| add::insert(conn, &rows)).await
    }

    async fn add_once(&self, once: Arc<NewOnce>) -> Result<Told, StoreError> {
        self.transaction(once.rows(), move |conn| add::insert_once(conn, &once))
            .await
    }

    async fn add_held(&self, new: Arc<NewHeld>) -> Result<Addition, StoreError> {
        self.transaction(new.rows(), move |conn| add::insert_held(conn, &new))
            .await
    }

    async fn release(&self, ended: Arc<Ended>) -> Result<Released, StoreError> {
        self.transaction(ended.rows(), move |conn| by_hand::release(conn, &ended))
            .await
    }

    async fn ids_by_key(&self, query: String) -> Result<Vec<i64>, StoreError> {
        let mut conn = self.read().await?;
        let rows: Vec<Id> = diesel_async::RunQueryDsl::load(diesel::sql_query(query), &mut *conn).await?;
        Ok(rows.into_iter().map(|row| row.id).collect())
    }

    async fn add_claimed(&self, row: Arc<NewTaskRow>, claim_id: Arc<ClaimId>) -> Result<(i64, i64), StoreError> {
        self.transaction(1, move |conn| add::insert_claimed(conn, &row, &claim_id))
            .await
    }
}

impl Callers for diesel::sqlite::Sqlite {
    const PRODUCT: &'static str = Sqlite::DIALECT.product;

    async fn insert(conn: &mut impl Executor<Self>, rows: &NewRows) -> Result<Vec<AddedTask>, StoreError> {
        let NewRows { rows, target } = rows;
        let added = add::insert_on(conn, rows, false).await?;
        // Not before: a transaction that has read cannot become a writer if another connection has written since.
        let names: Vec<String> = conn
            .load(prepared(Sqlite::DIALECT.database_name).columns::<Text>())
            .await?;
        target.check_name(names.first().map(String::as_str))?;
        Ok(added)
    }
}

/// The file's real path, so that two spellings of it are one database; a separate number for each one in memory.
fn identity(url: &SqliteUrl) -> String {
    static IN_MEMORY: AtomicU64 = AtomicU64::new(0);
    match &url.path {
        Some(path) => std::fs::canonicalize(path)
            .unwrap_or_else(|_| PathBuf::from(path))
            .display()
            .to_string(),
        None => format!(":memory:{}", IN_MEMORY.fetch_add(1, Ordering::Relaxed)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;
    use tokio::time::timeout;

    use super::ReadKind;
    use crate::{
        clock::Clock,
        domain::{ListTasks, Note, PageRequest},
        store::{Claim, Store, db::Db},
    };

    /// Longer than any of it takes.
    const PATIENCE: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn a_long_look_at_many_rows_holds_up_neither_the_engine_nor_a_look_at_one() {
        let folder = tempfile::tempdir().expect("there is room");
        let url = format!("sqlite:{}", folder.path().join("looks.db").display());
        let store = Store::connect(&url, Clock::system()).await.expect("opens");
        store.migrate().await.expect("migrates");
        #[allow(irrefutable_let_patterns, reason = "a build for SQLite alone has no other variant")]
        let Db::Sqlite(sqlite) = &store.db else {
            panic!("it is one");
        };
        let long_look = sqlite.read_as(ReadKind::List).await.expect("is free");
        let list = ListTasks::default();
        assert!(store.tasks().list("demo", &list).now_or_never().is_none());
        assert!(store.tasks().count_by_status("demo").now_or_never().is_none());
        assert!(
            store
                .tasks()
                .records(1, PageRequest::default())
                .now_or_never()
                .is_none()
        );
        assert!(store.jobs().running().now_or_never().is_none());
        let others = async {
            store.tasks().get("demo", 1).await.expect("answers");
            store.jobs().run(1).await.expect("answers");
            store.cluster().nodes().await.expect("answers");
            store.cluster().settings("demo").await.expect("answers");
            store.tasks().orphan_claims("me", i64::MIN).await.expect("answers");
            store
                .cluster()
                .set_paused("demo", true, &Note::default())
                .await
                .expect("is written");
            let claim = Claim {
                theme: "demo".to_owned(),
                node: "me".to_owned(),
                limit: 1,
                first: Vec::new(),
                methods: None,
                above: None,
            };
            store.tasks().claim(claim).await.expect("answers");
        };
        timeout(PATIENCE, others).await.expect("waits for nobody");
        drop(long_look);
        store.tasks().list("demo", &list).await.expect("has its turn");
    }
}
