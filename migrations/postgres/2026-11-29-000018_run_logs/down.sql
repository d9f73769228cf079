-- Back to the version before, by hand: with all nodes stopped.
DROP TABLE gaia_run_logs;
DELETE FROM gaia_migrations WHERE version = '20261129000018';
