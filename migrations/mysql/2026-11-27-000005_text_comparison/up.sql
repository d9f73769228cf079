-- A text means the same here as on the other databases: every letter counts, its case, and a blank at its end. These servers
-- ignore case and trailing blanks unless a column's collation says otherwise. Changed are the columns by which rows are told
-- apart or found; their names, types, defaults and comments stay. `{exact}` is the collation that the server has for it:
-- utf8mb4_0900_bin of MySQL, utf8mb4_nopad_bin of MariaDB.
--
-- Each statement may be run twice.

-- What the generated columns are made of, and they themselves: a row whose status is `wait` or `Wait ` waits no more.
ALTER TABLE asynctasks
  MODIFY `service_name` varchar(255) CHARACTER SET utf8mb4 COLLATE {exact} NOT NULL COMMENT '服务名',
  MODIFY `method_name` varchar(255) CHARACTER SET utf8mb4 COLLATE {exact} NOT NULL COMMENT '方法名',
  MODIFY `system_name` varchar(100) CHARACTER SET utf8mb4 COLLATE {exact} NOT NULL COMMENT '系统标识',
  MODIFY `task_status` varchar(50) CHARACTER SET utf8mb4 COLLATE {exact} DEFAULT 'Wait' COMMENT '任务状态:Wait/Running/Success/Failed/Retry',
  MODIFY unique_key varchar(255) CHARACTER SET utf8mb4 COLLATE {exact} DEFAULT NULL,
  MODIFY due_theme varchar(100) CHARACTER SET utf8mb4 COLLATE {exact} GENERATED ALWAYS AS
    (CASE WHEN task_status IN ('Wait', 'Retry') AND run_at IS NULL THEN system_name END) STORED,
  MODIFY later_theme varchar(100) CHARACTER SET utf8mb4 COLLATE {exact} GENERATED ALWAYS AS
    (CASE WHEN task_status IN ('Wait', 'Retry') AND run_at IS NOT NULL THEN system_name END) STORED,
  MODIFY live_key varchar(255) CHARACTER SET utf8mb4 COLLATE {exact} GENERATED ALWAYS AS
    (CASE WHEN task_status IN ('Wait', 'Retry', 'Running') THEN unique_key END) STORED;

ALTER TABLE gaia_themes
  MODIFY theme varchar(100) CHARACTER SET utf8mb4 COLLATE {exact} NOT NULL;

-- Our own texts hold any character, whatever charset the table has.
ALTER TABLE job_center
  MODIFY `job_name` varchar(255) CHARACTER SET utf8mb4 COLLATE {exact} NOT NULL COMMENT '任务名称',
  MODIFY `job_type` varchar(50) CHARACTER SET utf8mb4 COLLATE {exact} NOT NULL COMMENT '任务类型: cron_job/cron_hook',
  MODIFY `run_status` varchar(50) CHARACTER SET utf8mb4 COLLATE {exact} DEFAULT '待运行' COMMENT '运行状态',
  MODIFY hook_headers text CHARACTER SET utf8mb4 DEFAULT NULL,
  MODIFY scheduled_by text CHARACTER SET utf8mb4 DEFAULT NULL,
  MODIFY unique_name varchar(255) CHARACTER SET utf8mb4 COLLATE {exact} DEFAULT NULL;

ALTER TABLE job_record
  MODIFY cancel_reason text CHARACTER SET utf8mb4 DEFAULT NULL;
