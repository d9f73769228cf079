-- Back to the version before, by hand: with all nodes stopped. Methods have no limits any more.
DROP TABLE IF EXISTS gaia_slots;
DROP TABLE IF EXISTS gaia_limits;
DELETE FROM gaia_migrations WHERE version = '20261130000026';
