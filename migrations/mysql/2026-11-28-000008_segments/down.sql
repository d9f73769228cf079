-- Back to the version before, by hand: with all nodes stopped. No task is lost. For {exact} write utf8mb4_nopad_bin on MariaDB,
-- utf8mb4_0900_bin on MySQL.
DROP TABLE gaia_due, gaia_claims;
ALTER TABLE asynctasks
  DROP KEY gaia_tasks_stray,
  DROP COLUMN stray,
  DROP COLUMN queued,
  ADD COLUMN due_theme varchar(100) CHARACTER SET utf8mb4 COLLATE {exact} GENERATED ALWAYS AS
    (CASE WHEN task_status IN ('Wait', 'Retry') AND run_at IS NULL THEN system_name END) STORED,
  ADD KEY gaia_tasks_claim (due_theme, priority DESC, id),
  ADD KEY gaia_tasks_running (lease_owner);
ALTER TABLE gaia_nodes DROP COLUMN protocol;
DELETE FROM gaia_migrations WHERE version = '20261128000008';
