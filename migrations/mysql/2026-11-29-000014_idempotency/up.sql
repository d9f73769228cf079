-- Additions that callers may repeat: who repeats one within a day gets the ids of the first, and adds nothing.
--   key_hash   SHA-256 of the caller's name, the theme and the caller's key
--   body_hash  SHA-256 of what was asked for
--   tasks      The ids of the tasks, as JSON. Empty until the transaction that adds them has added them.
CREATE TABLE IF NOT EXISTS gaia_idempotency (
  key_hash varchar(64) NOT NULL PRIMARY KEY,
  body_hash varchar(64) NOT NULL,
  tasks mediumtext NOT NULL,
  created_at datetime(6) NOT NULL,
  KEY gaia_idempotency_created (created_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
