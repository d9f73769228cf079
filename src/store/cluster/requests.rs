//! Requests of processes to other processes, and what nodes say of themselves.
//!
//! A request is a row of `gaia_requests`. A node sees it in a query that the node makes anyway (the settings of its themes; for jobs: its
//! open runs), takes it by a guarded update, and writes the result into it. So one node follows a request, and a node that finds none has
//! no further query.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{dsl::sql, prelude::*, sql_types::Timestamp};
use diesel_async::RunQueryDsl;

use crate::{
    domain::{Answer, Asked, Note, REQUEST_LIFE},
    store::{
        ClusterStore, StoreError,
        backend::ReadKind,
        db::on_backend,
        lenient::{AnyInt, AnyText, AnyTime, number, text, time},
        schema::{gaia_node_status, gaia_requests},
        time::StoredTime,
    },
};

/// For how long requests and what nodes have said are kept.
const KEPT: TimeDelta = TimeDelta::days(1);

/// The greatest id: JSON numbers up to here are exact in every language.
const MAX_ID: i64 = 1 << 53;

/// How far a request has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RequestState {
    Open,
    /// By this node.
    Taken(String),
    Done {
        /// The node that took it. Empty: none.
        node: String,
        answer: Answer,
    },
}

/// A request that this node has taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TakenRequest {
    pub(crate) id: i64,
    pub(crate) asked: Asked,
}

type RequestRow = (AnyText, Option<AnyText>, Option<AnyInt>, Option<AnyInt>);

/// Between these times lie the times at which requests were made that are not over. A request of a later time was made before the clock
/// was set back.
pub(in crate::store) fn life(now: DateTime<Utc>) -> [StoredTime; 2] {
    let life = TimeDelta::from_std(REQUEST_LIFE).unwrap_or(TimeDelta::MAX);
    [-life, life].map(|by| StoredTime::from(now.checked_add_signed(by).unwrap_or(now)))
}

fn asked((kind, theme, job_id, workers): RequestRow) -> Option<Asked> {
    match kind.0.as_str() {
        "run_job" => number(job_id).map(|job_id| Asked::RunJob { job_id }),
        "resize" => {
            let workers = number(workers).and_then(|workers| usize::try_from(workers).ok());
            let theme = text(theme);
            workers
                .zip(theme)
                .map(|(workers, theme)| Asked::Resize { theme, workers })
        }
        _ => None,
    }
}

impl ClusterStore<'_> {
    /// Stores a request; answers with its id. `node`: the one that may take it; `None`: any that runs jobs.
    pub(crate) async fn ask(&self, node: Option<&str>, asked: &Asked, note: &Note) -> Result<i64, StoreError> {
        loop {
            let id = fastrand::i64(1..MAX_ID);
            match self.insert_request(id, node, asked, note).await {
                Err(StoreError::Duplicate(_)) => {}
                added => {
                    added?;
                    self.announce_requests();
                    return Ok(id);
                }
            }
        }
    }

    async fn insert_request(&self, id: i64, node: Option<&str>, asked: &Asked, note: &Note) -> Result<(), StoreError> {
        let (kind, theme, job_id, workers) = match asked {
            Asked::RunJob { job_id } => ("run_job", None, Some(*job_id), None),
            Asked::Resize { theme, workers } => {
                let workers = i32::try_from(*workers).unwrap_or(i32::MAX);
                ("resize", Some(theme.as_str()), None, Some(workers))
            }
        };
        let now = StoredTime::from(self.clock().now());
        let mut conn = self.db.write().await?;
        on_backend!(conn, |conn| {
            diesel::insert_into(gaia_requests::table)
                .values((
                    gaia_requests::id.eq(id),
                    gaia_requests::kind.eq(kind),
                    gaia_requests::open_for.eq(node.unwrap_or_default()),
                    gaia_requests::node_id.eq(node),
                    gaia_requests::theme.eq(theme),
                    gaia_requests::job_id.eq(job_id),
                    gaia_requests::workers.eq(workers),
                    gaia_requests::asked_by.eq(&note.by),
                    gaia_requests::reason.eq(&note.reason),
                    gaia_requests::created_at.eq(now),
                ))
                .execute(conn)
                .await
        })?;
        Ok(())
    }

    /// Takes a request for this node. `None`: another node has taken it, or it is over. A request that this version does not know gets that
    /// as its answer.
    pub(crate) async fn take_request(&self, id: i64, node: &str) -> Result<Option<TakenRequest>, StoreError> {
        let now = self.clock().now();
        let ([after, before], at) = (life(now), StoredTime::from(now));
        // By the key: a condition on the index over open requests could lock those that another node takes.
        let take = || async {
            let mut conn = self.db.write().await?;
            Ok(on_backend!(conn, |conn| {
                diesel::update(gaia_requests::table.filter(gaia_requests::id.eq(id)))
                    .filter(gaia_requests::taken_by.is_null())
                    .filter(gaia_requests::done_at.is_null())
                    .filter(gaia_requests::created_at.between(after, before))
                    .set((
                        gaia_requests::taken_by.eq(node),
                        gaia_requests::taken_at.eq(at),
                        gaia_requests::open_for.eq(None::<String>),
                    ))
                    .execute(conn)
                    .await
            })?)
        };
        if self.retrying(take).await? == 0 {
            return Ok(None);
        }
        let mut conn = self.db.read().await?;
        let row: Option<RequestRow> = on_backend!(conn, |conn| {
            gaia_requests::table
                .filter(gaia_requests::id.eq(id))
                .select((
                    gaia_requests::kind,
                    gaia_requests::theme,
                    gaia_requests::job_id,
                    gaia_requests::workers,
                ))
                .first(conn)
                .await
                .optional()
        })?;
        drop(conn);
        let Some(asked) = row.and_then(asked) else {
            self.answer(id, Some(node), &Answer::Unknown).await?;
            return Ok(None);
        };
        Ok(Some(TakenRequest { id, asked }))
    }

    /// Gives a request back that this node has taken and not begun.
    pub(crate) async fn give_request_back(&self, id: i64, node: &str) -> Result<(), StoreError> {
        let mut conn = self.db.write().await?;
        on_backend!(conn, |conn| {
            diesel::update(gaia_requests::table.filter(gaia_requests::id.eq(id)))
                .filter(gaia_requests::taken_by.eq(node))
                .filter(gaia_requests::done_at.is_null())
                .set((
                    gaia_requests::taken_by.eq(None::<String>),
                    gaia_requests::taken_at.eq(None::<StoredTime>),
                    gaia_requests::open_for.eq(""),
                ))
                .execute(conn)
                .await
        })?;
        Ok(())
    }

    /// Writes the result of a request that has none. `node`: the one that must have taken it; `None`: it must not be taken. Answers whether
    /// the result was written.
    pub(crate) async fn answer(&self, id: i64, node: Option<&str>, answer: &Answer) -> Result<bool, StoreError> {
        let (now, result) = (StoredTime::from(self.clock().now()), answer.to_text());
        let write = || async {
            let mut conn = self.db.write().await?;
            let set = || {
                (
                    gaia_requests::done_at.eq(now),
                    gaia_requests::result.eq(&result),
                    gaia_requests::open_for.eq(None::<String>),
                )
            };
            Ok(on_backend!(conn, |conn| {
                let request = gaia_requests::table
                    .filter(gaia_requests::id.eq(id))
                    .filter(gaia_requests::done_at.is_null());
                if let Some(node) = node {
                    let taken = gaia_requests::taken_by.eq(node);
                    diesel::update(request.filter(taken)).set(set()).execute(conn).await
                } else {
                    let free = gaia_requests::taken_by.is_null();
                    diesel::update(request.filter(free)).set(set()).execute(conn).await
                }
            })?)
        };
        Ok(self.retrying(write).await? > 0)
    }

    /// Notes that the node is gone in the requests that it has taken and not answered. An asker that waits notes it, too: so an error is no
    /// reason to do anything else.
    pub(super) async fn close_requests_of(&self, node: &str) {
        let (now, result) = (StoredTime::from(self.clock().now()), Answer::NodeIsGone.to_text());
        let close = || async {
            let mut conn = self.db.write().await?;
            Ok(on_backend!(conn, |conn| {
                diesel::update(gaia_requests::table.filter(gaia_requests::taken_by.eq(node)))
                    .filter(gaia_requests::done_at.is_null())
                    .set((gaia_requests::done_at.eq(now), gaia_requests::result.eq(&result)))
                    .execute(conn)
                    .await
            })?)
        };
        if let Err(error) = self.retrying(close).await {
            say!(Debug, "requests of node {node} have no result: {error}");
        }
    }

    /// How far a request has come. `None`: it is gone.
    pub(crate) async fn request_state(&self, id: i64) -> Result<Option<RequestState>, StoreError> {
        let mut conn = self.db.read_as(ReadKind::Detail).await?;
        let row: Option<(Option<AnyText>, Option<AnyText>)> = on_backend!(conn, |conn| {
            gaia_requests::table
                .filter(gaia_requests::id.eq(id))
                .select((gaia_requests::taken_by, gaia_requests::result))
                .first(conn)
                .await
                .optional()
        })?;
        Ok(row.map(|(node, result)| match (text(node), text(result)) {
            (node, Some(result)) => RequestState::Done {
                node: node.unwrap_or_default(),
                answer: Answer::from_text(&result),
            },
            (Some(node), None) => RequestState::Taken(node),
            (None, None) => RequestState::Open,
        }))
    }

    /// Stores what a node says of itself.
    pub(crate) async fn say_status(&self, node: &str, status: &str) -> Result<(), StoreError> {
        let now = self.db.dialect().now;
        let mut conn = self.db.write().await?;
        let updated = on_backend!(conn, |conn| {
            diesel::update(gaia_node_status::table.filter(gaia_node_status::node_id.eq(node)))
                .set((
                    gaia_node_status::written_at.eq(sql::<Timestamp>(now)),
                    gaia_node_status::status.eq(status),
                ))
                .execute(conn)
                .await
        })?;
        if updated > 0 {
            return Ok(());
        }
        on_backend!(conn, |conn| {
            diesel::insert_into(gaia_node_status::table)
                .values((
                    gaia_node_status::node_id.eq(node),
                    gaia_node_status::written_at.eq(sql::<Timestamp>(now)),
                    gaia_node_status::status.eq(status),
                ))
                .execute(conn)
                .await
        })?;
        Ok(())
    }

    /// What a node has said of itself last, and when, by the database's time.
    pub(crate) async fn said_status(&self, node: &str) -> Result<Option<(Option<DateTime<Utc>>, String)>, StoreError> {
        let mut conn = self.db.read_as(ReadKind::Detail).await?;
        let row: Option<(AnyTime, AnyText)> = on_backend!(conn, |conn| {
            gaia_node_status::table
                .filter(gaia_node_status::node_id.eq(node))
                .select((gaia_node_status::written_at, gaia_node_status::status))
                .first(conn)
                .await
                .optional()
        })?;
        Ok(row.map(|(at, status)| (time(at), status.0)))
    }

    /// Deletes requests, and what nodes have said, once they are older than a day.
    pub(crate) async fn drop_old_requests(&self) -> Result<(), StoreError> {
        let now = self.clock().now();
        let before = StoredTime::from(now.checked_sub_signed(KEPT).unwrap_or(now));
        let mut conn = self.db.write().await?;
        on_backend!(conn, |conn| {
            diesel::delete(gaia_requests::table.filter(gaia_requests::created_at.lt(before)))
                .execute(conn)
                .await
        })?;
        on_backend!(conn, |conn| {
            diesel::delete(gaia_node_status::table.filter(gaia_node_status::written_at.lt(before)))
                .execute(conn)
                .await
        })?;
        Ok(())
    }
}
