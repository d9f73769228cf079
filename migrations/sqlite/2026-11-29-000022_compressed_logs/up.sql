-- What handlers have logged while they served runs is compressed. Lines that are there as text are given up.
DROP TABLE gaia_run_logs;
--   scope    the theme; '' = jobs
--   log_id   the run whose lines the row holds; '' = a pack of runs that ended between first_at and last_at
--   content  an LZ4 block of runs: see src/logs/stored.rs
CREATE TABLE gaia_run_logs (
  id TEXT NOT NULL PRIMARY KEY,
  scope TEXT NOT NULL,
  log_id TEXT NOT NULL,
  first_at TIMESTAMP NOT NULL,
  last_at TIMESTAMP NOT NULL,
  content BLOB NOT NULL
);
CREATE INDEX gaia_run_logs_run ON gaia_run_logs (log_id) WHERE log_id <> '';
CREATE INDEX gaia_run_logs_time ON gaia_run_logs (scope, last_at, first_at);
