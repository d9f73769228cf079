-- The open alerts: each row is one cause that goes on. The node whose insert succeeds tells that the alert is raised, the node whose delete
-- removes the row tells that the cause is over. So people get one message from a cluster.
--   alert_key   SHA-256 of the kind and of what the alert is about
--   subject     What the alert is about: a theme, a theme and a method, a job, a node.
--   theme       The theme to which the subject belongs; NULL = none.
--   node        The node that has written the row last.
--   last_time   When the cause was seen last.
--   last_sent   When the last message was sent.
--   times       How often it has happened since the alert was raised
--   held_back   How often of that without a message yet
--   version     Each write adds 1, and names the number that it has read.
--   place       The page of the dashboard
CREATE TABLE IF NOT EXISTS gaia_alerts (
  alert_key varchar(64) NOT NULL PRIMARY KEY,
  kind varchar(64) NOT NULL,
  subject text CHARACTER SET utf8mb4 NOT NULL,
  theme varchar(100) CHARACTER SET utf8mb4 COLLATE {exact} DEFAULT NULL,
  node varchar(64) NOT NULL,
  since datetime(6) NOT NULL,
  last_time datetime(6) NOT NULL,
  last_sent datetime(6) NOT NULL,
  times bigint NOT NULL,
  held_back bigint NOT NULL,
  version bigint NOT NULL,
  place text CHARACTER SET utf8mb4 NOT NULL,
  text_en text CHARACTER SET utf8mb4 NOT NULL,
  text_zh text CHARACTER SET utf8mb4 NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
