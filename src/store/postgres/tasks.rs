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
        Claim, RunKey, Wanted,
        lenient::{AnyTime, time},
        parts::{parts, runs_of},
        pool::closed,
        postgres::{by_key::SETTINGS, runs::show},
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

/// Moves tasks whose time has come into segments. A task that another session has locked is left for the next look. Plain SQL may have
/// given a task a time that is in a segment already, or in a claim: then only the time goes.
const PROMOTE: &str = "WITH come AS MATERIALIZED ( \
      SELECT id, queued FROM asynctasks \
      WHERE system_name = $1 AND task_status IN ('Wait', 'Retry') AND run_at IS NOT NULL AND run_at <= $2 \
      ORDER BY run_at LIMIT $3 FOR UPDATE SKIP LOCKED), \
    promoted AS (UPDATE asynctasks t SET run_at = NULL, queued = 1, \
      lease_token = CASE t.queued WHEN 1 THEN t.lease_token ELSE (SELECT nextval('gaia_claims_id_seq')) END \
      WHERE t.id = ANY (ARRAY(SELECT id FROM come)) RETURNING t.id, t.service_name, t.method_name, t.priority), \
    queue AS (INSERT INTO gaia_due (theme, service, method, priority, n, ids, min_id, max_id) \
      SELECT $1, service_name, method_name, priority, count(*), array_agg(id ORDER BY id), min(id), max(id) \
      FROM (SELECT *, (row_number() OVER (PARTITION BY service_name, method_name, priority ORDER BY id) - 1) / 1000 AS part \
        FROM promoted WHERE id <> ALL (ARRAY(SELECT id FROM come WHERE queued = 1))) AS due \
      GROUP BY service_name, method_name, priority, part ORDER BY min(id)) \
    SELECT count(*) FROM promoted";

/// A task that may be run under the claim. What a segment says of a task may be out of date, the task's row is not.
macro_rules! waits {
    () => {
        "t.queued = 1 AND t.task_status IN ('Wait', 'Retry') AND t.run_at IS NULL AND t.system_name = $4"
    };
}

/// Whether the node may claim tasks of the theme.
macro_rules! may_claim {
    () => {
        "EXISTS (SELECT 1 FROM gaia_nodes WHERE id = $1) \
         AND NOT EXISTS (SELECT 1 FROM gaia_themes WHERE theme = $4 AND paused <> 0) "
    };
}

/// Makes the row of a claim of the tasks in the table `mine`, and reads the tasks. Their rows stay as they are. `OFFSET 0` has the server
/// look up one task after the other, for whatever size the statistics take the table.
///
/// The commit of a claim need not reach the disk before the tasks run: if a crash of the server undoes the claim, the tasks are claimed
/// again, and what the runs of the lost claim write then names a claim that is not there. The write of an outcome waits for the disk, and
/// what was committed before it is there with it.
macro_rules! hold {
    ($of_method:literal) => {
        concat!(
            "claim AS (INSERT INTO gaia_claims (theme, node_id, mark, claimed_at, ids) \
               SELECT $4, $1, $3, $2, array_agg(id) FROM mine HAVING count(*) > 0 RETURNING id) \
             SELECT t.id, t.service_name, t.method_name, t.retry_time, t.max_retry_time, t.priority, \
             t.timeout_ms, t.retry_delay_ms, (SELECT id FROM claim), \
             CASE WHEN octet_length(t.arg) <= $5 THEN t.arg END, octet_length(t.arg)::bigint \
             FROM mine m CROSS JOIN LATERAL (SELECT * FROM asynctasks WHERE id = m.id OFFSET 0) AS t WHERE ",
            waits!(),
            $of_method,
            " AND t.lease_token < (SELECT id FROM claim)"
        )
    };
}

/// Takes whole segments and a part of the last one.
macro_rules! claim_sql {
    ($of_method:literal) => {
        concat!(
            "WITH s AS MATERIALIZED ( \
               SELECT m.at, m.tasks, d.* \
               FROM unnest($7::text[], $8::text[], $9::bigint[], $10::bigint[]) \
                 WITH ORDINALITY AS m (service, method, tasks, segments, at) \
               CROSS JOIN LATERAL ( \
                 SELECT id, service, method, priority, n, ids FROM gaia_due \
                 WHERE theme = $4 AND priority > $6 ",
            $of_method,
            " AND ",
            may_claim!(),
            " AND (SELECT set_config('synchronous_commit', 'off', true)) IS NOT NULL \
                 ORDER BY priority DESC, id LIMIT m.segments FOR UPDATE SKIP LOCKED) AS d), \
             o AS MATERIALIZED ( \
               SELECT *, sum(n) OVER (PARTITION BY at ORDER BY priority DESC, id) - n AS before FROM s), \
             whole AS (DELETE FROM gaia_due d USING o WHERE d.id = o.id AND o.before + o.n <= o.tasks \
               RETURNING o.service, o.method, o.ids), \
             cut AS (UPDATE gaia_due d SET n = o.n - (o.tasks - o.before), ids = o.ids[(o.tasks - o.before + 1)::int:] \
               FROM o WHERE d.id = o.id AND o.before < o.tasks AND o.before + o.n > o.tasks \
               RETURNING o.service, o.method, o.ids[1:(o.tasks - o.before)::int] AS ids), \
             mine AS MATERIALIZED ( \
               SELECT service, method, unnest(ids) AS id FROM whole \
               UNION ALL SELECT service, method, unnest(ids) FROM cut), ",
            hold!(" AND t.service_name = m.service AND t.method_name = m.method")
        )
    };
}

/// Takes tasks that are wanted before others out of the segments that they are in. A task whose segment another claim has locked is
/// left to that claim.
macro_rules! claim_first_sql {
    ($of_these:literal) => {
        concat!(
            "WITH f AS MATERIALIZED (SELECT array_agg(t.id) AS ids, min(t.id) AS min_id, max(t.id) AS max_id \
               FROM asynctasks t WHERE t.id = ANY($6) AND ",
            waits!(),
            $of_these,
            " AND ",
            may_claim!(),
            "), \
             s AS MATERIALIZED (SELECT d.id, d.ids FROM gaia_due d \
               WHERE d.theme = $4 AND d.min_id <= (SELECT max_id FROM f) AND d.max_id >= (SELECT min_id FROM f) \
                 AND d.ids && (SELECT ids FROM f) FOR UPDATE SKIP LOCKED), \
             i AS MATERIALIZED (SELECT s.id AS segment, i.id, i.at, i.id = ANY((SELECT ids FROM f)::bigint[]) AS is_mine \
               FROM s CROSS JOIN unnest(s.ids) WITH ORDINALITY AS i (id, at)), \
             o AS MATERIALIZED (SELECT segment, array_agg(id ORDER BY at) FILTER (WHERE NOT is_mine) AS ids \
               FROM i GROUP BY segment), \
             whole AS (DELETE FROM gaia_due d USING o WHERE d.id = o.segment AND o.ids IS NULL), \
             cut AS (UPDATE gaia_due d SET n = cardinality(o.ids), ids = o.ids FROM o WHERE d.id = o.segment AND o.ids IS NOT NULL), \
             mine AS MATERIALIZED (SELECT id FROM i WHERE is_mine), ",
            hold!("")
        )
    };
}

const CLAIM: &str = claim_sql!("AND service = m.service AND method = m.method");
const CLAIM_AT_ALL: &str = claim_sql!("");
const CLAIM_FIRST: &str =
    claim_first_sql!(" AND (t.service_name, t.method_name) IN (SELECT * FROM unnest($7::text[], $8::text[]))");
const CLAIM_FIRST_AT_ALL: &str = claim_first_sql!("");

/// What a claim has taken and not read does not wait, or not so. In no place from now on; a trigger queues what waits again. A lease token
/// that is greater than the numbers of all claims was written by plain SQL.
const LET_OUT: &str = "WITH claim AS MATERIALIZED (SELECT id, ids FROM gaia_claims WHERE node_id = $1 AND mark = $2), \
    unread AS MATERIALIZED (SELECT i.id, claim.id AS claim FROM claim CROSS JOIN unnest(claim.ids) AS i (id) \
      WHERE i.id IN (SELECT unnest(ids) FROM claim EXCEPT SELECT unnest($3::bigint[]))) \
    UPDATE asynctasks t SET queued = 0, lease_token = unread.claim \
      FROM unread WHERE t.id = ANY (ARRAY(SELECT id FROM unread)) AND t.id = unread.id AND t.queued = 1 \
        AND (t.lease_token < unread.claim OR t.lease_token > (SELECT nextval('gaia_claims_id_seq')))";

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
    shares: Vec<Share>,
    /// Whether more is due, which the room of its methods is not for.
    pub(super) more: bool,
}

impl<'a> Plan<'a> {
    /// So many of those that are due.
    pub(super) fn of_due(claim: &'a Claim, peek: &Peek, limit: usize) -> Self {
        let wanted = claim.wanted();
        let Shares { all, more } = shares(peek.heads(), &wanted, limit);
        Self {
            claim,
            wanted,
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
    let mut rows = first(conn, wanted, mark).await?;
    let due = Plan::of_due(wanted, peek, wanted.limit.saturating_sub(rows.len()));
    if !due.is_empty() {
        rows.extend(claim(conn, &due, mark).await?);
    }
    Ok(rows)
}

async fn first(mut conn: &AsyncPgConnection, claim: &Claim, mark: &ClaimMark) -> QueryResult<Vec<ClaimedRow>> {
    let by_method = claim.methods.is_some();
    let taken = prepared(if by_method { CLAIM_FIRST } else { CLAIM_FIRST_AT_ALL })
        .bind::<Text, _>(&claim.node)
        .bind::<Timestamp, _>(mark.now)
        .bind::<Text, _>(&*mark.run)
        .bind::<Text, _>(&claim.theme)
        .bind::<BigInt, _>(claim.arg_limit(mark))
        .bind::<Array<BigInt>, _>(&claim.first[..claim.first.len().min(claim.limit)]);
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

/// Takes what is planned.
pub(super) async fn claim(
    mut conn: &AsyncPgConnection,
    plan: &Plan<'_>,
    mark: &ClaimMark,
) -> QueryResult<Vec<ClaimedRow>> {
    fn all<'a, T>(plan: &'a Plan<'_>, column: impl Fn(&'a Wanted, &Share) -> T) -> Vec<T> {
        let shares = plan.shares.iter();
        shares.map(|share| column(&plan.wanted[share.method], share)).collect()
    }
    let claim = plan.claim;
    prepared(if claim.methods.is_some() { CLAIM } else { CLAIM_AT_ALL })
        .bind::<Text, _>(&claim.node)
        .bind::<Timestamp, _>(mark.now)
        .bind::<Text, _>(&*mark.run)
        .bind::<Text, _>(&claim.theme)
        .bind::<BigInt, _>(claim.arg_limit(mark))
        .bind::<BigInt, _>(claim.above())
        .bind::<Array<Text>, _>(all(plan, |wanted, _| wanted.service.as_str()))
        .bind::<Array<Text>, _>(all(plan, |wanted, _| wanted.method.as_str()))
        .bind::<Array<BigInt>, _>(all(plan, |_, share| count(share.tasks)))
        .bind::<Array<BigInt>, _>(all(plan, |_, share| count(share.segments)))
        .columns::<ClaimedColumns<Pg>>()
        .load(&mut conn)
        .await
}

/// Lets go of the tasks of a claim that it has not read. If that does not happen, the look for lost claims does it.
pub(super) async fn let_out(mut conn: &AsyncPgConnection, mark: &ClaimMark, read: &[ClaimedRow]) -> QueryResult<usize> {
    let read: Vec<i64> = read.iter().map(ClaimedRow::id).collect();
    prepared(LET_OUT)
        .bind::<Text, _>(&*mark.node)
        .bind::<Text, _>(&*mark.run)
        .bind::<Array<BigInt>, _>(read)
        .execute(&mut conn)
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
pub(super) async fn promote(mut conn: &AsyncPgConnection, claim: &Claim, now: NaiveDateTime) -> QueryResult<i64> {
    let most = PROMOTED_AT_ONCE.max(count(claim.limit));
    prepared(PROMOTE)
        .bind::<Text, _>(&claim.theme)
        .bind::<Timestamp, _>(now)
        .bind::<BigInt, _>(most)
        .columns::<BigInt>()
        .get_result(&mut conn)
        .await
}

// ---- by hand ----

/// The row first, then the segment: plain SQL and its trigger lock them in this order, too.
const LOCK: &str =
    "SELECT count(*) FROM (SELECT id FROM asynctasks WHERE id = $2 AND system_name = $1 FOR UPDATE) AS locked";

/// Takes a task out of its segment, after the claim that has the segment, if any.
macro_rules! unqueue {
    ($of_theme:literal) => {
        concat!(
            "WITH cut AS (UPDATE gaia_due SET ids = array_remove(ids, $2), n = cardinality(array_remove(ids, $2)) WHERE ",
            $of_theme,
            " AND $2 BETWEEN min_id AND max_id AND ids @> ARRAY[$2] RETURNING id, n::bigint) SELECT id, n FROM cut"
        )
    };
}

const UNQUEUE: &str = unqueue!("theme = $1");

/// Plain SQL may have moved a task to another theme.
const UNQUEUE_ELSEWHERE: &str =
    unqueue!("theme <> $1 AND EXISTS (SELECT 1 FROM asynctasks WHERE asynctasks.id = $2 AND queued = 1)");

/// The last claim that names a task.
const CLAIM_WITH: &str = "SELECT id, node_id, mark FROM gaia_claims WHERE ids @> ARRAY[$1] ORDER BY id DESC LIMIT 1";

const CANCEL: &str = "UPDATE asynctasks SET task_status = 'Cancelled', queued = 0, run_at = NULL, live_key = NULL, \
      update_time = $3, finished_at = $3 \
    WHERE id = $2 AND system_name = $1 \
      AND (task_status IN ('Wait', 'Retry') OR task_status = 'Running' AND lease_owner IS NULL)";

const QUEUE_AGAIN: &str = "UPDATE asynctasks SET queued = 0 WHERE id = $1 AND queued = 1";

/// Whether the task was in a segment. A segment that has no other task is dropped.
async fn unqueue(mut conn: &AsyncPgConnection, text: &'static str, theme: &str, id: i64) -> QueryResult<bool> {
    let cut: Option<(i64, i64)> = prepared(text)
        .bind::<Text, _>(theme)
        .bind::<BigInt, _>(id)
        .columns::<(BigInt, BigInt)>()
        .get_result(&mut conn)
        .await
        .optional()?;
    if let Some((segment, 0)) = cut {
        drop_segment(conn, segment).await?;
    }
    Ok(cut.is_some())
}

/// Ends a task that waits, or that another framework left as Running without a node. If a claim has it unseen, its row says from then
/// on that it runs. Inside a transaction.
pub(super) async fn cancel_waiting(
    mut conn: &AsyncPgConnection,
    theme: &str,
    id: i64,
    now: NaiveDateTime,
) -> QueryResult<bool> {
    let there: i64 = prepared(LOCK)
        .bind::<Text, _>(theme)
        .bind::<BigInt, _>(id)
        .columns::<BigInt>()
        .get_result(&mut conn)
        .await?;
    if there == 0 {
        return Ok(false);
    }
    let was_queued = unqueue(conn, UNQUEUE, theme, id).await? || unqueue(conn, UNQUEUE_ELSEWHERE, theme, id).await?;
    if !was_queued {
        // If it is in no claim either, it waits for its time, or plain SQL has made it so.
        let claim: Option<(i64, String, String)> = prepared(CLAIM_WITH)
            .bind::<BigInt, _>(id)
            .columns::<(BigInt, Text, Text)>()
            .get_result(&mut conn)
            .await
            .optional()?;
        if let Some((token, node, mark)) = claim
            && show(conn, RunKey::unseen(id, &node, token, &mark)).await?
        {
            return Ok(false);
        }
    }
    let cancelled = prepared(CANCEL)
        .bind::<Text, _>(theme)
        .bind::<BigInt, _>(id)
        .bind::<Timestamp, _>(now)
        .execute(&mut conn)
        .await?;
    if was_queued && cancelled == 0 {
        // Plain SQL has ended it.
        prepared(QUEUE_AGAIN).bind::<BigInt, _>(id).execute(&mut conn).await?;
    }
    Ok(cancelled > 0)
}

/// A trigger queues those of the tasks that wait again.
const DROP_SEGMENT: &str = "WITH gone AS (DELETE FROM gaia_due WHERE id = $1 RETURNING ids) \
    UPDATE asynctasks SET queued = 0 WHERE id = ANY (ARRAY(SELECT unnest(ids) FROM gone)) AND queued = 1";

pub(super) async fn drop_segment(mut conn: &AsyncPgConnection, segment: i64) -> QueryResult<usize> {
    prepared(DROP_SEGMENT)
        .bind::<BigInt, _>(segment)
        .execute(&mut conn)
        .await
}

/// Tasks that a claim does not have any more: those that plain SQL has ended, or left without a node, before their rows said that they ran,
/// and those whose lease tokens plain SQL has written.
const DISOWN: &str = "UPDATE asynctasks SET queued = 0, lease_token = $1 WHERE id = ANY ($2) AND queued = 1 AND ( \
      lease_token < $1 AND COALESCE(task_status, '') NOT IN ('Wait', 'Retry') \
      OR lease_token > (SELECT nextval('gaia_claims_id_seq')))";

pub(super) async fn disown(mut conn: &AsyncPgConnection, claim: i64, tasks: &[i64]) -> QueryResult<usize> {
    prepared(DISOWN)
        .bind::<BigInt, _>(claim)
        .bind::<Array<BigInt>, _>(tasks)
        .execute(&mut conn)
        .await
}

// ---- adding ----

/// Ids are given in the order of the rows. The first columns are those of plain tasks. The statement puts the tasks into segments: the
/// trigger that does it for plain SQL would take longer.
macro_rules! insert_sql {
    ($columns:literal, $parameters:literal, $queued:literal, $priority:literal, $due:literal) => {
        concat!(
            "WITH added AS (INSERT INTO asynctasks (system_name, task_status, queued, create_time, update_time, \
               service_name, method_name, task_name, arg, max_retry_time",
            $columns,
            ") SELECT $1, 'Wait', ",
            $queued,
            ", $2, $2, service_name, method_name, task_name, arg, max_retry_time",
            $columns,
            " FROM unnest($3, $4, $5, $6, $7",
            $parameters,
            ") WITH ORDINALITY AS added (service_name, method_name, task_name, arg, max_retry_time",
            $columns,
            ", at) ORDER BY at RETURNING id, service_name, method_name, priority, run_at), \
             queue AS (INSERT INTO gaia_due (theme, service, method, priority, n, ids, min_id, max_id) \
               SELECT $1, service_name, method_name, ",
            $priority,
            ", count(*), array_agg(id ORDER BY id), min(id), max(id) FROM added ",
            $due,
            " GROUP BY 2, 3, 4 ORDER BY min(id)) \
             SELECT id FROM added"
        )
    };
}

const INSERT_PLAIN: &str = insert_sql!("", "", "1", "0", "");
const INSERT_MANY: &str = insert_sql!(
    ", priority, run_at, timeout_ms, retry_delay_ms",
    ", $8, $9, $10, $11",
    "CASE WHEN run_at IS NULL THEN 1 ELSE 0 END",
    "priority",
    "WHERE run_at IS NULL"
);

const INSERT_ONE: &str = "WITH added AS (INSERT INTO asynctasks \
        (system_name, service_name, method_name, task_name, arg, max_retry_time, task_status, queued, create_time, \
         update_time, priority, run_at, timeout_ms, retry_delay_ms, unique_key, live_key) \
      VALUES ($1, $2, $3, $4, $5, $6, 'Wait', CASE WHEN $9 IS NULL THEN 1 ELSE 0 END, $7, $7, $8, $9, $10, $11, $12, $12) \
      ON CONFLICT DO NOTHING RETURNING id, run_at), \
    queue AS (INSERT INTO gaia_due (theme, service, method, priority, n, ids, min_id, max_id) \
      SELECT $1, $2, $3, $8, 1, ARRAY[id], id, id FROM added WHERE run_at IS NULL) \
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
        CASE WHEN may THEN $12 END, token, CASE WHEN may THEN $11 END, CASE WHEN may THEN $13 END, CASE WHEN may THEN 2 ELSE 1 END \
      FROM claim RETURNING id, lease_token), \
    noted AS (INSERT INTO gaia_claims (id, theme, node_id, mark, claimed_at, ids) \
      SELECT lease_token, $1, $12, $13, $11, ARRAY[id] FROM task WHERE lease_token <> 0), \
    queue AS (INSERT INTO gaia_due (theme, service, method, priority, n, ids, min_id, max_id) \
      SELECT $1, $2, $3, $8, 1, ARRAY[id], id, id FROM task WHERE lease_token = 0) \
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
