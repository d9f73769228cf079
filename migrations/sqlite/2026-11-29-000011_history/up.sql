-- What ended, when and how long it took: each row has the counts of one node for one method (or job) in one span of time. Nodes add rows,
-- and never change one. Pruners put the rows of many short spans into one row of a longer span.
CREATE TABLE gaia_history (
  -- In seconds: 10, 60 or 3600.
  width INTEGER NOT NULL,
  -- The beginning of the span.
  at TIMESTAMP NOT NULL,
  -- A random number. A node that does not know whether its write was done writes the same number again.
  number BIGINT NOT NULL,
  -- The node that has written the row.
  node TEXT NOT NULL,
  -- 'task' or 'job'.
  kind TEXT NOT NULL,
  -- For a job: its name.
  theme TEXT NOT NULL,
  service TEXT NOT NULL,
  method TEXT NOT NULL,
  succeeded BIGINT NOT NULL,
  failed BIGINT NOT NULL,
  retried BIGINT NOT NULL,
  snoozed BIGINT NOT NULL,
  cancelled BIGINT NOT NULL,
  lost BIGINT NOT NULL,
  -- Sums of milliseconds, and how many times lie between the bounds of the crate: a JSON list without the zeros at its end.
  waited_ms BIGINT NOT NULL,
  waited TEXT NOT NULL,
  ran_ms BIGINT NOT NULL,
  ran TEXT NOT NULL,
  PRIMARY KEY (width, at, number, node)
) WITHOUT ROWID;
