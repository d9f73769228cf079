-- The name of this database: one row. A task that a caller adds on a connection of the caller's is refused if the connection leads to a
-- database with another name. A copy of the database has the same name.
CREATE TABLE IF NOT EXISTS gaia_database (
  one int NOT NULL PRIMARY KEY,
  id varchar(64) NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
INSERT IGNORE INTO gaia_database (one, id) VALUES (1, MD5(CONCAT(UUID(), RAND(), DATABASE())));
