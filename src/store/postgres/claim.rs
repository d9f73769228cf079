//! Claiming tasks.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use diesel::{
    QueryResult, Queryable,
    pg::Pg,
    sql_types::{Array, BigInt, Bool, Nullable, Text, Timestamp},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};

use super::{by_key::SETTINGS, segments::may_hold};
use crate::store::{
    Claim, Wanted,
    lenient::{AnyTime, time},
    statement::prepared::prepared,
    tasks::{
        claimed::{ClaimId, ClaimedColumns, ClaimedRow, MAX_PROMOTED_PER_CLAIM, held_columns},
        queue::{HEADS, Head, Share, Shares, shares},
    },
    time::StoredTime,
};

/// Reads what a claim would find: the first segments of each method that the claim may take, and the first scheduled task. The partial index
/// serves because the statuses are written in the text, and the order makes the planner choose it.
///
/// This statement decides whether the first scheduled time has come, since the time may be `-infinity`, which this crate cannot read.
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

/// Moves scheduled tasks whose time has come into segments. Tasks that another session has locked are left for the next scan. If plain SQL
/// has set a time for a task that is in a segment already, or in a claim, only the time is removed.
const PROMOTE: &str = "WITH come AS MATERIALIZED ( \
      SELECT id, queued FROM asynctasks \
      WHERE system_name = $1 AND task_status IN ('Wait', 'Retry') AND run_at IS NOT NULL AND run_at <= $2 \
      ORDER BY run_at LIMIT $3 FOR UPDATE SKIP LOCKED), \
    promoted AS (UPDATE asynctasks t SET run_at = NULL, update_time = GREATEST(t.update_time, t.run_at), queued = 1, \
      lease_token = CASE t.queued WHEN 1 THEN t.lease_token ELSE (SELECT nextval('gaia_claims_id_seq')) END \
      WHERE t.id = ANY (ARRAY(SELECT id FROM come)) RETURNING t.id, t.service_name, t.method_name, t.priority), \
    queue AS (INSERT INTO gaia_due (theme, service, method, priority, n, ids, min_id, max_id) \
      SELECT $1, service_name, method_name, priority, count(*), array_agg(id ORDER BY id), min(id), max(id) \
      FROM (SELECT *, (row_number() OVER (PARTITION BY service_name, method_name, priority ORDER BY id) - 1) / 1000 AS part \
        FROM promoted WHERE id <> ALL (ARRAY(SELECT id FROM come WHERE queued = 1))) AS due \
      GROUP BY service_name, method_name, priority, part ORDER BY min(id)) \
    SELECT count(*) FROM promoted";

/// The condition that a task from a segment may run under the claim. The segment may be out of date; the task's row is not.
macro_rules! waits {
    () => {
        "t.queued = 1 AND t.task_status IN ('Wait', 'Retry') AND t.run_at IS NULL AND t.system_name = $4"
    };
}

/// The condition that the node may claim tasks of the theme.
macro_rules! may_claim {
    () => {
        "EXISTS (SELECT 1 FROM gaia_nodes WHERE id = $1) \
         AND NOT EXISTS (SELECT 1 FROM gaia_themes WHERE theme = $4 AND paused <> 0) "
    };
}

/// Makes the row of a claim of the tasks in the table `mine`, and reads the tasks. Their rows stay as they are: the tasks are unseen.
/// `OFFSET 0` makes the server look up one task after the other, whatever the statistics say about the size of the table.
///
/// The commit of a claim need not reach the disk before the tasks run. If a crash of the server undoes the claim, the tasks are claimed
/// again, and writes of the lost claim's runs change nothing, since they name a claim without a row. The commit of an outcome is flushed to
/// disk, and so is every commit before it.
macro_rules! hold {
    ($of_method:literal) => {
        concat!(
            "claim AS (INSERT INTO gaia_claims (theme, node_id, mark, claimed_at, ids) \
               SELECT $4, $1, $3, $2, array_agg(id) FROM mine HAVING count(*) > 0 RETURNING id) \
             SELECT t.id, ",
            held_columns!(),
            ", (SELECT id FROM claim), \
             CASE WHEN octet_length(t.arg) <= $5 THEN t.arg END, octet_length(t.arg)::bigint \
             FROM mine m CROSS JOIN LATERAL (SELECT * FROM asynctasks WHERE id = m.id OFFSET 0) AS t WHERE ",
            waits!(),
            $of_method,
            " AND t.lease_token < (SELECT id FROM claim)"
        )
    };
}

/// Takes whole segments and a part of the last one, and makes the claim.
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

/// Takes the quick queue's tasks out of their segments, and makes the claim. A task whose segment another claim has locked is left to that
/// claim.
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
               WHERE d.theme = $4 AND ",
            may_hold!("(SELECT f.min_id FROM f)", "(SELECT f.max_id FROM f)"),
            " AND d.ids && (SELECT ids FROM f) FOR UPDATE SKIP LOCKED), \
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

/// Takes the tasks out of a claim that it has taken and not read: these tasks do not wait, or wait with another method or for a time, or
/// have a lease token that is greater than the ids of all claims, because plain SQL has written it. A trigger queues the tasks that wait
/// again.
const DETACH_UNREAD: &str = "WITH claim AS MATERIALIZED (SELECT id, ids FROM gaia_claims WHERE node_id = $1 AND mark = $2), \
    unread AS MATERIALIZED (SELECT i.id, claim.id AS claim FROM claim CROSS JOIN unnest(claim.ids) AS i (id) \
      WHERE i.id IN (SELECT unnest(ids) FROM claim EXCEPT SELECT unnest($3::bigint[]))) \
    UPDATE asynctasks t SET queued = 0, lease_token = unread.claim \
      FROM unread WHERE t.id = ANY (ARRAY(SELECT id FROM unread)) AND t.id = unread.id AND t.queued = 1 \
        AND (t.lease_token < unread.claim OR t.lease_token > (SELECT nextval('gaia_claims_id_seq')))";

/// The answer to [`PEEK`].
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

    /// When the next scheduled task is due, if the node may claim.
    pub(super) fn next_due(&self, now: StoredTime) -> Option<DateTime<Utc>> {
        let next_due = if self.has_come() {
            Some(now.utc())
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
                // The database counts from 1.
                method: usize::try_from(method - 1).ok()?,
                priority,
                id,
                tasks: usize::try_from(tasks).ok()?,
            })
        };
        columns.filter_map(head).collect()
    }
}

pub(super) async fn peek(mut conn: &AsyncPgConnection, claim: &Claim, now: StoredTime) -> QueryResult<Peek> {
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

/// How many tasks of each method one statement takes.
pub(super) struct Plan<'a> {
    claim: &'a Claim,
    wanted: Cow<'a, [Wanted]>,
    shares: Vec<Share>,
    /// Whether more tasks are due, which the claim leaves because their methods have filled their shares.
    pub(super) more: bool,
    /// The due tasks that it leaves because of limits of methods.
    pub(super) left: Vec<(usize, usize)>,
}

impl<'a> Plan<'a> {
    /// A plan for at most `limit` due tasks.
    pub(super) fn of_due(claim: &'a Claim, peek: &Peek, limit: usize) -> Self {
        let wanted = claim.wanted();
        let Shares { all, more, left } = shares(peek.heads(), &wanted, limit);
        Self {
            claim,
            wanted,
            shares: all,
            more,
            left,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.shares.is_empty()
    }

    pub(super) fn tasks(&self) -> usize {
        self.shares.iter().map(|share| share.tasks).sum()
    }
}

/// Takes the quick queue's tasks, and then due tasks. Runs inside a transaction: all are taken, or none.
pub(super) async fn claim_first(
    conn: &mut AsyncPgConnection,
    wanted: &Claim,
    peek: &Peek,
    claim_id: &ClaimId,
) -> QueryResult<Vec<ClaimedRow>> {
    conn.batch_execute(SETTINGS).await?;
    let mut rows = first(conn, wanted, claim_id).await?;
    let due = Plan::of_due(wanted, peek, wanted.limit.saturating_sub(rows.len()));
    if !due.is_empty() {
        rows.extend(claim(conn, &due, claim_id).await?);
    }
    Ok(rows)
}

async fn first(mut conn: &AsyncPgConnection, claim: &Claim, claim_id: &ClaimId) -> QueryResult<Vec<ClaimedRow>> {
    let by_method = claim.methods.is_some();
    let taken = prepared(if by_method { CLAIM_FIRST } else { CLAIM_FIRST_AT_ALL })
        .bind::<Text, _>(&claim.node)
        .bind::<Timestamp, _>(claim_id.now)
        .bind::<Text, _>(&*claim_id.mark)
        .bind::<Text, _>(&claim.theme)
        .bind::<BigInt, _>(claim.arg_limit(claim_id))
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

/// Takes the planned tasks.
pub(super) async fn claim(
    mut conn: &AsyncPgConnection,
    plan: &Plan<'_>,
    claim_id: &ClaimId,
) -> QueryResult<Vec<ClaimedRow>> {
    fn all<'a, T>(plan: &'a Plan<'_>, column: impl Fn(&'a Wanted, &Share) -> T) -> Vec<T> {
        let shares = plan.shares.iter();
        shares.map(|share| column(&plan.wanted[share.method], share)).collect()
    }
    let claim = plan.claim;
    prepared(if claim.methods.is_some() { CLAIM } else { CLAIM_AT_ALL })
        .bind::<Text, _>(&claim.node)
        .bind::<Timestamp, _>(claim_id.now)
        .bind::<Text, _>(&*claim_id.mark)
        .bind::<Text, _>(&claim.theme)
        .bind::<BigInt, _>(claim.arg_limit(claim_id))
        .bind::<BigInt, _>(claim.above())
        .bind::<Array<Text>, _>(all(plan, |wanted, _| wanted.service.as_str()))
        .bind::<Array<Text>, _>(all(plan, |wanted, _| wanted.method.as_str()))
        .bind::<Array<BigInt>, _>(all(plan, |_, share| count(share.tasks)))
        .bind::<Array<BigInt>, _>(all(plan, |_, share| count(share.segments)))
        .columns::<ClaimedColumns<Pg>>()
        .load(&mut conn)
        .await
}

/// Takes the tasks that a claim has not read out of the claim. If this fails, the node does it later, when it compares its claims with its
/// runs.
pub(super) async fn detach_unread(
    mut conn: &AsyncPgConnection,
    claim_id: &ClaimId,
    read: &[ClaimedRow],
) -> QueryResult<usize> {
    let read: Vec<i64> = read.iter().map(ClaimedRow::id).collect();
    prepared(DETACH_UNREAD)
        .bind::<Text, _>(&*claim_id.node)
        .bind::<Text, _>(&*claim_id.mark)
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

/// Moves scheduled tasks whose time has come into segments.
pub(super) async fn promote(mut conn: &AsyncPgConnection, claim: &Claim, now: StoredTime) -> QueryResult<i64> {
    let most = MAX_PROMOTED_PER_CLAIM.max(count(claim.limit));
    prepared(PROMOTE)
        .bind::<Text, _>(&claim.theme)
        .bind::<Timestamp, _>(now)
        .bind::<BigInt, _>(most)
        .columns::<BigInt>()
        .get_result(&mut conn)
        .await
}
