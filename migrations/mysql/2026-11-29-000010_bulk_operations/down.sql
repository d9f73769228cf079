-- Back to the version before, by hand: with all nodes stopped. Operations that are under way are forgotten.
DROP TABLE IF EXISTS gaia_bulk;
DELETE FROM gaia_migrations WHERE version = '20261129000010';
