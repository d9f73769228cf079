-- Back to the version before, by hand: with all nodes stopped. The lines of runs are given up.
TRUNCATE gaia_run_logs;
ALTER TABLE gaia_run_logs ALTER COLUMN content TYPE TEXT USING '';
DELETE FROM gaia_migrations WHERE version = '20261129000022';
