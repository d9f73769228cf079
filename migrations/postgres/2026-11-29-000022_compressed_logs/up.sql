-- What handlers have logged while they served runs is compressed: an LZ4 block of runs, see src/logs/stored.rs. Lines that are there as text
-- are given up. The server need not try to compress it again.
TRUNCATE gaia_run_logs;
ALTER TABLE gaia_run_logs ALTER COLUMN content TYPE BYTEA USING convert_to(content, 'UTF8');
ALTER TABLE gaia_run_logs ALTER COLUMN content SET STORAGE EXTERNAL;
