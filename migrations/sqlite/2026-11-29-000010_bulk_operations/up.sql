-- Bulk operations: an action on all tasks that meet a filter. A node walks over the tasks in descending order of their ids, some hundred
-- at a time, and notes here how far it has come. If the node dies, another one goes on from there.
CREATE TABLE gaia_bulk (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  -- By which the process that inserts the row finds it.
  token TEXT NOT NULL UNIQUE,
  -- cancel, retry, run_now or delete.
  action TEXT NOT NULL,
  -- Which tasks, as JSON.
  filter TEXT NOT NULL,
  -- running, done, cancelled or failed.
  state TEXT NOT NULL,
  author TEXT DEFAULT NULL,
  reason TEXT DEFAULT NULL,
  -- Tasks with this id or a greater one are done with.
  below BIGINT NOT NULL,
  -- At most so many tasks; NULL = all.
  most BIGINT DEFAULT NULL,
  changed BIGINT NOT NULL DEFAULT 0,
  -- Tasks left as they were, by reason, as JSON.
  skipped TEXT NOT NULL,
  -- Why it has failed.
  error TEXT DEFAULT NULL,
  -- The node that works on it; NULL = none yet.
  node_id TEXT DEFAULT NULL,
  created_at TIMESTAMP NOT NULL,
  ended_at TIMESTAMP DEFAULT NULL
);
CREATE INDEX gaia_bulk_running ON gaia_bulk (id) WHERE state = 'running';
