//! Claiming tasks.

use std::{collections::HashSet, sync::LazyLock};

use chrono::{DateTime, Utc};
use diesel::{
    QueryResult, Queryable,
    mysql::Mysql,
    query_builder::AstPass,
    sql_types::{BigInt, Integer, Nullable, Text, Timestamp},
};
use diesel_async::{AsyncMysqlConnection, RunQueryDsl};

use super::add::first_id;
use super::queue::{
    Segments, THERE, Unqueued, cut, drop_segments, json, list, picked, queue_strays, set_queued, unqueue,
};
use crate::store::{
    Claim, Claimed, Wanted,
    lenient::{AnyInt, AnyText, AnyTime, narrow, time},
    statement::{
        executor::Async,
        prepared::{Binds, Prepared, prepared},
    },
    tasks::{
        claimed::{ClaimId, ClaimedColumns, ClaimedRow, MAX_PROMOTED_PER_CLAIM, held_columns},
        queue::{HEADS, Head, Share, Shares, shares},
    },
    time::StoredTime,
};

/// Reads what a claim would find.
///
/// This statement also reads, without a lock, whether the node may claim: inside the claim, MariaDB would lock the node's row, too, and
/// pass it over while the heartbeat is being written. If the node is declared dead right after this, other nodes take over its claim.
///
/// This statement decides whether the first scheduled time has come, since the time may be a zero date, which this crate cannot read.
const PEEK: &str = "SELECT \
    EXISTS (SELECT 1 FROM gaia_nodes WHERE id = ?) \
      AND NOT EXISTS (SELECT 1 FROM gaia_themes WHERE theme = ? AND paused <> 0) AS may_claim, \
    EXISTS (SELECT 1 FROM asynctasks WHERE stray = CONCAT('due ', ?)) AS strays, \
    next_due <= ? AS has_come, next_due \
    FROM (SELECT MIN(run_at) AS next_due FROM asynctasks WHERE later_theme = ?) AS later";

/// For how many methods one statement reads the first segments.
const ARMS: usize = 8;

/// The first segments of up to [`ARMS`] methods. An arm of the union that is not needed reads no segment.
static HEADS_OF: LazyLock<String> = LazyLock::new(|| {
    let arm = |at| {
        format!(
            "(SELECT CAST({at} AS SIGNED) AS arm, id, priority, n FROM gaia_due FORCE INDEX (gaia_due_method) \
             WHERE theme = ? AND service = ? AND method = ? AND priority > ? ORDER BY priority DESC, id LIMIT ?)"
        )
    };
    (0..ARMS).map(arm).collect::<Vec<_>>().join(" UNION ALL ")
});

const HEADS_AT_ALL: &str = "SELECT CAST(0 AS SIGNED) AS arm, id, priority, n FROM gaia_due FORCE INDEX (gaia_due_order) \
    WHERE theme = ? AND priority > ? ORDER BY priority DESC, id LIMIT ?";

/// Passes over rows that another session has locked: another claim takes them.
const PICK_LATER: &str = "SELECT id FROM asynctasks FORCE INDEX (gaia_tasks_scheduled) \
    WHERE later_theme = ? AND run_at <= ? ORDER BY run_at LIMIT ? FOR UPDATE SKIP LOCKED";

const PROMOTE: &str = concat!(
    "UPDATE ",
    picked!("asynctasks"),
    " SET t.update_time = GREATEST(COALESCE(t.update_time, t.run_at), t.run_at), t.run_at = NULL"
);

const SEGMENTS_OF: &str = "SELECT id, n, ids FROM gaia_due FORCE INDEX (gaia_due_method) \
    WHERE theme = ? AND priority > ? AND service = ? AND method = ? ORDER BY priority DESC, id LIMIT ? \
    FOR UPDATE SKIP LOCKED";

const SEGMENTS_AT_ALL: &str = "SELECT id, n, ids FROM gaia_due FORCE INDEX (gaia_due_order) \
    WHERE theme = ? AND priority > ? ORDER BY priority DESC, id LIMIT ? FOR UPDATE SKIP LOCKED";

/// Locks and reads the rows of tasks from a segment. The segment may be out of date; the rows are not.
macro_rules! pick_sql {
    ($of_method:literal) => {
        concat!(
            "SELECT t.id, ",
            held_columns!(),
            ", lease_token, IF(LENGTH(arg) <= ?, arg, NULL) AS arg, \
             LENGTH(arg) AS arg_bytes FROM ",
            picked!("asynctasks"),
            " WHERE t.system_name = ? AND t.task_status IN ('Wait', 'Retry') AND t.run_at IS NULL ",
            $of_method,
            " FOR UPDATE SKIP LOCKED"
        )
    };
}

const PICK_OF: &str = pick_sql!("AND t.queued = 1 AND t.service_name = ? AND t.method_name = ?");

const PICK_AT_ALL: &str = pick_sql!("AND t.queued = 1");

/// For the quick queue's tasks, which may be in a segment or in no segment.
const PICK_FIRST: &str = pick_sql!("");

const LOCK: &str = concat!("SELECT t.id FROM ", picked!("asynctasks"), " FOR UPDATE SKIP LOCKED");

pub(super) const NOTE_CLAIM: &str =
    "INSERT INTO gaia_claims (theme, node_id, mark, claimed_at, ids) VALUES (?, ?, ?, ?, ?)";

/// Sets rows to Running. Most tasks that come out of segments stay unseen: their rows are not written.
const CLAIM: &str = concat!(
    "UPDATE ",
    picked!("asynctasks"),
    " SET t.task_status = 'Running', t.queued = 2, t.lease_owner = ?, t.lease_token = ?, t.last_run_time = ?, t.update_time = ?, \
     t.log_id = CONCAT(?, '-', t.id), t.cancel_requested = 0, t.began = 0, t.progress = NULL, t.progress_note = NULL"
);

/// The answer to [`PEEK`].
#[derive(Queryable)]
pub(super) struct Peek {
    may_claim: i64,
    strays: i64,
    has_come: Option<i64>,
    next_due: Option<AnyTime>,
}

impl Peek {
    pub(super) fn may_claim(&self) -> bool {
        self.may_claim != 0
    }

    /// Whether there are strays, or scheduled tasks whose time has come: these must be put into segments first.
    pub(super) fn is_unsorted(&self) -> bool {
        self.strays != 0 || self.has_come()
    }

    /// When the next scheduled task is due, if the node may claim.
    pub(super) fn next_due(&self, now: StoredTime) -> Option<DateTime<Utc>> {
        let next_due = if self.has_come() {
            Some(now.utc())
        } else {
            time(self.next_due)
        };
        next_due.filter(|_| self.may_claim != 0)
    }

    fn has_come(&self) -> bool {
        self.has_come.is_some_and(|has_come| has_come != 0)
    }
}

pub(super) async fn peek(conn: &mut AsyncMysqlConnection, claim: &Claim, now: StoredTime) -> QueryResult<Peek> {
    prepared(PEEK)
        .bind::<Text, _>(&claim.node)
        .bind::<Text, _>(&claim.theme)
        .bind::<Text, _>(&claim.theme)
        .bind::<Timestamp, _>(now)
        .bind::<Text, _>(&claim.theme)
        .columns::<(BigInt, BigInt, Nullable<BigInt>, Nullable<Timestamp>)>()
        .get_result(conn)
        .await
}

/// Decides how many tasks the claim takes of each method.
pub(super) async fn plan(conn: &mut AsyncMysqlConnection, claim: &Claim, limit: usize) -> QueryResult<Shares> {
    let wanted = claim.wanted();
    let heads = match &claim.methods {
        Some(methods) => heads_of(conn, claim, methods).await?,
        None => {
            prepared(HEADS_AT_ALL)
                .bind::<Text, _>(&claim.theme)
                .bind::<BigInt, _>(claim.above())
                .bind::<BigInt, _>(HEADS)
                .columns::<HeadColumns>()
                .load(conn)
                .await?
        }
    };
    let head = |(method, id, priority, tasks): (i64, i64, i64, i64)| {
        Some(Head {
            method: usize::try_from(method).ok()?,
            priority,
            id,
            tasks: usize::try_from(tasks).ok()?,
        })
    };
    Ok(shares(heads.into_iter().filter_map(head).collect(), &wanted, limit))
}

/// Of a segment: the index of its method, its id, its priority, its number of tasks.
type HeadColumns = (BigInt, BigInt, BigInt, BigInt);

async fn heads_of(
    conn: &mut AsyncMysqlConnection,
    claim: &Claim,
    wanted: &[Wanted],
) -> QueryResult<Vec<(i64, i64, i64, i64)>> {
    let mut all = Vec::new();
    for (chunk, methods) in wanted.chunks(ARMS).enumerate() {
        let arms = Arms {
            claim,
            above: claim.above(),
            methods,
        };
        let heads: Vec<(i64, i64, i64, i64)> = Prepared::new(HEADS_OF.as_str(), arms)
            .columns::<HeadColumns>()
            .load(conn)
            .await?;
        let before = i64::try_from(chunk * ARMS).unwrap_or(i64::MAX);
        all.extend(
            heads
                .into_iter()
                .map(|(arm, id, priority, tasks)| (before + arm, id, priority, tasks)),
        );
    }
    Ok(all)
}

/// The parameters of [`HEADS_OF`].
struct Arms<'a> {
    claim: &'a Claim,
    above: i64,
    methods: &'a [Wanted],
}

impl Binds<Mysql> for Arms<'_> {
    fn push<'b>(&'b self, out: &mut AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        for arm in 0..ARMS {
            let wanted = self.methods.get(arm);
            out.push_bind_param_value_only::<Text, _>(&*self.claim.theme)?;
            out.push_bind_param_value_only::<Text, _>(wanted.map_or("", |wanted| &*wanted.service))?;
            out.push_bind_param_value_only::<Text, _>(wanted.map_or("", |wanted| &*wanted.method))?;
            out.push_bind_param_value_only::<BigInt, _>(&self.above)?;
            out.push_bind_param_value_only::<BigInt, _>(if wanted.is_some() { &HEADS } else { &0 })?;
        }
        Ok(())
    }
}

/// Claims tasks. Runs inside a transaction.
pub(super) async fn claim(
    conn: &mut AsyncMysqlConnection,
    claim: &Claim,
    peek: &Peek,
    claim_id: &ClaimId,
) -> QueryResult<Claimed> {
    let now = claim_id.now;
    let mut claimed = Claimed {
        next_due: peek.next_due(now),
        ..Claimed::default()
    };
    if peek.is_unsorted() {
        // Tasks that become due now are claimed now; the next peek tells when the task after them is due.
        let promoted = promote(conn, claim, now).await?;
        let taken_in = queue_strays(conn, &claim.theme, claim.limit).await?;
        claimed.passed_over = promoted + taken_in == 0;
    }
    let first = pick_first(conn, claim, claim_id).await?;
    let mut rows = Vec::new();
    let Shares { all, more, left } = plan(conn, claim, claim.limit.saturating_sub(first.len())).await?;
    (claimed.more, claimed.left) = (more, left);
    let wanted = claim.wanted();
    for share in all {
        let method = claim.methods.is_some().then(|| &wanted[share.method]);
        let in_share = share.tasks;
        let ids = take(conn, claim, method, share).await?;
        // Other sessions have locked the other segments of the share, or taken them.
        claimed.passed_over |= ids.len() < in_share;
        let picked = pick(conn, claim, method, &ids, claim_id).await?;
        if picked.len() < ids.len() {
            let left = without(&ids, &picked);
            claimed.passed_over |= put_back(conn, claim, &left).await?;
            // Some of the ids were of tasks that do not wait any more, or are locked; there may be due tasks behind them.
            claimed.more = true;
        }
        rows.extend(picked);
    }
    if !rows.is_empty() || !first.is_empty() {
        let token = make_claim(conn, claim, claim_id, &first, &rows).await?;
        let rows = first.into_iter().chain(rows);
        claimed.tasks = rows.map(|row| claim_id.task(row.with_token(token))).collect();
    }
    Ok(claimed)
}

/// Locks the quick queue's tasks that wait and are due, and takes them out of their segments. If another claim has locked a task's segment,
/// the task stays there.
async fn pick_first(
    conn: &mut AsyncMysqlConnection,
    claim: &Claim,
    claim_id: &ClaimId,
) -> QueryResult<Vec<ClaimedRow>> {
    let first: Vec<i64> = claim.first.iter().copied().take(claim.limit).collect();
    if first.is_empty() {
        return Ok(Vec::new());
    }
    let mut rows: Vec<ClaimedRow> = prepared(PICK_FIRST)
        .bind::<BigInt, _>(claim.arg_limit(claim_id))
        .bind::<Text, _>(json(&first))
        .bind::<Text, _>(&claim.theme)
        .columns::<ClaimedColumns<Mysql>>()
        .load(conn)
        .await?;
    let picked: Vec<i64> = rows.iter().map(ClaimedRow::id).collect();
    let queued: Vec<(i64, AnyText, AnyText, AnyInt)> = prepared(THERE)
        .bind::<Text, _>(json(&picked))
        .columns::<(BigInt, Text, Text, Integer)>()
        .load(conn)
        .await?;
    for (id, ..) in queued {
        if unqueue(conn, &claim.theme, id).await? != Unqueued::Done {
            rows.retain(|row| row.id() != id);
        }
    }
    Ok(rows)
}

fn without(ids: &[i64], rows: &[ClaimedRow]) -> Vec<i64> {
    let picked: HashSet<i64> = rows.iter().map(ClaimedRow::id).collect();
    ids.iter().copied().filter(|id| !picked.contains(id)).collect()
}

/// Takes the ids of a share out of its segments.
async fn take(
    conn: &mut AsyncMysqlConnection,
    claim: &Claim,
    method: Option<&Wanted>,
    share: Share,
) -> QueryResult<Vec<i64>> {
    let most = i64::try_from(share.segments).unwrap_or(i64::MAX);
    let segments: Vec<(i64, i64, String)> = match method {
        Some(wanted) => {
            prepared(SEGMENTS_OF)
                .bind::<Text, _>(&claim.theme)
                .bind::<BigInt, _>(claim.above())
                .bind::<Text, _>(&wanted.service)
                .bind::<Text, _>(&wanted.method)
                .bind::<BigInt, _>(most)
                .columns::<(BigInt, BigInt, Text)>()
                .load(conn)
                .await?
        }
        None => {
            prepared(SEGMENTS_AT_ALL)
                .bind::<Text, _>(&claim.theme)
                .bind::<BigInt, _>(claim.above())
                .bind::<BigInt, _>(most)
                .columns::<(BigInt, BigInt, Text)>()
                .load(conn)
                .await?
        }
    };
    let (mut taken, mut whole) = (Vec::with_capacity(share.tasks), Vec::new());
    for (id, _, ids) in segments {
        let mut ids = list(&ids);
        let left = share.tasks - taken.len();
        if left == 0 {
            break;
        }
        if ids.len() > left {
            let rest = ids.split_off(left);
            cut(conn, id, &rest).await?;
        } else {
            whole.push(id);
        }
        taken.extend(ids);
    }
    if !whole.is_empty() {
        drop_segments(conn, &whole).await?;
    }
    Ok(taken)
}

/// Locks and reads the tasks that wait, except tasks that other sessions have locked.
async fn pick(
    conn: &mut AsyncMysqlConnection,
    claim: &Claim,
    method: Option<&Wanted>,
    ids: &[i64],
    claim_id: &ClaimId,
) -> QueryResult<Vec<ClaimedRow>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let picked = prepared(if method.is_some() { PICK_OF } else { PICK_AT_ALL })
        .bind::<BigInt, _>(claim.arg_limit(claim_id))
        .bind::<Text, _>(json(ids))
        .bind::<Text, _>(&claim.theme);
    match method {
        Some(wanted) => {
            picked
                .bind::<Text, _>(&wanted.service)
                .bind::<Text, _>(&wanted.method)
                .columns::<ClaimedColumns<Mysql>>()
                .load(conn)
                .await
        }
        None => picked.columns::<ClaimedColumns<Mysql>>().load(conn).await,
    }
}

/// Handles tasks that came out of a segment and were not picked. Tasks that other sessions have locked go into segments again; the answer
/// says whether there are any. The other tasks do not wait, or wait with another method or for a time: they are in no segment from now on.
async fn put_back(conn: &mut AsyncMysqlConnection, claim: &Claim, ids: &[i64]) -> QueryResult<bool> {
    let free: Vec<i64> = prepared(LOCK)
        .bind::<Text, _>(json(ids))
        .columns::<BigInt>()
        .load(conn)
        .await?;
    let free: HashSet<i64> = free.into_iter().collect();
    let there: Vec<(i64, AnyText, AnyText, AnyInt)> = prepared(THERE)
        .bind::<Text, _>(json(ids))
        .columns::<(BigInt, Text, Text, Integer)>()
        .load(conn)
        .await?;
    let (free, locked): (Vec<_>, Vec<_>) = there.into_iter().partition(|(id, ..)| free.contains(id));
    let mut segments = Segments::default();
    for (id, service, method, priority) in &locked {
        segments.add(*id, &service.0, &method.0, narrow(*priority).unwrap_or(0));
    }
    segments.write(conn, &claim.theme).await?;
    let free: Vec<i64> = free.into_iter().map(|(id, ..)| id).collect();
    set_queued(conn, &free, 0).await?;
    Ok(!locked.is_empty())
}

/// Makes the claim of rows that are locked; answers with the id of the claim. The rows of the quick queue's tasks, and of tasks whose lease
/// tokens plain SQL has written, are set to Running; all other rows stay as they are.
async fn make_claim(
    conn: &mut AsyncMysqlConnection,
    claim: &Claim,
    claim_id: &ClaimId,
    first: &[ClaimedRow],
    rows: &[ClaimedRow],
) -> QueryResult<i64> {
    let ids = json(&first.iter().chain(rows).map(ClaimedRow::id).collect::<Vec<_>>());
    prepared(NOTE_CLAIM)
        .bind::<Text, _>(&claim.theme)
        .bind::<Text, _>(&claim.node)
        .bind::<Text, _>(&*claim_id.mark)
        .bind::<Timestamp, _>(claim_id.now)
        .bind::<Text, _>(&ids)
        .execute(conn)
        .await?;
    let (token, _) = first_id(&mut Async(conn)).await?;
    let odd = rows.iter().filter(|row| row.token() >= token);
    let shown: Vec<i64> = first.iter().chain(odd).map(ClaimedRow::id).collect();
    if shown.is_empty() {
        return Ok(token);
    }
    prepared(CLAIM)
        .bind::<Text, _>(json(&shown))
        .bind::<Text, _>(&claim.node)
        .bind::<BigInt, _>(token)
        .bind::<Timestamp, _>(claim_id.now)
        .bind::<Timestamp, _>(claim_id.now)
        .bind::<Text, _>(&*claim_id.mark)
        .execute(conn)
        .await?;
    Ok(token)
}

async fn promote(conn: &mut AsyncMysqlConnection, claim: &Claim, now: StoredTime) -> QueryResult<usize> {
    let most = MAX_PROMOTED_PER_CLAIM.max(i64::try_from(claim.limit).unwrap_or(i64::MAX));
    let picked: Vec<i64> = prepared(PICK_LATER)
        .bind::<Text, _>(&claim.theme)
        .bind::<Timestamp, _>(now)
        .bind::<BigInt, _>(most)
        .columns::<BigInt>()
        .load(conn)
        .await?;
    if picked.is_empty() {
        return Ok(0);
    }
    prepared(PROMOTE).bind::<Text, _>(json(&picked)).execute(conn).await
}
