-- What operators have changed: each row is one change. The row is written before the change, and gets its result afterwards.
--   token     By which the process that inserts the row finds it.
--   author    Who.
--   action    Such as theme.pause or task.retry.
--   target    What was changed, such as the id of a task.
--   theme     The theme to which it belongs; NULL = none, or several.
--   result    done, refused: code, failed: code; NULL = the change has begun, and its end is unknown.
CREATE TABLE IF NOT EXISTS gaia_audit (
  id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY,
  token varchar(64) NOT NULL UNIQUE,
  at datetime(6) NOT NULL,
  author varchar(100) CHARACTER SET utf8mb4 COLLATE {exact} NOT NULL,
  action varchar(64) CHARACTER SET utf8mb4 COLLATE {exact} NOT NULL,
  target varchar(300) CHARACTER SET utf8mb4 NOT NULL,
  theme varchar(100) CHARACTER SET utf8mb4 COLLATE {exact} DEFAULT NULL,
  reason varchar(500) CHARACTER SET utf8mb4 DEFAULT NULL,
  result varchar(100) DEFAULT NULL,
  KEY gaia_audit_at (at),
  KEY gaia_audit_theme (theme, id),
  KEY gaia_audit_author (author, id),
  KEY gaia_audit_action (action, id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
