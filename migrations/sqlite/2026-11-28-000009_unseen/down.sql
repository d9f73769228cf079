-- Back to the version before, by hand: with all nodes stopped, in one transaction. What a claim has whose row does not say so waits again.
UPDATE asynctasks SET queued = 0
  WHERE queued = 1 AND id IN (SELECT value FROM gaia_claims, json_each(gaia_claims.ids) WHERE asynctasks.lease_token < gaia_claims.id);
CREATE INDEX idx_system_status ON asynctasks (system_name, task_status);

DROP TABLE gaia_nodes;
CREATE TABLE gaia_nodes (
  id TEXT NOT NULL PRIMARY KEY,
  host TEXT NOT NULL,
  pid BIGINT NOT NULL,
  version TEXT NOT NULL,
  started_at TIMESTAMP NOT NULL,
  heartbeat TIMESTAMP NOT NULL,
  beat BIGINT NOT NULL,
  lease_ms BIGINT NOT NULL,
  themes TEXT NOT NULL,
  methods TEXT,
  protocol INTEGER NOT NULL
);
DELETE FROM gaia_migrations WHERE version = '20261128000009';
