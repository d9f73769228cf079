-- For whom the task works, as programs of the Go framework have written it. An index of theirs may be on it.
ALTER TABLE asynctasks ADD COLUMN tenant_id TEXT NOT NULL DEFAULT '';

-- The system to which the job belongs. A node runs the jobs of one system, and names of jobs are unique in it.
ALTER TABLE job_center ADD COLUMN system_name TEXT NOT NULL DEFAULT '';
ALTER TABLE job_record ADD COLUMN system_name TEXT NOT NULL DEFAULT '';
DROP INDEX gaia_job_names;
CREATE UNIQUE INDEX gaia_job_names ON job_center (system_name, unique_name);

-- The process that runs the job, and until when it holds the job if it does not say so again. Programs of the Go framework keep it, too.
ALTER TABLE job_center ADD COLUMN lease_owner TEXT NOT NULL DEFAULT '';
ALTER TABLE job_center ADD COLUMN lease_expire_at TIMESTAMP DEFAULT NULL;
ALTER TABLE job_center ADD COLUMN last_heartbeat_time TIMESTAMP DEFAULT NULL;
