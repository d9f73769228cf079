//! The database refuses how runs ended.

use gaia_actors::{JobRecord, RunFlag, prelude::*};
use serde_json::{Value, json};

use super::{echo, ended, flag, flags, records, running};
use crate::support::{Database, eventually};

/// Runs whose ends take their time to be written are in the way of no other.
fn each_second(name: &str) -> NewJob {
    echo(name, "* * * * * *").overlap(OverlapPolicy::Allow)
}

fn says(record: &JobRecord, text: &str) {
    let error = record.run_err.as_deref().unwrap_or_default();
    assert!(error.contains(text), "{error:?} does not say {text:?}");
}

#[actix_rt::test]
async fn characters_that_the_records_lack_are_escaped() {
    let database = Database::fresh();
    let gaia = running(&database).await;
    let jobs = gaia.jobs();
    database.narrow("job_record", "run_result");
    let args = json!({"emoji": "🎉"});
    let wide = jobs.add_job(each_second("wide").args(&args)).await.expect("is added");
    let plain = jobs.add_job(each_second("plain")).await.expect("is added");
    for record in &ended(&jobs, wide, 2).await[..2] {
        assert_eq!(flag(record), Some(RunFlag::Success));
        let result = record.run_result.as_deref().expect("has one");
        assert!(result.is_ascii(), "{result}");
        assert_eq!(serde_json::from_str::<Value>(result).expect("is JSON"), args);
        says(record, "characters beyond ASCII are written as \\uXXXX");
    }
    let plain = ended(&jobs, plain, 2).await;
    assert_eq!(
        (plain[0].run_result.as_deref(), &plain[0].run_err),
        (Some("\"plain\""), &None)
    );
    let report = gaia.stop().await.expect("stops");
    assert_eq!((report.unwritten, report.refused), (0, 0));
}

#[actix_rt::test]
async fn a_result_that_is_too_long_for_the_records_is_cut() {
    let database = Database::fresh();
    let gaia = running(&database).await;
    let jobs = gaia.jobs();
    database.refuse("job_record", "no_novels", "length(@run_result) > 10000");
    let job = echo("long", "0 0 1 1 *").args(&"x".repeat(20_000));
    let id = jobs.add_job(job).await.expect("is added");
    jobs.execute_job_immediately(id).await.expect("runs");
    let record = ended(&jobs, id, 1).await.remove(0);
    assert_eq!(flag(&record), Some(RunFlag::Success));
    let result = record.run_result.as_deref().expect("has one");
    assert!(result.ends_with("[cut: 20002 bytes in all]"), "{result}");
    says(&record, "cut to 4 kB");
    gaia.stop().await.expect("stops");
}

/// Neither does its job cease to fire, nor do others wait, nor does the stop.
#[actix_rt::test]
async fn a_run_whose_end_is_refused_in_every_form_holds_up_nothing() {
    let database = Database::fresh();
    let gaia = running(&database).await;
    let jobs = gaia.jobs();
    database.refuse(
        "job_record",
        "poison",
        "@job_result_flag = 'success' AND @job_name = 'poison'",
    );
    let poisoned = jobs.add_job(each_second("poison")).await.expect("is added");
    let other = jobs.add_job(each_second("other")).await.expect("is added");
    eventually("two ends that are refused in every form", async || {
        (jobs.status().await.expect("answers").refused >= 2).then_some(())
    })
    .await;
    let others = ended(&jobs, other, 3).await;
    assert!(flags(&others).iter().all(|flag| *flag != Some(RunFlag::Failed)));
    let shown = records(&jobs, poisoned).await.remove(0);
    assert_eq!(
        (flag(&shown), shown.node_id.as_deref(), shown.is_open()),
        (None, None, false)
    );
    says(
        &shown,
        "this run has ended (success), but the database refuses to note that: ",
    );
    jobs.toggle_job(poisoned, false).await.expect("is disabled");
    let report = gaia.stop().await.expect("stops");
    assert_eq!(report.unwritten, 0);
    assert!(report.refused >= 2);
    let open = "SELECT COUNT(*) FROM job_record WHERE job_result_flag IS NULL AND node_id IS NOT NULL";
    assert_eq!(database.number(open), 0);
}

#[actix_rt::test]
async fn an_end_that_was_refused_in_every_form_is_written_once_the_database_takes_it() {
    let database = Database::fresh();
    let gaia = running(&database).await;
    let jobs = gaia.jobs();
    database.refuse(
        "job_record",
        "poison",
        "@job_result_flag = 'success' AND @job_name = 'poison'",
    );
    let id = jobs.add_job(echo("poison", "0 0 1 1 *")).await.expect("is added");
    let run = jobs.execute_job_immediately(id).await.expect("runs");
    eventually("an end that is refused in every form", async || {
        (jobs.status().await.expect("answers").refused == 1).then_some(())
    })
    .await;
    database.allow("job_record", "poison");
    let record = eventually("its end", async || {
        let record = records(&jobs, id).await.remove(0);
        record.job_result_flag.is_some().then_some(record)
    })
    .await;
    assert_eq!((record.id, flag(&record)), (run.id, Some(RunFlag::Success)));
    assert_eq!(
        (record.run_result.as_deref(), &record.run_err),
        (Some("\"poison\""), &None)
    );
    assert!(record.node_id.is_some());
    // Counted when the node learns that it is written.
    eventually("one success", async || {
        (jobs.status().await.expect("answers").succeeded == 1).then_some(())
    })
    .await;
    gaia.stop().await.expect("stops");
}

/// The job's row is refused, not that of the run.
#[actix_rt::test]
async fn a_job_whose_status_is_refused_keeps_no_run_open() {
    let database = Database::fresh();
    let gaia = running(&database).await;
    let jobs = gaia.jobs();
    let poisoned = jobs.add_job(each_second("poison")).await.expect("is added");
    let other = jobs.add_job(each_second("other")).await.expect("is added");
    ended(&jobs, poisoned, 1).await;
    jobs.toggle_job(poisoned, false).await.expect("is disabled");
    eventually("the end of its last run", async || {
        let record = records(&jobs, poisoned).await.pop()?;
        (!record.is_open()).then_some(())
    })
    .await;
    // Constraints hold for the row that is there, too.
    database.execute("UPDATE job_center SET run_status = '运行中' WHERE job_name = 'poison'");
    database.refuse(
        "job_center",
        "no_rest",
        "@run_status <> '运行中' AND @job_name = 'poison'",
    );
    jobs.toggle_job(poisoned, true).await.expect("is enabled");
    let before = records(&jobs, poisoned).await.len();
    ended(&jobs, other, 3).await;
    let records = ended(&jobs, poisoned, before + 2).await;
    assert!(flags(&records).iter().flatten().all(|flag| *flag == RunFlag::Success));
    database.allow("job_center", "no_rest");
    let report = gaia.stop().await.expect("stops");
    // The end of the last run may still rest.
    assert_eq!(report.unwritten, 0);
}

/// A fire that cannot be claimed is in the way of no other.
#[actix_rt::test]
async fn a_fire_whose_record_is_refused_holds_up_no_other() {
    let database = Database::fresh();
    let gaia = running(&database).await;
    let jobs = gaia.jobs();
    database.refuse("job_record", "not_this", "@job_name = 'poison'");
    let mut ids = Vec::new();
    for name in ["a", "poison", "c", "d"] {
        ids.push(jobs.add_job(each_second(name)).await.expect("is added"));
    }
    for at in [0, 2, 3] {
        ended(&jobs, ids[at], 3).await;
    }
    assert_eq!(records(&jobs, ids[1]).await.len(), 0);
    database.allow("job_record", "not_this");
    ended(&jobs, ids[1], 1).await;
    gaia.stop().await.expect("stops");
}
