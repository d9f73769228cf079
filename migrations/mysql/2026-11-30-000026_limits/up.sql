-- How many tasks of a method may run at once in the whole cluster, and how many may start in a time.
--   running  How many may run at once; NULL: any number.
--   starts   How many may start within so many milliseconds, per_ms; NULL: any number.
--   full_at  When all starts are there again if nothing starts until then: microseconds since 1970.
--   settled  Counts the transactions that have shared out slots: each of them locks the row by this.
CREATE TABLE IF NOT EXISTS gaia_limits (
  service varchar(255) CHARACTER SET utf8mb4 COLLATE {exact} NOT NULL,
  method varchar(255) CHARACTER SET utf8mb4 COLLATE {exact} NOT NULL,
  running bigint DEFAULT NULL,
  starts bigint DEFAULT NULL,
  per_ms bigint DEFAULT NULL,
  full_at bigint NOT NULL DEFAULT 0,
  settled bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (service, method)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC;

-- Who has how many of these. A holder is a node, or the claim of a remote worker. A slot is taken before a task is claimed.
--   holder  The id of a node, or the mark of a remote claim.
--   wants   1: the holder has tasks that wait for further slots.
CREATE TABLE IF NOT EXISTS gaia_slots (
  service varchar(255) CHARACTER SET utf8mb4 COLLATE {exact} NOT NULL,
  method varchar(255) CHARACTER SET utf8mb4 COLLATE {exact} NOT NULL,
  holder varchar(64) NOT NULL,
  slots bigint NOT NULL,
  wants int NOT NULL DEFAULT 0,
  PRIMARY KEY (service, method, holder)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC;
