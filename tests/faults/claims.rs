//! Claims that nobody would end: under a living node that does not know them, or behind the locked row of another one.

use std::{collections::HashSet, time::Duration};

#[cfg(any(feature = "postgres", feature = "mysql"))]
use crate::{
    cluster::Cluster,
    node::log_of,
    sql::{Connection, block_on},
};
use crate::{
    interrupt::within,
    sql::{Database, Kind},
};

/// Tasks take 60 ms; what was claimed in advance, or is taken over, needs longer. Far more than any of that.
const PATIENCE: Duration = Duration::from_secs(60);

const SEEN: &str = "SELECT id, lease_token AS token, lease_owner AS owner FROM asynctasks \
    WHERE task_status = 'Running' AND lease_owner IS NOT NULL";

/// Tasks that run, each with the number of its claim and its node: by their rows, or by the claims that have them unseen.
fn held(kind: Kind) -> String {
    match kind {
        #[cfg(feature = "sqlite")]
        Kind::Sqlite => with_unseen("json_each(c.ids) i", "i.value"),
        #[cfg(feature = "postgres")]
        Kind::Postgres => with_unseen("unnest(c.ids) AS i (id)", "i.id"),
        #[cfg(feature = "mysql")]
        Kind::Mysql => with_unseen("JSON_TABLE(c.ids, '$[*]' COLUMNS (id BIGINT PATH '$')) i", "i.id"),
    }
}

fn with_unseen(ids: &str, id: &str) -> String {
    format!(
        "({SEEN} UNION ALL SELECT t.id, c.id AS token, c.node_id AS owner FROM gaia_claims c CROSS JOIN {ids} \
         CROSS JOIN asynctasks t WHERE t.id = {id} AND t.queued = 1 AND t.task_status IN ('Wait', 'Retry') \
         AND t.lease_token < c.id) held"
    )
}

/// Those of some nodes: id of the task and number of the claim in one number.
fn claims(database: &Database, owners: &str) -> HashSet<i64> {
    let held = held(database.kind);
    let claims = database.numbers(&format!(
        "SELECT id * 1000000 + token AS number FROM {held} WHERE {owners}"
    ));
    claims.into_iter().collect()
}

/// Of nodes that have a row.
const LIVING: &str = "owner IN (SELECT id FROM gaia_nodes)";

/// Answers if a claim that is there now stays under a node that has a row: no run there can last so long.
pub fn unknown(database: &Database) -> Option<String> {
    let mut left = claims(database, LIVING);
    let all_ended = within(PATIENCE, || {
        let now = claims(database, LIVING);
        left.retain(|claim| now.contains(claim));
        left.is_empty().then_some(())
    });
    let count = left.len();
    all_ended
        .is_none()
        .then(|| format!("{count} tasks stay Running under nodes that have a row, for {PATIENCE:?}"))
}

/// A backup, a standby that was behind, commits that a crash has undone: tasks that have ended since run again. Of one that may run only once
/// and had not begun, such a database does not know that it has run.
pub fn set_back(database: &Database) -> Option<String> {
    let held = held(database.kind);
    // Two moments: a node may remove a claim in between. A state that a database was in has no unseen task without its claim.
    database.execute("CREATE TABLE older_claims AS SELECT * FROM gaia_claims");
    database.execute(&format!(
        "CREATE TABLE older AS SELECT id, task_status, queued, lease_owner, lease_token, log_id FROM asynctasks \
         WHERE id IN (SELECT id FROM {held} WHERE token IN (SELECT id FROM older_claims)) \
         AND (task_status = 'Running' OR max_retry_time > 0)"
    ));
    let open = "SELECT COUNT(*) FROM asynctasks WHERE task_status <> 'Success' AND id IN (SELECT id FROM older)";
    let all_ended = within(PATIENCE, || (database.number(open) == 0).then_some(()));
    let count = database.number("SELECT COUNT(*) FROM older");
    let column = |name: &str| format!("{name} = (SELECT o.{name} FROM older o WHERE o.id = asynctasks.id)");
    let columns = ["task_status", "queued", "lease_owner", "lease_token", "log_id"];
    let columns = columns.map(column).join(", ");
    // The claims are written anew: a node that is about to remove one of them would remove it after all.
    database.execute(&format!(
        "BEGIN; \
         DELETE FROM asynctask_exec_row WHERE task_id IN (SELECT id FROM older); \
         DELETE FROM gaia_claims WHERE id IN (SELECT id FROM older_claims); \
         INSERT INTO gaia_claims SELECT * FROM older_claims; \
         UPDATE asynctasks SET finished_at = NULL, {columns} WHERE id IN (SELECT id FROM older); \
         DROP TABLE older; \
         DROP TABLE older_claims; \
         COMMIT"
    ));
    match all_ended {
        None => Some(format!("tasks that ran did not come to Success within {PATIENCE:?}")),
        Some(()) => (count == 0).then(|| "there was no task to set back".to_owned()),
    }
}

/// A node dies, and a stranger has locked the row of one of its tasks: the others must not wait for that one.
#[cfg(any(feature = "postgres", feature = "mysql"))]
pub fn lock_orphan(cluster: &mut Cluster) -> Option<String> {
    let pid = cluster.nodes[0].pid();
    cluster.nodes[0].kill();
    let of_the_dead = format!("owner IN (SELECT id FROM gaia_nodes WHERE pid = {pid})");
    let mut left = claims(&cluster.database, &of_the_dead);
    let Some(locked) = left.iter().next().map(|claim| claim / 1_000_000) else {
        return Some("the dead node had no task".to_owned());
    };
    let (kind, url) = (cluster.database.kind, cluster.database.url.clone());
    block_on(async {
        let mut stranger = Connection::open(kind, &url).await.expect("connects");
        let lock = format!("BEGIN; SELECT id FROM asynctasks WHERE id = {locked} FOR UPDATE");
        stranger.execute(&lock).await.expect("is locked");
        // Other looks have connections and runtimes of their own.
        let others = std::thread::scope(|scope| {
            let looks = scope.spawn(|| {
                let said = log_of(&cluster.database).len();
                cluster.replace(0);
                let others = others_ended(&cluster.database, &mut left);
                // A row that two looks have found locked is worth a line.
                within(PATIENCE, || (log_of(&cluster.database).len() > said).then_some(()));
                others
            });
            looks.join().expect("looks")
        });
        stranger.execute("COMMIT").await.expect("is released");
        others
    })
}

/// Whether all claims but one end.
#[cfg(any(feature = "postgres", feature = "mysql"))]
fn others_ended(database: &Database, left: &mut HashSet<i64>) -> Option<String> {
    let ended = within(PATIENCE, || {
        let now = claims(database, "1 = 1");
        left.retain(|claim| now.contains(claim));
        (left.len() <= 1).then_some(())
    });
    match ended {
        None => Some(format!(
            "{} tasks of a dead node wait for the locked row of one",
            left.len()
        )),
        Some(()) => left.is_empty().then(|| "the locked row was written".to_owned()),
    }
}
