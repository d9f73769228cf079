-- Back to the version before, by hand: with all nodes stopped. The lines of runs are given up.
DROP TABLE gaia_run_logs;
CREATE TABLE gaia_run_logs (
  id TEXT NOT NULL PRIMARY KEY,
  scope TEXT NOT NULL,
  log_id TEXT NOT NULL,
  first_at TIMESTAMP NOT NULL,
  last_at TIMESTAMP NOT NULL,
  content TEXT NOT NULL
);
CREATE INDEX gaia_run_logs_run ON gaia_run_logs (log_id) WHERE log_id <> '';
CREATE INDEX gaia_run_logs_time ON gaia_run_logs (scope, last_at, first_at);
DELETE FROM gaia_migrations WHERE version = '20261129000022';
