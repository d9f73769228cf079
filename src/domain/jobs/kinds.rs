//! The texts that columns of `job_center` and `job_record` hold.

use crate::domain::text_enum::text_enum;

text_enum! {
    /// The kind of thing that a job calls.
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
        /// No run is under way.
        Waiting = "待运行",
        /// At least one run is under way.
        Running = "运行中",
    }
}

text_enum! {
    /// How a run ended (`job_result_flag`). The integration guide has only `success` and `failed`.
    RunFlag, "job_result_flag" {
        /// The handler answered, or the hook answered 2xx.
        Success = "success",
        /// The handler or the hook failed or ran out of time, or the run was lost with its node.
        Failed = "failed",
        /// The run never began, by the job's overlap or misfire policy.
        Skipped = "skipped",
        /// A caller cancelled the run, or a newer run replaced it.
        Cancelled = "cancelled",
    }
}

text_enum! {
    /// What a fire does while a run of the same job is under way on any node.
    OverlapPolicy, "overlap_policy" {
        /// The fire is recorded as skipped. The default.
        Forbid = "forbid",
        /// The fire runs beside the other runs.
        Allow = "allow",
        /// The other runs are cancelled, and the fire runs. A handler that ignores its cancellation goes on beside it for the cancel grace.
        Replace = "replace",
        /// The fire waits for the end of the other runs, and runs then; fires that wait run one after another. The default with
        /// [`Compat::Go`](crate::Compat::Go), since robfig/cron's `DelayIfStillRunning` does so. A fire that has waited longer than the job's
        /// misfire grace is recorded as skipped. The fires wait on every living node: if one dies, another runs them. A node that has
        /// started since they were due knows only the latest, by the misfire policy.
        Delay = "delay",
    }
}

text_enum! {
    /// What becomes of fires that no node claimed in time: no node was alive, or the database was away.
    MisfirePolicy, "misfire_policy" {
        /// The latest missed fire runs late, once, if it is not older than the job's misfire grace. The default.
        FireOnce = "fire_once",
        /// The latest missed fire is recorded as skipped, for all of them.
        Skip = "skip",
    }
}
