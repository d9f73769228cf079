//! Group commit: the changes of all callers that wait for the connection are done in one transaction, and share its commit.
//!
//! While a group is written, the next group gathers. If a change fails, the whole group is undone, and three groups are tried: the changes
//! before it, the failed change, and the changes behind it. So a change fails alone. If the commit fails, each change is tried alone.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
};

use diesel::{
    QueryResult,
    connection::SimpleConnection,
    result::{DatabaseErrorKind, Error},
    sqlite::SqliteConnection,
};
use tokio::sync::oneshot;

/// The most rows that one group changes, so that other processes get the file in between; a single change may have more. Larger groups
/// would gain little: in a group of this size the commit is a small part of the cost.
pub(super) const ROWS: usize = 2_000;

/// The change that a caller wants. It may be called more than once, and must have no effect except on the connection.
pub(super) struct Work<T> {
    /// About how many rows it changes.
    pub(super) rows: usize,
    pub(super) durability: Durability,
    /// Looks first, without a transaction. Gives the answer if there is nothing to change.
    pub(super) look: Option<Step<Option<T>>>,
    pub(super) change: Step<T>,
}

impl<T> Work<T> {
    /// A change whose commit waits for the disk, unless the database's URL says otherwise.
    pub(super) fn new(rows: usize, change: impl Fn(&mut SqliteConnection) -> QueryResult<T> + Send + 'static) -> Self {
        Self {
            rows,
            durability: Durability::Configured,
            look: None,
            change: Box::new(change),
        }
    }
}

pub(super) type Step<T> = Box<dyn Fn(&mut SqliteConnection) -> QueryResult<T> + Send>;

/// What the commit waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    /// What the database's URL asks for; by default, the disk.
    Configured,
    /// Nothing. It is for claims: a claim that a power cut loses is simply claimed again. Writes of the lost claim's runs are refused, because
    /// the row has a new log id by then. The commit of an outcome or a note is flushed to disk, and so is every commit before it
    /// (model: task::NoteOnDisk).
    NoDisk,
}

/// The changes that wait, in the order in which callers asked for them.
#[derive(Default)]
pub(super) struct Queue(VecDeque<Box<dyn Waiting>>);

/// The changes that are done in one transaction.
pub(super) struct Group(Vec<Box<dyn Waiting>>);

/// A change whose answer a caller waits for.
trait Waiting: Send {
    /// Whether the caller still waits for the answer.
    fn is_wanted(&self) -> bool;
    fn rows(&self) -> usize;
    fn durability(&self) -> Durability;
    /// Whether there is something to change. If not, the answer is there.
    fn look(&mut self, conn: &mut SqliteConnection) -> QueryResult<bool>;
    fn change(&mut self, conn: &mut SqliteConnection) -> QueryResult<()>;
    fn tell(self: Box<Self>, done: QueryResult<()>);
}

struct Asked<T> {
    work: Work<T>,
    answer: Option<T>,
    tell: oneshot::Sender<QueryResult<T>>,
}

impl Queue {
    pub(super) fn push<T: Send + 'static>(&mut self, work: Work<T>) -> oneshot::Receiver<QueryResult<T>> {
        let (tell, told) = oneshot::channel();
        let answer = None;
        self.0.push_back(Box::new(Asked { work, answer, tell }));
        told
    }

    /// Takes the next change, and as many changes behind it as a group holds. A group has one durability, so that a claim does not wait for
    /// the disk because of an outcome behind it.
    pub(super) fn next_group(&mut self) -> Group {
        let (mut group, mut rows, mut durability) = (Vec::new(), 0, None);
        while let Some(next) = self.0.pop_front() {
            if !next.is_wanted() {
                continue;
            }
            let joins = Some(next.durability()) == durability && next.rows().saturating_add(rows) <= ROWS;
            if !group.is_empty() && !joins {
                self.0.push_front(next);
                break;
            }
            rows = next.rows().saturating_add(rows);
            durability = Some(next.durability());
            group.push(next);
        }
        Group(group)
    }
}

impl Group {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Does the changes, and gives each caller its answer. `synchronous` is the connection's own setting.
    pub(super) fn run(self, conn: &mut SqliteConnection, synchronous: &str) {
        // The next part to try is at the end of the list.
        let mut parts = vec![self];
        while let Some(part) = parts.pop() {
            parts.extend(part.try_run(conn, synchronous));
        }
    }

    /// Tries the group. Answers with the parts that are to be tried apart, in reverse order.
    fn try_run(self, conn: &mut SqliteConnection, synchronous: &str) -> Vec<Self> {
        let mut group = Vec::new();
        for mut one in self.0.into_iter().filter(|one| one.is_wanted()) {
            match one.look(conn) {
                Ok(true) => group.push(one),
                looked => one.tell(looked.map(drop)),
            }
        }
        let Some(first) = group.first() else {
            return Vec::new();
        };
        let done = match first.durability() {
            Durability::NoDisk => without_disk(conn, synchronous, |conn| together(conn, &mut group)),
            Durability::Configured => together(conn, &mut group),
        };
        let alone = group.len() == 1;
        match done {
            Err(Failed::At(at, _)) if !alone => {
                let behind = group.split_off(at + 1);
                let failed = group.split_off(at);
                vec![Self(behind), Self(failed), Self(group)]
            }
            Err(Failed::Commit(_)) if !alone => group.into_iter().rev().map(|one| Self(vec![one])).collect(),
            done => {
                tell(group, done.map_err(Error::from));
                Vec::new()
            }
        }
    }
}

enum Failed {
    /// The transaction could not begin. It is not tried for each change alone, which would only wait for the lock again.
    Begin(Error),
    /// The change with this index failed.
    At(usize, Error),
    Commit(Error),
}

impl From<Failed> for Error {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Begin(error) | Failed::At(_, error) | Failed::Commit(error) => error,
        }
    }
}

fn together(conn: &mut SqliteConnection, group: &mut [Box<dyn Waiting>]) -> Result<(), Failed> {
    let (mut begun, mut failed) = (false, None);
    let done = conn.immediate_transaction(|conn| {
        begun = true;
        for (at, one) in group.iter_mut().enumerate() {
            // A panic is caught, since the transaction must not stay open.
            let changed = catch_unwind(AssertUnwindSafe(|| one.change(conn)));
            changed
                .unwrap_or_else(|_| Err(panicked()))
                .inspect_err(|error| failed = Some((at, same(error))))?;
        }
        Ok(())
    });
    done.map_err(|error| match failed {
        _ if !begun => Failed::Begin(error),
        // If SQLite has undone the transaction by itself (no room, no memory), the rollback fails, too: the first error counts.
        Some((at, first)) if matches!(error, Error::NotInTransaction) => Failed::At(at, first),
        Some((at, _)) => Failed::At(at, error),
        None => Failed::Commit(error),
    })
}

fn panicked() -> Error {
    let text = "what was to be written could not be: the code that writes it panicked".to_owned();
    Error::DatabaseError(DatabaseErrorKind::Unknown, Box::new(text))
}

fn without_disk(
    conn: &mut SqliteConnection,
    synchronous: &str,
    commit: impl FnOnce(&mut SqliteConnection) -> Result<(), Failed>,
) -> Result<(), Failed> {
    let set = |conn: &mut SqliteConnection, level: &str| conn.batch_execute(&format!("PRAGMA synchronous = {level}"));
    set(conn, "NORMAL").map_err(Failed::Begin)?;
    let committed = commit(conn);
    // If this fails, the commit still holds, so the error is only logged.
    if let Err(error) = set(conn, synchronous) {
        say!(
            Error,
            "SQLite does not take `PRAGMA synchronous = {synchronous}`: {error}"
        );
    }
    committed
}

fn tell(mut group: Vec<Box<dyn Waiting>>, done: QueryResult<()>) {
    let last = group.pop();
    for one in group {
        one.tell(done.as_ref().map_err(same).copied());
    }
    if let Some(last) = last {
        last.tell(done);
    }
}

/// A copy of an error: diesel's errors cannot be cloned.
fn same(error: &Error) -> Error {
    match error {
        Error::DatabaseError(kind, info) => Error::DatabaseError(*kind, Box::new(info.message().to_owned())),
        other => Error::DatabaseError(DatabaseErrorKind::Unknown, Box::new(other.to_string())),
    }
}

impl<T: Send> Waiting for Asked<T> {
    fn is_wanted(&self) -> bool {
        !self.tell.is_closed()
    }

    fn rows(&self) -> usize {
        self.work.rows
    }

    fn durability(&self) -> Durability {
        self.work.durability
    }

    fn look(&mut self, conn: &mut SqliteConnection) -> QueryResult<bool> {
        // An answer of a group that failed is dropped.
        self.answer = match &self.work.look {
            Some(look) => look(conn)?,
            None => None,
        };
        Ok(self.answer.is_none())
    }

    fn change(&mut self, conn: &mut SqliteConnection) -> QueryResult<()> {
        self.answer = Some((self.work.change)(conn)?);
        Ok(())
    }

    fn tell(self: Box<Self>, done: QueryResult<()>) {
        let Self { answer, tell, .. } = *self;
        // The caller may have given up since.
        let _ = tell.send(done.and_then(|()| answer.ok_or(Error::NotFound)));
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::Mutex,
        time::{Duration, Instant},
    };

    use diesel::prelude::*;

    use super::*;

    #[derive(QueryableByName)]
    struct Number {
        #[diesel(sql_type = diesel::sql_types::BigInt)]
        number: i64,
    }

    fn number(conn: &mut SqliteConnection, sql: &str) -> QueryResult<i64> {
        let number: Number = diesel::sql_query(format!("SELECT ({sql}) AS number")).get_result(conn)?;
        Ok(number.number)
    }

    const NOTES: &str = "SELECT count(*) FROM notes";
    /// 1 is NORMAL, 2 is FULL.
    const LEVEL: &str = "SELECT synchronous FROM pragma_synchronous";

    /// A file with a table, and two connections to it that wait for no lock.
    struct File {
        conn: SqliteConnection,
        other: SqliteConnection,
        path: String,
        _folder: tempfile::TempDir,
    }

    impl File {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("there is room");
            let path = folder.path().join("group.db").display().to_string();
            let connect = || {
                let mut conn = SqliteConnection::establish(&path).expect("opens");
                conn.batch_execute("PRAGMA journal_mode = WAL; PRAGMA busy_timeout = 0")
                    .expect("is set");
                conn
            };
            let (mut conn, other) = (connect(), connect());
            conn.batch_execute("CREATE TABLE notes (text TEXT)").expect("is made");
            Self {
                conn,
                other,
                path,
                _folder: folder,
            }
        }

        /// Does the waiting groups; answers with how many groups it was.
        fn run(&mut self, queue: &mut Queue) -> usize {
            let mut groups = 0;
            loop {
                let group = queue.next_group();
                if group.is_empty() {
                    return groups;
                }
                group.run(&mut self.conn, "FULL");
                groups += 1;
            }
        }
    }

    fn work<T>(
        durability: Durability,
        change: impl Fn(&mut SqliteConnection) -> QueryResult<T> + Send + 'static,
    ) -> Work<T> {
        Work {
            durability,
            ..Work::new(1, change)
        }
    }

    fn note(conn: &mut SqliteConnection) -> QueryResult<()> {
        conn.batch_execute("INSERT INTO notes VALUES ('was here')")
    }

    fn notes(conn: &mut SqliteConnection) -> QueryResult<i64> {
        note(conn)?;
        number(conn, NOTES)
    }

    #[test]
    fn those_who_wait_share_a_commit() {
        let (mut file, mut queue) = (File::new(), Queue::default());
        let mut told: Vec<_> = (0..3)
            .map(|_| queue.push(work(Durability::Configured, notes)))
            .collect();
        let other = Mutex::new(SqliteConnection::establish(&file.path).expect("opens"));
        let mut seen = queue.push(work(Durability::Configured, move |conn| {
            let others = number(&mut other.lock().expect("is free"), NOTES)?;
            Ok((number(conn, NOTES)?, others))
        }));
        assert_eq!(file.run(&mut queue), 1);
        assert_eq!(seen.try_recv(), Ok(Ok((3, 0))));
        assert_eq!(number(&mut file.other, NOTES), Ok(3));
        let told = told.iter_mut().map(|told| told.try_recv().expect("is told"));
        assert_eq!(told.collect::<QueryResult<Vec<_>>>(), Ok(vec![1, 2, 3]));
    }

    #[test]
    fn a_group_has_an_end() {
        let (mut file, mut queue) = (File::new(), Queue::default());
        for _ in 0..3 {
            let rows = ROWS / 2;
            // Their callers are gone: they are not done, and take no room from others.
            drop(queue.push(Work {
                rows,
                ..work(Durability::Configured, note)
            }));
        }
        let told: Vec<_> = [ROWS / 2, ROWS / 2, 1, 3 * ROWS, 1]
            .map(|rows| {
                queue.push(Work {
                    rows,
                    ..work(Durability::Configured, note)
                })
            })
            .into();
        assert_eq!(file.run(&mut queue), 4);
        assert_eq!(number(&mut file.other, NOTES), Ok(5));
        drop(told);
    }

    #[test]
    fn one_that_fails_fails_alone_and_nothing_is_done_twice() {
        let (mut file, mut queue) = (File::new(), Queue::default());
        let mut others: Vec<_> = (0..2)
            .map(|_| queue.push(work(Durability::Configured, notes)))
            .collect();
        let mut fails = queue.push(work(Durability::Configured, |conn| {
            note(conn)?;
            conn.batch_execute("INSERT INTO nowhere VALUES (1)")
        }));
        let mut panics = queue.push(work(Durability::Configured, |conn| -> QueryResult<()> {
            note(conn)?;
            panic!("as it is told to")
        }));
        others.push(queue.push(work(Durability::Configured, notes)));
        assert_eq!(file.run(&mut queue), 1);
        let error = fails.try_recv().expect("is told").expect_err("fails");
        assert!(error.to_string().contains("no such table"), "{error}");
        let error = panics.try_recv().expect("is told").expect_err("fails");
        assert!(error.to_string().contains("panicked"), "{error}");
        let others = others.iter_mut().map(|told| told.try_recv().expect("is told"));
        assert_eq!(others.collect::<QueryResult<Vec<_>>>(), Ok(vec![1, 2, 3]));
        assert_eq!(number(&mut file.other, NOTES), Ok(3));
    }

    /// SQLite undoes the transaction by itself then, so that there is none to roll back.
    #[test]
    fn a_full_disk_is_called_that_and_the_connection_goes_on_when_there_is_room() {
        let (mut file, mut queue) = (File::new(), Queue::default());
        file.conn.batch_execute("PRAGMA max_page_count = 10").expect("is set");
        let large = |conn: &mut SqliteConnection| conn.batch_execute("INSERT INTO notes VALUES (zeroblob(100000))");
        for alone in [true, false] {
            let mut others = Vec::new();
            others.extend((!alone).then(|| queue.push(work(Durability::Configured, note))));
            let mut fails = queue.push(work(Durability::Configured, large));
            file.run(&mut queue);
            let error = fails.try_recv().expect("is told").expect_err("fails");
            assert!(error.to_string().contains("database or disk is full"), "{error}");
            for mut other in others {
                assert_eq!(other.try_recv(), Ok(Ok(())));
            }
        }
        file.conn
            .batch_execute("PRAGMA max_page_count = 1000000")
            .expect("is set");
        let mut told = queue.push(work(Durability::Configured, large));
        file.run(&mut queue);
        assert_eq!(told.try_recv(), Ok(Ok(())));
        assert_eq!(number(&mut file.other, NOTES), Ok(2));
    }

    #[test]
    fn a_commit_that_is_refused_is_that_of_one() {
        let (mut file, mut queue) = (File::new(), Queue::default());
        let child = "CREATE TABLE child (id INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED)";
        let tables = format!("PRAGMA foreign_keys = ON; CREATE TABLE parent (id INTEGER PRIMARY KEY); {child}");
        file.conn.batch_execute(&tables).expect("are made");
        let mut first = queue.push(work(Durability::Configured, note));
        let mut fails = queue.push(work(Durability::Configured, |conn| {
            conn.batch_execute("INSERT INTO child VALUES (1)")
        }));
        let mut last = queue.push(work(Durability::Configured, note));
        assert_eq!(file.run(&mut queue), 1);
        assert_eq!(first.try_recv(), Ok(Ok(())));
        let error = fails.try_recv().expect("is told").expect_err("fails");
        assert!(error.to_string().contains("FOREIGN KEY"), "{error}");
        assert_eq!(last.try_recv(), Ok(Ok(())));
        assert_eq!(number(&mut file.other, NOTES), Ok(2));
    }

    #[test]
    fn a_locked_file_is_waited_for_once() {
        let (mut file, mut queue) = (File::new(), Queue::default());
        let wait = Duration::from_millis(500);
        let timeout = format!("PRAGMA busy_timeout = {}", wait.as_millis());
        file.conn.batch_execute(&timeout).expect("is set");
        file.other.batch_execute("BEGIN IMMEDIATE").expect("is free");
        let told: Vec<_> = (0..20)
            .map(|_| {
                queue.push(work(Durability::Configured, |_| -> QueryResult<()> {
                    panic!("has no lock")
                }))
            })
            .collect();
        let began = Instant::now();
        file.run(&mut queue);
        assert!(began.elapsed() < wait * 10, "{:?}", began.elapsed());
        for mut told in told {
            let error = told.try_recv().expect("is told").expect_err("fails");
            assert_eq!(error.to_string(), "database is locked");
        }
        // The connection is as good as before.
        file.other.batch_execute("COMMIT").expect("is done");
        let mut told = queue.push(work(Durability::Configured, notes));
        file.run(&mut queue);
        assert_eq!(told.try_recv(), Ok(Ok(1)));
    }

    #[test]
    fn who_looks_and_finds_nothing_takes_no_lock() {
        let (mut file, mut queue) = (File::new(), Queue::default());
        file.other.batch_execute("BEGIN IMMEDIATE").expect("is free");
        let told: Vec<_> = (0..2)
            .map(|_| {
                queue.push(Work {
                    look: Some(Box::new(|conn| number(conn, NOTES).map(Some))),
                    ..work(Durability::NoDisk, |_| panic!("there is nothing to change"))
                })
            })
            .collect();
        assert_eq!(file.run(&mut queue), 1);
        for mut told in told {
            assert_eq!(told.try_recv(), Ok(Ok(0)));
        }
    }

    #[test]
    fn only_the_commit_of_claims_does_not_wait_for_the_disk() {
        let (mut file, mut queue) = (File::new(), Queue::default());
        let level = |conn: &mut SqliteConnection| number(conn, LEVEL);
        let told: Vec<_> = [
            Durability::NoDisk,
            Durability::NoDisk,
            Durability::Configured,
            Durability::NoDisk,
        ]
        .map(|durability| queue.push(work(durability, level)))
        .into();
        assert_eq!(file.run(&mut queue), 3);
        let told = told.into_iter().map(|mut told| told.try_recv().expect("is told"));
        assert_eq!(told.collect::<QueryResult<Vec<_>>>(), Ok(vec![1, 1, 2, 1]));
        // A transaction that fails leaves it as it was.
        let mut told = queue.push(work(Durability::NoDisk, |_| QueryResult::<()>::Err(Error::NotFound)));
        file.run(&mut queue);
        assert_eq!(told.try_recv(), Ok(Err(Error::NotFound)));
        assert_eq!(number(&mut file.conn, LEVEL), Ok(2));
    }
}
