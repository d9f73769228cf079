-- Back to the version before, by hand: with all nodes stopped, as the owner of the tables, in one transaction. No task is lost.
DROP TRIGGER gaia_task_added ON asynctasks;
DROP TRIGGER gaia_task_requeued ON asynctasks;
DROP TRIGGER gaia_task_taken ON asynctasks;
DROP FUNCTION gaia_task_added();
DROP FUNCTION gaia_task_requeued();
DROP FUNCTION gaia_task_taken();
DROP TABLE gaia_due, gaia_claims;
DROP INDEX gaia_tasks_unique, gaia_tasks_scheduled, gaia_tasks_cancelled;
ALTER TABLE asynctasks DROP COLUMN live_key, DROP COLUMN queued;
ALTER TABLE asynctasks RESET (fillfactor);
CREATE INDEX gaia_tasks_claim ON asynctasks (system_name, priority DESC, id)
  WHERE task_status IN ('Wait', 'Retry') AND run_at IS NULL;
CREATE INDEX gaia_tasks_scheduled ON asynctasks (system_name, run_at)
  WHERE task_status IN ('Wait', 'Retry') AND run_at IS NOT NULL;
CREATE INDEX gaia_tasks_running ON asynctasks (lease_owner)
  WHERE task_status = 'Running';
CREATE UNIQUE INDEX gaia_tasks_unique ON asynctasks (system_name, unique_key)
  WHERE unique_key IS NOT NULL AND task_status IN ('Wait', 'Retry', 'Running');
ALTER TABLE asynctask_exec_row DROP CONSTRAINT asynctask_exec_row_pkey, ADD PRIMARY KEY (id);
CREATE INDEX idx_asynctask_exec_row_task_id ON asynctask_exec_row (task_id);
ALTER TABLE gaia_nodes DROP COLUMN protocol;
DELETE FROM gaia_migrations WHERE version = '20261128000008';
