DROP TABLE gaia_database;
