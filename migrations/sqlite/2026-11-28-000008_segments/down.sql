-- Back to the version before, by hand: with all nodes stopped, in one transaction. No task is lost.
DROP TABLE gaia_due;
DROP TABLE gaia_claims;
DROP INDEX gaia_tasks_stray;
DROP INDEX gaia_tasks_unheld;
DROP INDEX gaia_tasks_cancelled;
ALTER TABLE asynctasks DROP COLUMN queued;
CREATE INDEX gaia_tasks_claim ON asynctasks (system_name, priority DESC, id)
  WHERE task_status IN ('Wait', 'Retry') AND run_at IS NULL;
CREATE INDEX gaia_tasks_running ON asynctasks (lease_owner)
  WHERE task_status = 'Running';
ALTER TABLE gaia_nodes DROP COLUMN protocol;
DELETE FROM gaia_migrations WHERE version = '20261128000008';
