-- The claims of workers that are no nodes: programs in other languages, which take tasks through the HTTP API, and services that have answered
-- a call with 202. A row stands beside a row of gaia_claims. While it is there, no node takes the tasks over; any node removes it once the
-- worker has been silent for longer than its lease, and ends the runs.
CREATE TABLE gaia_remote_claims (
  -- The mark of the claim.
  mark TEXT NOT NULL PRIMARY KEY,
  -- The id of the claim.
  claim_id BIGINT NOT NULL,
  -- The owner of its runs, as the rows of the tasks have it.
  worker TEXT NOT NULL,
  -- The theme of its tasks.
  theme TEXT NOT NULL,
  -- The key by which the tokens of its runs are told from forged ones.
  secret TEXT NOT NULL,
  -- For how long the worker may be silent.
  lease_ms BIGINT NOT NULL,
  -- When the worker has been silent for so long.
  expires_at TIMESTAMP NOT NULL,
  -- When the first of its runs is out of time; NULL = never.
  deadline TIMESTAMP DEFAULT NULL,
  -- Each sign of life adds 1.
  beat BIGINT NOT NULL
) WITHOUT ROWID;
