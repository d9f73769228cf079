-- What a process asks of another one: to run a job now (any node that runs jobs may take it), to resize a theme on one node.
--   id        a number that the asking process has drawn by lot
--   kind      run_job, resize
--   open_for  the node that may take it; '' = any node that runs jobs; NULL = it is taken, or withdrawn
--   node_id   the node that it names
--   done_at   when it got its result; a request that has none and is older than a minute is over
CREATE TABLE IF NOT EXISTS gaia_requests (
  id bigint NOT NULL PRIMARY KEY,
  kind varchar(20) NOT NULL,
  open_for varchar(64) DEFAULT NULL,
  node_id varchar(64) DEFAULT NULL,
  theme varchar(100) CHARACTER SET utf8mb4 COLLATE {exact} DEFAULT NULL,
  job_id bigint DEFAULT NULL,
  workers int DEFAULT NULL,
  asked_by text DEFAULT NULL,
  reason text DEFAULT NULL,
  created_at datetime(6) NOT NULL,
  taken_by varchar(64) DEFAULT NULL,
  taken_at datetime(6) DEFAULT NULL,
  done_at datetime(6) DEFAULT NULL,
  result mediumtext DEFAULT NULL,
  KEY gaia_requests_open (open_for)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- What each node says of itself, as JSON. Not in gaia_nodes: each node reads the rows of all others there with every heartbeat.
CREATE TABLE IF NOT EXISTS gaia_node_status (
  node_id varchar(64) NOT NULL PRIMARY KEY,
  written_at datetime(6) NOT NULL,
  status mediumtext NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- Who paused or resumed the theme last, who resized it last, when and why. NULL: not said, or never.
-- unless gaia_themes.paused_by
ALTER TABLE gaia_themes
  ADD COLUMN paused_by text CHARACTER SET utf8mb4 DEFAULT NULL,
  ADD COLUMN paused_reason text CHARACTER SET utf8mb4 DEFAULT NULL,
  ADD COLUMN paused_at datetime(6) DEFAULT NULL,
  ADD COLUMN resized_by text CHARACTER SET utf8mb4 DEFAULT NULL,
  ADD COLUMN resized_reason text CHARACTER SET utf8mb4 DEFAULT NULL,
  ADD COLUMN resized_at datetime(6) DEFAULT NULL;
