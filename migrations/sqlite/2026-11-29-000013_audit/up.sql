-- What operators have changed: each row is one change. The row is written before the change, and gets its result afterwards.
CREATE TABLE gaia_audit (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  -- By which the process that inserts the row finds it.
  token TEXT NOT NULL UNIQUE,
  at TIMESTAMP NOT NULL,
  -- Who.
  author TEXT NOT NULL,
  -- Such as theme.pause or task.retry.
  action TEXT NOT NULL,
  -- What was changed, such as the id of a task.
  target TEXT NOT NULL,
  -- The theme to which it belongs; NULL = none, or several.
  theme TEXT DEFAULT NULL,
  reason TEXT DEFAULT NULL,
  -- done, refused: code, failed: code; NULL = the change has begun, and its end is unknown.
  result TEXT DEFAULT NULL
);
CREATE INDEX gaia_audit_at ON gaia_audit (at);
CREATE INDEX gaia_audit_theme ON gaia_audit (theme, id);
CREATE INDEX gaia_audit_author ON gaia_audit (author, id);
CREATE INDEX gaia_audit_action ON gaia_audit (action, id);
