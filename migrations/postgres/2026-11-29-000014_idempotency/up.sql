-- Additions that callers may repeat: who repeats one within a day gets the ids of the first, and adds nothing.
CREATE TABLE gaia_idempotency (
  -- SHA-256 of the caller's name, the theme and the caller's key.
  key_hash TEXT NOT NULL PRIMARY KEY,
  -- SHA-256 of what was asked for.
  body_hash TEXT NOT NULL,
  -- The ids of the tasks, as JSON. Empty until the transaction that adds them has added them.
  tasks TEXT NOT NULL,
  created_at TIMESTAMP NOT NULL
);
CREATE INDEX gaia_idempotency_created ON gaia_idempotency (created_at);

-- The roles that may use gaia_nodes may use the new table.
DO $do$
DECLARE
  known RECORD;
BEGIN
  FOR known IN
    SELECT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END AS who, privilege_type AS what
    FROM pg_class, aclexplode(relacl) WHERE pg_class.oid = 'gaia_nodes'::regclass AND grantee <> relowner
  LOOP
    EXECUTE format('GRANT %s ON gaia_idempotency TO %s', known.what, known.who);
  END LOOP;
END $do$;
