-- The claims of workers that are no nodes: programs in other languages, which take tasks through the HTTP API, and services that have answered
-- a call with 202. A row stands beside a row of gaia_claims. While it is there, no node takes the tasks over; any node removes it once the
-- worker has been silent for longer than its lease, and ends the runs.
--   mark        The mark of the claim.
--   claim_id    The id of the claim.
--   worker      The owner of its runs, as the rows of the tasks have it.
--   theme       The theme of its tasks.
--   secret      The key by which the tokens of its runs are told from forged ones.
--   lease_ms    For how long the worker may be silent.
--   expires_at  When the worker has been silent for so long.
--   deadline    When the first of its runs is out of time; NULL = never.
--   beat        Each sign of life adds 1.
CREATE TABLE IF NOT EXISTS gaia_remote_claims (
  mark varchar(64) NOT NULL PRIMARY KEY,
  claim_id bigint NOT NULL,
  worker varchar(200) CHARACTER SET utf8mb4 COLLATE {exact} NOT NULL,
  theme varchar(100) CHARACTER SET utf8mb4 COLLATE {exact} NOT NULL,
  secret varchar(64) NOT NULL,
  lease_ms bigint NOT NULL,
  expires_at datetime(6) NOT NULL,
  deadline datetime(6) DEFAULT NULL,
  beat bigint NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
