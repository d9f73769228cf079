-- The segment of a task is found by the task's id. A segment of one task has it as min_id; plain SQL makes a segment for each task, so there
-- can be a million of them. Longer ones, of which there are few, are found by max_id.
CREATE INDEX gaia_due_ids ON gaia_due (min_id);
CREATE INDEX gaia_due_long ON gaia_due (max_id) WHERE min_id < max_id;

-- As before, but with conditions that use these indexes.
DO $do$
DECLARE
  place CONSTANT TEXT := (SELECT quote_ident(nspname) FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace
    WHERE pg_class.oid = 'asynctasks'::regclass);
BEGIN
  EXECUTE format($sql$
    CREATE OR REPLACE FUNCTION %1$s.gaia_task_placed() RETURNS trigger LANGUAGE plpgsql
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
            WHERE theme = NEW.system_name AND (min_id = NEW.id OR min_id < max_id AND max_id >= NEW.id AND min_id <= NEW.id)
              AND ids @> ARRAY[NEW.id];
          DELETE FROM %1$s.gaia_due
            WHERE theme = NEW.system_name AND (min_id = NEW.id OR min_id < max_id AND max_id >= NEW.id AND min_id <= NEW.id)
              AND n = 0;
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
END $do$;
