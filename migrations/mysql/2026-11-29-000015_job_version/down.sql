-- Back to the version before, by hand: with all nodes stopped.
ALTER TABLE job_center DROP COLUMN version;
DELETE FROM gaia_migrations WHERE version = '20261129000015';
