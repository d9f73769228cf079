//! Tasks that plain SQL has left under a node: nodes find them by the node's claims.

use gaia_actors::store::ClaimedTask;

use super::database::{Database, Kind};

impl Database {
    /// What a worker has the row of a task say before it calls the handler of a last attempt.
    pub fn begin(&self, task: &ClaimedTask) {
        let (id, token, owner, log_id) = (task.id, task.token, &task.owner, &task.log_id);
        self.execute(&format!(
            "UPDATE asynctasks SET task_status = 'Running', queued = 2, lease_owner = '{owner}', lease_token = {token}, \
             log_id = '{log_id}', began = 1 WHERE id = {id}"
        ));
    }

    /// Makes a claim of the tasks that are Running under this node.
    pub fn hold(&self, node: &str) {
        let now = self.in_seconds(0);
        let ids = match self.kind() {
            #[cfg(feature = "sqlite")]
            Kind::Sqlite => "json_group_array(id)",
            #[cfg(feature = "postgres")]
            Kind::Postgres => "array_agg(id)",
            #[cfg(feature = "mysql")]
            Kind::Mysql => "CONCAT('[', GROUP_CONCAT(id), ']')",
        };
        self.execute(&format!(
            "INSERT INTO gaia_claims (theme, node_id, mark, claimed_at, ids) \
             SELECT MIN(system_name), '{node}', 'held', {now}, {ids} FROM asynctasks \
             WHERE task_status = 'Running' AND lease_owner = '{node}' HAVING COUNT(*) > 0"
        ));
    }
}
