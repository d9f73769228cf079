-- What gaia-actors adds to jobs and their records. Every column is nullable, and NULL means the default, so that an INSERT with
-- the guide's columns keeps working.

ALTER TABLE job_center
  -- Name of the time zone in which cron_expr is read; NULL = the runner's.
  ADD COLUMN time_zone VARCHAR(64) DEFAULT NULL,
  -- A fire while a run is under way: forbid (NULL), allow, replace.
  ADD COLUMN overlap_policy VARCHAR(20) DEFAULT NULL,
  -- A fire that nobody was there for: fire_once (NULL), skip; and for how many seconds it is made up for (NULL = 3600).
  ADD COLUMN misfire_policy VARCHAR(20) DEFAULT NULL,
  ADD COLUMN misfire_grace INTEGER DEFAULT NULL,
  -- How often a failed run is tried again (NULL = 0), and the first delay before that in milliseconds (NULL = 1000).
  ADD COLUMN max_retry INTEGER DEFAULT NULL,
  ADD COLUMN retry_delay_ms BIGINT DEFAULT NULL,
  -- Of hooks: NULL = POST; a JSON object of texts; whsec_… of Standard Webhooks.
  ADD COLUMN hook_method VARCHAR(10) DEFAULT NULL,
  ADD COLUMN hook_headers TEXT DEFAULT NULL,
  ADD COLUMN hook_secret VARCHAR(255) DEFAULT NULL,
  -- The last second that was claimed, or when the schedule began to hold: fires after it are due.
  ADD COLUMN scheduled_from TIMESTAMP DEFAULT NULL,
  -- The expression and the zone for which that was noted.
  ADD COLUMN scheduled_by TEXT DEFAULT NULL,
  -- At most one job added through the API has a name.
  ADD COLUMN unique_name VARCHAR(255) DEFAULT NULL;

ALTER TABLE job_record
  ADD COLUMN job_id BIGINT DEFAULT NULL,
  -- The second for which the run was due; NULL = somebody asked for it.
  ADD COLUMN scheduled_at TIMESTAMP DEFAULT NULL,
  -- The second that was claimed before this one: fires in between were missed, and this run stands for them.
  ADD COLUMN previous_at TIMESTAMP DEFAULT NULL,
  ADD COLUMN started_at TIMESTAMP DEFAULT NULL,
  ADD COLUMN ended_at TIMESTAMP DEFAULT NULL,
  ADD COLUMN duration_ms BIGINT DEFAULT NULL,
  ADD COLUMN attempt INTEGER DEFAULT NULL,
  -- The node that runs it. A run is open while job_result_flag is NULL and this is not.
  ADD COLUMN node_id VARCHAR(64) DEFAULT NULL,
  ADD COLUMN log_id VARCHAR(100) DEFAULT NULL,
  -- Why somebody wants the run to stop.
  ADD COLUMN cancel_reason TEXT DEFAULT NULL;

-- One run for each job and second, whoever claims it.
CREATE UNIQUE INDEX gaia_job_fires ON job_record (job_id, scheduled_at);
CREATE INDEX gaia_job_open ON job_record (job_id) WHERE job_result_flag IS NULL AND node_id IS NOT NULL;
CREATE INDEX gaia_job_history ON job_record (job_id, id);
CREATE INDEX gaia_job_name ON job_center (job_name);
CREATE UNIQUE INDEX gaia_job_names ON job_center (unique_name);

-- Records of another framework know their job by its name.
UPDATE job_record SET job_id = known.id
  FROM (SELECT job_name, MIN(id) AS id FROM job_center GROUP BY job_name) AS known
  WHERE known.job_name = job_record.job_name AND job_record.job_id IS NULL;
