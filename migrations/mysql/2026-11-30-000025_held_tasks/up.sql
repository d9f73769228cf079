-- Tasks that wait until others have ended. Such a task is a row of asynctasks, scheduled for the end of the year 9999 until it is released.
--   task_id     The task that waits.
--   kind        chain: it runs if the others succeed, and is cancelled if one of them does not. batch: it runs in any case.
--   total       How many tasks it waits for.
--   unfinished  How many of them have not ended.
--   succeeded, failed, cancelled  How those have ended that have.
CREATE TABLE IF NOT EXISTS gaia_held (
  task_id bigint NOT NULL PRIMARY KEY,
  kind varchar(16) NOT NULL,
  total bigint NOT NULL,
  unfinished bigint NOT NULL,
  succeeded bigint NOT NULL DEFAULT 0,
  failed bigint NOT NULL DEFAULT 0,
  cancelled bigint NOT NULL DEFAULT 0
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- Which tasks they wait for. The rows stay until the waiting task is deleted: it reads what has become of the others.
--   held_id      The task that waits.
--   task_id      The task for which it waits.
--   open_task    The same, until the end of that task is counted in gaia_held; then NULL.
--   task_status  How that task has ended; NULL until this is counted.
CREATE TABLE IF NOT EXISTS gaia_links (
  held_id bigint NOT NULL,
  task_id bigint NOT NULL,
  open_task bigint DEFAULT NULL,
  task_status varchar(16) DEFAULT NULL,
  PRIMARY KEY (held_id, task_id),
  KEY gaia_links_task (task_id),
  KEY gaia_links_open (open_task)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
