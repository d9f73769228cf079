//! Tasks that many callers add one at a time, at the same time.

use std::collections::BTreeSet;

use futures_util::future::join_all;

use crate::support::{Database, Kind, THEME, refusal, task};

const CALLERS: usize = 200;
const OTHER_THEME: &str = "other";

/// Of every twentieth caller.
const UNWANTED: &str = "unwanted";

#[actix_rt::test]
async fn each_caller_gets_the_id_of_its_own_task() {
    let database = Database::fresh();
    let gaia = database.builder().start().await.expect("starts");
    let themes = [THEME, OTHER_THEME].map(|theme| gaia.scheduler(theme).expect("is a theme"));
    let later = chrono::Utc::now() + chrono::TimeDelta::hours(1);
    let call = async |at: usize| {
        let theme = &themes[at % 2];
        let new = match at % 5 {
            0 => task("Noop").priority(3),
            1 => task("Noop").run_at(later),
            2 => task("Noop").unique_key(format!("key {at}")),
            _ => task("Noop"),
        };
        let added = theme.add_task(new.args(&at)).await.expect("is added");
        let task = theme.get_task_detail(added.id).await.expect("is of this theme");
        assert_eq!(task.arg, at.to_string());
        assert_eq!(task.priority, if at.is_multiple_of(5) { 3 } else { 0 });
        assert_eq!(task.run_at.is_some(), at % 5 == 1);
        added.id
    };
    let ids: BTreeSet<i64> = join_all((0..CALLERS).map(call)).await.into_iter().collect();
    assert_eq!(ids.len(), CALLERS);
    let rows = database.number("SELECT COUNT(*) FROM asynctasks");
    assert_eq!(usize::try_from(rows), Ok(CALLERS));
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn whoever_adds_what_the_database_refuses_is_told_alone() {
    let database = Database::fresh();
    let gaia = database.builder().start().await.expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    refuse_the_unwanted(&database);
    let call = async |at: usize| {
        let is_wanted = !at.is_multiple_of(20);
        let arg = if is_wanted { "wanted" } else { UNWANTED };
        let added = demo.add_task(task("Noop").args(&arg)).await;
        if is_wanted {
            added.expect("is added");
        } else {
            let told = refusal(added);
            assert!(told.contains("this one is not wanted"), "{told}");
        }
    };
    join_all((0..CALLERS).map(call)).await;
    let rows = database.number("SELECT COUNT(*) FROM asynctasks");
    assert_eq!(usize::try_from(rows), Ok(CALLERS - CALLERS / 20));
    gaia.stop().await.expect("stops");
}

fn refuse_the_unwanted(database: &Database) {
    let refused = format!("NEW.arg = '\"{UNWANTED}\"'");
    match database.kind() {
        #[cfg(feature = "sqlite")]
        Kind::Sqlite => database.execute(&format!(
            "CREATE TRIGGER refuse BEFORE INSERT ON asynctasks WHEN {refused} \
             BEGIN SELECT RAISE(ABORT, 'this one is not wanted'); END"
        )),
        #[cfg(feature = "postgres")]
        Kind::Postgres => database.execute(&format!(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
               IF {refused} THEN RAISE EXCEPTION 'this one is not wanted'; END IF; RETURN NEW; END $$; \
             CREATE TRIGGER refuse BEFORE INSERT ON asynctasks FOR EACH ROW EXECUTE FUNCTION refuse()"
        )),
        #[cfg(feature = "mysql")]
        Kind::Mysql => database.execute(&format!(
            "CREATE TRIGGER refuse BEFORE INSERT ON asynctasks FOR EACH ROW \
             IF {refused} THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'this one is not wanted'; END IF"
        )),
    }
}
