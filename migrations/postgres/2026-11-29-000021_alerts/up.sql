-- The open alerts: each row is one cause that goes on. The node whose insert succeeds tells that the alert is raised, the node whose delete
-- removes the row tells that the cause is over. So people get one message from a cluster.
CREATE TABLE gaia_alerts (
  -- SHA-256 of the kind and of what the alert is about.
  alert_key TEXT NOT NULL PRIMARY KEY,
  kind TEXT NOT NULL,
  -- What the alert is about: a theme, a theme and a method, a job, a node.
  subject TEXT NOT NULL,
  -- The theme to which the subject belongs; NULL = none.
  theme TEXT DEFAULT NULL,
  -- The node that has written the row last.
  node TEXT NOT NULL,
  since TIMESTAMP NOT NULL,
  -- When the cause was seen last.
  last_time TIMESTAMP NOT NULL,
  -- When the last message was sent.
  last_sent TIMESTAMP NOT NULL,
  -- How often it has happened since the alert was raised, and how often of that without a message yet.
  times BIGINT NOT NULL,
  held_back BIGINT NOT NULL,
  -- Each write adds 1, and names the number that it has read.
  version BIGINT NOT NULL,
  -- The page of the dashboard.
  place TEXT NOT NULL,
  text_en TEXT NOT NULL,
  text_zh TEXT NOT NULL
);

-- The roles that may use gaia_nodes may use the new table.
DO $do$
DECLARE
  known RECORD;
BEGIN
  FOR known IN
    SELECT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END AS who, privilege_type AS what
    FROM pg_class, aclexplode(relacl) WHERE pg_class.oid = 'gaia_nodes'::regclass AND grantee <> relowner
  LOOP
    EXECUTE format('GRANT %s ON gaia_alerts TO %s', known.what, known.who);
  END LOOP;
END $do$;
