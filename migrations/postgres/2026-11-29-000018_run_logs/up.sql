-- What handlers have logged while they served runs, as lines of JSON.
--   scope    the theme; '' = jobs
--   log_id   the run whose lines the row holds; '' = a pack of runs that ended between first_at and last_at
CREATE TABLE gaia_run_logs (
  id VARCHAR(36) NOT NULL PRIMARY KEY,
  scope VARCHAR(100) NOT NULL,
  log_id VARCHAR(100) NOT NULL,
  first_at TIMESTAMP NOT NULL,
  last_at TIMESTAMP NOT NULL,
  content TEXT NOT NULL
);
CREATE INDEX gaia_run_logs_run ON gaia_run_logs (log_id) WHERE log_id <> '';
CREATE INDEX gaia_run_logs_time ON gaia_run_logs (scope, last_at, first_at);

-- The roles that may use gaia_nodes may use the new table.
DO $do$
DECLARE
  known RECORD;
BEGIN
  FOR known IN
    SELECT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END AS who, privilege_type AS what
    FROM pg_class, aclexplode(relacl) WHERE pg_class.oid = 'gaia_nodes'::regclass AND grantee <> relowner
  LOOP
    EXECUTE format('GRANT %s ON gaia_run_logs TO %s', known.what, known.who);
  END LOOP;
END $do$;
