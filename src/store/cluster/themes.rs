//! The settings of a theme that operators have stored for all nodes.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use diesel::{
    dsl::{case_when, sql},
    prelude::*,
    sql_query,
    sql_types::{Integer, Nullable, Text},
};
use diesel_async::RunQueryDsl;

use super::requests::life;
use crate::{
    domain::{MAX_WORKERS, Note},
    store::{
        ClusterStore, StoreError,
        db::on_backend,
        lenient::{AnyInt, AnyText, AnyTime, is_set, number, text, time},
        schema::{gaia_claims, gaia_due, gaia_requests, gaia_themes},
        time::StoredTime,
    },
};

/// The settings of a theme on every node. A theme without a row has the default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ThemeSettings {
    pub(crate) paused: bool,
    pub(crate) size: ThemeSize,
}

/// How many workers each node should have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ThemeSize {
    /// `None`: as many as the options of the node's process say.
    pub(crate) workers: Option<usize>,
    /// Grows with each call of `resize_theme`: a node follows each call once.
    pub(crate) order: i64,
}

/// Theme, paused, workers, order.
type SettingsRow = (AnyText, AnyInt, Option<AnyInt>, AnyInt);

impl ThemeSettings {
    fn of(paused: AnyInt, workers: Option<AnyInt>, order: AnyInt) -> Self {
        let workers = number(workers).and_then(|workers| usize::try_from(workers).ok());
        let size = ThemeSize {
            // A number that `resize_theme` would refuse is ignored.
            workers: workers.filter(|workers| *workers <= MAX_WORKERS),
            order: number(order).unwrap_or_default(),
        };
        let paused = is_set(paused);
        Self { paused, size }
    }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = gaia_themes)]
struct ThemeRow {
    theme: AnyText,
    paused: AnyInt,
    workers: Option<AnyInt>,
    size_order: AnyInt,
    paused_by: Option<AnyText>,
    paused_reason: Option<AnyText>,
    paused_at: Option<AnyTime>,
    first_paused_by: Option<AnyText>,
    first_paused_reason: Option<AnyText>,
    first_paused_at: Option<AnyTime>,
    resized_by: Option<AnyText>,
    resized_reason: Option<AnyText>,
    resized_at: Option<AnyTime>,
}

/// A theme that the database knows.
#[derive(Debug, Clone, Default)]
pub(crate) struct StoredTheme {
    pub(crate) settings: ThemeSettings,
    /// Who paused or resumed it last.
    pub(crate) paused: StoredNote,
    /// Who paused it first, if it was paused again since.
    pub(crate) first_paused: StoredNote,
    /// Who resized it last on all nodes.
    pub(crate) resized: StoredNote,
}

/// A note with its time. All are `None` if there is no note.
#[derive(Debug, Clone, Default)]
pub(crate) struct StoredNote {
    pub(crate) note: Note,
    pub(crate) at: Option<DateTime<Utc>>,
}

impl StoredNote {
    fn of(by: Option<AnyText>, reason: Option<AnyText>, at: Option<AnyTime>) -> Self {
        let note = Note {
            by: text(by),
            reason: text(reason),
        };
        Self { note, at: time(at) }
    }
}

impl From<ThemeRow> for (String, StoredTheme) {
    fn from(row: ThemeRow) -> Self {
        let theme = StoredTheme {
            settings: ThemeSettings::of(row.paused, row.workers, row.size_order),
            paused: StoredNote::of(row.paused_by, row.paused_reason, row.paused_at),
            first_paused: StoredNote::of(row.first_paused_by, row.first_paused_reason, row.first_paused_at),
            resized: StoredNote::of(row.resized_by, row.resized_reason, row.resized_at),
        };
        (row.theme.0, theme)
    }
}

/// The most themes that are looked for among tasks that no segment holds.
const MOST_UNPLACED: usize = 1_000;

#[derive(QueryableByName)]
struct Named {
    #[diesel(sql_type = Nullable<Text>)]
    theme: Option<AnyText>,
}

impl ClusterStore<'_> {
    /// The settings of these themes (themes without any are missing), and the ids of the requests to this node. One query has both, so that a
    /// node on which nothing happens makes no other.
    pub(crate) async fn settings_and_requests(
        &self,
        themes: &[String],
        node: &str,
    ) -> Result<(BTreeMap<String, ThemeSettings>, Vec<i64>), StoreError> {
        let [after, before] = life(self.clock().now());
        let mut conn = self.db.read().await?;
        let rows: Vec<(SettingsRow, AnyInt)> = on_backend!(conn, |conn| {
            gaia_themes::table
                .filter(gaia_themes::theme.eq_any(themes))
                .select((
                    (
                        gaia_themes::theme,
                        gaia_themes::paused,
                        gaia_themes::workers,
                        gaia_themes::size_order,
                    ),
                    sql::<Integer>("0"),
                ))
                .union_all(
                    gaia_requests::table
                        .filter(gaia_requests::open_for.eq(node))
                        .filter(gaia_requests::created_at.between(after, before))
                        .select((
                            (
                                sql::<Text>("''"),
                                sql::<Integer>("0"),
                                sql::<Nullable<Integer>>("NULL"),
                                gaia_requests::id,
                            ),
                            sql::<Integer>("1"),
                        )),
                )
                .load(conn)
                .await
        })?;
        let (mut settings, mut requests) = (BTreeMap::new(), Vec::new());
        for ((theme, paused, workers, order), is_request) in rows {
            if is_set(is_request) {
                requests.extend(number(order));
            } else {
                settings.insert(theme.0, ThemeSettings::of(paused, workers, order));
            }
        }
        Ok((settings, requests))
    }

    pub(crate) async fn settings(&self, theme: &str) -> Result<ThemeSettings, StoreError> {
        let mut conn = self.db.read().await?;
        let row: Option<SettingsRow> = on_backend!(conn, |conn| {
            gaia_themes::table
                .filter(gaia_themes::theme.eq(theme))
                .select((
                    gaia_themes::theme,
                    gaia_themes::paused,
                    gaia_themes::workers,
                    gaia_themes::size_order,
                ))
                .first(conn)
                .await
                .optional()
        })?;
        let settings = row.map(|(_, paused, workers, order)| ThemeSettings::of(paused, workers, order));
        Ok(settings.unwrap_or_default())
    }

    /// The themes that have settings, or tasks that wait or run, for an operator.
    pub(crate) async fn known_themes(&self) -> Result<BTreeMap<String, StoredTheme>, StoreError> {
        let mut conn = self.db.look().await?;
        let rows: Vec<ThemeRow> = on_backend!(conn, |conn| {
            gaia_themes::table.select(ThemeRow::as_select()).load(conn).await
        })?;
        let due: Vec<AnyText> = on_backend!(conn, |conn| {
            gaia_due::table.select(gaia_due::theme).distinct().load(conn).await
        })?;
        let claimed: Vec<AnyText> = on_backend!(conn, |conn| {
            gaia_claims::table
                .select(gaia_claims::theme)
                .distinct()
                .load(conn)
                .await
        })?;
        let mut with_tasks: BTreeSet<String> = due.into_iter().chain(claimed).map(|theme| theme.0).collect();
        for themes in self.db.dialect().unplaced_themes {
            let query = themes.query(MOST_UNPLACED);
            let found: Vec<Named> = on_backend!(conn, |conn| sql_query(&query).load(conn).await)?;
            let names = found.into_iter().filter_map(|Named { theme }| text(theme));
            with_tasks.extend(names.filter_map(|name| name.strip_prefix(themes.prefix).map(str::to_owned)));
        }
        drop(conn);
        let mut themes: BTreeMap<String, StoredTheme> = rows.into_iter().map(Into::into).collect();
        for theme in with_tasks {
            themes.entry(theme).or_default();
        }
        Ok(themes)
    }

    /// Pauses or resumes a theme. The note of a theme that is paused already is kept beside the new one.
    pub(crate) async fn set_paused(&self, theme: &str, paused: bool, note: &Note) -> Result<(), StoreError> {
        self.add_theme(theme).await?;
        let now = StoredTime::from(self.clock().now());
        let mut conn = self.db.write().await?;
        on_backend!(conn, |conn| {
            let is_kept = || {
                let pauses = i32::from(paused).into_sql::<Integer>();
                gaia_themes::paused.ne(0).and(pauses.ne(0))
            };
            let is_first = || gaia_themes::first_paused_at.is_null();
            diesel::update(gaia_themes::table.filter(gaia_themes::theme.eq(theme)))
                // MySQL sets the columns in this order, and reads what it has set.
                .set((
                    gaia_themes::first_paused_by.eq(case_when(
                        is_kept(),
                        case_when(is_first(), gaia_themes::paused_by).otherwise(gaia_themes::first_paused_by),
                    )),
                    gaia_themes::first_paused_reason.eq(case_when(
                        is_kept(),
                        case_when(is_first(), gaia_themes::paused_reason).otherwise(gaia_themes::first_paused_reason),
                    )),
                    gaia_themes::first_paused_at.eq(case_when(
                        is_kept(),
                        case_when(is_first(), gaia_themes::paused_at).otherwise(gaia_themes::first_paused_at),
                    )),
                    gaia_themes::paused.eq(i32::from(paused)),
                    gaia_themes::paused_by.eq(&note.by),
                    gaia_themes::paused_reason.eq(&note.reason),
                    gaia_themes::paused_at.eq(now),
                    gaia_themes::update_time.eq(now),
                ))
                .execute(conn)
                .await
        })?;
        Ok(())
    }

    pub(crate) async fn set_size(&self, theme: &str, workers: Option<usize>, note: &Note) -> Result<(), StoreError> {
        self.add_theme(theme).await?;
        let now = StoredTime::from(self.clock().now());
        let workers = workers.map(|workers| i32::try_from(workers).unwrap_or(i32::MAX));
        let mut conn = self.db.write().await?;
        on_backend!(conn, |conn| {
            diesel::update(gaia_themes::table.filter(gaia_themes::theme.eq(theme)))
                .set((
                    gaia_themes::workers.eq(workers),
                    gaia_themes::size_order.eq(gaia_themes::size_order + 1),
                    gaia_themes::resized_by.eq(&note.by),
                    gaia_themes::resized_reason.eq(&note.reason),
                    gaia_themes::resized_at.eq(now),
                    gaia_themes::update_time.eq(now),
                ))
                .execute(conn)
                .await
        })?;
        Ok(())
    }

    /// Makes the theme's row if it is not there.
    async fn add_theme(&self, theme: &str) -> Result<(), StoreError> {
        let now = StoredTime::from(self.clock().now());
        let mut conn = self.db.write().await?;
        let there: i64 = on_backend!(conn, |conn| {
            gaia_themes::table
                .filter(gaia_themes::theme.eq(theme))
                .count()
                .get_result(conn)
                .await
        })?;
        if there > 0 {
            return Ok(());
        }
        let added = on_backend!(conn, |conn| {
            diesel::insert_into(gaia_themes::table)
                .values((gaia_themes::theme.eq(theme), gaia_themes::update_time.eq(now)))
                .execute(conn)
                .await
        });
        match added.map_err(StoreError::from) {
            // Another process has made the row first.
            Ok(_) | Err(StoreError::Duplicate(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
