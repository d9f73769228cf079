-- Back to the version before, by hand: with all nodes stopped. It runs the jobs of all systems; of jobs with one name, one keeps it.
-- The columns stay: where they are the Go framework's, its programs need them.
UPDATE job_center SET unique_name = NULL WHERE unique_name IS NOT NULL AND system_name <> '';
ALTER TABLE job_center DROP KEY gaia_job_names, ADD UNIQUE KEY gaia_job_names (unique_name);
DELETE FROM gaia_migrations WHERE version = '20261201000029';
