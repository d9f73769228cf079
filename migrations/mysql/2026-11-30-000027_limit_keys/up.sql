-- For whom the task works, such as a tenant. NULL: it waits for no key.
-- unless asynctasks.limit_key
ALTER TABLE asynctasks ADD COLUMN limit_key varchar(100) CHARACTER SET utf8mb4 COLLATE {exact} DEFAULT NULL;

-- How many tasks of each key may run at once, and how many may start within so many milliseconds. NULL: any number.
-- unless gaia_limits.key_running
ALTER TABLE gaia_limits
  ADD COLUMN key_running bigint DEFAULT NULL,
  ADD COLUMN key_starts bigint DEFAULT NULL,
  ADD COLUMN key_per_ms bigint DEFAULT NULL;

-- The keys for which tasks wait, or whose bucket of starts is not full.
--   waiting  How many tasks wait aside.
--   full_at  When all starts are there again if nothing starts until then: microseconds since 1970.
CREATE TABLE IF NOT EXISTS gaia_keys (
  service varchar(255) CHARACTER SET utf8mb4 COLLATE {exact} NOT NULL,
  method varchar(255) CHARACTER SET utf8mb4 COLLATE {exact} NOT NULL,
  limit_key varchar(100) CHARACTER SET utf8mb4 COLLATE {exact} NOT NULL,
  waiting bigint NOT NULL,
  full_at bigint NOT NULL,
  PRIMARY KEY (service, method, limit_key)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC;

-- How many tasks of a key each holder runs.
--   holder  The id of a node, or the mark of a remote claim.
CREATE TABLE IF NOT EXISTS gaia_key_slots (
  service varchar(255) CHARACTER SET utf8mb4 COLLATE {exact} NOT NULL,
  method varchar(255) CHARACTER SET utf8mb4 COLLATE {exact} NOT NULL,
  limit_key varchar(100) CHARACTER SET utf8mb4 COLLATE {exact} NOT NULL,
  holder varchar(64) NOT NULL,
  slots bigint NOT NULL,
  PRIMARY KEY (service, method, limit_key, holder),
  KEY gaia_key_slots_holder (holder)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC;

-- Tasks that a claim has found to be beyond the limit of their key: scheduled for the end of the year 9999 until they are released.
--   released  When it was released: microseconds since 1970. 0: not yet.
CREATE TABLE IF NOT EXISTS gaia_aside (
  task_id bigint NOT NULL PRIMARY KEY,
  service varchar(255) CHARACTER SET utf8mb4 COLLATE {exact} NOT NULL,
  method varchar(255) CHARACTER SET utf8mb4 COLLATE {exact} NOT NULL,
  limit_key varchar(100) CHARACTER SET utf8mb4 COLLATE {exact} NOT NULL,
  priority bigint NOT NULL,
  released bigint NOT NULL DEFAULT 0,
  KEY gaia_aside_next (service, method, limit_key, released, priority DESC, task_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC;
