//! When jobs fire.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Timelike, Utc};
use gaia_actors::{JobRecord, RunFlag, async_fn, prelude::*};

use super::{echo, ended, flags, gate_job, gated, records, running, serving, tested, tick};
use crate::support::{Database, Tested, eventually};

fn scheduled(records: &[JobRecord]) -> Vec<DateTime<Utc>> {
    records.iter().filter_map(|record| record.scheduled_at).collect()
}

#[actix_rt::test]
async fn a_job_of_every_second_fires_every_second_once() {
    let test = tested().await;
    let jobs = test.jobs();
    let id = jobs.add_job(echo("each", "* * * * * *")).await.expect("is added");
    let start = test.now();
    for count in 1..=5 {
        tick(&test).await;
        ended(&jobs, id, count).await;
    }
    let records = records(&jobs, id).await;
    let seconds: Vec<_> = (1..=5).map(|second| start + Duration::from_secs(second)).collect();
    assert_eq!(scheduled(&records), seconds);
    for record in &records {
        // Never early, and by the test's time not late either.
        assert_eq!(record.started_at, record.scheduled_at);
        assert!(record.previous_at < record.scheduled_at);
    }
}

#[actix_rt::test]
async fn a_node_that_drains_fires_nothing() {
    let test = tested().await;
    let jobs = test.jobs();
    let id = jobs.add_job(echo("each", "* * * * * *")).await.expect("is added");
    tick(&test).await;
    ended(&jobs, id, 1).await;
    Gaia::drain(&test).await.expect("drains");
    for _ in 0..3 {
        tick(&test).await;
    }
    actix_rt::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(records(&jobs, id).await.len(), 1);
}

#[actix_rt::test]
async fn a_handler_knows_for_when_it_was_due() {
    let test = tested().await;
    let jobs = test.jobs();
    let when = async_fn(async |ctx: TaskContext, _: serde_json::Value| {
        Ok((ctx.scheduled_at(), ctx.theme().to_owned(), ctx.attempt()))
    });
    test.registry().register("Demo", "When", when).await.expect("is new");
    let job = NewJob::cron_job("when", "*/2 * * * * *", "Demo", "When");
    let id = jobs.add_job(job).await.expect("is added");
    tick(&test).await;
    tick(&test).await;
    let records = ended(&jobs, id, 1).await;
    assert_eq!(
        records[0].run_result.as_deref(),
        Some(r#"["2026-01-01T00:00:02Z","when",1]"#)
    );
    assert_eq!(records.len(), 1);
}

#[actix_rt::test]
async fn a_change_takes_effect_at_once() {
    let test = tested().await;
    let jobs = test.jobs();
    let id = jobs.add_job(echo("x", "0 0 12 * * *")).await.expect("is added");
    tick(&test).await;
    assert!(records(&jobs, id).await.is_empty());
    jobs.update_job(id, echo("x", "* * * * * *")).await.expect("is there");
    settled(&jobs, 1).await;
    tick(&test).await;
    assert_eq!(ended(&jobs, id, 1).await.len(), 1);

    jobs.toggle_job(id, false).await.expect("is there");
    settled(&jobs, 0).await;
    for _ in 0..3 {
        tick(&test).await;
    }
    // What would have been due meanwhile is not made up for.
    jobs.toggle_job(id, true).await.expect("is there");
    settled(&jobs, 1).await;
    assert_eq!(records(&jobs, id).await.len(), 1);
    tick(&test).await;
    assert_eq!(ended(&jobs, id, 2).await.len(), 2);

    jobs.remove_job(id).await.expect("is there");
    settled(&jobs, 0).await;
    tick(&test).await;
    assert_eq!(records(&jobs, id).await.len(), 2);
}

/// Waits until so many jobs are scheduled.
async fn settled(jobs: &Jobs, count: usize) {
    eventually("the timetable's change", async || {
        (jobs.status().await.expect("answers").scheduled == count).then_some(())
    })
    .await;
}

#[actix_rt::test]
async fn what_was_missed_while_no_node_lived_is_made_up_for_once() {
    let database = Database::fresh();
    let gaia = running(&database).await;
    let jobs = gaia.jobs();
    // Once a minute, and not soon: a fire that is just due would be among those that are made up for.
    let every_minute = format!("{} * * * * *", (Utc::now().second() + 30) % 60);
    let once = jobs.add_job(echo("once", &every_minute)).await.expect("is added");
    let skip = echo("skip", &every_minute).misfire(gaia_actors::MisfirePolicy::Skip);
    let skip = jobs.add_job(skip).await.expect("is added");
    let old = jobs
        .add_job(echo("old", &every_minute).misfire_grace(Duration::ZERO))
        .await
        .expect("is added");
    gaia.stop().await.expect("stops");
    // Seconds and minutes of a minute that may just begin are left out.
    let away = database.in_seconds(-600);
    database.execute(&format!("UPDATE job_center SET scheduled_from = {away}"));

    let gaia = running(&database).await;
    let jobs = gaia.jobs();
    let first = |records: Vec<JobRecord>| records.into_iter().next().expect("has one");
    let made_up = first(ended(&jobs, once, 1).await);
    assert_eq!(super::flag(&made_up), Some(RunFlag::Success));
    let missed = made_up.scheduled_at.expect("by schedule") - made_up.previous_at.expect("is known");
    assert!(missed.num_minutes() >= 8, "it stands for those before: {missed}");
    for id in [skip, old] {
        let skipped = first(ended(&jobs, id, 1).await);
        assert_eq!(super::flag(&skipped), Some(RunFlag::Skipped));
        assert!(
            skipped
                .run_err
                .expect("says why")
                .contains("no node claimed it in time")
        );
    }
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_long_run_is_out_of_time_on_the_dot() {
    let test = tested().await;
    let jobs = test.jobs();
    let job = gate_job("slow", "@daily").timeout(Duration::from_secs(2));
    let (id, gate) = gated(&jobs, test.registry(), job).await;
    jobs.execute_job_immediately(id).await.expect("runs");
    gate.entered(1).await;
    tick(&test).await;
    assert_eq!(jobs.get_running_jobs().await.expect("answers").len(), 1);
    tick(&test).await;
    let record = ended(&jobs, id, 1).await.remove(0);
    assert_eq!(super::flag(&record), Some(RunFlag::Failed));
    assert_eq!(record.run_err.as_deref(), Some("timed out after 2s"));
    assert_eq!(record.duration, Some(Duration::from_secs(2)));
    assert_eq!(gate.inside(), 0);
    // The record is there before the count.
    eventually("the count", async || {
        (jobs.status().await.expect("answers").timed_out == 1).then_some(())
    })
    .await;
}

#[actix_rt::test]
async fn a_handler_that_blocks_its_thread_is_gone_from_the_list_in_time_and_harms_no_other() {
    let database = Database::fresh();
    let gaia = running(&database).await;
    let jobs = gaia.jobs();
    let blocks = async_fn(async |_: TaskContext, _: serde_json::Value| {
        std::thread::sleep(Duration::from_secs(8));
        Ok(())
    });
    gaia.registry().register("Demo", "Block", blocks).await.expect("is new");
    let job = NewJob::cron_job("block", "@yearly", "Demo", "Block").timeout(Duration::from_secs(1));
    let id = jobs.add_job(job).await.expect("is added");
    let run = jobs.execute_job_immediately(id).await.expect("runs");
    let record = jobs
        .wait_for_run(run.id, Duration::from_secs(4))
        .await
        .expect("in time");
    assert_eq!(record.run_err.as_deref(), Some("timed out after 1s"));
    let late = record.ended_at.expect("has ended") - record.started_at.expect("has begun");
    assert!(late.num_milliseconds() < 2_000, "{late}");
    assert!(jobs.get_running_jobs().await.expect("answers").is_empty());
    // Others go on; what was given to the blocked thread is moved once it is known to be blocked.
    let other = jobs.add_job(echo("other", "* * * * * *")).await.expect("is added");
    let others = flags(&ended(&jobs, other, 6).await);
    assert!(others.ends_with(&[Some(RunFlag::Success); 2]), "{others:?}");
    gaia.stop_within(Duration::ZERO).await.expect("stops");
}

#[actix_rt::test]
async fn a_stop_lets_runs_end_and_records_what_it_cuts_off() {
    let database = Database::fresh();
    let gaia = running(&database).await;
    let jobs = gaia.jobs();
    let (quick, gate) = gated(&jobs, gaia.registry(), gate_job("quick", "@yearly")).await;
    jobs.execute_job_immediately(quick).await.expect("runs");
    gate.entered(1).await;
    let never =
        async_fn(async |_: TaskContext, _: serde_json::Value| std::future::pending::<Result<(), TaskError>>().await);
    gaia.registry().register("Demo", "Never", never).await.expect("is new");
    let never = jobs
        .add_job(NewJob::cron_job("never", "@yearly", "Demo", "Never"))
        .await
        .expect("is added");
    jobs.execute_job_immediately(never).await.expect("runs");

    let stop = gaia.stop_within(Duration::from_millis(300));
    gate.let_pass(1);
    stop.await.expect("stops");
    let looker = database.builder().start().await.expect("starts");
    let jobs = looker.jobs();
    assert_eq!(flags(&records(&jobs, quick).await), [Some(RunFlag::Success)]);
    let cut = records(&jobs, never).await.remove(0);
    assert_eq!(super::flag(&cut), Some(RunFlag::Failed));
    assert!(cut.run_err.expect("says why").starts_with("cut off: its node stopped"));
    for id in [quick, never] {
        assert_eq!(
            jobs.get_job_detail(id).await.expect("is there").job.run_status,
            "待运行"
        );
    }
    looker.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_change_that_plain_sql_makes_while_no_node_lives_has_missed_nothing() {
    let database = Database::fresh();
    let gaia = running(&database).await;
    let off = gaia.jobs().add_job(echo("off", "0 * * * * *")).await.expect("is added");
    gaia.jobs().toggle_job(off, false).await.expect("is there");
    let sql_off = gaia
        .jobs()
        .add_job(echo("off by SQL", "0 * * * * *"))
        .await
        .expect("is added");
    let other = gaia
        .jobs()
        .add_job(echo("other", "0 0 0 1 1 *"))
        .await
        .expect("is added");
    database.execute(&format!("UPDATE job_center SET enabled = 0 WHERE id = {sql_off}"));
    settled(&gaia.jobs(), 1).await;
    eventually("that it is noted", async || {
        let noted = format!("SELECT COUNT(*) FROM job_center WHERE id = {sql_off} AND scheduled_from IS NULL");
        (database.number(&noted) == 1).then_some(())
    })
    .await;
    gaia.stop().await.expect("stops");
    // An hour passes; then they are enabled, and one has another schedule.
    let away = database.in_seconds(-3_000);
    database.execute(&format!(
        "UPDATE job_center SET scheduled_from = {away} WHERE id = {other};
         UPDATE job_center SET enabled = 1 WHERE id IN ({off}, {sql_off});
         UPDATE job_center SET cron_expr = '0 * * * * *' WHERE id = {other}"
    ));
    let gaia = running(&database).await;
    let witness = gaia
        .jobs()
        .add_job(echo("witness", "* * * * * *"))
        .await
        .expect("is added");
    let since = ended(&gaia.jobs(), witness, 3).await[0].scheduled_at;
    for id in [off, sql_off, other] {
        // A minute may just have begun.
        let made_up = records(&gaia.jobs(), id)
            .await
            .into_iter()
            .find(|record| record.scheduled_at < since);
        assert!(made_up.is_none(), "{made_up:?}");
    }
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn of_late_fires_that_may_not_overlap_the_newest_runs() {
    let test = tested().await;
    let jobs = test.jobs();
    let forbid = jobs.add_job(echo("forbid", "* * * * * *")).await.expect("is added");
    let replace = echo("replace", "* * * * * *").overlap(OverlapPolicy::Replace);
    let replace = jobs.add_job(replace).await.expect("is added");
    let allow = echo("allow", "* * * * * *").overlap(OverlapPolicy::Allow);
    let allow = jobs.add_job(allow).await.expect("is added");
    settled(&jobs, 3).await;
    test.advance(Duration::from_secs(5));
    for id in [forbid, replace] {
        let late = ended(&jobs, id, 5).await;
        let mut expected = [Some(RunFlag::Skipped); 5];
        expected[4] = Some(RunFlag::Success);
        assert_eq!(flags(&late), expected);
        for pair in late.windows(2) {
            assert_eq!(pair[1].previous_at, pair[0].scheduled_at);
        }
    }
    assert_eq!(flags(&ended(&jobs, allow, 5).await), [Some(RunFlag::Success); 5]);
}

#[actix_rt::test]
async fn no_more_runs_than_there_may_be_are_begun() {
    let options = JobsOptions::default().max_running(2);
    let test = Tested::start(Gaia::builder().jobs(options)).await;
    let jobs = test.jobs();
    let job = gate_job("x", "* * * * * *").overlap(OverlapPolicy::Allow);
    let (id, gate) = gated(&jobs, test.registry(), job).await;
    settled(&jobs, 1).await;
    test.advance(Duration::from_secs(5));
    gate.entered(2).await;
    tick(&test).await;
    assert_eq!((gate.inside(), jobs.status().await.expect("answers").running), (2, 2));
    gate.let_pass(6);
    ended(&jobs, id, 6).await;
    assert_eq!(gate.most(), 2);
}

#[actix_rt::test]
async fn an_attempt_whose_thread_is_blocked_by_others_is_made_again_elsewhere() {
    let database = Database::fresh();
    let gaia = running(&database).await;
    let jobs = gaia.jobs();
    let tries = Arc::new(AtomicU32::new(0));
    let tried = Arc::clone(&tries);
    // The first attempt blocks its thread for longer than its time.
    let flaky = async_fn(async move |_: TaskContext, _: serde_json::Value| {
        if tried.fetch_add(1, Ordering::SeqCst) == 0 {
            std::thread::sleep(Duration::from_secs(3));
        }
        Ok("done")
    });
    gaia.registry().register("Demo", "Flaky", flaky).await.expect("is new");
    let job = NewJob::cron_job("flaky", "@yearly", "Demo", "Flaky")
        .timeout(Duration::from_secs(1))
        .max_retry(1);
    let id = jobs.add_job(job).await.expect("is added");
    let run = jobs.execute_job_immediately(id).await.expect("runs");
    let run = jobs
        .wait_for_run(run.id, Duration::from_secs(30))
        .await
        .expect("comes to an end");
    assert_eq!((super::flag(&run), run.attempt), (Some(RunFlag::Success), Some(2)));
    assert_eq!(tries.load(Ordering::SeqCst), 2);
    gaia.stop().await.expect("stops");
}

/// It blocks its thread for longer than its time, and would then go on for ever.
#[actix_rt::test]
async fn an_attempt_that_comes_back_when_its_time_is_over_leaves_the_next_one_alone() {
    /// Tells when the future that has it is dropped.
    struct Dropped(Option<tokio::sync::oneshot::Sender<()>>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            let _ = self.0.take().map(|tx| tx.send(()));
        }
    }
    let database = Database::fresh();
    let gaia = running(&database).await;
    let (go, blocked) = std::sync::mpsc::channel();
    let (tx, rx) = tokio::sync::oneshot::channel();
    let blocked = Arc::new(std::sync::Mutex::new(blocked));
    let ends = Arc::new(std::sync::Mutex::new((Some(Dropped(Some(tx))), Some(rx))));
    let handler = async_fn(async move |ctx: TaskContext, _: serde_json::Value| {
        if ctx.attempt() == 1 {
            let _dropped = ends.lock().expect("is whole").0.take();
            blocked.lock().expect("is whole").recv().expect("is released");
            std::future::pending::<()>().await;
        }
        let rx = ends.lock().expect("is whole").1.take().expect("is there");
        go.send(()).expect("waits");
        rx.await.expect("the first attempt is dropped");
        Ok(ctx.is_cancelled())
    });
    gaia.registry().register("Demo", "Late", handler).await.expect("is new");
    let job = NewJob::cron_job("late", "@yearly", "Demo", "Late")
        .timeout(Duration::from_secs(4))
        .max_retry(1);
    let jobs = gaia.jobs();
    let id = jobs.add_job(job).await.expect("is added");
    let run = jobs.execute_job_immediately(id).await.expect("runs");
    let run = jobs
        .wait_for_run(run.id, Duration::from_secs(30))
        .await
        .expect("comes to an end");
    assert_eq!((super::flag(&run), run.attempt), (Some(RunFlag::Success), Some(2)));
    assert_eq!(run.run_result.as_deref(), Some("false"));
    gaia.stop().await.expect("stops");
}

/// A run waits for its second attempt on the only thread, and the handler of another run blocks that thread for ever.
#[actix_rt::test]
async fn a_run_that_rests_on_a_thread_which_others_block_goes_on_elsewhere() {
    let database = Database::fresh();
    let tried = Arc::new(AtomicU32::new(0));
    let flaky = {
        let tried = Arc::clone(&tried);
        async_fn(
            async move |_: TaskContext, _: serde_json::Value| match tried.fetch_add(1, Ordering::SeqCst) {
                0 => Err(TaskError::failed("not yet")),
                _ => Ok("done"),
            },
        )
    };
    let (end, blocked) = std::sync::mpsc::channel::<()>();
    let blocked = Arc::new(std::sync::Mutex::new(blocked));
    let blocks = async_fn(move |_: TaskContext, _: serde_json::Value| {
        // The sender never sends: it is dropped.
        let _ = blocked.lock().expect("is one").recv();
        std::future::ready(Ok(()))
    });
    let builder = serving(database.builder()).arbiters(1);
    let builder = builder.handler("Demo", "Flaky", flaky).handler("Demo", "Block", blocks);
    let gaia = builder.start().await.expect("starts");
    let jobs = gaia.jobs();
    let job = NewJob::cron_job("flaky", "@yearly", "Demo", "Flaky").max_retry(1);
    let id = jobs
        .add_job(job.retry_delay(Duration::from_secs(2)))
        .await
        .expect("is added");
    let run = jobs.execute_job_immediately(id).await.expect("runs");
    eventually("a first attempt", async || {
        (tried.load(Ordering::SeqCst) == 1).then_some(())
    })
    .await;
    let block = NewJob::cron_job("block", "@yearly", "Demo", "Block");
    let block = jobs.add_job(block).await.expect("is added");
    jobs.execute_job_immediately(block).await.expect("runs");
    let run = super::finished(&jobs, &run).await;
    assert_eq!((super::flag(&run), run.attempt), (Some(RunFlag::Success), Some(2)));
    assert_eq!(tried.load(Ordering::SeqCst), 2);
    drop(end);
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_job_whose_handler_still_blocks_a_thread_gets_no_other() {
    let database = Database::fresh();
    let gaia = running(&database).await;
    let jobs = gaia.jobs();
    let blocks = async_fn(async |_: TaskContext, _: serde_json::Value| {
        std::thread::sleep(Duration::from_secs(6));
        Ok(())
    });
    gaia.registry().register("Demo", "Block", blocks).await.expect("is new");
    let job = NewJob::cron_job("block", "@yearly", "Demo", "Block").timeout(Duration::from_secs(1));
    let id = jobs.add_job(job).await.expect("is added");
    let mut errors = Vec::new();
    for _ in 0..2 {
        let run = jobs.execute_job_immediately(id).await.expect("is claimed");
        let run = jobs
            .wait_for_run(run.id, Duration::from_secs(5))
            .await
            .expect("comes to an end");
        errors.push(run.run_err.expect("has one"));
    }
    assert_eq!(errors[0], "timed out after 1s");
    assert!(errors[1].contains("still blocks its thread"), "{}", errors[1]);
    gaia.stop_within(Duration::ZERO).await.expect("stops");
}

#[actix_rt::test]
async fn a_run_that_is_asked_for_during_a_stop_is_waited_for_or_refused() {
    let database = Database::fresh();
    let gaia = running(&database).await;
    let jobs = gaia.jobs();
    let id = jobs
        .add_job(echo("x", "@yearly").overlap(OverlapPolicy::Allow))
        .await
        .expect("is added");
    let asking = (0..20).map(|_| jobs.execute_job_immediately(id));
    let asked = futures_util::future::join(futures_util::future::join_all(asking), gaia.stop());
    let (asked, stopped) = asked.await;
    stopped.expect("stops");
    let claimed = asked.iter().filter(|asked| asked.is_ok()).count();
    let looker = database.builder().start().await.expect("starts");
    let records = records(&looker.jobs(), id).await;
    assert!(records.iter().all(|record| !record.is_open()), "{records:?}");
    assert!(records.len() >= claimed);
    looker.stop().await.expect("stops");
}

/// Another node, which was quicker, has claimed a later second.
#[actix_rt::test]
async fn a_record_names_the_second_before_its_own_also_where_a_later_one_was_claimed_first() {
    let test = tested().await;
    let jobs = test.jobs();
    let allow = echo("allow", "* * * * * *").overlap(OverlapPolicy::Allow);
    let id = jobs.add_job(allow).await.expect("is added");
    tick(&test).await;
    ended(&jobs, id, 1).await;
    let first = test.now();
    let fourth = (first + Duration::from_secs(3)).format("%Y-%m-%d %H:%M:%S");
    test.database.execute(&format!(
        "INSERT INTO job_record (job_id, job_name, job_type, cron_expr, scheduled_at, job_result_flag) \
         VALUES ({id}, 'allow', 'cron_job', '* * * * * *', '{fourth}', 'success'); \
         UPDATE job_center SET scheduled_from = '{fourth}' WHERE id = {id}"
    ));
    test.advance(Duration::from_secs(3));
    let mut records = ended(&jobs, id, 4).await;
    records.sort_by_key(|record| record.scheduled_at);
    for (pair, second) in records.windows(2).zip([2, 3]) {
        assert_eq!(pair[1].previous_at, pair[0].scheduled_at, "second {second}");
    }
}
