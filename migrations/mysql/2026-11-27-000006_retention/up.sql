-- When gaia-actors wrote the end of the task; NULL if the end is the work of another program. Pruning goes by it. Not in an
-- index: an end would have to write there, too.
-- unless asynctasks.finished_at
ALTER TABLE asynctasks
  ADD COLUMN finished_at datetime(6) DEFAULT NULL;

-- How far the clock can be trusted with deleting rows: one row for each theme that is pruned, and one without a name for jobs.
--   since  since then the clock has gone on without a jump; NULL = since before the first look
--   seen   the time of the last look
CREATE TABLE IF NOT EXISTS gaia_retention (
  scope varchar(100) NOT NULL PRIMARY KEY,
  since datetime(6) DEFAULT NULL,
  seen datetime(6) NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
