-- Back to the version before, by hand: with all nodes stopped. Tasks that still wait for others stay scheduled for the end of the year 9999:
-- cancel them, or have them run.
DROP TABLE gaia_links;
DROP TABLE gaia_held;
DELETE FROM gaia_migrations WHERE version = '20261130000025';
