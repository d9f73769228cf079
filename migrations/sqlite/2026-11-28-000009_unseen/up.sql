-- A claim leaves the rows of its tasks alone: the row of a task says that it runs when the run has lasted for a moment, and most rows
-- are written once, at the end. No index knows the status of a task any more: to keep that one cost more than the rest of an end.
DROP INDEX IF EXISTS idx_system_status;

-- A node of a version before this one takes such a task for one that waits, so it must have no row, and cannot make one.
DROP TABLE gaia_nodes;
CREATE TABLE gaia_nodes (
  id TEXT NOT NULL PRIMARY KEY,
  host TEXT NOT NULL,
  pid BIGINT NOT NULL,
  version TEXT NOT NULL,
  started_at TIMESTAMP NOT NULL,
  heartbeat TIMESTAMP NOT NULL,
  beat BIGINT NOT NULL,
  lease_ms BIGINT NOT NULL,
  themes TEXT NOT NULL,
  methods TEXT,
  protocol INTEGER NOT NULL CHECK (protocol >= 3)
);
