-- A claim leaves the rows of its tasks alone: the row of a task says that it runs when the run has lasted for a moment, and most rows
-- are written once, at the end. A node of a version before this one takes such a task for one that waits, so it must have no row, and
-- cannot make one.
--
-- It takes as long as the update of all tasks that wait or run. The tasks that have come to their end are not touched.
DELETE FROM gaia_nodes;
ALTER TABLE gaia_nodes ADD CONSTRAINT gaia_nodes_protocol CHECK (protocol >= 3);

DROP TRIGGER gaia_task_added ON asynctasks;
DROP TRIGGER gaia_task_requeued ON asynctasks;
DROP TRIGGER gaia_task_taken ON asynctasks;
DROP FUNCTION gaia_task_added();
DROP FUNCTION gaia_task_requeued();
DROP FUNCTION gaia_task_taken();

-- Where a task is: 1 = it waits in a segment, or runs by one claim, of which its row does not say anything yet; 2 = it runs, says its row,
-- and is in a claim; 0 = in neither. Another column than before, since the old one stayed 1 in tasks that have come to their end.
ALTER TABLE asynctasks DROP COLUMN queued;
ALTER TABLE asynctasks ADD COLUMN queued INTEGER NOT NULL DEFAULT 0;
-- One more version of a row, not two.
ALTER TABLE asynctasks SET (fillfactor = 42);

-- The unique key of a task that has not come to its end. Written by the statements that know the end, and by a trigger for all others: to
-- compute it with each update took as long as half of the other work of an end.
DO $do$
BEGIN
  IF current_setting('server_version_num')::int >= 130000 THEN
    ALTER TABLE asynctasks ALTER COLUMN live_key DROP EXPRESSION;
  ELSE
    ALTER TABLE asynctasks DROP COLUMN live_key;
    ALTER TABLE asynctasks ADD COLUMN live_key VARCHAR(255) DEFAULT NULL;
    UPDATE asynctasks SET live_key = unique_key
      WHERE unique_key IS NOT NULL AND task_status IN ('Wait', 'Retry', 'Running');
    CREATE UNIQUE INDEX gaia_tasks_unique ON asynctasks (system_name, live_key) WHERE live_key IS NOT NULL;
  END IF;
END $do$;

-- The ids of a segment lie between these: a task is found without a look into the lists of all segments.
ALTER TABLE gaia_due
  ADD COLUMN min_id BIGINT NOT NULL DEFAULT -9223372036854775808,
  ADD COLUMN max_id BIGINT NOT NULL DEFAULT 9223372036854775807;

-- A task that waits is in one segment, and in no claim of before.
WITH waiting AS MATERIALIZED (
    SELECT DISTINCT t.id, t.system_name, t.service_name, t.method_name, t.priority
    FROM gaia_due CROSS JOIN unnest(gaia_due.ids) AS i (id) JOIN asynctasks t ON t.id = i.id
    WHERE t.task_status IN ('Wait', 'Retry') AND t.run_at IS NULL),
  gone AS (DELETE FROM gaia_due),
  placed AS (
    UPDATE asynctasks t SET queued = 1, lease_token = (SELECT nextval('gaia_claims_id_seq'))
    FROM waiting WHERE t.id = waiting.id)
INSERT INTO gaia_due (theme, service, method, priority, n, ids, min_id, max_id)
  SELECT system_name, service_name, method_name, priority, count(*), array_agg(id ORDER BY id), min(id), max(id)
  FROM (SELECT *, (row_number() OVER (PARTITION BY system_name, service_name, method_name, priority ORDER BY id) - 1) / 1000 AS part
    FROM waiting) AS due
  GROUP BY system_name, service_name, method_name, priority, part ORDER BY min(id);
UPDATE asynctasks t SET queued = 2
  FROM (SELECT DISTINCT i.id FROM gaia_claims CROSS JOIN unnest(gaia_claims.ids) AS i (id)) AS claimed
  WHERE t.id = claimed.id AND t.task_status = 'Running' AND t.lease_owner IS NOT NULL;

-- What plain SQL makes of a task, and what goes back to the queue. A task that waits gets into a segment, with a number that is greater than
-- those of all claims, so that no claim of before has it. A task that plain SQL puts under a node gets into a claim, so that other nodes find
-- the task. Every role may write such rows: the functions have the rights of the tables' owner.
DO $do$
DECLARE
  place CONSTANT TEXT := (SELECT quote_ident(nspname) FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace
    WHERE pg_class.oid = 'asynctasks'::regclass);
BEGIN
  EXECUTE format($sql$
    CREATE FUNCTION %1$s.gaia_task_placed() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $f$
    DECLARE
      token CONSTANT BIGINT := nextval('%1$s.gaia_claims_id_seq');
    BEGIN
      IF NEW.task_status = 'Running' AND NEW.lease_owner IS NOT NULL THEN
        INSERT INTO %1$s.gaia_claims (theme, node_id, mark, claimed_at, ids)
          VALUES (NEW.system_name, NEW.lease_owner, 'plain', now() AT TIME ZONE 'UTC', ARRAY[NEW.id]);
        UPDATE %1$s.asynctasks SET queued = 2 WHERE id = NEW.id AND queued <> 2;
        IF NEW.queued = 1 THEN
          UPDATE %1$s.gaia_due SET ids = array_remove(ids, NEW.id), n = cardinality(array_remove(ids, NEW.id))
            WHERE theme = NEW.system_name AND NEW.id BETWEEN min_id AND max_id AND ids @> ARRAY[NEW.id];
          DELETE FROM %1$s.gaia_due WHERE theme = NEW.system_name AND NEW.id BETWEEN min_id AND max_id AND n = 0;
        END IF;
      ELSIF NEW.task_status IN ('Wait', 'Retry') AND NEW.run_at IS NULL THEN
        -- Another trigger of the same statement may have updated the row already, and so have had the task placed.
        UPDATE %1$s.asynctasks SET queued = 1, lease_token = token, live_key = unique_key
          WHERE id = NEW.id AND queued = NEW.queued AND lease_token = NEW.lease_token AND task_status = NEW.task_status;
        IF FOUND THEN
          INSERT INTO %1$s.gaia_due (theme, service, method, priority, n, ids, min_id, max_id)
            VALUES (NEW.system_name, NEW.service_name, NEW.method_name, NEW.priority, 1, ARRAY[NEW.id], NEW.id, NEW.id);
        END IF;
      END IF;
      RETURN NULL;
    END $f$ $sql$, place);
  EXECUTE format($sql$
    CREATE FUNCTION %1$s.gaia_task_rekeyed() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $f$ BEGIN
      UPDATE %1$s.asynctasks SET live_key = CASE WHEN task_status IN ('Wait', 'Retry', 'Running') THEN unique_key END
        WHERE id = NEW.id
          AND live_key IS DISTINCT FROM CASE WHEN task_status IN ('Wait', 'Retry', 'Running') THEN unique_key END;
      RETURN NULL;
    END $f$ $sql$, place);
  EXECUTE format($sql$
    CREATE FUNCTION %1$s.gaia_task_keyed() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN
      NEW.live_key := CASE WHEN NEW.task_status IN ('Wait', 'Retry', 'Running') THEN NEW.unique_key END;
      RETURN NEW;
    END $f$ $sql$, place);
END $do$;

-- A column that stands in a condition here cannot have another type: the conditions name few, the functions ask for the rest. None is fired
-- by the statements of a run, unless its task goes back to the queue.
CREATE TRIGGER gaia_task_keyed BEFORE INSERT ON asynctasks FOR EACH ROW
  WHEN (NEW.unique_key IS NOT NULL AND NEW.live_key IS NULL) EXECUTE FUNCTION gaia_task_keyed();
CREATE TRIGGER gaia_task_added AFTER INSERT ON asynctasks FOR EACH ROW
  WHEN (NEW.queued = 0) EXECUTE FUNCTION gaia_task_placed();
CREATE TRIGGER gaia_task_placed AFTER UPDATE ON asynctasks FOR EACH ROW
  WHEN (NEW.task_status IN ('Wait', 'Retry') AND (NEW.queued <> 1 OR NEW.id <> OLD.id)
    OR NEW.task_status = 'Running' AND NEW.lease_owner IS NOT NULL AND (NEW.queued <> 2 OR NEW.lease_token = OLD.lease_token
      AND (OLD.task_status IS DISTINCT FROM 'Running' OR OLD.lease_owner IS DISTINCT FROM NEW.lease_owner)))
  EXECUTE FUNCTION gaia_task_placed();
-- After the update, by another one: with a trigger before it each end would lock its row twice.
CREATE TRIGGER gaia_task_rekeyed AFTER UPDATE ON asynctasks FOR EACH ROW
  WHEN (NEW.live_key IS DISTINCT FROM CASE WHEN NEW.task_status IN ('Wait', 'Retry', 'Running') THEN NEW.unique_key END)
  EXECUTE FUNCTION gaia_task_rekeyed();
