//! Fills `asynctasks` by SQL, as a long life would have done.

use crate::database::{Kind, Plain, Result};

/// Rows of one statement.
const CHUNK: usize = 100_000;
/// The history reaches so far back: not as far as what a node would delete by default.
const HISTORY_SECONDS: f64 = 6.0 * 86_400.0;

/// A tenth of the rows has each of ten priorities.
pub(crate) const TEN_PRIORITIES: &str = "n % 10";

/// SQL in which `n` counts the rows.
pub(crate) struct Waiting<'a> {
    pub(crate) theme: &'a str,
    pub(crate) priority: &'a str,
    pub(crate) run_at: &'a str,
}

/// Tasks that wait.
pub(crate) async fn add_waiting(plain: &mut Plain, kind: Kind, tasks: &Waiting<'_>, count: usize) -> Result<()> {
    let Waiting {
        theme,
        priority,
        run_at,
    } = tasks;
    let columns = "system_name, service_name, method_name, task_name, arg, priority, run_at, create_time, update_time";
    let now = kind.time("0");
    let values = format!(
        "{theme}, 'Bench', 'Noop', 'Bench.Noop', CONCAT('{{\"item\":\"tea\",\"amount\":', n, '}}'), {priority}, \
         {run_at}, {now}, {now}"
    );
    add(plain, kind, columns, &values, count).await
}

/// Tasks that have ended, each with its record, as after a real run.
pub(crate) async fn add_finished(plain: &mut Plain, kind: Kind, theme: &str, count: usize) -> Result<()> {
    let columns = "system_name, service_name, method_name, task_name, arg, priority, task_status, last_run_time, \
                   last_run_end_time, last_run_duration, create_time, update_time, last_result, last_err_msg, log_id, \
                   lease_token, began";
    let ago = format!("-{HISTORY_SECONDS:.1} * ({count} - n) / {count}");
    let time = kind.time(&ago);
    let values = format!(
        "{theme}, 'Bench', 'Noop', 'Bench.Noop', CONCAT('{{\"item\":\"tea\",\"amount\":', n, '}}'), n % 10, \
         CASE WHEN n % 11 = 0 THEN 'Failed' ELSE 'Success' END, {time}, {time}, n % 1000, {time}, {time}, \
         CASE WHEN n % 11 = 0 THEN NULL ELSE CONCAT('{{\"order_id\":', n, '}}') END, \
         CASE WHEN n % 11 = 0 THEN 'the shop is closed' END, \
         CONCAT('0193f0a1b2c37d8e9f00112233445566-', n), 1, 0"
    );
    add(plain, kind, columns, &values, count).await?;
    let records = "INSERT INTO asynctask_exec_row (task_id, task_status, last_result, last_err_msg, last_run_time, \
                     last_run_end_time, last_run_duration, log_id, create_time, attempt, node_id, lease_token) \
                   SELECT id, task_status, last_result, last_err_msg, last_run_time, last_run_end_time, \
                     last_run_duration, log_id, create_time, 1, 'bench-node', 1 \
                   FROM asynctasks WHERE task_status IN ('Success', 'Failed')";
    plain.run(records).await
}

/// One text for every database: `n` counts the rows.
async fn add(plain: &mut Plain, kind: Kind, columns: &str, values: &str, count: usize) -> Result<()> {
    plain.allow_recursion(kind, CHUNK).await?;
    for from in (0..count).step_by(CHUNK) {
        let to = count.min(from + CHUNK);
        let insert = format!(
            "INSERT INTO asynctasks ({columns}) \
             WITH RECURSIVE s (n) AS (SELECT {from} + 1 UNION ALL SELECT n + 1 FROM s WHERE n < {to}) \
             SELECT {values} FROM s"
        );
        plain.run(&insert).await?;
    }
    Ok(())
}
