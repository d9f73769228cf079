//! Claiming and adding tasks.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashSet},
    sync::LazyLock,
};

use chrono::{DateTime, NaiveDateTime, Utc};
use diesel::{
    OptionalExtension, QueryResult, Queryable,
    mysql::Mysql,
    query_builder::AstPass,
    result::{DatabaseErrorKind, Error as DieselError},
    sql_types::{BigInt, Integer, Nullable, Text, Timestamp},
};
use diesel_async::{AsyncMysqlConnection, RunQueryDsl};

use super::runs::show;
use crate::{
    domain::AddedTask,
    store::{
        Claim, Claimed, RunKey, Wanted,
        bulk::{Bulk, Parameters, bulks},
        lenient::{AnyInt, AnyText, AnyTime, narrow, time},
        parts::runs_of,
        pool::lost_answer,
        prepared::{Binds, Prepared, prepared},
        queue::{HEADS, Head, QUEUED_FROM, SEGMENT, Share, Shares, shares},
        rows::{
            ClaimMark, ClaimedColumns, ClaimedRow, NewTaskRow, PROMOTED_AT_ONCE, TRIES_OF_A_KEY, adding, key_is_elusive,
        },
    },
};

// ---- claiming ----

/// Whether the node may claim is asked here, without a lock: inside the claim, MariaDB would lock the node's row too, and pass
/// it over while its heartbeat is written. A node that is declared dead right after this look has its claim taken over.
///
/// Whether the first time has come is asked here, too: it may be a zero date, which cannot be read.
const PEEK: &str = "SELECT \
    EXISTS (SELECT 1 FROM gaia_nodes WHERE id = ?) \
      AND NOT EXISTS (SELECT 1 FROM gaia_themes WHERE theme = ? AND paused <> 0) AS may_claim, \
    EXISTS (SELECT 1 FROM asynctasks WHERE stray = CONCAT('due ', ?)) AS strays, \
    next_due <= ? AS has_come, next_due \
    FROM (SELECT MIN(run_at) AS next_due FROM asynctasks WHERE later_theme = ?) AS later";

/// Methods whose heads one statement reads.
const ARMS: usize = 8;

/// The first segments of some methods. An arm that is not needed asks for no segment.
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

/// What somebody else has locked is somebody else's claim: it is passed over, never waited for.
const PICK_LATER: &str = "SELECT id FROM asynctasks FORCE INDEX (gaia_tasks_scheduled) \
    WHERE later_theme = ? AND run_at <= ? ORDER BY run_at LIMIT ? FOR UPDATE SKIP LOCKED";

/// Rows by their keys, out of a JSON list.
macro_rules! picked {
    ($table:literal) => {
        concat!(
            "JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT PATH '$')) picked STRAIGHT_JOIN ",
            $table,
            " t FORCE INDEX (PRIMARY) ON t.id = picked.id"
        )
    };
}

const PROMOTE: &str = concat!("UPDATE ", picked!("asynctasks"), " SET t.run_at = NULL");

const SEGMENTS_OF: &str = "SELECT id, n, ids FROM gaia_due FORCE INDEX (gaia_due_method) \
    WHERE theme = ? AND priority > ? AND service = ? AND method = ? ORDER BY priority DESC, id LIMIT ? \
    FOR UPDATE SKIP LOCKED";

const SEGMENTS_AT_ALL: &str = "SELECT id, n, ids FROM gaia_due FORCE INDEX (gaia_due_order) \
    WHERE theme = ? AND priority > ? ORDER BY priority DESC, id LIMIT ? FOR UPDATE SKIP LOCKED";

const DROP_SEGMENTS: &str = concat!("DELETE t FROM ", picked!("gaia_due"));

const CUT_SEGMENT: &str = "UPDATE gaia_due SET ids = ?, n = ? WHERE id = ?";

const ADD_SEGMENT: &str = "INSERT INTO gaia_due (theme, service, method, priority, n, ids) VALUES (?, ?, ?, ?, ?, ?)";

/// Strays that one claim takes in at most, the most urgent first.
const TAKEN_IN_AT_ONCE: i64 = 2_000;

const STRAYS: &str = "SELECT id, service_name, method_name, priority FROM asynctasks FORCE INDEX (gaia_tasks_stray) \
    WHERE stray = CONCAT('due ', ?) ORDER BY priority DESC, id LIMIT ? FOR UPDATE SKIP LOCKED";

/// What people see of the task has not changed.
const QUEUED: &str = concat!(
    "UPDATE ",
    picked!("asynctasks"),
    " SET t.queued = ?, t.update_time = t.update_time"
);

/// Tasks are in a segment from now on. No earlier claim has these tasks any more, even if plain SQL has written their lease tokens.
const TAKEN_IN: &str = concat!(
    "UPDATE ",
    picked!("asynctasks"),
    " SET t.queued = 1, t.lease_token = GREATEST(t.lease_token, ?), t.update_time = t.update_time"
);

const LAST_CLAIM: &str = "SELECT COALESCE(MAX(id), 0) AS last FROM gaia_claims";

/// What a segment says of a task may be out of date, the task's row is not.
macro_rules! pick_sql {
    ($of_method:literal) => {
        concat!(
            "SELECT t.id, service_name, method_name, retry_time, max_retry_time, priority, timeout_ms, \
             retry_delay_ms, lease_token, IF(LENGTH(arg) <= ?, arg, NULL) AS arg, \
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
/// In a segment or in none.
const PICK_FIRST: &str = pick_sql!("");

const LOCK: &str = concat!("SELECT t.id FROM ", picked!("asynctasks"), " FOR UPDATE SKIP LOCKED");

const THERE: &str = concat!(
    "SELECT t.id, t.service_name, t.method_name, t.priority FROM ",
    picked!("asynctasks"),
    " WHERE t.queued = 1"
);

const NOTE_CLAIM: &str = "INSERT INTO gaia_claims (theme, node_id, mark, claimed_at, ids) VALUES (?, ?, ?, ?, ?)";

/// The rows say at once that their tasks run. Of those that come out of segments they stay as they are.
const CLAIM: &str = concat!(
    "UPDATE ",
    picked!("asynctasks"),
    " SET t.task_status = 'Running', t.queued = 2, t.lease_owner = ?, t.lease_token = ?, t.last_run_time = ?, t.update_time = ?, \
     t.log_id = CONCAT(?, '-', t.id), t.cancel_requested = 0, t.began = 0, t.progress = NULL, t.progress_note = NULL"
);

/// What waits.
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

    /// Whether something is to be put into segments first.
    pub(super) fn is_unsorted(&self) -> bool {
        self.strays != 0 || self.has_come()
    }

    /// When something becomes due that the node may have.
    pub(super) fn next_due(&self, now: NaiveDateTime) -> Option<DateTime<Utc>> {
        let next_due = if self.has_come() {
            Some(now.and_utc())
        } else {
            time(self.next_due)
        };
        next_due.filter(|_| self.may_claim != 0)
    }

    fn has_come(&self) -> bool {
        self.has_come.is_some_and(|has_come| has_come != 0)
    }
}

pub(super) async fn peek(conn: &mut AsyncMysqlConnection, claim: &Claim, now: NaiveDateTime) -> QueryResult<Peek> {
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

/// What the claim is to take.
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

/// Place of the method, id, priority, tasks.
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

/// Inside a transaction.
pub(super) async fn claim(
    conn: &mut AsyncMysqlConnection,
    claim: &Claim,
    peek: &Peek,
    mark: &ClaimMark,
) -> QueryResult<Claimed> {
    let now = mark.now;
    let mut claimed = Claimed {
        next_due: peek.next_due(now),
        ..Claimed::default()
    };
    if peek.is_unsorted() {
        // What is promoted now is claimed now; the next look tells what comes after it.
        let promoted = promote(conn, claim, now).await?;
        let taken_in = take_in(conn, &claim.theme, claim.limit).await?;
        claimed.passed_over = promoted + taken_in == 0;
    }
    let first = pick_first(conn, claim, mark).await?;
    let mut rows = Vec::new();
    let Shares { all, more } = plan(conn, claim, claim.limit.saturating_sub(first.len())).await?;
    claimed.more = more;
    let wanted = claim.wanted();
    for share in all {
        let method = claim.methods.is_some().then(|| &wanted[share.method]);
        let ids = take(conn, claim, method, share).await?;
        let picked = pick(conn, claim, method, &ids, mark).await?;
        if picked.len() < ids.len() {
            let left = without(&ids, &picked);
            claimed.passed_over |= put_back(conn, claim, &left).await?;
            // Behind tasks that do not wait any more there may be others.
            claimed.more = true;
        }
        rows.extend(picked);
    }
    claimed.passed_over &= rows.is_empty() && first.is_empty();
    if !rows.is_empty() || !first.is_empty() {
        let token = hold(conn, claim, mark, &first, &rows).await?;
        let rows = first.into_iter().chain(rows);
        claimed.tasks = rows.map(|row| mark.task(row.under(token))).collect();
    }
    Ok(claimed)
}

/// Locks those of the tasks that are wanted before others that wait and are due, and takes them out of their segments. What is in a
/// segment of which another claim takes tasks stays there.
async fn pick_first(conn: &mut AsyncMysqlConnection, claim: &Claim, mark: &ClaimMark) -> QueryResult<Vec<ClaimedRow>> {
    let first: Vec<i64> = claim.first.iter().copied().take(claim.limit).collect();
    if first.is_empty() {
        return Ok(Vec::new());
    }
    let mut rows: Vec<ClaimedRow> = prepared(PICK_FIRST)
        .bind::<BigInt, _>(claim.arg_limit(mark))
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

const SEGMENTS_WITH: &str = "SELECT id, ids FROM gaia_due WHERE theme = ? AND INSTR(ids, ?) > 0 FOR UPDATE SKIP LOCKED";

const IS_QUEUED: &str = "SELECT EXISTS (SELECT 1 FROM gaia_due WHERE theme = ? AND INSTR(ids, ?) > 0 AND JSON_CONTAINS(ids, ?)) AS is_queued";

/// Whether a task was taken out of its segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unqueued {
    Done,
    /// A claim takes tasks out of the segment.
    Locked,
    /// It is in none: a claim has the task.
    NotThere,
}

async fn unqueue(conn: &mut AsyncMysqlConnection, theme: &str, task: i64) -> QueryResult<Unqueued> {
    let text = task.to_string();
    let segments: Vec<(i64, String)> = prepared(SEGMENTS_WITH)
        .bind::<Text, _>(theme)
        .bind::<Text, _>(&text)
        .columns::<(BigInt, Text)>()
        .load(conn)
        .await?;
    for (segment, ids) in segments {
        let (with, rest): (Vec<i64>, Vec<i64>) = list(&ids).into_iter().partition(|id| *id == task);
        if !with.is_empty() {
            match rest.is_empty() {
                true => drop_segments(conn, &[segment]).await?,
                false => cut(conn, segment, &rest).await?,
            };
            return Ok(Unqueued::Done);
        }
    }
    let is_queued: i64 = prepared(IS_QUEUED)
        .bind::<Text, _>(theme)
        .bind::<Text, _>(&text)
        .bind::<Text, _>(&text)
        .columns::<BigInt>()
        .get_result(conn)
        .await?;
    Ok(match is_queued {
        0 => Unqueued::NotThere,
        _ => Unqueued::Locked,
    })
}

/// Nobody but this crate writes the column.
fn list(ids: &str) -> Vec<i64> {
    serde_json::from_str(ids).unwrap_or_default()
}

async fn cut(conn: &mut AsyncMysqlConnection, segment: i64, rest: &[i64]) -> QueryResult<usize> {
    prepared(CUT_SEGMENT)
        .bind::<Text, _>(json(rest))
        .bind::<BigInt, _>(count(rest))
        .bind::<BigInt, _>(segment)
        .execute(conn)
        .await
}

async fn drop_segments(conn: &mut AsyncMysqlConnection, segments: &[i64]) -> QueryResult<usize> {
    prepared(DROP_SEGMENTS)
        .bind::<Text, _>(json(segments))
        .execute(conn)
        .await
}

/// Drops a segment whose tasks do not wait, unless a claim has it locked. One of them that comes to wait again is found as a stray. Inside
/// a transaction.
pub(super) async fn drop_segment(conn: &mut AsyncMysqlConnection, segment: i64) -> QueryResult<()> {
    let tasks: Option<String> = prepared("SELECT ids FROM gaia_due WHERE id = ? FOR UPDATE SKIP LOCKED")
        .bind::<BigInt, _>(segment)
        .columns::<Text>()
        .get_result(conn)
        .await
        .optional()?;
    let Some(tasks) = tasks else {
        return Ok(());
    };
    drop_segments(conn, &[segment]).await?;
    let queued: Vec<(i64, AnyText, AnyText, AnyInt)> = prepared(THERE)
        .bind::<Text, _>(json(&list(&tasks)))
        .columns::<(BigInt, Text, Text, Integer)>()
        .load(conn)
        .await?;
    let queued: Vec<i64> = queued.into_iter().map(|(id, ..)| id).collect();
    set_queued(conn, &queued, 0).await
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

/// Locks those of the tasks that wait, but for what others have locked.
async fn pick(
    conn: &mut AsyncMysqlConnection,
    claim: &Claim,
    method: Option<&Wanted>,
    ids: &[i64],
    mark: &ClaimMark,
) -> QueryResult<Vec<ClaimedRow>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let picked = prepared(if method.is_some() { PICK_OF } else { PICK_AT_ALL })
        .bind::<BigInt, _>(claim.arg_limit(mark))
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

/// Tasks that came out of a segment and were not picked. Those that do not wait, or not so, are in no segment from now on; if they
/// wait, they are strays. What others have locked goes into segments again; answers whether there is such a task.
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

async fn set_queued(conn: &mut AsyncMysqlConnection, ids: &[i64], queued: i32) -> QueryResult<()> {
    if !ids.is_empty() {
        prepared(QUEUED)
            .bind::<Text, _>(json(ids))
            .bind::<Integer, _>(queued)
            .execute(conn)
            .await?;
    }
    Ok(())
}

/// Makes the claim of rows that are locked; answers with the number of the claim. The rows of tasks that were wanted before others, and of
/// tasks whose lease tokens plain SQL has written, say at once that the tasks run; all other rows stay as they are.
async fn hold(
    conn: &mut AsyncMysqlConnection,
    claim: &Claim,
    mark: &ClaimMark,
    first: &[ClaimedRow],
    rows: &[ClaimedRow],
) -> QueryResult<i64> {
    let ids = json(&first.iter().chain(rows).map(ClaimedRow::id).collect::<Vec<_>>());
    prepared(NOTE_CLAIM)
        .bind::<Text, _>(&claim.theme)
        .bind::<Text, _>(&claim.node)
        .bind::<Text, _>(&*mark.run)
        .bind::<Timestamp, _>(mark.now)
        .bind::<Text, _>(&ids)
        .execute(conn)
        .await?;
    let (token, _) = first_id(conn).await?;
    let odd = rows.iter().filter(|row| row.token() >= token);
    let shown: Vec<i64> = first.iter().chain(odd).map(ClaimedRow::id).collect();
    if shown.is_empty() {
        return Ok(token);
    }
    prepared(CLAIM)
        .bind::<Text, _>(json(&shown))
        .bind::<Text, _>(&claim.node)
        .bind::<BigInt, _>(token)
        .bind::<Timestamp, _>(mark.now)
        .bind::<Timestamp, _>(mark.now)
        .bind::<Text, _>(&*mark.run)
        .execute(conn)
        .await?;
    Ok(token)
}

async fn promote(conn: &mut AsyncMysqlConnection, claim: &Claim, now: NaiveDateTime) -> QueryResult<usize> {
    let most = PROMOTED_AT_ONCE.max(i64::try_from(claim.limit).unwrap_or(i64::MAX));
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

/// Puts strays into segments: what plain SQL has written, what went back to the queue, and tasks that were added one by one. Answers how
/// many there were.
pub(super) async fn take_in(conn: &mut AsyncMysqlConnection, theme: &str, limit: usize) -> QueryResult<usize> {
    let most = TAKEN_IN_AT_ONCE.max(i64::try_from(limit).unwrap_or(i64::MAX));
    let strays: Vec<(i64, AnyText, AnyText, AnyInt)> = prepared(STRAYS)
        .bind::<Text, _>(theme)
        .bind::<BigInt, _>(most)
        .columns::<(BigInt, Text, Text, Integer)>()
        .load(conn)
        .await?;
    let mut segments = Segments::default();
    for (id, service, method, priority) in &strays {
        segments.add(*id, &service.0, &method.0, narrow(*priority).unwrap_or(0));
    }
    segments.write(conn, theme).await?;
    if strays.is_empty() {
        return Ok(0);
    }
    let ids: Vec<i64> = strays.iter().map(|(id, ..)| *id).collect();
    let last: i64 = prepared(LAST_CLAIM).columns::<BigInt>().get_result(conn).await?;
    prepared(TAKEN_IN)
        .bind::<Text, _>(json(&ids))
        .bind::<BigInt, _>(last)
        .execute(conn)
        .await?;
    Ok(ids.len())
}

/// Due tasks on their way into segments.
#[derive(Default)]
struct Segments<'a>(BTreeMap<(Reverse<i32>, &'a str, &'a str), Vec<i64>>);

impl<'a> Segments<'a> {
    fn add(&mut self, id: i64, service: &'a str, method: &'a str, priority: i32) {
        self.0.entry((Reverse(priority), service, method)).or_default().push(id);
    }

    async fn write(self, conn: &mut AsyncMysqlConnection, theme: &str) -> QueryResult<()> {
        for ((Reverse(priority), service, method), ids) in self.0 {
            for ids in ids.chunks(SEGMENT) {
                prepared(ADD_SEGMENT)
                    .bind::<Text, _>(theme)
                    .bind::<Text, _>(service)
                    .bind::<Text, _>(method)
                    .bind::<Integer, _>(priority)
                    .bind::<BigInt, _>(count(ids))
                    .bind::<Text, _>(json(ids))
                    .execute(conn)
                    .await?;
            }
        }
        Ok(())
    }
}

fn count(ids: &[i64]) -> i64 {
    i64::try_from(ids.len()).unwrap_or(i64::MAX)
}

/// A JSON list, in the order in which rows are locked.
fn json(ids: &[i64]) -> String {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    let ids: Vec<String> = ids.into_iter().map(|id| id.to_string()).collect();
    format!("[{}]", ids.join(","))
}

// ---- claims of rows that plain SQL has written, and of tasks that were claimed by their inserts ----

/// Running tasks that are taken into claims at once.
const HELD_AT_ONCE: i64 = 1_000;

const UNHELD: &str = "SELECT id, queued, system_name, lease_owner FROM asynctasks FORCE INDEX (gaia_tasks_stray) \
    WHERE stray = 'unheld' ORDER BY priority DESC, id LIMIT ? FOR UPDATE SKIP LOCKED";

/// What others have locked is passed over: the next look finds it.
const DISOWNED: &str = concat!(
    "SELECT t.id FROM ",
    picked!("asynctasks"),
    " WHERE t.queued = 2 AND t.task_status = 'Running' AND t.lease_owner IS NOT NULL AND t.lease_owner <> ? \
     FOR UPDATE SKIP LOCKED"
);

pub(super) async fn is_any_stray(conn: &mut AsyncMysqlConnection, theme: &str) -> QueryResult<bool> {
    let any: i64 = prepared("SELECT EXISTS (SELECT 1 FROM asynctasks WHERE stray = CONCAT('due ', ?)) AS any_stray")
        .bind::<Text, _>(theme)
        .columns::<BigInt>()
        .get_result(conn)
        .await?;
    Ok(any != 0)
}

macro_rules! any_unheld {
    () => {
        "EXISTS (SELECT 1 FROM asynctasks WHERE stray = 'unheld')"
    };
}

/// Whether any task of any theme runs.
pub(in crate::store) const ANY_RUNS: &str = concat!("EXISTS (SELECT 1 FROM gaia_claims) OR ", any_unheld!());

/// Whether any task of any theme is due.
pub(in crate::store) const ANY_DUE: &str =
    "EXISTS (SELECT 1 FROM gaia_due) OR EXISTS (SELECT 1 FROM asynctasks WHERE stray LIKE 'due %')";

pub(super) async fn is_any_unheld(conn: &mut AsyncMysqlConnection) -> QueryResult<bool> {
    let any: i64 = prepared(concat!("SELECT ", any_unheld!(), " AS any_unheld"))
        .columns::<BigInt>()
        .get_result(conn)
        .await?;
    Ok(any != 0)
}

/// Inside a transaction. Answers how many there were.
pub(super) async fn hold_unheld(conn: &mut AsyncMysqlConnection, now: NaiveDateTime) -> QueryResult<usize> {
    let mut unheld: Vec<(i64, AnyInt, AnyText, AnyText)> = prepared(UNHELD)
        .bind::<BigInt, _>(HELD_AT_ONCE)
        .columns::<(BigInt, Integer, Text, Text)>()
        .load(conn)
        .await?;
    let mut busy = HashSet::new();
    for (id, queued, theme, _) in &unheld {
        // The next look finds those whose segments a claim has locked.
        if narrow(*queued) == Some(1) && unqueue(conn, &theme.0, *id).await? == Unqueued::Locked {
            busy.insert(*id);
        }
    }
    unheld.retain(|(id, ..)| !busy.contains(id));
    let mut claims: BTreeMap<(&str, &str), Vec<i64>> = BTreeMap::new();
    for (id, _, theme, node) in &unheld {
        claims.entry((&node.0, &theme.0)).or_default().push(*id);
    }
    for ((node, theme), ids) in claims {
        prepared(NOTE_CLAIM)
            .bind::<Text, _>(theme)
            .bind::<Text, _>(node)
            .bind::<Text, _>("plain")
            .bind::<Timestamp, _>(now)
            .bind::<Text, _>(json(&ids))
            .execute(conn)
            .await?;
    }
    let ids: Vec<i64> = unheld.iter().map(|(id, ..)| *id).collect();
    set_queued(conn, &ids, 2).await?;
    Ok(ids.len())
}

/// Those that plain SQL has ended before their rows said that they ran.
const ENDED: &str = concat!(
    "SELECT t.id FROM ",
    picked!("asynctasks"),
    " WHERE t.queued = 1 AND t.lease_token < ? AND t.task_status NOT IN ('Wait', 'Retry', 'Running') FOR UPDATE SKIP LOCKED"
);

const LET_OUT: &str = concat!(
    "UPDATE ",
    picked!("asynctasks"),
    " SET t.queued = 0, t.lease_token = ?, t.update_time = t.update_time"
);

/// Tasks that a claim of a node does not have any more, in none from now on: running ones that plain SQL has put elsewhere, and those
/// that have come to an end by plain SQL before their rows said that they ran. Inside a transaction.
pub(super) async fn disown(conn: &mut AsyncMysqlConnection, node: &str, claim: i64, ids: &[i64]) -> QueryResult<()> {
    let ended: Vec<i64> = prepared(ENDED)
        .bind::<Text, _>(json(ids))
        .bind::<BigInt, _>(claim)
        .columns::<BigInt>()
        .load(conn)
        .await?;
    if !ended.is_empty() {
        prepared(LET_OUT)
            .bind::<Text, _>(json(&ended))
            .bind::<BigInt, _>(claim)
            .execute(conn)
            .await?;
    }
    let disowned: Vec<i64> = prepared(DISOWNED)
        .bind::<Text, _>(json(ids))
        .bind::<Text, _>(node)
        .columns::<BigInt>()
        .load(conn)
        .await?;
    set_queued(conn, &disowned, 0).await
}

// ---- by hand ----

/// Whatever has the row locked ends first: a claim, for one. The statements after this one see what it has done.
const LOCK_ONE: &str = "SELECT id FROM asynctasks WHERE id = ? AND system_name = ? FOR UPDATE";

/// The last claim that names a task.
const CLAIM_WITH: &str = "SELECT id, node_id, mark, claimed_at FROM gaia_claims \
    WHERE theme = ? AND INSTR(ids, ?) > 0 AND JSON_CONTAINS(ids, ?) ORDER BY id DESC LIMIT 1";

const CANCEL: &str = "UPDATE asynctasks SET task_status = 'Cancelled', run_at = NULL, update_time = ?, finished_at = ? \
    WHERE id = ? AND system_name = ? AND (task_status IN ('Wait', 'Retry') OR task_status = 'Running' AND lease_owner IS NULL)";

/// Ends a task that waits, or that another framework left as Running without a node. If a claim has it unseen, its row says from then
/// on that it runs. Inside a transaction.
pub(super) async fn cancel_waiting(
    conn: &mut AsyncMysqlConnection,
    theme: &str,
    id: i64,
    now: NaiveDateTime,
) -> QueryResult<bool> {
    prepared(LOCK_ONE)
        .bind::<BigInt, _>(id)
        .bind::<Text, _>(theme)
        .columns::<BigInt>()
        .get_result::<i64>(conn)
        .await
        .optional()?;
    let text = id.to_string();
    let claim: Option<(i64, String, String, NaiveDateTime)> = prepared(CLAIM_WITH)
        .bind::<Text, _>(theme)
        .bind::<Text, _>(&text)
        .bind::<Text, _>(&text)
        .columns::<(BigInt, Text, Text, Timestamp)>()
        .get_result(conn)
        .await
        .optional()?;
    if let Some((token, node, mark, since)) = claim {
        let run = RunKey::unseen(id, &node, token, &mark);
        if show(conn, &[(&run, since)]).await? > 0 {
            return Ok(false);
        }
    }
    let cancelled = prepared(CANCEL)
        .bind::<Timestamp, _>(now)
        .bind::<Timestamp, _>(now)
        .bind::<BigInt, _>(id)
        .bind::<Text, _>(theme)
        .execute(conn)
        .await?;
    Ok(cancelled > 0)
}

// ---- adding ----

const INSERT_KEYED: &str = "INSERT INTO asynctasks \
      (system_name, service_name, method_name, task_name, arg, max_retry_time, task_status, create_time, update_time, \
       priority, run_at, timeout_ms, retry_delay_ms, unique_key) \
    VALUES (?, ?, ?, ?, ?, ?, 'Wait', ?, ?, ?, ?, ?, ?, ?)";

/// Claimed as by [`CLAIM`], unless the node may not claim. It is in no claim: few of these tasks run for so long that the node takes
/// them into one, and a transaction would take longer.
const INSERT_CLAIMED: &str = "INSERT INTO asynctasks \
      (system_name, service_name, method_name, task_name, arg, max_retry_time, create_time, priority, timeout_ms, \
       retry_delay_ms, update_time, task_status, lease_owner, lease_token, last_run_time, log_id) \
    SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, IF(may, 'Running', 'Wait'), IF(may, ?, NULL), may, IF(may, ?, NULL), \
      IF(may, ?, NULL) \
    FROM (SELECT EXISTS (SELECT 1 FROM gaia_nodes WHERE id = ?) \
      AND NOT EXISTS (SELECT 1 FROM gaia_themes WHERE theme = ? AND paused <> 0) AS may) AS node";

const INSERTED: &str = "SELECT id, lease_token FROM asynctasks WHERE id = LAST_INSERT_ID()";

const FIRST_ID: &str = "SELECT CAST(LAST_INSERT_ID() AS SIGNED) AS first, \
    CAST(@@auto_increment_increment AS SIGNED) AS step";

const HOLDER_OF_KEY: &str = "SELECT id FROM asynctasks WHERE system_name = ? AND live_key = ?";

/// Whether [`insert`] needs no transaction around it to be all or nothing.
pub(super) fn is_one_statement(rows: &[NewTaskRow]) -> bool {
    rows.len() < QUEUED_FROM
        && rows.iter().all(|row| row.unique_key.is_none())
        && bulks(rows, Parameters::Positional, false).count() <= 1
}

/// The id and the lease token, which is 0 if it was not claimed.
pub(super) async fn insert_claimed(
    conn: &mut AsyncMysqlConnection,
    row: &NewTaskRow,
    mark: &ClaimMark,
) -> QueryResult<(i64, i64)> {
    adding!(INSERT_CLAIMED, row)
        .bind::<Integer, _>(row.priority)
        .bind::<Nullable<BigInt>, _>(row.timeout_ms)
        .bind::<Nullable<BigInt>, _>(row.retry_delay_ms)
        .bind::<Timestamp, _>(mark.now)
        .bind::<Text, _>(&*mark.node)
        .bind::<Timestamp, _>(mark.now)
        .bind::<Text, _>(&*mark.run)
        .bind::<Text, _>(&*mark.node)
        .bind::<Text, _>(&*row.system_name)
        .execute(conn)
        .await?;
    let inserted = prepared(INSERTED).columns::<(BigInt, BigInt)>().get_result(conn);
    inserted.await.map_err(lost_answer)
}

pub(super) async fn insert(conn: &mut AsyncMysqlConnection, rows: &[NewTaskRow]) -> QueryResult<Vec<AddedTask>> {
    let mut added = Vec::with_capacity(rows.len());
    for run in runs_of(rows, |row| row.unique_key.is_some()) {
        if run[0].unique_key.is_some() {
            for row in run {
                added.push(insert_keyed(conn, row).await?);
            }
        } else {
            let is_queued = run.len() >= QUEUED_FROM;
            for bulk in bulks(run, Parameters::Positional, is_queued) {
                let ids = insert_bulk(conn, bulk).await?;
                if is_queued {
                    queue(conn, bulk.rows(), &ids).await?;
                }
                added.extend(ids.into_iter().map(AddedTask::new));
            }
        }
    }
    Ok(added)
}

/// The ids of one statement whose rows are all there are consecutive, in every mode of InnoDB.
async fn insert_bulk(conn: &mut AsyncMysqlConnection, bulk: Bulk<'_>) -> QueryResult<Vec<i64>> {
    Prepared::new(bulk.sql(), bulk).execute(conn).await?;
    let (first, step) = first_id(conn).await?;
    Ok((0..bulk.len()).map(|at| first + at * step).collect())
}

/// Puts rows that were inserted with these ids into segments, as far as they are due.
async fn queue(conn: &mut AsyncMysqlConnection, rows: &[NewTaskRow], ids: &[i64]) -> QueryResult<()> {
    let mut segments = Segments::default();
    for (row, id) in rows.iter().zip(ids).filter(|(row, _)| row.run_at.is_none()) {
        segments.add(*id, &row.service_name, &row.method_name, row.priority);
    }
    let theme = rows.first().map_or("", |row| &row.system_name);
    segments.write(conn, theme).await
}

/// A row that is refused does not spoil the transaction.
async fn insert_keyed(conn: &mut AsyncMysqlConnection, row: &NewTaskRow) -> QueryResult<AddedTask> {
    for _ in 0..TRIES_OF_A_KEY {
        match insert_unless_taken(conn, row).await {
            Err(DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _)) => {}
            added => return added,
        }
        let holder: Option<i64> = prepared(HOLDER_OF_KEY)
            .bind::<Text, _>(&*row.system_name)
            .bind::<Nullable<Text>, _>(&row.unique_key)
            .columns::<BigInt>()
            .get_result(conn)
            .await
            .optional()?;
        if let Some(holder) = holder {
            return Ok(AddedTask::duplicate_of(holder));
        }
        // The task that was in the way has ended in between.
    }
    Err(key_is_elusive())
}

async fn insert_unless_taken(conn: &mut AsyncMysqlConnection, row: &NewTaskRow) -> QueryResult<AddedTask> {
    adding!(INSERT_KEYED, row)
        .bind::<Timestamp, _>(row.create_time)
        .bind::<Integer, _>(row.priority)
        .bind::<Nullable<Timestamp>, _>(row.run_at)
        .bind::<Nullable<BigInt>, _>(row.timeout_ms)
        .bind::<Nullable<BigInt>, _>(row.retry_delay_ms)
        .bind::<Nullable<Text>, _>(&row.unique_key)
        .execute(conn)
        .await?;
    let (id, _) = first_id(conn).await?;
    Ok(AddedTask::new(id))
}

/// The first id that the last statement gave, and how far the next one is from it.
async fn first_id(conn: &mut AsyncMysqlConnection) -> QueryResult<(i64, i64)> {
    let ids = prepared(FIRST_ID).columns::<(BigInt, BigInt)>().get_result(conn);
    ids.await.map_err(lost_answer)
}
