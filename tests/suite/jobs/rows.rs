//! Jobs that plain SQL writes.

use gaia_actors::{RunFlag, messages::ListJobs};

use super::{NOTICED, ended, flag, records, running};
use crate::support::{Database, eventually, refusal};

fn insert(name: &str, expr: &str, method: &str) -> String {
    format!(
        "INSERT INTO job_center (job_name, job_type, cron_expr, service_name, service_method, args, enabled) \
         VALUES ('{name}', 'cron_job', '{expr}', 'Demo', '{method}', '\"{name}\"', 1);"
    )
}

#[actix_rt::test]
async fn a_row_with_the_guides_columns_fires_within_five_seconds() {
    let database = Database::fresh();
    let gaia = running(&database).await;
    database.execute(&insert("sql", "* * * * * *", "Echo"));
    let began = std::time::Instant::now();
    let records = ended(&gaia.jobs(), 1, 2).await;
    assert!(began.elapsed() < NOTICED + NOTICED / 2, "{:?}", began.elapsed());
    assert_eq!(records[0].run_result.as_deref(), Some("\"sql\""));
    assert_eq!(
        (records[0].job_name.as_str(), records[0].cron_expr.as_str()),
        ("sql", "* * * * * *")
    );
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn every_change_of_a_row_takes_effect() {
    let database = Database::fresh();
    let gaia = running(&database).await;
    let jobs = gaia.jobs();
    database.execute(&insert("x", "* * * * * *", "Echo"));
    ended(&jobs, 1, 1).await;
    // What is called, with what, is read when it is called.
    database.execute("UPDATE job_center SET args = '\"changed\"' WHERE id = 1");
    eventually("the new arguments", async || {
        let last = records(&jobs, 1).await.pop()?;
        (last.run_result.as_deref() == Some("\"changed\"")).then_some(())
    })
    .await;
    database.execute("UPDATE job_center SET service_method = 'Fail' WHERE id = 1");
    eventually("the new method", async || {
        let last = records(&jobs, 1).await.pop()?;
        (flag(&last) == Some(RunFlag::Failed)).then_some(())
    })
    .await;
    // An expression, a zone, a switch: never fires by the old one again, however late that is noticed.
    let count = || database.number("SELECT COUNT(*) FROM job_record");
    for (change, back) in [
        ("enabled = 0", "enabled = 1"),
        ("cron_expr = '0 0 0 1 1 *'", "cron_expr = '* * * * * *'"),
        ("time_zone = 'Mars/Olympus'", "time_zone = NULL"),
        ("misfire_policy = 'sometimes'", "misfire_policy = NULL"),
    ] {
        database.execute(&format!("UPDATE job_center SET {change} WHERE id = 1"));
        // A claim that was under way may still end.
        let scheduled = eventually("the change", async || {
            let status = jobs.status().await.expect("answers");
            let detail = jobs.get_job_detail(1).await.expect("is there").job;
            let quiet = status.scheduled == 0 || detail.cron_expr != "* * * * * *";
            quiet.then(count)
        })
        .await;
        actix_rt::time::sleep(std::time::Duration::from_millis(2_500)).await;
        assert!(count() <= scheduled + 1, "{change}");
        database.execute(&format!("UPDATE job_center SET {back} WHERE id = 1"));
        let before = count();
        eventually(back, async || (count() > before).then_some(())).await;
    }
    database.execute("DELETE FROM job_center WHERE id = 1");
    let before = count();
    actix_rt::time::sleep(std::time::Duration::from_millis(2_500)).await;
    assert!(count() <= before + 1);
    eventually("the deletion", async || {
        (jobs.status().await.expect("answers").scheduled == 0).then_some(())
    })
    .await;
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_bad_row_harms_no_other_and_shows_its_error() {
    let database = Database::fresh();
    database
        .builder()
        .start()
        .await
        .expect("makes the tables")
        .stop()
        .await
        .expect("stops");
    database.execute(&format!(
        "{} {} {} {}
         INSERT INTO job_center (job_name, job_type, cron_expr) VALUES ('odd type', 'cron_foo', '* * * * * *');
         INSERT INTO job_center (job_name, job_type, cron_expr) VALUES ('no method', 'cron_job', '* * * * * *');
         INSERT INTO job_center (job_name, job_type, cron_expr, hook_url, timeout)
           VALUES ('bad hook', 'cron_hook', '* * * * * *', 'gopher://x', 0);
         INSERT INTO job_center (job_name, job_type, cron_expr, enabled) VALUES ('off', 'cron_job', 'nonsense', 0);",
        insert("good", "* * * * * *", "Echo"),
        insert("never", "0 0 30 2 *", "Echo"),
        insert("garbage", "ⅩⅦ \u{0}x".trim_end_matches("\u{0}x"), "Echo"),
        insert("empty", "", "Echo"),
    ));
    let gaia = running(&database).await;
    let jobs = gaia.jobs();
    ended(&jobs, 1, 2).await;
    let list = jobs.list_jobs(ListJobs::default()).await.expect("answers").items;
    let errors = |name: &str| {
        let job = list.iter().find(|job| job.job_name == name).expect("is listed");
        job.error.clone().unwrap_or_default()
    };
    assert_eq!(errors("good"), "");
    assert!(errors("never").contains("never"), "{}", errors("never"));
    assert!(errors("empty").contains("cron_expr"), "{}", errors("empty"));
    assert!(errors("odd type").contains("cron_foo"), "{}", errors("odd type"));
    assert!(
        errors("no method").contains("service_method"),
        "{}",
        errors("no method")
    );
    let hook = errors("bad hook");
    assert!(hook.contains("scheme") && hook.contains("timeout is 0 s"), "{hook}");
    assert!(errors("off").contains("cron_expr"), "{}", errors("off"));
    // What has a schedule but no target leaves records that say so.
    let failed = ended(&jobs, 5, 1).await.remove(0);
    assert_eq!(flag(&failed), Some(RunFlag::Failed));
    assert!(failed.run_err.expect("says why").contains("cron_foo"));
    assert!(refusal(jobs.execute_job_immediately(2).await).contains("job 2 cannot run"));
    assert!(jobs.get_job_detail(2).await.expect("is there").next_fires.is_empty());
    let status = jobs.status().await.expect("answers");
    assert_eq!(status.bad, 3);
    // Mended, it fires.
    database.execute("UPDATE job_center SET cron_expr = '* * * * * *' WHERE id = 2");
    ended(&jobs, 2, 1).await;
    gaia.stop().await.expect("stops");
}

/// SQLite takes anything anywhere.
#[cfg(feature = "sqlite")]
#[actix_rt::test]
async fn columns_that_hold_what_nobody_can_read_are_in_the_way_of_no_other() {
    let database = Database::of_kind(crate::support::Kind::Sqlite);
    let tables = database.builder().start().await.expect("makes the tables");
    tables.stop().await.expect("stops");
    database.execute(&format!(
        "{}
         INSERT INTO job_center (job_name, job_type, cron_expr) VALUES ('no text', 'cron_job', X'ff41');
         INSERT INTO job_center (job_name, job_type, cron_expr, timeout, enabled) VALUES ('texts', 'cron_job', '* * * * * *', 'abc', 'yes');
         {}
         UPDATE job_center SET create_time = 'yesterday', update_time = X'00', last_run_time = 'never',
           scheduled_from = 'soon' WHERE id = 4;",
        insert("good", "* * * * * *", "Echo"),
        insert("odd times", "* * * * * *", "Echo"),
    ));
    let gaia = running(&database).await;
    let jobs = gaia.jobs();
    ended(&jobs, 1, 3).await;
    ended(&jobs, 4, 2).await;
    let list = jobs.list_jobs(ListJobs::default()).await.expect("answers").items;
    assert_eq!(list.len(), 4);
    assert!(
        list.iter()
            .any(|job| job.error.as_deref().is_some_and(|error| error.contains('\u{fffd}')))
    );
    gaia.stop().await.expect("stops");
}
