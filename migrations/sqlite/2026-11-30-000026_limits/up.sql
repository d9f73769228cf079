-- How many tasks of a method may run at once in the whole cluster, and how many may start in a time.
CREATE TABLE gaia_limits (
  service TEXT NOT NULL,
  method TEXT NOT NULL,
  -- How many may run at once; NULL: any number.
  running BIGINT DEFAULT NULL,
  -- How many may start within so many milliseconds; NULL: any number.
  starts BIGINT DEFAULT NULL,
  per_ms BIGINT DEFAULT NULL,
  -- When all starts are there again if nothing starts until then: microseconds since 1970.
  full_at BIGINT NOT NULL DEFAULT 0,
  -- Counts the transactions that have shared out slots: each of them locks the row by this.
  settled BIGINT NOT NULL DEFAULT 0,
  PRIMARY KEY (service, method)
) WITHOUT ROWID;

-- Who has how many of these. A holder is a node, or the claim of a remote worker. A slot is taken before a task is claimed.
CREATE TABLE gaia_slots (
  service TEXT NOT NULL,
  method TEXT NOT NULL,
  -- The id of a node, or the mark of a remote claim.
  holder TEXT NOT NULL,
  slots BIGINT NOT NULL,
  -- 1: the holder has tasks that wait for further slots.
  wants INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (service, method, holder)
) WITHOUT ROWID;
