//! Faults after which the database is as it was before: a backup that is put back, commits that a crash has undone, a standby
//! that was behind. What happened in between is gone, and nodes that live remember it.

use std::{collections::HashSet, path::Path, process::Command, time::Duration};

use tempfile::TempDir;

use crate::{
    cluster::{Cluster, Undone, now},
    faults::Fault,
    interrupt::rest,
    server::Server,
    sql::Database,
};

/// How much is undone, at least: some additions of the client are in it.
const LOST: Duration = Duration::from_millis(1_500);

/// How often a fault is tried that has undone nothing.
const TRIES: usize = 8;

/// By how much times in milliseconds that are noted at different places may disagree.
const MARGIN: i64 = 1_000;

/// Makes the fault, and has the client forget what is gone. Answers what is wrong.
pub fn inflict(fault: Fault, server: &Server, cluster: &mut Cluster) -> Option<String> {
    // A crash may come right after everything was written: in one of four tries nothing was added since.
    for _ in 0..TRIES {
        match once(fault, server, cluster) {
            Ok(0) => {}
            Ok(_) => return None,
            Err(problem) => return Some(problem),
        }
    }
    Some("the fault was none: nothing was undone".to_owned())
}

/// Answers how many acknowledged tasks are gone.
fn once(fault: Fault, server: &Server, cluster: &mut Cluster) -> Result<usize, String> {
    let database = &cluster.database;
    let backup = database.folder.path().join("backup.sql");
    let begun = now();
    let standby = match fault {
        Fault::Restored => back_up(database, &backup),
        Fault::Weak => server.write_later(),
        _ => Some(server.standby_that_stops()),
    };
    // A backup shows how everything was when it was begun, a standby how it was when it stopped.
    let from = if standby.is_some() { now() } else { begun } - MARGIN;
    rest(LOST);
    let (undone, gone) = cluster.feeder.paused(|| {
        match standby {
            Some(standby) => server.fail_over(&standby),
            None if fault == Fault::Weak => server.crash(Duration::ZERO),
            None => put_back(database, &backup),
        }
        let undone = Undone { from, until: now() };
        (undone, forget(cluster, undone))
    });
    cluster.undone.push(undone);
    gone
}

fn forget(cluster: &Cluster, undone: Undone) -> Result<usize, String> {
    let database = &cluster.database;
    let ids = |sql: &str| database.numbers(sql).into_iter().collect::<HashSet<i64>>();
    let mut effects = cluster.effects.lock().expect("nobody panics with it");
    effects.refresh();
    let there = ids("SELECT id AS number FROM asynctasks");
    // The others are yet to end, once more.
    effects.keep_ended(&ids(
        "SELECT id AS number FROM asynctasks WHERE task_status = 'Success'",
    ));
    let gone = cluster.feeder.forget(|id| !there.contains(&id));
    let older = gone.iter().filter(|millis| **millis < undone.from).count();
    match older {
        0 => Ok(gone.len()),
        _ => Err(format!(
            "{older} tasks are gone that were acknowledged before what was undone"
        )),
    }
}

/// By the tools of the database.
fn back_up(database: &Database, backup: &Path) -> Option<TempDir> {
    let (url, backup) = (&database.url, backup.display());
    if is_postgres(database) {
        run(&format!("pg_dump --clean --if-exists --file={backup} {url}"));
    } else {
        let (login, name) = login(url);
        run(&format!("mariadb-dump {login} --single-transaction {name} >{backup}"));
    }
    None
}

/// While the nodes work, and in one transaction.
fn put_back(database: &Database, backup: &Path) {
    let (url, backup) = (&database.url, backup.display());
    if is_postgres(database) {
        // It locks the tables one after the other, and a node may be in the middle of them: the server has the node begin anew.
        run(&format!(
            "PGOPTIONS='-c deadlock_timeout=60s' \
             psql --quiet --set=ON_ERROR_STOP=1 --single-transaction --file={backup} {url}"
        ));
    } else {
        let (login, name) = login(url);
        // All tables change places at once.
        run(&format!(
            "sql() {{ mariadb {login} \"$@\"; }}
             sql -e 'CREATE DATABASE {name}_new; CREATE DATABASE {name}_old'
             sql {name}_new <{backup}
             swap=$(sql {name}_new -Ne 'SHOW TABLES' | sed 's/.*/{name}.& TO {name}_old.&, {name}_new.& TO {name}.&/' | paste -sd,)
             sql -e \"RENAME TABLE $swap; DROP DATABASE {name}_new; DROP DATABASE {name}_old\""
        ));
    }
}

fn is_postgres(database: &Database) -> bool {
    database.kind.name() == "postgres"
}

/// The same login for the programs of MariaDB, and the database.
fn login(url: &str) -> (String, &str) {
    let (server, name) = url.rsplit_once('/').expect("names a database");
    let (user, address) = server["mysql://".len()..].split_once('@').expect("names a user");
    let (user, password) = user.split_once(':').expect("has a password");
    let (host, port) = address.split_once(':').expect("has a port");
    let login = format!("--no-defaults --protocol=tcp -h{host} -P{port} -u{user} -p{password}");
    (login, name)
}

/// A script. Debian keeps programs of PostgreSQL's out of the way.
pub fn run(script: &str) {
    let path = "set -e; PATH=$(printf '%s\\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1):$PATH;";
    let output = Command::new("bash").arg("-c").arg(format!("{path} {script}")).output();
    let output = output.expect("runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {text}");
}
