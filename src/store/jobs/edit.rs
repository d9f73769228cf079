//! Changes of jobs by people. Each change is one guarded statement.

use diesel::{dsl::case_when, prelude::*, sql_types::Bool};
use diesel_async::RunQueryDsl;

use super::rows::DefinedRow;
use crate::{
    domain::{NewJob, OverlapPolicy, SecretChange},
    store::{JobStore, StoreError, db::on_backend, schema::job_center, time::StoredTime},
};

/// What adding a job did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AddJob {
    Added(i64),
    /// That job has the name.
    NameTaken(i64),
}

/// What changing a job did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EditJob {
    Done,
    NotFound,
    /// Its definition is of another version than the caller has read.
    Changed,
    /// That job has the name.
    NameTaken(i64),
}

/// The condition that the definition is of this version; every version, if the caller names none.
macro_rules! is_version {
    ($version:expr) => {
        $version
            .is_none()
            .into_sql::<Bool>()
            .or(job_center::version.eq($version.unwrap_or_default()))
    };
}

/// The next version of a definition. After the greatest number, and after something that plain SQL has written and is no number, it begins anew.
macro_rules! next_version {
    () => {
        case_when(job_center::version.lt(i64::MAX), job_center::version + 1_i64).otherwise(0_i64)
    };
}

impl JobStore<'_> {
    /// Adds a job that has passed its check. If two jobs with the same name are added at the same time, one is refused.
    pub(crate) async fn add(&self, job: NewJob) -> Result<AddJob, StoreError> {
        let now = StoredTime::from(self.clock().now());
        let name = job.job_name.clone();
        let secret = match &job.hook_secret {
            SecretChange::Set(secret) => Some(secret.clone()),
            SecretChange::Keep | SecretChange::Remove => None,
        };
        let row = DefinedRow::new(job, now);
        if let Some(holder) = self.holder_of_name(&name, None).await? {
            return Ok(AddJob::NameTaken(holder));
        }
        match self.insert(&row, secret, now).await {
            Ok(()) => {}
            Err(StoreError::Duplicate(text)) => {
                return match self.holder_of_name(&name, None).await? {
                    Some(holder) => Ok(AddJob::NameTaken(holder)),
                    None => Err(StoreError::Duplicate(text)),
                };
            }
            Err(error) => return Err(error),
        }
        let mut conn = self.db.write().await?;
        let id = on_backend!(conn, |conn| {
            self.mine()
                .filter(job_center::unique_name.eq(&name))
                .select(job_center::id)
                .first(conn)
                .await
        })?;
        Ok(AddJob::Added(id))
    }

    /// Replaces the definition of a job, if it is of this version; the new schedule holds from now on. A job without an overlap policy is shown with
    /// `default`, and stays without one if the new definition repeats that: nodes may have another default.
    pub(crate) async fn update(
        &self,
        id: i64,
        mut job: NewJob,
        version: Option<i64>,
        default: OverlapPolicy,
    ) -> Result<EditJob, StoreError> {
        let Some(known) = self.get(id).await? else {
            return Ok(EditJob::NotFound);
        };
        if version.is_some_and(|version| version != known.version()) {
            return Ok(EditJob::Changed);
        }
        if !known.has_overlap() && job.overlap_policy.as_deref() == Some(default.as_str()) {
            job.overlap_policy = None;
        }
        let renamed = (known.job_name.0 != job.job_name).then(|| job.job_name.clone());
        if let Some(name) = &renamed
            && let Some(holder) = self.holder_of_name(name, Some(id)).await?
        {
            return Ok(EditJob::NameTaken(holder));
        }
        match (self.change_job(id, job, renamed.clone(), version).await, renamed) {
            (Ok(0), _) => self.missed(id).await,
            (Ok(_), _) => Ok(EditJob::Done),
            (Err(StoreError::Duplicate(text)), Some(name)) => match self.holder_of_name(&name, Some(id)).await? {
                Some(holder) => Ok(EditJob::NameTaken(holder)),
                None => Err(StoreError::Duplicate(text)),
            },
            (Err(error), _) => Err(error),
        }
    }

    /// Why a guarded statement has found no row.
    async fn missed(&self, id: i64) -> Result<EditJob, StoreError> {
        Ok(match self.get(id).await? {
            Some(_) => EditJob::Changed,
            None => EditJob::NotFound,
        })
    }

    async fn change_job(
        &self,
        id: i64,
        job: NewJob,
        renamed: Option<String>,
        version: Option<i64>,
    ) -> Result<usize, StoreError> {
        let secret = match &job.hook_secret {
            SecretChange::Keep => None,
            SecretChange::Remove => Some(job_center::hook_secret.eq(None)),
            SecretChange::Set(secret) => Some(job_center::hook_secret.eq(Some(secret.clone()))),
        };
        let unique_name = renamed.map(|name| job_center::unique_name.eq(Some(name)));
        let row = DefinedRow::new(job, StoredTime::from(self.clock().now()));
        let mut conn = self.db.write().await?;
        Ok(on_backend!(conn, |conn| {
            diesel::update(self.mine().filter(job_center::id.eq(id)))
                .filter(is_version!(version))
                .set((
                    &row,
                    secret.clone(),
                    unique_name.clone(),
                    job_center::version.eq(next_version!()),
                ))
                .execute(conn)
                .await
        })?)
    }

    /// Deletes a job, if its definition is of this version. Its records stay.
    pub(crate) async fn remove(&self, id: i64, version: Option<i64>) -> Result<EditJob, StoreError> {
        let mut conn = self.db.write().await?;
        let removed = on_backend!(conn, |conn| {
            diesel::delete(self.mine().filter(job_center::id.eq(id)))
                .filter(is_version!(version))
                .execute(conn)
                .await
        })?;
        drop(conn);
        match removed {
            0 => self.missed(id).await,
            _ => Ok(EditJob::Done),
        }
    }

    /// Enables or disables a job, if its definition is of this version. Fires that would have been due while it was disabled do not count as
    /// missed. A job that has this state already is not changed.
    pub(crate) async fn set_enabled(
        &self,
        id: i64,
        enabled: bool,
        version: Option<i64>,
    ) -> Result<EditJob, StoreError> {
        let now = StoredTime::from(self.clock().now());
        let mut conn = self.db.write().await?;
        let changed = on_backend!(conn, |conn| {
            let is_off = job_center::enabled.is_null().or(job_center::enabled.eq(0));
            let job = self.mine().filter(job_center::id.eq(id));
            diesel::update(job.filter(is_off.eq(enabled)))
                .filter(is_version!(version))
                .set((
                    job_center::version.eq(next_version!()),
                    job_center::enabled.eq(i32::from(enabled)),
                    job_center::scheduled_from.eq(enabled.then_some(now)),
                    job_center::update_time.eq(now),
                ))
                .execute(conn)
                .await
        })?;
        drop(conn);
        if changed > 0 {
            return Ok(EditJob::Done);
        }
        Ok(match self.get(id).await? {
            None => EditJob::NotFound,
            Some(known) if version.is_some_and(|version| version != known.version()) => EditJob::Changed,
            // The job has this state already.
            Some(_) => EditJob::Done,
        })
    }

    async fn insert(&self, row: &DefinedRow, secret: Option<String>, now: StoredTime) -> Result<(), StoreError> {
        let mut conn = self.db.write().await?;
        on_backend!(conn, |conn| {
            diesel::insert_into(job_center::table)
                .values((
                    row.clone(),
                    job_center::unique_name.eq(&row.job_name),
                    job_center::system_name.eq(&*self.system),
                    job_center::hook_secret.eq(&secret),
                    job_center::create_time.eq(now),
                ))
                .execute(conn)
                .await
        })?;
        Ok(())
    }

    /// The id of the job with this name.
    #[cfg(feature = "web")]
    pub(crate) async fn named(&self, name: &str) -> Result<Option<i64>, StoreError> {
        let mut conn = self.db.look().await?;
        let id: Option<i64> = on_backend!(conn, |conn| {
            self.mine()
                .filter(job_center::job_name.eq(name))
                .select(job_center::id)
                .first(conn)
                .await
                .optional()
        })?;
        Ok(id)
    }

    /// The job that has this name, other than `except`. Before that, frees the name if plain SQL has renamed the job that had it.
    async fn holder_of_name(&self, name: &str, except: Option<i64>) -> Result<Option<i64>, StoreError> {
        let except = except.unwrap_or(0);
        let mut conn = self.db.write().await?;
        on_backend!(conn, |conn| {
            let left_behind = self
                .mine()
                .filter(job_center::unique_name.eq(name))
                .filter(job_center::job_name.ne(name));
            diesel::update(left_behind)
                .set(job_center::unique_name.eq(None::<String>))
                .execute(conn)
                .await
        })?;
        let holder: Option<i64> = on_backend!(conn, |conn| {
            self.mine()
                .filter(job_center::job_name.eq(name))
                .filter(job_center::id.ne(except))
                .select(job_center::id)
                .first(conn)
                .await
                .optional()
        })?;
        Ok(holder)
    }
}
