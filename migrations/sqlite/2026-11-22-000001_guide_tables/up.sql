-- The four tables of the integration guide, in SQLite's words. `IF NOT EXISTS`: a database that already has them is adopted.
-- AUTOINCREMENT: an id is never given twice, so a late write can never hit another task.

CREATE TABLE IF NOT EXISTS asynctasks (
  id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  service_name TEXT NOT NULL,
  method_name TEXT NOT NULL,
  task_name TEXT NOT NULL,
  arg TEXT,
  max_retry_time INTEGER DEFAULT 3,
  system_name TEXT NOT NULL,
  task_status TEXT DEFAULT 'Wait',
  last_run_time TIMESTAMP DEFAULT NULL,
  last_run_end_time TIMESTAMP DEFAULT NULL,
  last_run_duration BIGINT DEFAULT 0,
  create_time TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
  update_time TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
  retry_time INTEGER DEFAULT 0,
  last_result TEXT,
  last_err_msg TEXT,
  log_id TEXT DEFAULT NULL
);
CREATE INDEX IF NOT EXISTS idx_system_status ON asynctasks (system_name, task_status);
CREATE INDEX IF NOT EXISTS idx_asynctasks_create_time ON asynctasks (create_time);

CREATE TABLE IF NOT EXISTS asynctask_exec_row (
  id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  task_id BIGINT NOT NULL,
  task_status TEXT DEFAULT NULL,
  last_result TEXT,
  last_err_msg TEXT,
  last_run_time TIMESTAMP DEFAULT NULL,
  last_run_end_time TIMESTAMP DEFAULT NULL,
  last_run_duration BIGINT DEFAULT 0,
  log_id TEXT DEFAULT NULL,
  create_time TIMESTAMP DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX IF NOT EXISTS idx_task_id ON asynctask_exec_row (task_id);
CREATE INDEX IF NOT EXISTS idx_run_time ON asynctask_exec_row (last_run_time);

CREATE TABLE IF NOT EXISTS job_center (
  id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  job_name TEXT NOT NULL,
  job_type TEXT NOT NULL,
  cron_expr TEXT NOT NULL,
  hook_url TEXT DEFAULT NULL,
  service_name TEXT DEFAULT NULL,
  service_method TEXT DEFAULT NULL,
  args TEXT,
  timeout INTEGER DEFAULT 300,
  enabled INTEGER DEFAULT 1,
  run_status TEXT DEFAULT '待运行',
  last_run_time TIMESTAMP DEFAULT NULL,
  create_time TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
  update_time TIMESTAMP DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX IF NOT EXISTS idx_enabled ON job_center (enabled);
CREATE INDEX IF NOT EXISTS idx_job_type ON job_center (job_type);

CREATE TABLE IF NOT EXISTS job_record (
  id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  job_name TEXT NOT NULL,
  job_type TEXT NOT NULL,
  cron_expr TEXT NOT NULL,
  hook_url TEXT DEFAULT NULL,
  service_name TEXT DEFAULT NULL,
  service_method TEXT DEFAULT NULL,
  args TEXT,
  job_result_flag TEXT DEFAULT NULL,
  run_result TEXT,
  run_err TEXT,
  create_time TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
  update_time TIMESTAMP DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX IF NOT EXISTS idx_job_name ON job_record (job_name);
CREATE INDEX IF NOT EXISTS idx_job_record_create_time ON job_record (create_time);
