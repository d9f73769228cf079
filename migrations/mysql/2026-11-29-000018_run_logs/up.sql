-- What handlers have logged while they served runs, as lines of JSON.
--   scope    the theme; '' = jobs
--   log_id   the run whose lines the row holds; '' = a pack of runs that ended between first_at and last_at
CREATE TABLE IF NOT EXISTS gaia_run_logs (
  id varchar(36) NOT NULL PRIMARY KEY,
  scope varchar(100) CHARACTER SET utf8mb4 COLLATE {exact} NOT NULL,
  log_id varchar(100) NOT NULL,
  first_at datetime(6) NOT NULL,
  last_at datetime(6) NOT NULL,
  content longtext NOT NULL,
  KEY gaia_run_logs_run (log_id),
  KEY gaia_run_logs_time (scope, last_at, first_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
