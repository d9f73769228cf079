-- Bulk operations: an action on all tasks that meet a filter. A node walks over the tasks in descending order of their ids, some hundred
-- at a time, and notes here how far it has come. If the node dies, another one goes on from there.
--   token     By which the process that inserts the row finds it.
--   action    cancel, retry, run_now or delete.
--   filter    Which tasks, as JSON.
--   state     running, done, cancelled or failed.
--   below     Tasks with this id or a greater one are done with.
--   most      At most so many tasks; NULL = all.
--   skipped   Tasks left as they were, by reason, as JSON.
--   error     Why it has failed.
--   node_id   The node that works on it; NULL = none yet.
CREATE TABLE IF NOT EXISTS gaia_bulk (
  id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY,
  token varchar(64) NOT NULL UNIQUE,
  action varchar(64) NOT NULL,
  filter mediumtext NOT NULL,
  state varchar(64) NOT NULL,
  author mediumtext DEFAULT NULL,
  reason mediumtext DEFAULT NULL,
  below bigint NOT NULL,
  most bigint DEFAULT NULL,
  changed bigint NOT NULL DEFAULT 0,
  skipped mediumtext NOT NULL,
  error mediumtext DEFAULT NULL,
  node_id varchar(64) DEFAULT NULL,
  created_at datetime(6) NOT NULL,
  ended_at datetime(6) DEFAULT NULL,
  KEY gaia_bulk_running (state, id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
