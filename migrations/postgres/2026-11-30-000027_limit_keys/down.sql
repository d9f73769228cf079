-- Back to the version before, by hand: with all nodes stopped. No key has a limit any more, and the tasks that wait for one are due.
UPDATE asynctasks SET run_at = NULL
  WHERE task_status IN ('Wait', 'Retry') AND id IN (SELECT task_id FROM gaia_aside WHERE released = 0);
DROP TABLE IF EXISTS gaia_aside;
DROP TABLE IF EXISTS gaia_key_slots;
DROP TABLE IF EXISTS gaia_keys;
ALTER TABLE gaia_limits DROP COLUMN key_running;
ALTER TABLE gaia_limits DROP COLUMN key_starts;
ALTER TABLE gaia_limits DROP COLUMN key_per_ms;
ALTER TABLE asynctasks DROP COLUMN limit_key;
DELETE FROM gaia_migrations WHERE version = '20261130000027';
