-- For whom the task works, as programs of the Go framework have written it. An index of theirs may be on it.
-- unless asynctasks.tenant_id
ALTER TABLE asynctasks ADD COLUMN tenant_id varchar(64) CHARACTER SET utf8mb4 NOT NULL DEFAULT '';

-- The system to which the job belongs. A node runs the jobs of one system, and names of jobs are unique in it.
-- unless job_center.system_name
ALTER TABLE job_center ADD COLUMN system_name varchar(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT '';

-- unless job_record.system_name
ALTER TABLE job_record ADD COLUMN system_name varchar(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT '';

ALTER TABLE job_center DROP KEY gaia_job_names, ADD UNIQUE KEY gaia_job_names (system_name, unique_name);

-- The process that runs the job, and until when it holds the job if it does not say so again. Programs of the Go framework keep it, too.
-- unless job_center.lease_owner
ALTER TABLE job_center
  ADD COLUMN lease_owner varchar(96) CHARACTER SET utf8mb4 NOT NULL DEFAULT '',
  ADD COLUMN lease_expire_at datetime(6) DEFAULT NULL,
  ADD COLUMN last_heartbeat_time datetime(6) DEFAULT NULL;
