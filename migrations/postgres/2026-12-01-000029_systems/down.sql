-- Back to the version before, by hand: with all nodes stopped. It runs the jobs of all systems; of jobs with one name, one keeps it.
ALTER TABLE asynctasks DROP COLUMN tenant_id;
DROP INDEX gaia_job_names;
UPDATE job_center SET unique_name = NULL WHERE unique_name IS NOT NULL AND system_name <> '';
CREATE UNIQUE INDEX gaia_job_names ON job_center (unique_name);
ALTER TABLE job_center DROP COLUMN system_name;
ALTER TABLE job_center DROP COLUMN lease_owner;
ALTER TABLE job_center DROP COLUMN lease_expire_at;
ALTER TABLE job_center DROP COLUMN last_heartbeat_time;
ALTER TABLE job_record DROP COLUMN system_name;
DELETE FROM gaia_migrations WHERE version = '20261201000029';
