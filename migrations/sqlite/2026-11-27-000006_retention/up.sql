-- When gaia-actors wrote the end of the task; NULL if the end is the work of another program. Pruning goes by it. Not in an
-- index: an end would have to write there, too.
ALTER TABLE asynctasks ADD COLUMN finished_at TIMESTAMP DEFAULT NULL;

-- How far the clock can be trusted with deleting rows: one row for each theme that is pruned, and one without a name for jobs.
CREATE TABLE gaia_retention (
  scope TEXT NOT NULL PRIMARY KEY,
  -- Since then the clock has gone on without a jump; NULL = since before the first look.
  since TIMESTAMP DEFAULT NULL,
  -- The time of the last look.
  seen TIMESTAMP NOT NULL
);
