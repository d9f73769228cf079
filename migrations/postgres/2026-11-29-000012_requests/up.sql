-- What a process asks of another one: to run a job now (any node that runs jobs may take it), to resize a theme on one node.
--   id        a number that the asking process has drawn by lot
--   kind      run_job, resize
--   open_for  the node that may take it; '' = any node that runs jobs; NULL = it is taken, or withdrawn
--   node_id   the node that it names
--   done_at   when it got its result; a request that has none and is older than a minute is over
CREATE TABLE gaia_requests (
  id BIGINT NOT NULL PRIMARY KEY,
  kind VARCHAR(20) NOT NULL,
  open_for VARCHAR(64),
  node_id VARCHAR(64),
  theme VARCHAR(100),
  job_id BIGINT,
  workers INTEGER,
  asked_by TEXT,
  reason TEXT,
  created_at TIMESTAMP NOT NULL,
  taken_by VARCHAR(64),
  taken_at TIMESTAMP,
  done_at TIMESTAMP,
  result TEXT
);
CREATE INDEX gaia_requests_open ON gaia_requests (open_for) WHERE open_for IS NOT NULL;

-- What each node says of itself, as JSON. Not in gaia_nodes: each node reads the rows of all others there with every heartbeat.
CREATE TABLE gaia_node_status (
  node_id VARCHAR(64) NOT NULL PRIMARY KEY,
  written_at TIMESTAMP NOT NULL,
  status TEXT NOT NULL
);

-- Who paused or resumed the theme last, who resized it last, when and why. NULL: not said, or never.
ALTER TABLE gaia_themes ADD COLUMN paused_by TEXT;
ALTER TABLE gaia_themes ADD COLUMN paused_reason TEXT;
ALTER TABLE gaia_themes ADD COLUMN paused_at TIMESTAMP;
ALTER TABLE gaia_themes ADD COLUMN resized_by TEXT;
ALTER TABLE gaia_themes ADD COLUMN resized_reason TEXT;
ALTER TABLE gaia_themes ADD COLUMN resized_at TIMESTAMP;

-- Roles that may use gaia_nodes may use these.
DO $do$
DECLARE
  known RECORD;
BEGIN
  FOR known IN
    SELECT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END AS who, privilege_type AS what
    FROM pg_class, aclexplode(relacl) WHERE pg_class.oid = 'gaia_nodes'::regclass AND grantee <> relowner
  LOOP
    EXECUTE format('GRANT %s ON gaia_requests, gaia_node_status TO %s', known.what, known.who);
  END LOOP;
END $do$;
