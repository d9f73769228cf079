-- Tasks that wait until others have ended. Such a task is a row of asynctasks, scheduled for the end of the year 9999 until it is released.
CREATE TABLE gaia_held (
  -- The task that waits.
  task_id BIGINT NOT NULL PRIMARY KEY,
  -- chain: it runs if the others succeed, and is cancelled if one of them does not. batch: it runs in any case.
  kind TEXT NOT NULL,
  -- How many tasks it waits for, and how many of them have not ended.
  total BIGINT NOT NULL,
  unfinished BIGINT NOT NULL,
  -- How those have ended that have.
  succeeded BIGINT NOT NULL DEFAULT 0,
  failed BIGINT NOT NULL DEFAULT 0,
  cancelled BIGINT NOT NULL DEFAULT 0
);

-- Which tasks they wait for. The rows stay until the waiting task is deleted: it reads what has become of the others.
CREATE TABLE gaia_links (
  -- The task that waits.
  held_id BIGINT NOT NULL,
  -- The task for which it waits.
  task_id BIGINT NOT NULL,
  -- The same, until the end of that task is counted in gaia_held; then NULL.
  open_task BIGINT DEFAULT NULL,
  -- How that task has ended; NULL until this is counted.
  task_status TEXT DEFAULT NULL,
  PRIMARY KEY (held_id, task_id)
);
CREATE INDEX gaia_links_task ON gaia_links (task_id);
CREATE INDEX gaia_links_open ON gaia_links (open_task, held_id) WHERE open_task IS NOT NULL;

-- The roles that may use gaia_nodes may use the new tables.
DO $do$
DECLARE
  known RECORD;
BEGIN
  FOR known IN
    SELECT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END AS who, privilege_type AS what
    FROM pg_class, aclexplode(relacl) WHERE pg_class.oid = 'gaia_nodes'::regclass AND grantee <> relowner
  LOOP
    EXECUTE format('GRANT %s ON gaia_held, gaia_links TO %s', known.what, known.who);
  END LOOP;
END $do$;
