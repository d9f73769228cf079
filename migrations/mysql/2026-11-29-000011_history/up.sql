-- What ended, when and how long it took: each row has the counts of one node for one method (or job) in one span of time. Nodes add rows,
-- and never change one. Pruners put the rows of many short spans into one row of a longer span.
--   width             in seconds: 10, 60 or 3600
--   at                the beginning of the span
--   number            random; a node that does not know whether its write was done writes the same number again
--   node              the node that has written the row
--   kind              'task' or 'job'
--   theme             for a job: its name
--   waited_ms, ran_ms sums of milliseconds
--   waited, ran       how many times lie between the bounds of the crate: a JSON list without the zeros at its end
CREATE TABLE IF NOT EXISTS gaia_history (
  width int NOT NULL,
  at datetime(6) NOT NULL,
  number bigint NOT NULL,
  node varchar(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  kind varchar(10) CHARACTER SET ascii NOT NULL,
  theme varchar(255) CHARACTER SET utf8mb4 COLLATE {exact} NOT NULL,
  service varchar(255) CHARACTER SET utf8mb4 COLLATE {exact} NOT NULL,
  method varchar(255) CHARACTER SET utf8mb4 COLLATE {exact} NOT NULL,
  succeeded bigint NOT NULL,
  failed bigint NOT NULL,
  retried bigint NOT NULL,
  snoozed bigint NOT NULL,
  cancelled bigint NOT NULL,
  lost bigint NOT NULL,
  waited_ms bigint NOT NULL,
  waited varchar(500) CHARACTER SET ascii NOT NULL,
  ran_ms bigint NOT NULL,
  ran varchar(500) CHARACTER SET ascii NOT NULL,
  PRIMARY KEY (width, at, number, node)
) ENGINE=InnoDB;
