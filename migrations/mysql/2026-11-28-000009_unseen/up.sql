-- A claim leaves the rows of its tasks alone: the row of a task says that it runs when the run has lasted for a moment, and most rows
-- are written once, at the end. A node of a version before this one takes such a task for one that waits, so it must have no row, and
-- cannot make one.
DROP TABLE IF EXISTS gaia_nodes;

CREATE TABLE IF NOT EXISTS gaia_nodes (
  id varchar(64) NOT NULL PRIMARY KEY,
  host text NOT NULL,
  pid bigint NOT NULL,
  version text NOT NULL,
  started_at datetime(6) NOT NULL,
  heartbeat datetime(6) NOT NULL,
  beat bigint NOT NULL,
  lease_ms bigint NOT NULL,
  themes mediumtext NOT NULL,
  methods mediumtext DEFAULT NULL,
  protocol int NOT NULL,
  CONSTRAINT gaia_nodes_protocol CHECK (protocol >= 3)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
