-- For whom the task works, such as a tenant. NULL: it waits for no key.
ALTER TABLE asynctasks ADD COLUMN limit_key TEXT DEFAULT NULL;

-- How many tasks of each key may run at once, and how many may start within so many milliseconds. NULL: any number.
ALTER TABLE gaia_limits ADD COLUMN key_running BIGINT DEFAULT NULL;
ALTER TABLE gaia_limits ADD COLUMN key_starts BIGINT DEFAULT NULL;
ALTER TABLE gaia_limits ADD COLUMN key_per_ms BIGINT DEFAULT NULL;

-- The keys for which tasks wait, or whose bucket of starts is not full.
CREATE TABLE gaia_keys (
  service TEXT NOT NULL,
  method TEXT NOT NULL,
  limit_key TEXT NOT NULL,
  -- How many tasks wait aside.
  waiting BIGINT NOT NULL,
  -- When all starts are there again if nothing starts until then: microseconds since 1970.
  full_at BIGINT NOT NULL,
  PRIMARY KEY (service, method, limit_key)
) WITHOUT ROWID;

-- How many tasks of a key each holder runs.
CREATE TABLE gaia_key_slots (
  service TEXT NOT NULL,
  method TEXT NOT NULL,
  limit_key TEXT NOT NULL,
  -- The id of a node, or the mark of a remote claim.
  holder TEXT NOT NULL,
  slots BIGINT NOT NULL,
  PRIMARY KEY (service, method, limit_key, holder)
) WITHOUT ROWID;
CREATE INDEX gaia_key_slots_holder ON gaia_key_slots (holder);

-- Tasks that a claim has found to be beyond the limit of their key: scheduled for the end of the year 9999 until they are released.
CREATE TABLE gaia_aside (
  task_id BIGINT NOT NULL PRIMARY KEY,
  service TEXT NOT NULL,
  method TEXT NOT NULL,
  limit_key TEXT NOT NULL,
  priority BIGINT NOT NULL,
  -- When it was released: microseconds since 1970. 0: not yet.
  released BIGINT NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX gaia_aside_next ON gaia_aside (service, method, limit_key, released, priority DESC, task_id);
