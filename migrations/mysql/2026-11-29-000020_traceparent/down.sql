-- Back to the version before, by hand: with all nodes stopped.
ALTER TABLE asynctasks DROP COLUMN traceparent;
DELETE FROM gaia_migrations WHERE version = '20261129000020';
