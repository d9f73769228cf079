-- What gaia-actors adds to asynctask. Every column is nullable or has a default, so that an INSERT with the guide's columns keeps working.

ALTER TABLE asynctasks
  -- Higher runs first.
  ADD COLUMN priority INTEGER NOT NULL DEFAULT 0,
  -- Not before this time (UTC). NULL = due: the claim reads due rows only, and moves a row here when its time has come.
  ADD COLUMN run_at TIMESTAMP DEFAULT NULL,
  -- Limit of one run; NULL = the scheduler's.
  ADD COLUMN timeout_ms BIGINT DEFAULT NULL,
  -- First delay before a retry; NULL = the scheduler's, 0 = next scan.
  ADD COLUMN retry_delay_ms BIGINT DEFAULT NULL,
  -- At most one unfinished task per theme and key.
  ADD COLUMN unique_key VARCHAR(255) DEFAULT NULL,
  -- The node that runs it, and a number that grows with every claim: a write about a run must name both.
  ADD COLUMN lease_owner VARCHAR(64) DEFAULT NULL,
  ADD COLUMN lease_token BIGINT NOT NULL DEFAULT 0,
  -- 1 = somebody asked the running task to stop.
  ADD COLUMN cancel_requested INTEGER NOT NULL DEFAULT 0,
  -- 1 = the handler of its last attempt was called. A node that dies before has not used that attempt up.
  ADD COLUMN began INTEGER NOT NULL DEFAULT 0,
  ADD COLUMN progress INTEGER DEFAULT NULL,
  ADD COLUMN progress_note TEXT DEFAULT NULL;

ALTER TABLE asynctask_exec_row
  ADD COLUMN attempt INTEGER DEFAULT NULL,
  ADD COLUMN node_id VARCHAR(64) DEFAULT NULL,
  ADD COLUMN lease_token BIGINT DEFAULT NULL;

-- Partial indexes: their size is that of the unfinished work, never that of the history.
CREATE INDEX gaia_tasks_claim ON asynctasks (system_name, priority DESC, id)
  WHERE task_status IN ('Wait', 'Retry') AND run_at IS NULL;
CREATE INDEX gaia_tasks_scheduled ON asynctasks (system_name, run_at)
  WHERE task_status IN ('Wait', 'Retry') AND run_at IS NOT NULL;
CREATE INDEX gaia_tasks_running ON asynctasks (lease_owner)
  WHERE task_status = 'Running';
CREATE UNIQUE INDEX gaia_tasks_unique ON asynctasks (system_name, unique_key)
  WHERE unique_key IS NOT NULL AND task_status IN ('Wait', 'Retry', 'Running');

-- One row per process. `beat` changes with every heartbeat.
CREATE TABLE gaia_nodes (
  id VARCHAR(64) NOT NULL PRIMARY KEY,
  host TEXT NOT NULL,
  pid BIGINT NOT NULL,
  version TEXT NOT NULL,
  started_at TIMESTAMP NOT NULL,
  heartbeat TIMESTAMP NOT NULL,
  beat BIGINT NOT NULL,
  lease_ms BIGINT NOT NULL,
  themes TEXT NOT NULL
);

-- What operators set for a theme on every node.
CREATE TABLE gaia_themes (
  theme VARCHAR(100) NOT NULL PRIMARY KEY,
  paused INTEGER NOT NULL DEFAULT 0,
  update_time TIMESTAMP NOT NULL
);
