//! Claiming and adding tasks.

use std::borrow::Cow;

use chrono::{DateTime, NaiveDateTime, Utc};
use diesel::{
    OptionalExtension, QueryResult, Queryable,
    pg::Pg,
    result::Error as DieselError,
    sql_types::{Array, BigInt, Bool, Integer, Nullable, Text, Timestamp},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};

use crate::{
    domain::AddedTask,
    store::{
        Claim, Wanted,
        lenient::{AnyTime, time},
        parts::{parts, runs_of},
        pool::closed,
        postgres::by_key::SETTINGS,
        prepared::prepared,
        queue::{HEADS, Head, Share, Shares, shares},
        rows::{
            ClaimMark, ClaimedColumns, ClaimedRow, NewTaskRow, PROMOTED_AT_ONCE, TRIES_OF_A_KEY, adding, key_is_elusive,
        },
    },
};

// ---- claiming ----

/// What waits: the first segments of each method that the claim may take, and the first scheduled task. The partial index serves
/// because the statuses stand in the text, and the order has the planner take it.
///
/// Whether the first time has come is asked here: it may be `-infinity`, which cannot be read.
macro_rules! peek_sql {
    ($methods:literal, $of_method:literal) => {
        concat!(
            "WITH heads AS MATERIALIZED ( \
               SELECT m.at, s.priority, s.id, s.n FROM ",
            $methods,
            " AS m (service, method, at) CROSS JOIN LATERAL ( \
                 SELECT priority, id, n FROM gaia_due WHERE theme = $1 AND priority > $4 ",
            $of_method,
            " ORDER BY priority DESC, id LIMIT $5) AS s) \
             SELECT \
             EXISTS (SELECT 1 FROM gaia_nodes WHERE id = $2) \
               AND NOT EXISTS (SELECT 1 FROM gaia_themes WHERE theme = $1 AND paused <> 0) AS may_claim, \
             later.run_at <= $3 AS has_come, later.run_at AS next_due, \
             (SELECT array_agg(at) FROM heads), (SELECT array_agg(priority) FROM heads), \
             (SELECT array_agg(id) FROM heads), (SELECT array_agg(n::bigint) FROM heads) \
             FROM (SELECT 1) AS one LEFT JOIN \
               (SELECT run_at FROM asynctasks \
                 WHERE system_name = $1 AND task_status IN ('Wait', 'Retry') AND run_at IS NOT NULL \
                 ORDER BY run_at LIMIT 1) AS later ON true"
        )
    };
}

const PEEK: &str = peek_sql!(
    "unnest($6::text[], $7::text[]) WITH ORDINALITY",
    "AND service = m.service AND method = m.method"
);
const PEEK_AT_ALL: &str = peek_sql!("(VALUES ('', '', 1::bigint))", "");

/// What somebody else has locked is somebody else's claim: it is passed over, never waited for.
const PROMOTE: &str = "WITH come AS MATERIALIZED ( \
      SELECT id FROM asynctasks \
      WHERE system_name = $1 AND task_status IN ('Wait', 'Retry') AND run_at IS NOT NULL AND run_at <= $2 \
      ORDER BY run_at LIMIT $3 FOR UPDATE SKIP LOCKED) \
    UPDATE asynctasks SET run_at = NULL FROM come WHERE asynctasks.id = come.id";

/// Takes whole segments and a part of the last one, makes the row of the claim, and marks the tasks. What a segment says of a task may
/// be out of date, the task's row is not: a row that has changed is in another segment by its trigger, and is left alone.
///
/// The commit of a claim need not reach the disk before the tasks run: if a crash of the server undoes it, they are claimed
/// again, and what the runs of the lost claim write then names a log id that the row no longer has. The write of an outcome
/// waits for the disk, and what was committed before it is there with it.
macro_rules! claim_sql {
    ($of_method:literal, $of_these:literal, $picked:ident) => {
        concat!(
            "WITH s AS MATERIALIZED ( \
               SELECT m.at, m.tasks, d.* \
               FROM unnest($8::text[], $9::text[], $10::bigint[], $11::bigint[]) \
                 WITH ORDINALITY AS m (service, method, tasks, segments, at) \
               CROSS JOIN LATERAL ( \
                 SELECT id, service, method, priority, n, ids FROM gaia_due \
                 WHERE theme = $4 AND priority > $7 ",
            $of_method,
            " AND EXISTS (SELECT 1 FROM gaia_nodes WHERE id = $1) \
                   AND NOT EXISTS (SELECT 1 FROM gaia_themes WHERE theme = $4 AND paused <> 0) \
                   AND (SELECT set_config('synchronous_commit', 'off', true)) IS NOT NULL \
                 ORDER BY priority DESC, id LIMIT m.segments FOR UPDATE SKIP LOCKED) AS d), \
             o AS MATERIALIZED ( \
               SELECT *, sum(n) OVER (PARTITION BY at ORDER BY priority DESC, id) - n AS before FROM s), \
             whole AS (DELETE FROM gaia_due d USING o WHERE d.id = o.id AND o.before + o.n <= o.tasks \
               RETURNING o.service, o.method, o.priority, o.ids), \
             cut AS (UPDATE gaia_due d SET n = o.n - (o.tasks - o.before), ids = o.ids[(o.tasks - o.before + 1)::int:] \
               FROM o WHERE d.id = o.id AND o.before < o.tasks AND o.before + o.n > o.tasks \
               RETURNING o.service, o.method, o.priority, o.ids[1:(o.tasks - o.before)::int] AS ids), \
             mine AS MATERIALIZED ( \
               SELECT service, method, priority, unnest(ids) AS id FROM whole \
               UNION ALL SELECT service, method, priority, unnest(ids) FROM cut \
               UNION ALL SELECT service_name, method_name, priority, id FROM asynctasks \
                 WHERE id = ANY($6) AND EXISTS (SELECT 1 FROM gaia_nodes WHERE id = $1) \
                   AND NOT EXISTS (SELECT 1 FROM gaia_themes WHERE theme = $4 AND paused <> 0) ",
            $of_these,
            ")",
            $picked!(),
            ", claim AS (INSERT INTO gaia_claims (theme, node_id, mark, claimed_at, ids) \
               SELECT $4, $1, $3, $2, array_agg(id) FROM picked HAVING count(*) > 0 RETURNING id) \
             UPDATE asynctasks t SET task_status = 'Running', lease_owner = $1, lease_token = (SELECT id FROM claim), \
             last_run_time = $2, update_time = $2, log_id = $3 || '-' || t.id, \
             cancel_requested = 0, began = 0, progress = NULL, progress_note = NULL \
             FROM picked m WHERE t.id = m.id AND ",
            waits!(),
            " RETURNING t.id, t.service_name, t.method_name, t.retry_time, t.max_retry_time, t.priority, \
             t.timeout_ms, t.retry_delay_ms, t.lease_token, \
             CASE WHEN octet_length(t.arg) <= $5 THEN t.arg END, octet_length(t.arg)::bigint"
        )
    };
}

/// Whether a task waits as its segment says.
macro_rules! waits {
    () => {
        "t.task_status IN ('Wait', 'Retry') AND t.run_at IS NULL AND t.system_name = $4 \
         AND t.service_name = m.service AND t.method_name = m.method AND t.priority = m.priority"
    };
}

/// All that were taken from segments. The claim waits for a row that another session has locked.
macro_rules! all {
    () => {
        ", picked AS (SELECT * FROM mine)"
    };
}

/// Those whose rows no other session has locked. The others go into segments again.
macro_rules! unlocked {
    () => {
        concat!(
            ", picked AS MATERIALIZED ( \
               SELECT m.* FROM mine m JOIN asynctasks t ON t.id = m.id WHERE ",
            waits!(),
            " FOR UPDATE OF t SKIP LOCKED), \
             locked AS (INSERT INTO gaia_due (theme, service, method, priority, n, ids) \
               SELECT $4, m.service, m.method, m.priority, count(*), array_agg(t.id) \
               FROM mine m JOIN asynctasks t ON t.id = m.id \
               WHERE m.id <> ALL (ARRAY(SELECT id FROM picked)) AND ",
            waits!(),
            " GROUP BY m.service, m.method, m.priority)"
        )
    };
}

macro_rules! claim_by_method_sql {
    ($picked:ident) => {
        claim_sql!(
            "AND service = m.service AND method = m.method",
            "AND (service_name, method_name) IN (SELECT * FROM unnest($12::text[], $13::text[]))",
            $picked
        )
    };
}

const CLAIM: &str = claim_by_method_sql!(all);
const CLAIM_UNLOCKED: &str = claim_by_method_sql!(unlocked);
const CLAIM_AT_ALL: &str = claim_sql!("", "", all);
const CLAIM_AT_ALL_UNLOCKED: &str = claim_sql!("", "", unlocked);

/// Which rows a claim takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rows {
    /// All. To look for locks first would cost a third of the claim.
    All,
    Unlocked,
}

/// What waits.
#[derive(Queryable)]
pub(super) struct Peek {
    may_claim: bool,
    has_come: Option<bool>,
    next_due: Option<AnyTime>,
    methods: Option<Vec<i64>>,
    priorities: Option<Vec<i64>>,
    ids: Option<Vec<i64>>,
    tasks: Option<Vec<i64>>,
}

type PeekColumns = (
    Bool,
    Nullable<Bool>,
    Nullable<Timestamp>,
    Nullable<Array<BigInt>>,
    Nullable<Array<BigInt>>,
    Nullable<Array<BigInt>>,
    Nullable<Array<BigInt>>,
);

impl Peek {
    pub(super) fn may_claim(&self) -> bool {
        self.may_claim
    }

    /// When something becomes due that the node may have.
    pub(super) fn next_due(&self, now: NaiveDateTime) -> Option<DateTime<Utc>> {
        let next_due = if self.has_come() {
            Some(now.and_utc())
        } else {
            time(self.next_due)
        };
        next_due.filter(|_| self.may_claim)
    }

    pub(super) fn has_come(&self) -> bool {
        self.has_come.unwrap_or(false)
    }

    fn heads(&self) -> Vec<Head> {
        let [methods, priorities, ids, tasks] =
            [&self.methods, &self.priorities, &self.ids, &self.tasks].map(|column| column.iter().flatten().copied());
        let columns = methods.zip(priorities).zip(ids.zip(tasks));
        let head = |((method, priority), (id, tasks)): ((i64, i64), (i64, i64))| {
            Some(Head {
                // Places are counted from 1.
                method: usize::try_from(method - 1).ok()?,
                priority,
                id,
                tasks: usize::try_from(tasks).ok()?,
            })
        };
        columns.filter_map(head).collect()
    }
}

pub(super) async fn peek(mut conn: &AsyncPgConnection, claim: &Claim, now: NaiveDateTime) -> QueryResult<Peek> {
    let text = if claim.methods.is_some() { PEEK } else { PEEK_AT_ALL };
    let peek = prepared(text)
        .bind::<Text, _>(&claim.theme)
        .bind::<Text, _>(&claim.node)
        .bind::<Timestamp, _>(now)
        .bind::<BigInt, _>(claim.above())
        .bind::<BigInt, _>(HEADS);
    let Some(wanted) = &claim.methods else {
        return peek.columns::<PeekColumns>().get_result(&mut conn).await;
    };
    let (services, methods) = names(wanted);
    peek.bind::<Array<Text>, _>(services)
        .bind::<Array<Text>, _>(methods)
        .columns::<PeekColumns>()
        .get_result(&mut conn)
        .await
}

/// What one statement is to take.
pub(super) struct Plan<'a> {
    claim: &'a Claim,
    wanted: Cow<'a, [Wanted]>,
    first: &'a [i64],
    shares: Vec<Share>,
    /// Whether more is due, which the room of its methods is not for.
    pub(super) more: bool,
}

impl<'a> Plan<'a> {
    /// The tasks that are wanted before others.
    fn of_first(claim: &'a Claim) -> Self {
        Self {
            claim,
            wanted: claim.wanted(),
            first: &claim.first[..claim.first.len().min(claim.limit)],
            shares: Vec::new(),
            more: false,
        }
    }

    /// So many of those that are due.
    pub(super) fn of_due(claim: &'a Claim, peek: &Peek, limit: usize) -> Self {
        let wanted = claim.wanted();
        let Shares { all, more } = shares(peek.heads(), &wanted, limit);
        Self {
            claim,
            wanted,
            first: &[],
            shares: all,
            more,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.shares.is_empty()
    }

    pub(super) fn tasks(&self) -> usize {
        self.shares.iter().map(|share| share.tasks).sum()
    }
}

/// Takes the tasks that are wanted before others, and then those that are due. Inside a transaction: all are taken, or none.
pub(super) async fn claim_first(
    conn: &mut AsyncPgConnection,
    wanted: &Claim,
    peek: &Peek,
    mark: &ClaimMark,
) -> QueryResult<Vec<ClaimedRow>> {
    conn.batch_execute(SETTINGS).await?;
    let mut rows = claim(conn, &Plan::of_first(wanted), mark, Rows::Unlocked).await?;
    let due = Plan::of_due(wanted, peek, wanted.limit.saturating_sub(rows.len()));
    if !due.is_empty() {
        rows.extend(claim(conn, &due, mark, Rows::Unlocked).await?);
    }
    Ok(rows)
}

/// Takes what is planned.
pub(super) async fn claim(
    mut conn: &AsyncPgConnection,
    plan: &Plan<'_>,
    mark: &ClaimMark,
    rows: Rows,
) -> QueryResult<Vec<ClaimedRow>> {
    fn all<'a, T>(plan: &'a Plan<'_>, column: impl Fn(&'a Wanted, &Share) -> T) -> Vec<T> {
        let shares = plan.shares.iter();
        shares.map(|share| column(&plan.wanted[share.method], share)).collect()
    }
    let claim = plan.claim;
    let text = match (claim.methods.is_some(), rows) {
        (true, Rows::All) => CLAIM,
        (true, Rows::Unlocked) => CLAIM_UNLOCKED,
        (false, Rows::All) => CLAIM_AT_ALL,
        (false, Rows::Unlocked) => CLAIM_AT_ALL_UNLOCKED,
    };
    let taken = prepared(text)
        .bind::<Text, _>(&claim.node)
        .bind::<Timestamp, _>(mark.now)
        .bind::<Text, _>(&*mark.run)
        .bind::<Text, _>(&claim.theme)
        .bind::<BigInt, _>(claim.arg_limit(mark))
        .bind::<Array<BigInt>, _>(plan.first)
        .bind::<BigInt, _>(claim.above())
        .bind::<Array<Text>, _>(all(plan, |wanted, _| wanted.service.as_str()))
        .bind::<Array<Text>, _>(all(plan, |wanted, _| wanted.method.as_str()))
        .bind::<Array<BigInt>, _>(all(plan, |_, share| count(share.tasks)))
        .bind::<Array<BigInt>, _>(all(plan, |_, share| count(share.segments)));
    let Some(wanted) = &claim.methods else {
        return taken.columns::<ClaimedColumns<Pg>>().load(&mut conn).await;
    };
    let (services, methods) = names(wanted);
    taken
        .bind::<Array<Text>, _>(services)
        .bind::<Array<Text>, _>(methods)
        .columns::<ClaimedColumns<Pg>>()
        .load(&mut conn)
        .await
}

fn names(wanted: &[Wanted]) -> (Vec<&str>, Vec<&str>) {
    let names = wanted.iter().map(|wanted| (&*wanted.service, &*wanted.method));
    names.unzip()
}

fn count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Moves scheduled tasks whose time has come to the due ones.
pub(super) async fn promote(mut conn: &AsyncPgConnection, claim: &Claim, now: NaiveDateTime) -> QueryResult<usize> {
    let most = PROMOTED_AT_ONCE.max(count(claim.limit));
    prepared(PROMOTE)
        .bind::<Text, _>(&claim.theme)
        .bind::<Timestamp, _>(now)
        .bind::<BigInt, _>(most)
        .execute(&mut conn)
        .await
}

// ---- by hand ----

const CANCEL: &str = "UPDATE asynctasks SET task_status = 'Cancelled', run_at = NULL, update_time = $3, finished_at = $3 \
    WHERE id = $2 AND system_name = $1 AND (task_status IN ('Wait', 'Retry') OR task_status = 'Running' AND lease_owner IS NULL)";

/// Ends a task that waits, or that another framework left as Running without a node.
pub(super) async fn cancel_waiting(
    conn: &mut AsyncPgConnection,
    theme: &str,
    id: i64,
    now: NaiveDateTime,
) -> QueryResult<bool> {
    let cancelled = diesel::sql_query(CANCEL)
        .bind::<Text, _>(theme)
        .bind::<BigInt, _>(id)
        .bind::<Timestamp, _>(now)
        .execute(conn)
        .await?;
    Ok(cancelled > 0)
}

pub(super) async fn drop_segment(conn: &mut AsyncPgConnection, segment: i64) -> QueryResult<()> {
    diesel::sql_query("DELETE FROM gaia_due WHERE id = $1")
        .bind::<BigInt, _>(segment)
        .execute(conn)
        .await?;
    Ok(())
}

// ---- adding ----

/// Ids are given in the order of the rows. The first columns are those of plain tasks. The statement puts the tasks into segments, and
/// `queued` says so to the trigger that does it for plain SQL, which would take longer.
macro_rules! insert_sql {
    ($columns:literal, $parameters:literal, $priority:literal, $due:literal) => {
        concat!(
            "WITH added AS (INSERT INTO asynctasks (system_name, task_status, queued, create_time, update_time, \
               service_name, method_name, task_name, arg, max_retry_time",
            $columns,
            ") SELECT $1, 'Wait', 1, $2, $2, service_name, method_name, task_name, arg, max_retry_time",
            $columns,
            " FROM unnest($3, $4, $5, $6, $7",
            $parameters,
            ") WITH ORDINALITY AS added (service_name, method_name, task_name, arg, max_retry_time",
            $columns,
            ", at) ORDER BY at RETURNING id, service_name, method_name, priority, run_at), \
             queue AS (INSERT INTO gaia_due (theme, service, method, priority, n, ids) \
               SELECT $1, service_name, method_name, ",
            $priority,
            ", count(*), array_agg(id ORDER BY id) FROM added ",
            $due,
            " GROUP BY 2, 3, 4 ORDER BY min(id)) \
             SELECT id FROM added"
        )
    };
}

const INSERT_PLAIN: &str = insert_sql!("", "", "0", "");
const INSERT_MANY: &str = insert_sql!(
    ", priority, run_at, timeout_ms, retry_delay_ms",
    ", $8, $9, $10, $11",
    "priority",
    "WHERE run_at IS NULL"
);

const INSERT_ONE: &str = "WITH added AS (INSERT INTO asynctasks \
        (system_name, service_name, method_name, task_name, arg, max_retry_time, task_status, queued, create_time, \
         update_time, priority, run_at, timeout_ms, retry_delay_ms, unique_key) \
      VALUES ($1, $2, $3, $4, $5, $6, 'Wait', 1, $7, $7, $8, $9, $10, $11, $12) \
      ON CONFLICT DO NOTHING RETURNING id, run_at), \
    queue AS (INSERT INTO gaia_due (theme, service, method, priority, n, ids) \
      SELECT $1, $2, $3, $8, 1, ARRAY[id] FROM added WHERE run_at IS NULL) \
    SELECT id FROM added";

/// Claimed as by [`CLAIM`], unless that would give nothing; but its commit waits for the disk.
const INSERT_CLAIMED: &str = "WITH node AS MATERIALIZED ( \
      SELECT EXISTS (SELECT 1 FROM gaia_nodes WHERE id = $12) \
        AND NOT EXISTS (SELECT 1 FROM gaia_themes WHERE theme = $1 AND paused <> 0) AS may), \
    claim AS MATERIALIZED ( \
      SELECT may, CASE WHEN may THEN nextval('gaia_claims_id_seq') ELSE 0 END AS token FROM node), \
    task AS (INSERT INTO asynctasks \
        (system_name, service_name, method_name, task_name, arg, max_retry_time, create_time, priority, timeout_ms, \
         retry_delay_ms, update_time, task_status, lease_owner, lease_token, last_run_time, log_id, queued) \
      SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, CASE WHEN may THEN 'Running' ELSE 'Wait' END, \
        CASE WHEN may THEN $12 END, token, CASE WHEN may THEN $11 END, CASE WHEN may THEN $13 END, 1 \
      FROM claim RETURNING id, lease_token), \
    noted AS (INSERT INTO gaia_claims (id, theme, node_id, mark, claimed_at, ids) \
      SELECT lease_token, $1, $12, $13, $11, ARRAY[id] FROM task WHERE lease_token <> 0), \
    queue AS (INSERT INTO gaia_due (theme, service, method, priority, n, ids) \
      SELECT $1, $2, $3, $8, 1, ARRAY[id] FROM task WHERE lease_token = 0) \
    SELECT id, lease_token FROM task";

const HOLDER_OF_KEY: &str = "SELECT id FROM asynctasks \
    WHERE system_name = $1 AND live_key = $2";

/// Whether [`insert`] needs no transaction around it to be all or nothing.
pub(super) fn is_one_statement(rows: &[NewTaskRow]) -> bool {
    rows.len() <= 1 || (rows.iter().all(|row| row.unique_key.is_none()) && parts(rows).count() == 1)
}

/// The id and the lease token, which is 0 if it was not claimed. Read to the end, as by [`insert_one`]: the commit comes last, and
/// may be refused.
pub(super) async fn insert_claimed(
    mut conn: &AsyncPgConnection,
    row: &NewTaskRow,
    mark: &ClaimMark,
) -> QueryResult<(i64, i64)> {
    adding!(INSERT_CLAIMED, row)
        .bind::<Integer, _>(row.priority)
        .bind::<Nullable<BigInt>, _>(row.timeout_ms)
        .bind::<Nullable<BigInt>, _>(row.retry_delay_ms)
        .bind::<Timestamp, _>(mark.now)
        .bind::<Text, _>(&*mark.node)
        .bind::<Text, _>(&*mark.run)
        .columns::<(BigInt, BigInt)>()
        .load(&mut conn)
        .await?
        .pop()
        .ok_or(DieselError::NotFound)
}

pub(super) async fn insert(conn: &AsyncPgConnection, rows: &[NewTaskRow]) -> QueryResult<Vec<AddedTask>> {
    let mut added = Vec::with_capacity(rows.len());
    for run in runs_of(rows, |row| row.unique_key.is_some()) {
        // A single one needs no lists, which take longer to plan.
        if run[0].unique_key.is_some() || run.len() == 1 {
            for row in run {
                added.push(insert_one(conn, row).await?);
            }
        } else {
            for part in parts(run) {
                added.extend(insert_many(conn, part).await?);
            }
        }
    }
    Ok(added)
}

async fn insert_many(mut conn: &AsyncPgConnection, rows: &[NewTaskRow]) -> QueryResult<Vec<AddedTask>> {
    fn all<'a, T>(rows: &'a [NewTaskRow], column: impl Fn(&'a NewTaskRow) -> T) -> Vec<T> {
        rows.iter().map(column).collect()
    }
    let is_plain = rows.iter().all(NewTaskRow::is_plain);
    let plain = prepared(if is_plain { INSERT_PLAIN } else { INSERT_MANY })
        .bind::<Text, _>(&*rows[0].system_name)
        .bind::<Timestamp, _>(rows[0].create_time)
        .bind::<Array<Text>, _>(all(rows, |row| row.service_name.as_str()))
        .bind::<Array<Text>, _>(all(rows, |row| row.method_name.as_str()))
        .bind::<Array<Text>, _>(all(rows, |row| row.task_name.as_str()))
        .bind::<Array<Text>, _>(all(rows, |row| row.arg.as_str()))
        .bind::<Array<Integer>, _>(all(rows, |row| row.max_retry_time));
    let mut ids: Vec<i64> = if is_plain {
        plain.columns::<BigInt>().load(&mut conn).await?
    } else {
        plain
            .bind::<Array<Integer>, _>(all(rows, |row| row.priority))
            .bind::<Array<Nullable<Timestamp>>, _>(all(rows, |row| row.run_at))
            .bind::<Array<Nullable<BigInt>>, _>(all(rows, |row| row.timeout_ms))
            .bind::<Array<Nullable<BigInt>>, _>(all(rows, |row| row.retry_delay_ms))
            .columns::<BigInt>()
            .load(&mut conn)
            .await?
    };
    if ids.len() != rows.len() {
        let text = "fewer tasks were inserted than were to be: does a trigger of asynctasks leave some out?";
        return Err(closed(text.to_owned()));
    }
    // `RETURNING` promises no order, but a later row has a greater id.
    ids.sort_unstable();
    Ok(ids.into_iter().map(AddedTask::new).collect())
}

async fn insert_one(mut conn: &AsyncPgConnection, row: &NewTaskRow) -> QueryResult<AddedTask> {
    for _ in 0..TRIES_OF_A_KEY {
        let mut inserted: Vec<i64> = adding!(INSERT_ONE, row)
            .bind::<Integer, _>(row.priority)
            .bind::<Nullable<Timestamp>, _>(row.run_at)
            .bind::<Nullable<BigInt>, _>(row.timeout_ms)
            .bind::<Nullable<BigInt>, _>(row.retry_delay_ms)
            .bind::<Nullable<Text>, _>(&row.unique_key)
            .columns::<BigInt>()
            .load(&mut conn)
            .await?;
        if let Some(id) = inserted.pop() {
            return Ok(AddedTask::new(id));
        }
        let holder: Option<i64> = prepared(HOLDER_OF_KEY)
            .bind::<Text, _>(&*row.system_name)
            .bind::<Nullable<Text>, _>(&row.unique_key)
            .columns::<BigInt>()
            .get_result(&mut conn)
            .await
            .optional()?;
        if let Some(holder) = holder {
            return Ok(AddedTask::duplicate_of(holder));
        }
        // The task that was in the way has ended in between.
    }
    Err(key_is_elusive())
}
