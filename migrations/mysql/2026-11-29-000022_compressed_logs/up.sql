-- What handlers have logged while they served runs is compressed: an LZ4 block of runs, see src/logs/stored.rs. Lines that are there as text
-- are given up.
TRUNCATE TABLE gaia_run_logs;
ALTER TABLE gaia_run_logs MODIFY COLUMN content longblob NOT NULL;
