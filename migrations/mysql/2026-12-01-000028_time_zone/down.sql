-- Back to the version before, by hand: with all nodes stopped, and only if gaia_database says +00:00. That version takes all times for UTC.
DROP TABLE gaia_database;
DELETE FROM gaia_migrations WHERE version = '20261201000028';
