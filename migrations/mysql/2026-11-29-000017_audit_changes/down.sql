-- Back to the version before, by hand: with all nodes stopped.
ALTER TABLE gaia_audit DROP COLUMN target_name, DROP COLUMN changes;
DELETE FROM gaia_migrations WHERE version = '20261129000017';
