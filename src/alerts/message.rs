//! Messages about open alerts.

use chrono::{DateTime, Utc};

use super::cause::{Cause, Texts, key};
use crate::{
    domain::{Alert, AlertState, OpenAlert},
    store::{StoredAlert, hashed},
};

/// A message to be sent, and the page of the dashboard to which it may have a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) alert: Alert,
    pub(super) place: String,
}

impl Message {
    /// By this node, at this time. `untold`: how often it has happened since the last message.
    pub(super) fn new(open: &OpenAlert, state: AlertState, (time, node): (DateTime<Utc>, &str), untold: u64) -> Self {
        Self {
            alert: Alert {
                kind: open.kind,
                key: key(open.kind, &open.subject),
                subject: open.subject.clone(),
                theme: open.theme.clone(),
                state,
                severity: open.severity,
                since: open.since,
                time,
                node: node.to_owned(),
                times: open.times,
                // The message itself stands for one of them, unless it tells that the cause is over.
                held_back: match state {
                    AlertState::Recovered => untold,
                    AlertState::Raised | AlertState::Reminded => untold.saturating_sub(1),
                },
                text_en: open.text_en.clone(),
                text_zh: open.text_zh.clone(),
                link: None,
            },
            place: open.place.clone(),
        }
    }

    /// The alert with a link to the dashboard at this URL, if there is one.
    pub(super) fn into_alert(self, dashboard: Option<&str>) -> Alert {
        let Self { mut alert, place } = self;
        alert.link = dashboard.map(|url| format!("{url}/{place}"));
        alert
    }
}

/// An alert whose cause has begun now and has been seen by this node.
pub(super) fn opened(cause: &Cause, times: u64, (now, node): (DateTime<Utc>, &str)) -> OpenAlert {
    let (kind, Texts { en, zh }) = (cause.kind(), cause.texts(times));
    OpenAlert {
        kind,
        severity: kind.severity(),
        subject: cause.subject(),
        theme: cause.theme(),
        node: node.to_owned(),
        since: now,
        last_time: now,
        last_sent: now,
        times,
        held_back: 0,
        place: cause.place(),
        text_en: en,
        text_zh: zh,
    }
}

/// As its row has it when it is made.
pub(super) fn stored(alert: OpenAlert) -> StoredAlert {
    StoredAlert {
        hash: hashed(&key(alert.kind, &alert.subject)),
        version: 0,
        alert,
    }
}
