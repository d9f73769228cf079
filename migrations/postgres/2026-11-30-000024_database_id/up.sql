-- The name of this database: one row. A task that a caller adds on a connection of the caller's is refused if the connection leads to a
-- database with another name. A copy of the database has the same name.
CREATE TABLE gaia_database (
  one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
  id TEXT NOT NULL
);
INSERT INTO gaia_database (one, id)
  VALUES (1, encode(sha256(convert_to(
    concat(random(), random(), clock_timestamp(), pg_backend_pid(), current_database(), current_schema()), 'UTF8')), 'hex'));

-- The roles of callers read it.
GRANT SELECT ON gaia_database TO PUBLIC;
