-- What gaia-actors adds to jobs and their records. Every column is nullable, and NULL means the default, so that an INSERT with
-- the guide's columns keeps working.

-- Name of the time zone in which cron_expr is read; NULL = the runner's.
ALTER TABLE job_center ADD COLUMN time_zone TEXT DEFAULT NULL;
-- A fire while a run is under way: forbid (NULL), allow, replace.
ALTER TABLE job_center ADD COLUMN overlap_policy TEXT DEFAULT NULL;
-- A fire that nobody was there for: fire_once (NULL), skip; and for how many seconds it is made up for (NULL = 3600).
ALTER TABLE job_center ADD COLUMN misfire_policy TEXT DEFAULT NULL;
ALTER TABLE job_center ADD COLUMN misfire_grace INTEGER DEFAULT NULL;
-- How often a failed run is tried again (NULL = 0), and the first delay before that in milliseconds (NULL = 1000).
ALTER TABLE job_center ADD COLUMN max_retry INTEGER DEFAULT NULL;
ALTER TABLE job_center ADD COLUMN retry_delay_ms BIGINT DEFAULT NULL;
-- Of hooks: NULL = POST; a JSON object of texts; whsec_… of Standard Webhooks.
ALTER TABLE job_center ADD COLUMN hook_method TEXT DEFAULT NULL;
ALTER TABLE job_center ADD COLUMN hook_headers TEXT DEFAULT NULL;
ALTER TABLE job_center ADD COLUMN hook_secret TEXT DEFAULT NULL;
-- The last second that was claimed, or when the schedule began to hold: fires after it are due.
ALTER TABLE job_center ADD COLUMN scheduled_from TIMESTAMP DEFAULT NULL;
-- The expression and the zone for which that was noted.
ALTER TABLE job_center ADD COLUMN scheduled_by TEXT DEFAULT NULL;
-- At most one job added through the API has a name.
ALTER TABLE job_center ADD COLUMN unique_name TEXT DEFAULT NULL;

ALTER TABLE job_record ADD COLUMN job_id BIGINT DEFAULT NULL;
-- The second for which the run was due; NULL = somebody asked for it.
ALTER TABLE job_record ADD COLUMN scheduled_at TIMESTAMP DEFAULT NULL;
-- The second that was claimed before this one: fires in between were missed, and this run stands for them.
ALTER TABLE job_record ADD COLUMN previous_at TIMESTAMP DEFAULT NULL;
ALTER TABLE job_record ADD COLUMN started_at TIMESTAMP DEFAULT NULL;
ALTER TABLE job_record ADD COLUMN ended_at TIMESTAMP DEFAULT NULL;
ALTER TABLE job_record ADD COLUMN duration_ms BIGINT DEFAULT NULL;
ALTER TABLE job_record ADD COLUMN attempt INTEGER DEFAULT NULL;
-- The node that runs it. A run is open while job_result_flag is NULL and this is not.
ALTER TABLE job_record ADD COLUMN node_id TEXT DEFAULT NULL;
ALTER TABLE job_record ADD COLUMN log_id TEXT DEFAULT NULL;
-- Why somebody wants the run to stop.
ALTER TABLE job_record ADD COLUMN cancel_reason TEXT DEFAULT NULL;

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
