-- The queue beside the rows: what is due lies in segments of up to 1,000 ids, and each claim has a row with its ids. A claim reads
-- and writes few rows of these, and no index of asynctasks has to know which tasks wait and who runs the others.
--
-- What this crate did not write itself is found by an index that holds nothing else: tasks that wait and are in no segment, and
-- running tasks that are in no claim. The tasks that wait now are among them, so this takes no longer than to make the indexes.

CREATE TABLE gaia_due (
  id INTEGER NOT NULL PRIMARY KEY,
  theme TEXT NOT NULL,
  service TEXT NOT NULL,
  method TEXT NOT NULL,
  priority INTEGER NOT NULL,
  n INTEGER NOT NULL,
  -- JSON.
  ids TEXT NOT NULL
);
CREATE INDEX gaia_due_method ON gaia_due (theme, service, method, priority DESC, id);
CREATE INDEX gaia_due_order ON gaia_due (theme, priority DESC, id);

CREATE TABLE gaia_claims (
  -- The lease token of its tasks: it grows with every claim.
  id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  theme TEXT NOT NULL,
  node_id TEXT NOT NULL,
  -- The log id of each of its tasks begins with it.
  mark TEXT NOT NULL,
  claimed_at TIMESTAMP NOT NULL,
  -- JSON.
  ids TEXT NOT NULL
);
CREATE INDEX gaia_claims_node ON gaia_claims (node_id);
-- A number near the last one is no number that a claim has given.
INSERT INTO sqlite_sequence (name, seq)
  SELECT 'gaia_claims', COALESCE(MAX(lease_token), 0) FROM asynctasks
  WHERE typeof(lease_token) = 'integer' AND lease_token BETWEEN 0 AND 4611686018427387904;

-- 1: the task is in a segment. 2: it is in a claim. 0: in neither.
ALTER TABLE asynctasks ADD COLUMN queued INTEGER NOT NULL DEFAULT 0;
DROP INDEX gaia_tasks_claim;
DROP INDEX gaia_tasks_running;
CREATE INDEX gaia_tasks_stray ON asynctasks (system_name, priority DESC, id)
  WHERE queued <> 1 AND task_status IN ('Wait', 'Retry') AND run_at IS NULL;
CREATE INDEX gaia_tasks_unheld ON asynctasks (id)
  WHERE queued <> 2 AND task_status = 'Running' AND lease_owner IS NOT NULL;
CREATE INDEX gaia_tasks_cancelled ON asynctasks (id) WHERE cancel_requested <> 0;

-- A node without a row gets no task, and a node of a version before this one cannot make a row again: it knows nothing of the last
-- column. What it runs, it may still bring to its end until another node takes it over.
DROP TABLE gaia_nodes;
CREATE TABLE gaia_nodes (
  id TEXT NOT NULL PRIMARY KEY,
  host TEXT NOT NULL,
  pid BIGINT NOT NULL,
  version TEXT NOT NULL,
  started_at TIMESTAMP NOT NULL,
  heartbeat TIMESTAMP NOT NULL,
  beat BIGINT NOT NULL,
  lease_ms BIGINT NOT NULL,
  themes TEXT NOT NULL,
  methods TEXT,
  protocol INTEGER NOT NULL
);
