-- Back to the version before, by hand: with all nodes stopped, as the owner of the tables, in one transaction. What a claim has whose row
-- does not say so waits again. The table asynctasks is rewritten.
DROP TRIGGER gaia_task_keyed ON asynctasks;
DROP TRIGGER gaia_task_added ON asynctasks;
DROP TRIGGER gaia_task_placed ON asynctasks;
DROP TRIGGER gaia_task_rekeyed ON asynctasks;
DROP FUNCTION gaia_task_keyed();
DROP FUNCTION gaia_task_placed();
DROP FUNCTION gaia_task_rekeyed();
INSERT INTO gaia_due (theme, service, method, priority, n, ids)
  SELECT t.system_name, t.service_name, t.method_name, t.priority, count(*), array_agg(DISTINCT t.id)
  FROM gaia_claims CROSS JOIN unnest(gaia_claims.ids) AS i (id) JOIN asynctasks t ON t.id = i.id
  WHERE t.queued = 1 AND t.lease_token < gaia_claims.id AND t.task_status IN ('Wait', 'Retry') AND t.run_at IS NULL
  GROUP BY t.system_name, t.service_name, t.method_name, t.priority;
ALTER TABLE gaia_due DROP COLUMN min_id, DROP COLUMN max_id;
DROP INDEX gaia_tasks_unique;
ALTER TABLE asynctasks DROP COLUMN live_key;
ALTER TABLE asynctasks
  ADD COLUMN live_key VARCHAR(255)
    GENERATED ALWAYS AS (CASE WHEN task_status IN ('Wait', 'Retry', 'Running') THEN unique_key END) STORED;
CREATE UNIQUE INDEX gaia_tasks_unique ON asynctasks (system_name, live_key) WHERE live_key IS NOT NULL;
ALTER TABLE asynctasks SET (fillfactor = 30);
ALTER TABLE gaia_nodes DROP CONSTRAINT gaia_nodes_protocol;

DO $do$
DECLARE
  place CONSTANT TEXT := (SELECT quote_ident(nspname) FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace
    WHERE pg_class.oid = 'asynctasks'::regclass);
BEGIN
  EXECUTE format($sql$
    CREATE FUNCTION %1$s.gaia_task_added() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $f$ BEGIN
      IF NEW.task_status IN ('Wait', 'Retry') AND NEW.run_at IS NULL THEN
        INSERT INTO %1$s.gaia_due (theme, service, method, priority, n, ids)
          VALUES (NEW.system_name, NEW.service_name, NEW.method_name, NEW.priority, 1, ARRAY[NEW.id]);
      ELSIF NEW.task_status = 'Running' AND NEW.lease_owner IS NOT NULL THEN
        INSERT INTO %1$s.gaia_claims (theme, node_id, mark, claimed_at, ids)
          VALUES (NEW.system_name, NEW.lease_owner, 'plain', now() AT TIME ZONE 'UTC', ARRAY[NEW.id]);
      END IF;
      RETURN NULL;
    END $f$ $sql$, place);
  EXECUTE format($sql$
    CREATE FUNCTION %1$s.gaia_task_requeued() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $f$ BEGIN
      IF NEW.run_at IS NULL AND (COALESCE(OLD.task_status, '') NOT IN ('Wait', 'Retry') OR OLD.run_at IS NOT NULL
        OR OLD.id <> NEW.id OR OLD.system_name <> NEW.system_name OR OLD.service_name <> NEW.service_name
        OR OLD.method_name <> NEW.method_name OR OLD.priority <> NEW.priority) THEN
        INSERT INTO %1$s.gaia_due (theme, service, method, priority, n, ids)
          VALUES (NEW.system_name, NEW.service_name, NEW.method_name, NEW.priority, 1, ARRAY[NEW.id]);
      END IF;
      RETURN NULL;
    END $f$ $sql$, place);
  EXECUTE format($sql$
    CREATE FUNCTION %1$s.gaia_task_taken() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $f$ BEGIN
      INSERT INTO %1$s.gaia_claims (theme, node_id, mark, claimed_at, ids)
        VALUES (NEW.system_name, NEW.lease_owner, 'plain', now() AT TIME ZONE 'UTC', ARRAY[NEW.id]);
      RETURN NULL;
    END $f$ $sql$, place);
END $do$;

CREATE TRIGGER gaia_task_added AFTER INSERT ON asynctasks FOR EACH ROW
  WHEN (NEW.queued = 0) EXECUTE FUNCTION gaia_task_added();
-- A column that stands in a condition here cannot have another type: the conditions name few, the function asks for the rest.
CREATE TRIGGER gaia_task_requeued AFTER UPDATE ON asynctasks FOR EACH ROW
  WHEN (NEW.task_status IN ('Wait', 'Retry')) EXECUTE FUNCTION gaia_task_requeued();
CREATE TRIGGER gaia_task_taken AFTER UPDATE ON asynctasks FOR EACH ROW
  WHEN (NEW.task_status = 'Running' AND NEW.lease_owner IS NOT NULL AND NEW.lease_token = OLD.lease_token
    AND (OLD.task_status IS DISTINCT FROM 'Running' OR OLD.lease_owner IS DISTINCT FROM NEW.lease_owner))
  EXECUTE FUNCTION gaia_task_taken();
DELETE FROM gaia_migrations WHERE version = '20261128000009';
