-- The zone in which the columns of time stand, as the first start has set it. A start with another zone is refused: its times would be
-- wrong for all others.
CREATE TABLE IF NOT EXISTS gaia_database (
  number int NOT NULL PRIMARY KEY,
  time_zone varchar(6) NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- Before this version it was UTC. A node that has stopped has left no row of its own, but history or schedules.
INSERT IGNORE INTO gaia_database (number, time_zone) SELECT 1, '+00:00' FROM (
  SELECT 1 FROM gaia_nodes UNION ALL SELECT 1 FROM gaia_history UNION ALL SELECT 1 FROM job_center WHERE scheduled_from IS NOT NULL
) traces LIMIT 1;
