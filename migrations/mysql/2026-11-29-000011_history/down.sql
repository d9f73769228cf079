-- Back to the version before, by hand: with all nodes stopped. The counts are gone; no task is lost.
DROP TABLE gaia_history;
DELETE FROM gaia_migrations WHERE version = '20261129000011';
