//! Whether there is a connection pooler between this process and the server, and whether this crate can work with it.
//!
//! A pooler that gives each transaction another session of the server must carry prepared statements along. If it does not, a process
//! starts, and fails later, when two clients take turns on a session. So [`check`] makes two clients meet on a session.

use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::{Client, SimpleQueryMessage, error::SqlState};

use super::connect::{Connector, refusal};
use crate::store::server::pool::Refusal;

/// How long the check waits for a statement that a pooler with a single session holds up.
const HELD_UP: Duration = Duration::from_secs(2);

/// The server's codes if a session does not know a prepared statement, or has another statement of that name.
const LOST: [SqlState; 2] = [SqlState::INVALID_SQL_STATEMENT_NAME, SqlState::DUPLICATE_PSTATEMENT];

const LOSES_STATEMENTS: &str = "there is a connection pooler in between that gives each transaction another session of the server \
    and does not carry prepared statements along, which this crate needs; let it pool sessions (pool_mode = session), use \
    PgBouncer 1.21 or later with max_prepared_statements, or connect to the server itself";

/// PgBouncer's words for a transaction that it does not allow.
const POOLS_STATEMENTS: &str = "statement pooling mode";

/// Refuses a pooler that loses prepared statements.
pub(super) async fn check(connector: &Connector, patience: Duration) -> Result<(), Refusal> {
    let too_late = || Refusal::Other(format!("no connection within {patience:?}"));
    let connect = async || {
        let client = timeout(patience, connector.client()).await;
        client.unwrap_or_else(|_| Err(too_late()))
    };
    let first = connect().await?;
    // Without a second connection the check is not possible, and the pooler passes.
    let Ok(second) = connect().await else {
        return Ok(());
    };
    match timeout(HELD_UP + patience, keeps_statements(&first, &second)).await {
        Ok(Ok(true)) => Ok(()),
        Ok(Ok(false)) => Err(Refusal::Other(LOSES_STATEMENTS.to_owned())),
        Ok(Err(error)) => Err(in_plain_words(&error)),
        Err(_) => Err(too_late()),
    }
}

fn in_plain_words(error: &tokio_postgres::Error) -> Refusal {
    if error.code().is_some_and(|code| LOST.contains(code)) {
        return Refusal::Other(LOSES_STATEMENTS.to_owned());
    }
    match refusal(error) {
        Refusal::Other(text) if text.contains(POOLS_STATEMENTS) => Refusal::Other(format!(
            "{text}: this crate needs transactions, let the pooler pool sessions (pool_mode = session)"
        )),
        refusal => refusal,
    }
}

/// If a pooler gives each transaction another session, the second client begins its transaction in the session that the first client used
/// last. The first client's statement is prepared there, under the driver's name if the pooler does not carry statements along; and the
/// first client must run it in another session.
async fn keeps_statements(first: &Client, second: &Client) -> Result<bool, tokio_postgres::Error> {
    let text = format!("SELECT {}::bigint", fastrand::u32(..));
    let statement = first.prepare(&text).await?;
    second.batch_execute("BEGIN").await?;
    let names = format!("SELECT name FROM pg_prepared_statements WHERE statement = '{text}'");
    let seen = second.simple_query(&names).await?;
    if seen.iter().any(is_drivers_name) {
        return Ok(false);
    }
    // A statement that is held up waits for the second client's transaction: both clients have one session.
    if let Ok(answer) = timeout(HELD_UP, first.query_one(&statement, &[])).await {
        answer?;
    }
    second.batch_execute("ROLLBACK").await?;
    Ok(true)
}

/// The driver calls its statements `s1`, `s2` and so on; poolers that carry statements along give them other names.
fn is_drivers_name(row: &SimpleQueryMessage) -> bool {
    let SimpleQueryMessage::Row(row) = row else {
        return false;
    };
    let number = row.get(0).and_then(|name| name.strip_prefix('s'));
    number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
}
