-- What gaia-actors adds to asynctask. Every column is nullable or has a default, so that an INSERT with the guide's columns keeps working.
--
-- A server commits each statement by itself. `unless table.column` names what the statement after it makes: a run that was
-- killed half-way is taken up where it stopped.

-- Columns first, since generated ones and keys need them.
--   priority          higher runs first
--   run_at            not before this time (UTC); NULL = due
--   timeout_ms        limit of one run; NULL = the scheduler's
--   retry_delay_ms    first delay before a retry; NULL = the scheduler's, 0 = next scan
--   unique_key        at most one unfinished task per theme and key
--   lease_owner       the node that runs it, and
--   lease_token       a number that grows with every claim: a write about a run must name both
--   cancel_requested  1 = somebody asked the running task to stop
--   began             1 = the handler of its last attempt was called
-- The guide's text columns hold 64 kB and its times whole seconds: both are widened. Themes are told apart by every letter.
-- Later versions of the Go framework have a priority of their own, with the same meaning.
-- unless asynctasks.priority
ALTER TABLE asynctasks
  ADD COLUMN priority int NOT NULL DEFAULT 0;

-- unless asynctasks.run_at
ALTER TABLE asynctasks
  MODIFY `system_name` varchar(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL COMMENT '系统标识',
  MODIFY `arg` mediumtext COMMENT '参数JSON',
  MODIFY `last_result` mediumtext COMMENT '执行结果',
  MODIFY `last_err_msg` mediumtext COMMENT '错误信息',
  MODIFY `last_run_time` datetime(6) DEFAULT NULL COMMENT '最后运行时间',
  MODIFY `last_run_end_time` datetime(6) DEFAULT NULL COMMENT '最后运行结束时间',
  MODIFY `create_time` datetime(6) DEFAULT CURRENT_TIMESTAMP(6),
  MODIFY `update_time` datetime(6) DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6),
  ADD COLUMN run_at datetime(6) DEFAULT NULL,
  ADD COLUMN timeout_ms bigint DEFAULT NULL,
  ADD COLUMN retry_delay_ms bigint DEFAULT NULL,
  ADD COLUMN unique_key varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  ADD COLUMN lease_owner varchar(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  ADD COLUMN lease_token bigint NOT NULL DEFAULT 0,
  ADD COLUMN cancel_requested int NOT NULL DEFAULT 0,
  ADD COLUMN began int NOT NULL DEFAULT 0,
  ADD COLUMN progress int DEFAULT NULL,
  ADD COLUMN progress_note text CHARACTER SET utf8mb4 DEFAULT NULL;

-- These servers have no partial indexes. A column that is NULL in every row that is not meant, and an index that begins with
-- it, do the same: a claim reads the due rows of its theme and no others.
-- unless asynctasks.due_theme
ALTER TABLE asynctasks
  ADD COLUMN due_theme varchar(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin GENERATED ALWAYS AS
    (CASE WHEN task_status IN ('Wait', 'Retry') AND run_at IS NULL THEN system_name END) STORED,
  ADD COLUMN later_theme varchar(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin GENERATED ALWAYS AS
    (CASE WHEN task_status IN ('Wait', 'Retry') AND run_at IS NOT NULL THEN system_name END) STORED,
  ADD COLUMN live_key varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin GENERATED ALWAYS AS
    (CASE WHEN task_status IN ('Wait', 'Retry', 'Running') THEN unique_key END) STORED,
  ADD KEY gaia_tasks_claim (due_theme, priority DESC, id),
  ADD KEY gaia_tasks_scheduled (later_theme, run_at),
  ADD KEY gaia_tasks_running (lease_owner),
  ADD UNIQUE KEY gaia_tasks_unique (system_name, live_key);

-- unless asynctask_exec_row.attempt
ALTER TABLE asynctask_exec_row
  MODIFY `last_result` mediumtext COMMENT '执行结果',
  MODIFY `last_err_msg` mediumtext COMMENT '错误信息',
  MODIFY `last_run_time` datetime(6) DEFAULT NULL COMMENT '运行时间',
  MODIFY `last_run_end_time` datetime(6) DEFAULT NULL COMMENT '结束时间',
  MODIFY `create_time` datetime(6) DEFAULT CURRENT_TIMESTAMP(6),
  ADD COLUMN attempt int DEFAULT NULL,
  ADD COLUMN node_id varchar(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  ADD COLUMN lease_token bigint DEFAULT NULL;

-- One row per process. `beat` changes with every heartbeat.
CREATE TABLE IF NOT EXISTS gaia_nodes (
  id varchar(64) NOT NULL PRIMARY KEY,
  host text NOT NULL,
  pid bigint NOT NULL,
  version text NOT NULL,
  started_at datetime(6) NOT NULL,
  heartbeat datetime(6) NOT NULL,
  beat bigint NOT NULL,
  lease_ms bigint NOT NULL,
  themes mediumtext NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- What operators set for a theme on every node.
CREATE TABLE IF NOT EXISTS gaia_themes (
  theme varchar(100) NOT NULL PRIMARY KEY,
  paused int NOT NULL DEFAULT 0,
  update_time datetime(6) NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
