-- Back to the version before, by hand: with all nodes stopped. The lines of runs are given up.
DELETE FROM gaia_run_logs;
ALTER TABLE gaia_run_logs MODIFY COLUMN content longtext NOT NULL;
DELETE FROM gaia_migrations WHERE version = '20261129000022';
