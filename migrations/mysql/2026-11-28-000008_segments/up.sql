-- The queue beside the rows: what is due lies in segments of up to 1,000 ids, and each claim has a row with its ids. A claim reads
-- and writes few rows of these, and no index of asynctasks has to know which tasks wait and who runs the others.
--
-- What this crate did not write so itself is found by an index over few rows: tasks that wait and are in no segment, running tasks that
-- are in no claim, requests to cancel. The tasks that wait now are among them. The table asynctasks is rewritten once.

-- A node without a row gets no task, and a node of a version before this one cannot make a row again: it knows nothing of the last
-- column. What it runs, it may still bring to its end until another node takes it over.
-- unless gaia_nodes.protocol
ALTER TABLE gaia_nodes ADD COLUMN protocol int NOT NULL;

DELETE FROM gaia_nodes WHERE protocol = 0;

CREATE TABLE IF NOT EXISTS gaia_due (
  id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY,
  theme varchar(100) CHARACTER SET utf8mb4 COLLATE {exact} NOT NULL,
  service varchar(255) CHARACTER SET utf8mb4 COLLATE {exact} NOT NULL,
  method varchar(255) CHARACTER SET utf8mb4 COLLATE {exact} NOT NULL,
  priority int NOT NULL,
  n int NOT NULL,
  ids mediumtext CHARACTER SET ascii NOT NULL COMMENT 'JSON',
  KEY gaia_due_method (theme, service, method, priority DESC, id),
  KEY gaia_due_order (theme, priority DESC, id)
) ENGINE=InnoDB;

CREATE TABLE IF NOT EXISTS gaia_claims (
  id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY COMMENT 'the lease token of its tasks',
  theme varchar(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  node_id varchar(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  mark varchar(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  claimed_at datetime(6) NOT NULL,
  ids mediumtext CHARACTER SET ascii NOT NULL COMMENT 'JSON',
  KEY gaia_claims_node (node_id)
) ENGINE=InnoDB;

-- The next number of a claim is greater than that of any claim before. One near the last number is none that a claim has given.
INSERT INTO gaia_claims (id, theme, node_id, mark, claimed_at, ids)
  SELECT COALESCE(MAX(lease_token), 0) + 1, '', '', '', CURRENT_TIMESTAMP(6), '[]' FROM asynctasks
  WHERE lease_token BETWEEN 0 AND 4611686018427387904
  ON DUPLICATE KEY UPDATE mark = '';
DELETE FROM gaia_claims WHERE node_id = '';

-- queued: 1 while the task is in a segment, 2 while it is in a claim, 0 while it is in neither.
-- unless asynctasks.queued
ALTER TABLE asynctasks
  ADD COLUMN queued int NOT NULL DEFAULT 0,
  ADD COLUMN stray varchar(110) CHARACTER SET utf8mb4 COLLATE {exact} GENERATED ALWAYS AS
    (CASE WHEN queued <> 1 AND task_status IN ('Wait', 'Retry') AND run_at IS NULL THEN CONCAT('due ', system_name)
      WHEN queued <> 2 AND task_status = 'Running' AND lease_owner IS NOT NULL THEN 'unheld'
      WHEN cancel_requested <> 0 THEN 'cancel' END) STORED,
  DROP KEY gaia_tasks_claim,
  DROP KEY gaia_tasks_running,
  DROP COLUMN due_theme,
  ADD KEY gaia_tasks_stray (stray, priority DESC, id);
