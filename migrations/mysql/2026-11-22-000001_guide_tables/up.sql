-- The four tables of the integration guide, as they stand there. `IF NOT EXISTS`: a database that already has them is adopted.

CREATE TABLE IF NOT EXISTS `asynctasks` (
  `id` bigint(20) NOT NULL AUTO_INCREMENT,
  `service_name` varchar(255) NOT NULL COMMENT '服务名',
  `method_name` varchar(255) NOT NULL COMMENT '方法名',
  `task_name` varchar(255) NOT NULL COMMENT '任务名',
  `arg` text COMMENT '参数JSON',
  `max_retry_time` int(11) DEFAULT '3' COMMENT '最大重试次数',
  `system_name` varchar(100) NOT NULL COMMENT '系统标识',
  `task_status` varchar(50) DEFAULT 'Wait' COMMENT '任务状态:Wait/Running/Success/Failed/Retry',
  `last_run_time` datetime DEFAULT NULL COMMENT '最后运行时间',
  `last_run_end_time` datetime DEFAULT NULL COMMENT '最后运行结束时间',
  `last_run_duration` bigint(20) DEFAULT '0' COMMENT '执行耗时(ms)',
  `create_time` datetime DEFAULT CURRENT_TIMESTAMP,
  `update_time` datetime DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
  `retry_time` int(11) DEFAULT '0' COMMENT '已重试次数',
  `last_result` text COMMENT '执行结果',
  `last_err_msg` text COMMENT '错误信息',
  `log_id` varchar(100) DEFAULT NULL COMMENT '日志追踪ID',
  PRIMARY KEY (`id`),
  KEY `idx_system_status` (`system_name`,`task_status`),
  KEY `idx_create_time` (`create_time`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COMMENT='异步任务表';

CREATE TABLE IF NOT EXISTS `asynctask_exec_row` (
  `id` bigint(20) NOT NULL AUTO_INCREMENT,
  `task_id` bigint(20) NOT NULL COMMENT '任务ID',
  `task_status` varchar(50) DEFAULT NULL COMMENT '任务状态',
  `last_result` text COMMENT '执行结果',
  `last_err_msg` text COMMENT '错误信息',
  `last_run_time` datetime DEFAULT NULL COMMENT '运行时间',
  `last_run_end_time` datetime DEFAULT NULL COMMENT '结束时间',
  `last_run_duration` bigint(20) DEFAULT '0' COMMENT '执行耗时(ms)',
  `log_id` varchar(100) DEFAULT NULL COMMENT '日志追踪ID',
  `create_time` datetime DEFAULT CURRENT_TIMESTAMP,
  PRIMARY KEY (`id`),
  KEY `idx_task_id` (`task_id`),
  KEY `idx_run_time` (`last_run_time`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COMMENT='异步任务执行记录表';

CREATE TABLE IF NOT EXISTS `job_center` (
  `id` bigint(20) NOT NULL AUTO_INCREMENT,
  `job_name` varchar(255) NOT NULL COMMENT '任务名称',
  `job_type` varchar(50) NOT NULL COMMENT '任务类型: cron_job/cron_hook',
  `cron_expr` varchar(100) NOT NULL COMMENT 'Cron表达式',
  `hook_url` varchar(500) DEFAULT NULL COMMENT 'Hook URL（cron_hook类型）',
  `service_name` varchar(255) DEFAULT NULL COMMENT '服务名（cron_job类型）',
  `service_method` varchar(255) DEFAULT NULL COMMENT '方法名（cron_job类型）',
  `args` text COMMENT '参数JSON',
  `timeout` int(11) DEFAULT '300' COMMENT '超时时间（秒）',
  `enabled` tinyint(1) DEFAULT '1' COMMENT '是否启用',
  `run_status` varchar(50) DEFAULT '待运行' COMMENT '运行状态',
  `last_run_time` datetime DEFAULT NULL COMMENT '最后运行时间',
  `create_time` datetime DEFAULT CURRENT_TIMESTAMP,
  `update_time` datetime DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
  PRIMARY KEY (`id`),
  KEY `idx_enabled` (`enabled`),
  KEY `idx_job_type` (`job_type`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COMMENT='定时任务中心';

CREATE TABLE IF NOT EXISTS `job_record` (
  `id` bigint(20) NOT NULL AUTO_INCREMENT,
  `job_name` varchar(255) NOT NULL COMMENT '任务名称',
  `job_type` varchar(50) NOT NULL COMMENT '任务类型',
  `cron_expr` varchar(100) NOT NULL COMMENT 'Cron表达式',
  `hook_url` varchar(500) DEFAULT NULL COMMENT 'Hook URL',
  `service_name` varchar(255) DEFAULT NULL COMMENT '服务名',
  `service_method` varchar(255) DEFAULT NULL COMMENT '方法名',
  `args` text COMMENT '参数',
  `job_result_flag` varchar(50) DEFAULT NULL COMMENT '执行结果标记: success/failed',
  `run_result` text COMMENT '执行结果',
  `run_err` text COMMENT '错误信息',
  `create_time` datetime DEFAULT CURRENT_TIMESTAMP,
  `update_time` datetime DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
  PRIMARY KEY (`id`),
  KEY `idx_job_name` (`job_name`),
  KEY `idx_create_time` (`create_time`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COMMENT='定时任务执行记录';
