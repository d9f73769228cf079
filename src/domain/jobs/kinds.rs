//! The texts that columns of `job_center` and `job_record` hold.

use crate::domain::text_enum::text_enum;

text_enum! {
    /// What a job calls.
    JobType, "job_type" {
        /// A method of a registered service.
        CronJob = "cron_job",
        /// An HTTP endpoint.
        CronHook = "cron_hook",
    }
}

text_enum! {
    /// Whether runs of a job are under way, in the words of the integration guide.
    RunStatus, "run_status" {
        /// None is.
        Waiting = "待运行",
        /// At least one is.
        Running = "运行中",
    }
}

text_enum! {
    /// How a run ended (`job_result_flag`). The guide knows `success` and `failed`.
    RunFlag, "job_result_flag" {
        /// The handler answered, or the hook answered 2xx.
        Success = "success",
        /// It did not, was out of time, or was lost with its node.
        Failed = "failed",
        /// It never began: the job's overlap or misfire policy said so.
        Skipped = "skipped",
        /// It was cancelled, or a newer run replaced it.
        Cancelled = "cancelled",
    }
}

text_enum! {
    /// What a fire does while a run of the same job is under way, on whichever node.
    OverlapPolicy, "overlap_policy" {
        /// It is recorded as skipped. The default.
        Forbid = "forbid",
        /// It runs beside the others.
        Allow = "allow",
        /// The others are cancelled, and it runs; a handler that does not listen goes on beside it for the cancel grace.
        Replace = "replace",
    }
}

text_enum! {
    /// What becomes of fires that no node claimed in time: none was alive, or the database was away.
    MisfirePolicy, "misfire_policy" {
        /// The latest of them is made up for, once, if it is not older than the job's misfire grace. The default.
        FireOnce = "fire_once",
        /// They are recorded as skipped.
        Skip = "skip",
    }
}
