//! The tables as all three databases know them: text, whole numbers, and time stamps in UTC.

diesel::table! {
    asynctasks (id) {
        id -> BigInt,
        service_name -> Text,
        method_name -> Text,
        task_name -> Text,
        arg -> Nullable<Text>,
        max_retry_time -> Nullable<Integer>,
        system_name -> Text,
        task_status -> Nullable<Text>,
        last_run_time -> Nullable<Timestamp>,
        last_run_end_time -> Nullable<Timestamp>,
        last_run_duration -> Nullable<BigInt>,
        create_time -> Nullable<Timestamp>,
        update_time -> Nullable<Timestamp>,
        retry_time -> Nullable<Integer>,
        last_result -> Nullable<Text>,
        last_err_msg -> Nullable<Text>,
        log_id -> Nullable<Text>,
        priority -> Integer,
        run_at -> Nullable<Timestamp>,
        timeout_ms -> Nullable<BigInt>,
        retry_delay_ms -> Nullable<BigInt>,
        unique_key -> Nullable<Text>,
        lease_owner -> Nullable<Text>,
        lease_token -> BigInt,
        cancel_requested -> Integer,
        began -> Integer,
        progress -> Nullable<Integer>,
        progress_note -> Nullable<Text>,
        finished_at -> Nullable<Timestamp>,
        queued -> Integer,
        traceparent -> Nullable<Text>,
        limit_key -> Nullable<Text>,
    }
}

diesel::table! {
    asynctask_exec_row (id) {
        id -> BigInt,
        task_id -> BigInt,
        task_status -> Nullable<Text>,
        last_result -> Nullable<Text>,
        last_err_msg -> Nullable<Text>,
        last_run_time -> Nullable<Timestamp>,
        last_run_end_time -> Nullable<Timestamp>,
        last_run_duration -> Nullable<BigInt>,
        log_id -> Nullable<Text>,
        create_time -> Nullable<Timestamp>,
        attempt -> Nullable<Integer>,
        node_id -> Nullable<Text>,
        lease_token -> Nullable<BigInt>,
    }
}

diesel::table! {
    gaia_bulk (id) {
        id -> BigInt,
        token -> Text,
        action -> Text,
        filter -> Text,
        state -> Text,
        author -> Nullable<Text>,
        reason -> Nullable<Text>,
        below -> BigInt,
        most -> Nullable<BigInt>,
        changed -> BigInt,
        skipped -> Text,
        error -> Nullable<Text>,
        node_id -> Nullable<Text>,
        created_at -> Timestamp,
        ended_at -> Nullable<Timestamp>,
    }
}

diesel::table! {
    /// What operators have changed.
    gaia_audit (id) {
        id -> BigInt,
        token -> Text,
        at -> Timestamp,
        author -> Text,
        action -> Text,
        target -> Text,
        theme -> Nullable<Text>,
        reason -> Nullable<Text>,
        result -> Nullable<Text>,
        target_name -> Nullable<Text>,
        changes -> Nullable<Text>,
    }
}

diesel::table! {
    /// The open alerts.
    gaia_alerts (alert_key) {
        alert_key -> Text,
        kind -> Text,
        subject -> Text,
        theme -> Nullable<Text>,
        node -> Text,
        since -> Timestamp,
        last_time -> Timestamp,
        last_sent -> Timestamp,
        times -> BigInt,
        held_back -> BigInt,
        version -> BigInt,
        place -> Text,
        text_en -> Text,
        text_zh -> Text,
    }
}

diesel::table! {
    gaia_nodes (id) {
        id -> Text,
        host -> Text,
        pid -> BigInt,
        version -> Text,
        started_at -> Timestamp,
        heartbeat -> Timestamp,
        beat -> BigInt,
        lease_ms -> BigInt,
        themes -> Text,
        methods -> Nullable<Text>,
        protocol -> Integer,
    }
}

diesel::table! {
    /// Due tasks: of one theme, method and priority, by their ids (a list of the database, or JSON).
    gaia_due (id) {
        id -> BigInt,
        theme -> Text,
        service -> Text,
        method -> Text,
        priority -> Integer,
        n -> Integer,
    }
}

diesel::table! {
    /// What nodes have claimed, a row for each claim. The list of the ids has no column here: it is read as a text.
    gaia_claims (id) {
        id -> BigInt,
        theme -> Text,
        node_id -> Text,
        mark -> Text,
        claimed_at -> Timestamp,
    }
}

diesel::table! {
    /// The claims of remote workers: a row beside that of the claim.
    gaia_remote_claims (mark) {
        mark -> Text,
        claim_id -> BigInt,
        worker -> Text,
        theme -> Text,
        secret -> Text,
        lease_ms -> BigInt,
        expires_at -> Timestamp,
        deadline -> Nullable<Timestamp>,
        beat -> BigInt,
    }
}

diesel::table! {
    /// Tasks that wait until others have ended.
    gaia_held (task_id) {
        task_id -> BigInt,
        kind -> Text,
        total -> BigInt,
        unfinished -> BigInt,
        succeeded -> BigInt,
        failed -> BigInt,
        cancelled -> BigInt,
    }
}

diesel::table! {
    /// How many tasks of a method may run at once, and how many may start in a time.
    gaia_limits (service, method) {
        service -> Text,
        method -> Text,
        running -> Nullable<BigInt>,
        starts -> Nullable<BigInt>,
        per_ms -> Nullable<BigInt>,
        key_running -> Nullable<BigInt>,
        key_starts -> Nullable<BigInt>,
        key_per_ms -> Nullable<BigInt>,
        full_at -> BigInt,
        settled -> BigInt,
    }
}

diesel::table! {
    /// Who has how many of these.
    gaia_slots (service, method, holder) {
        service -> Text,
        method -> Text,
        holder -> Text,
        slots -> BigInt,
        wants -> Integer,
    }
}

diesel::table! {
    /// The keys for which tasks wait, or whose bucket of starts is not full.
    gaia_keys (service, method, limit_key) {
        service -> Text,
        method -> Text,
        limit_key -> Text,
        waiting -> BigInt,
        full_at -> BigInt,
    }
}

diesel::table! {
    /// How many tasks of a key each holder runs.
    gaia_key_slots (service, method, limit_key, holder) {
        service -> Text,
        method -> Text,
        limit_key -> Text,
        holder -> Text,
        slots -> BigInt,
    }
}

diesel::table! {
    /// Tasks beyond the limit of their key.
    gaia_aside (task_id) {
        task_id -> BigInt,
        service -> Text,
        method -> Text,
        limit_key -> Text,
        priority -> BigInt,
        released -> BigInt,
    }
}

diesel::table! {
    /// Which tasks they wait for.
    gaia_links (held_id, task_id) {
        held_id -> BigInt,
        task_id -> BigInt,
        open_task -> Nullable<BigInt>,
        task_status -> Nullable<Text>,
    }
}

diesel::table! {
    gaia_run_logs (id) {
        id -> Text,
        scope -> Text,
        log_id -> Text,
        first_at -> Timestamp,
        last_at -> Timestamp,
        content -> Binary,
    }
}

diesel::table! {
    gaia_themes (theme) {
        theme -> Text,
        paused -> Integer,
        workers -> Nullable<Integer>,
        size_order -> BigInt,
        update_time -> Timestamp,
        paused_by -> Nullable<Text>,
        paused_reason -> Nullable<Text>,
        paused_at -> Nullable<Timestamp>,
        first_paused_by -> Nullable<Text>,
        first_paused_reason -> Nullable<Text>,
        first_paused_at -> Nullable<Timestamp>,
        resized_by -> Nullable<Text>,
        resized_reason -> Nullable<Text>,
        resized_at -> Nullable<Timestamp>,
    }
}

diesel::table! {
    /// What processes ask of each other.
    gaia_requests (id) {
        id -> BigInt,
        kind -> Text,
        open_for -> Nullable<Text>,
        node_id -> Nullable<Text>,
        theme -> Nullable<Text>,
        job_id -> Nullable<BigInt>,
        workers -> Nullable<Integer>,
        asked_by -> Nullable<Text>,
        reason -> Nullable<Text>,
        created_at -> Timestamp,
        taken_by -> Nullable<Text>,
        taken_at -> Nullable<Timestamp>,
        done_at -> Nullable<Timestamp>,
        result -> Nullable<Text>,
    }
}

diesel::table! {
    /// What each node says of itself, as JSON.
    gaia_node_status (node_id) {
        node_id -> Text,
        written_at -> Timestamp,
        status -> Text,
    }
}

diesel::table! {
    gaia_retention (scope) {
        scope -> Text,
        since -> Nullable<Timestamp>,
        seen -> Timestamp,
    }
}

diesel::table! {
    /// Additions that callers may repeat.
    gaia_idempotency (key_hash) {
        key_hash -> Text,
        body_hash -> Text,
        tasks -> Text,
        created_at -> Timestamp,
    }
}

diesel::table! {
    /// What ended in spans of time.
    gaia_history (width, at, number, node) {
        width -> Integer,
        at -> Timestamp,
        number -> BigInt,
        node -> Text,
        kind -> Text,
        theme -> Text,
        service -> Text,
        method -> Text,
        succeeded -> BigInt,
        failed -> BigInt,
        retried -> BigInt,
        snoozed -> BigInt,
        cancelled -> BigInt,
        lost -> BigInt,
        waited_ms -> BigInt,
        waited -> Text,
        ran_ms -> BigInt,
        ran -> Text,
    }
}

diesel::table! {
    job_center (id) {
        id -> BigInt,
        job_name -> Text,
        job_type -> Text,
        cron_expr -> Text,
        hook_url -> Nullable<Text>,
        service_name -> Nullable<Text>,
        service_method -> Nullable<Text>,
        args -> Nullable<Text>,
        timeout -> Nullable<Integer>,
        enabled -> Nullable<Integer>,
        run_status -> Nullable<Text>,
        last_run_time -> Nullable<Timestamp>,
        create_time -> Nullable<Timestamp>,
        update_time -> Nullable<Timestamp>,
        time_zone -> Nullable<Text>,
        overlap_policy -> Nullable<Text>,
        misfire_policy -> Nullable<Text>,
        misfire_grace -> Nullable<Integer>,
        max_retry -> Nullable<Integer>,
        retry_delay_ms -> Nullable<BigInt>,
        hook_method -> Nullable<Text>,
        hook_headers -> Nullable<Text>,
        hook_secret -> Nullable<Text>,
        scheduled_from -> Nullable<Timestamp>,
        scheduled_by -> Nullable<Text>,
        unique_name -> Nullable<Text>,
        version -> BigInt,
        system_name -> Text,
        lease_owner -> Text,
        lease_expire_at -> Nullable<Timestamp>,
        last_heartbeat_time -> Nullable<Timestamp>,
    }
}

diesel::table! {
    job_record (id) {
        id -> BigInt,
        job_name -> Text,
        job_type -> Text,
        cron_expr -> Text,
        hook_url -> Nullable<Text>,
        service_name -> Nullable<Text>,
        service_method -> Nullable<Text>,
        args -> Nullable<Text>,
        job_result_flag -> Nullable<Text>,
        run_result -> Nullable<Text>,
        run_err -> Nullable<Text>,
        create_time -> Nullable<Timestamp>,
        update_time -> Nullable<Timestamp>,
        job_id -> Nullable<BigInt>,
        scheduled_at -> Nullable<Timestamp>,
        previous_at -> Nullable<Timestamp>,
        started_at -> Nullable<Timestamp>,
        ended_at -> Nullable<Timestamp>,
        duration_ms -> Nullable<BigInt>,
        attempt -> Nullable<Integer>,
        node_id -> Nullable<Text>,
        log_id -> Nullable<Text>,
        cancel_reason -> Nullable<Text>,
        system_name -> Text,
    }
}

diesel::allow_tables_to_appear_in_same_query!(asynctasks, asynctask_exec_row);
diesel::allow_tables_to_appear_in_same_query!(asynctasks, gaia_nodes);
diesel::allow_tables_to_appear_in_same_query!(asynctasks, gaia_links);
diesel::allow_tables_to_appear_in_same_query!(gaia_bulk, gaia_nodes);
diesel::allow_tables_to_appear_in_same_query!(gaia_claims, gaia_nodes);
diesel::allow_tables_to_appear_in_same_query!(gaia_claims, gaia_remote_claims);
diesel::allow_tables_to_appear_in_same_query!(gaia_nodes, gaia_remote_claims);
diesel::allow_tables_to_appear_in_same_query!(gaia_slots, gaia_nodes);
diesel::allow_tables_to_appear_in_same_query!(gaia_aside, gaia_keys);
diesel::allow_tables_to_appear_in_same_query!(gaia_key_slots, gaia_nodes);
diesel::allow_tables_to_appear_in_same_query!(gaia_key_slots, gaia_remote_claims);
diesel::allow_tables_to_appear_in_same_query!(gaia_slots, gaia_remote_claims);
diesel::allow_tables_to_appear_in_same_query!(job_center, gaia_requests);
diesel::allow_tables_to_appear_in_same_query!(job_record, gaia_nodes);
diesel::allow_tables_to_appear_in_same_query!(job_center, job_record);
