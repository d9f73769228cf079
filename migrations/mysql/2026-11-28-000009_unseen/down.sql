-- Back to the version before, by hand: with all nodes stopped. What a claim has whose row does not say so waits again.
UPDATE asynctasks t JOIN (
    SELECT ids.id, gaia_claims.id AS claim FROM gaia_claims, JSON_TABLE(gaia_claims.ids, '$[*]' COLUMNS (id BIGINT PATH '$')) ids
  ) claimed ON t.id = claimed.id
  SET t.queued = 0, t.update_time = t.update_time WHERE t.queued = 1 AND t.lease_token < claimed.claim;
ALTER TABLE gaia_nodes DROP CONSTRAINT gaia_nodes_protocol;
DELETE FROM gaia_migrations WHERE version = '20261128000009';
