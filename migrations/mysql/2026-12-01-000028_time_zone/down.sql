-- Back to the version before, by hand: with all nodes stopped.
DROP TABLE gaia_database;
DELETE FROM gaia_migrations WHERE version = '20261201000028';
