//! Whether a connection pooler stands between this process and the server, and whether one can work with it.
//!
//! A pooler that gives each transaction another session of the server's must carry prepared statements along. A pooler that does not
//! lets a process start and fails it later, when two clients take turns on a session. Both are made to meet here.

use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::{Client, SimpleQueryMessage, error::SqlState};

use super::connect::{Connector, refusal};
use crate::store::server::pool::Refusal;

/// How long a statement is waited for that a pooler with a single session holds up.
const HELD_UP: Duration = Duration::from_secs(2);

/// What a server says whose session does not know a prepared statement, or knows another one by its name.
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
    // A server that gives only one has been asked all that can be asked.
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

/// The second client begins a transaction in the session that the first one used last, if there is a pooler of transactions: what
/// the first one has prepared is there, under its own name if nothing carries it along, and the first one must work elsewhere.
async fn keeps_statements(first: &Client, second: &Client) -> Result<bool, tokio_postgres::Error> {
    let text = format!("SELECT {}::bigint", fastrand::u32(..));
    let statement = first.prepare(&text).await?;
    second.batch_execute("BEGIN").await?;
    let names = format!("SELECT name FROM pg_prepared_statements WHERE statement = '{text}'");
    let seen = second.simple_query(&names).await?;
    if seen.iter().any(is_drivers_name) {
        return Ok(false);
    }
    // Held up, it waits for the second one: there is one session for both.
    if let Ok(answer) = timeout(HELD_UP, first.query_one(&statement, &[])).await {
        answer?;
    }
    second.batch_execute("ROLLBACK").await?;
    Ok(true)
}

/// The driver calls its statements `s1`, `s2` and so on; poolers that carry them along give them other names.
fn is_drivers_name(row: &SimpleQueryMessage) -> bool {
    let SimpleQueryMessage::Row(row) = row else {
        return false;
    };
    let number = row.get(0).and_then(|name| name.strip_prefix('s'));
    number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
}
