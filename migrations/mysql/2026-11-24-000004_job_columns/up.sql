-- What gaia-actors adds to jobs and their records. Every column is nullable, and NULL means the default, so that an INSERT with
-- the guide's columns keeps working.
--
-- Of jobs:
--   time_zone        name of the time zone in which cron_expr is read; NULL = the runner's
--   overlap_policy   a fire while a run is under way: forbid (NULL), allow, replace
--   misfire_policy   a fire that nobody was there for: fire_once (NULL), skip; and
--   misfire_grace    for how many seconds it is made up for (NULL = 3600)
--   max_retry        how often a failed run is tried again (NULL = 0), and
--   retry_delay_ms   the first delay before that (NULL = 1000)
--   hook_method      NULL = POST
--   hook_headers     a JSON object of texts
--   hook_secret      whsec_… of Standard Webhooks
--   scheduled_from   the last second that was claimed, or when the schedule began to hold: fires after it are due
--   scheduled_by     the expression and the zone for which that was noted
--   unique_name      at most one job added through the API has a name
-- unless job_center.scheduled_from
ALTER TABLE job_center
  MODIFY `args` mediumtext COMMENT '参数JSON',
  MODIFY `last_run_time` datetime(6) DEFAULT NULL COMMENT '最后运行时间',
  MODIFY `create_time` datetime(6) DEFAULT CURRENT_TIMESTAMP(6),
  MODIFY `update_time` datetime(6) DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6),
  ADD COLUMN time_zone varchar(64) DEFAULT NULL,
  ADD COLUMN overlap_policy varchar(20) DEFAULT NULL,
  ADD COLUMN misfire_policy varchar(20) DEFAULT NULL,
  ADD COLUMN misfire_grace int DEFAULT NULL,
  ADD COLUMN max_retry int DEFAULT NULL,
  ADD COLUMN retry_delay_ms bigint DEFAULT NULL,
  ADD COLUMN hook_method varchar(10) DEFAULT NULL,
  ADD COLUMN hook_headers text DEFAULT NULL,
  ADD COLUMN hook_secret varchar(255) DEFAULT NULL,
  ADD COLUMN scheduled_from datetime(6) DEFAULT NULL,
  ADD COLUMN scheduled_by text DEFAULT NULL,
  ADD COLUMN unique_name varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  ADD KEY gaia_job_name (job_name),
  ADD UNIQUE KEY gaia_job_names (unique_name);

-- Of records:
--   job_id           the job
--   scheduled_at     the second for which the run was due; NULL = somebody asked for it
--   previous_at      the second that was claimed before this one: fires in between were missed, and this run stands for them
--   node_id          the node that runs it; a run is open while job_result_flag is NULL and this is not
--   cancel_reason    why somebody wants the run to stop
--   open_job         job_id of an open run, NULL of any other: these servers have no partial indexes
-- One run for each job and second, whoever claims it: gaia_job_fires.
-- Later versions of the Go framework have a duration of their own, with the same meaning.
-- unless job_record.duration_ms
ALTER TABLE job_record
  ADD COLUMN duration_ms bigint DEFAULT NULL;

-- unless job_record.open_job
ALTER TABLE job_record
  MODIFY `args` mediumtext COMMENT '参数',
  MODIFY `run_result` mediumtext COMMENT '执行结果',
  MODIFY `run_err` mediumtext COMMENT '错误信息',
  MODIFY `create_time` datetime(6) DEFAULT CURRENT_TIMESTAMP(6),
  MODIFY `update_time` datetime(6) DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6),
  ADD COLUMN job_id bigint DEFAULT NULL,
  ADD COLUMN scheduled_at datetime(6) DEFAULT NULL,
  ADD COLUMN previous_at datetime(6) DEFAULT NULL,
  ADD COLUMN started_at datetime(6) DEFAULT NULL,
  ADD COLUMN ended_at datetime(6) DEFAULT NULL,
  ADD COLUMN attempt int DEFAULT NULL,
  ADD COLUMN node_id varchar(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  ADD COLUMN log_id varchar(100) DEFAULT NULL,
  ADD COLUMN cancel_reason text DEFAULT NULL,
  ADD COLUMN open_job bigint GENERATED ALWAYS AS
    (CASE WHEN job_result_flag IS NULL AND node_id IS NOT NULL THEN job_id END) STORED,
  ADD UNIQUE KEY gaia_job_fires (job_id, scheduled_at),
  ADD KEY gaia_job_open (open_job),
  ADD KEY gaia_job_history (job_id, id);

-- Records of another framework know their job by its name.
UPDATE job_record JOIN (SELECT job_name, MIN(id) AS id FROM job_center GROUP BY job_name) known
  ON known.job_name = job_record.job_name
  SET job_record.job_id = known.id, job_record.update_time = job_record.update_time
  WHERE job_record.job_id IS NULL;
