-- Additions that callers may repeat: who repeats one within a day gets the ids of the first, and adds nothing.
CREATE TABLE gaia_idempotency (
  -- SHA-256 of the caller's name, the theme and the caller's key.
  key_hash TEXT NOT NULL PRIMARY KEY,
  -- SHA-256 of what was asked for.
  body_hash TEXT NOT NULL,
  -- The ids of the tasks, as JSON. Empty until the transaction that adds them has added them.
  tasks TEXT NOT NULL,
  created_at TIMESTAMP NOT NULL
) WITHOUT ROWID;
CREATE INDEX gaia_idempotency_created ON gaia_idempotency (created_at);
