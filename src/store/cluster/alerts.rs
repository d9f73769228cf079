//! Open alerts: a row for each cause that goes on. Every write names the version that it has read: of many nodes one succeeds, and
//! this node sends the message.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use sha2::{Digest, Sha256};

use crate::{
    domain::{AlertKind, ListAlerts, OpenAlert, hex},
    store::{
        ClusterStore, StoreError,
        db::on_backend,
        lenient::{AnyInt, AnyText, AnyTime, number, text, time},
        schema::gaia_alerts,
        time::StoredTime,
    },
};

/// The most rows that are read. Nodes that raise alerts at the same time may go somewhat beyond the most alerts, 500.
const MOST_ROWS: i64 = 1_000;

/// An open alert with what its row is found and changed by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredAlert {
    /// The hash of the key: see [`hashed`].
    pub(crate) hash: String,
    /// Each write adds 1.
    pub(crate) version: i64,
    pub(crate) alert: OpenAlert,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = gaia_alerts)]
struct AlertRow {
    alert_key: AnyText,
    kind: AnyText,
    subject: AnyText,
    theme: Option<AnyText>,
    node: AnyText,
    since: AnyTime,
    last_time: AnyTime,
    last_sent: AnyTime,
    times: AnyInt,
    held_back: AnyInt,
    version: AnyInt,
    place: AnyText,
    text_en: AnyText,
    text_zh: AnyText,
}

impl AlertRow {
    /// `None`: a newer version has made it, of a kind that this version does not know.
    fn stored(self) -> Option<StoredAlert> {
        let kind: AlertKind = self.kind.0.parse().ok()?;
        let count = |column| number(column).and_then(|count| u64::try_from(count).ok());
        Some(StoredAlert {
            hash: self.alert_key.0,
            version: number(self.version)?,
            alert: OpenAlert {
                kind,
                severity: kind.severity(),
                subject: self.subject.0,
                theme: text(self.theme),
                node: self.node.0,
                since: time(self.since).unwrap_or_default(),
                last_time: time(self.last_time).unwrap_or_default(),
                last_sent: time(self.last_sent).unwrap_or_default(),
                times: count(self.times).unwrap_or(1),
                held_back: count(self.held_back).unwrap_or_default(),
                place: self.place.0,
                text_en: self.text_en.0,
                text_zh: self.text_zh.0,
            },
        })
    }
}

/// The key of an alert as its row has it: a key may be longer than an index can be.
pub(crate) fn hashed(key: &str) -> String {
    hex(&Sha256::digest(key.as_bytes()))
}

fn number_of(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// What a change of a row sets.
macro_rules! values {
    ($stored:ident) => {
        (
            gaia_alerts::subject.eq(&$stored.alert.subject),
            gaia_alerts::node.eq(&$stored.alert.node),
            gaia_alerts::last_time.eq(StoredTime::from($stored.alert.last_time)),
            gaia_alerts::last_sent.eq(StoredTime::from($stored.alert.last_sent)),
            gaia_alerts::times.eq(number_of($stored.alert.times)),
            gaia_alerts::held_back.eq(number_of($stored.alert.held_back)),
            gaia_alerts::place.eq(&$stored.alert.place),
            gaia_alerts::text_en.eq(&$stored.alert.text_en),
            gaia_alerts::text_zh.eq(&$stored.alert.text_zh),
        )
    };
}

impl ClusterStore<'_> {
    /// The open alerts, the newest first.
    pub(crate) async fn alerts(&self, list: &ListAlerts) -> Result<Vec<StoredAlert>, StoreError> {
        let mut conn = self.db.look().await?;
        let rows: Vec<AlertRow> = on_backend!(conn, |conn| {
            let mut query = gaia_alerts::table.select(AlertRow::as_select()).into_boxed();
            if !list.themes.is_empty() {
                query = query.filter(gaia_alerts::theme.eq_any(&list.themes));
            }
            query
                .order((gaia_alerts::since.desc(), gaia_alerts::alert_key))
                .limit(MOST_ROWS)
                .load(conn)
                .await
        })?;
        Ok(rows.into_iter().filter_map(AlertRow::stored).collect())
    }

    /// Makes the row of a new alert. False: another node has been quicker.
    pub(crate) async fn raise_alert(&self, stored: &StoredAlert) -> Result<bool, StoreError> {
        let mut conn = self.db.write().await?;
        let inserted = on_backend!(conn, |conn| {
            diesel::insert_into(gaia_alerts::table)
                .values((
                    gaia_alerts::alert_key.eq(&stored.hash),
                    gaia_alerts::kind.eq(stored.alert.kind.as_str()),
                    gaia_alerts::theme.eq(&stored.alert.theme),
                    gaia_alerts::since.eq(StoredTime::from(stored.alert.since)),
                    gaia_alerts::version.eq(stored.version),
                    values!(stored),
                ))
                .execute(conn)
                .await
        });
        match inserted.map_err(StoreError::from) {
            Ok(_) => Ok(true),
            Err(StoreError::Duplicate(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Changes the row of an alert, if no other node has changed it since it was read; answers whether it was changed.
    pub(crate) async fn change_alert(&self, stored: &StoredAlert) -> Result<bool, StoreError> {
        let change = || async {
            let mut conn = self.db.write().await?;
            Ok(on_backend!(conn, |conn| {
                diesel::update(gaia_alerts::table.filter(gaia_alerts::alert_key.eq(&stored.hash)))
                    .filter(gaia_alerts::version.eq(stored.version))
                    .set((values!(stored), gaia_alerts::version.eq(stored.version + 1)))
                    .execute(conn)
                    .await
            })?)
        };
        Ok(self.retrying(change).await? > 0)
    }

    /// Deletes the row of an alert, if no other node has changed it since it was read; answers whether it was deleted.
    pub(crate) async fn end_alert(&self, stored: &StoredAlert) -> Result<bool, StoreError> {
        let delete = || async {
            let mut conn = self.db.write().await?;
            Ok(on_backend!(conn, |conn| {
                diesel::delete(gaia_alerts::table.filter(gaia_alerts::alert_key.eq(&stored.hash)))
                    .filter(gaia_alerts::version.eq(stored.version))
                    .execute(conn)
                    .await
            })?)
        };
        Ok(self.retrying(delete).await? > 0)
    }
}
