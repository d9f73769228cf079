//! Group commit: the transactions that wait for the connection are done in one, and share its commit.
//!
//! While a group is written the next one gathers. If one of them fails, nothing of the group is kept and each is done by
//! itself, so that it fails alone.

use std::collections::VecDeque;

use diesel::{
    QueryResult,
    connection::SimpleConnection,
    result::{DatabaseErrorKind, Error},
    sqlite::SqliteConnection,
};
use tokio::sync::oneshot;

/// Rows of one group at most, so that others have the connection, and other processes the file, in between. More would gain
/// little: a commit is a small part of the cost by then.
pub(super) const ROWS: usize = 2_000;

/// What is to be done in a transaction. It may be done again, and must not do anything but by the connection.
pub(super) struct Work<T> {
    /// About how many rows it changes.
    pub(super) rows: usize,
    pub(super) durability: Durability,
    /// Gives the answer without a transaction, if there is nothing to change.
    pub(super) look: Option<Step<Option<T>>>,
    pub(super) change: Step<T>,
}

pub(super) type Step<T> = Box<dyn Fn(&mut SqliteConnection) -> QueryResult<T> + Send>;

/// What the commit waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    /// Whatever the database's URL says: the disk, if it says nothing.
    Configured,
    /// Nothing. It is for claims: if power fails, one that is lost is only made again, and what the runs of the lost one write
    /// names a log id that the row no longer has. The commit of an outcome waits, and takes with it what was committed before.
    NoDisk,
}

/// The transactions that wait, in the order in which they were asked for.
#[derive(Default)]
pub(super) struct Queue(VecDeque<Box<dyn Waiting>>);

/// Those that are done together.
pub(super) struct Group(Vec<Box<dyn Waiting>>);

/// A transaction whose answer somebody waits for.
trait Waiting: Send {
    /// Whoever asked may have given up.
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

    /// Takes the next one, and as many of those behind it as a group holds. A claim is not held up by the disk for an outcome
    /// behind it.
    pub(super) fn next_group(&mut self) -> Group {
        let durability = self.0.front().map(|next| next.durability());
        let (mut group, mut rows) = (Vec::new(), 0);
        let fits = |next: &Box<dyn Waiting>, rows| rows == 0 || rows + next.rows() <= ROWS;
        while let Some(next) = self
            .0
            .pop_front_if(|next| Some(next.durability()) == durability && fits(next, rows))
        {
            if next.is_wanted() {
                rows += next.rows();
                group.push(next);
            }
        }
        Group(group)
    }
}

impl Group {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Does them, and gives each its answer. `synchronous` is what the connection is set to.
    pub(super) fn run(self, conn: &mut SqliteConnection, synchronous: &str) {
        let Self(mut group) = self;
        if let [alone] = &mut group[..] {
            match alone.look(conn) {
                Ok(true) => {}
                looked => return tell(group, looked.map(drop)),
            }
        }
        match together(conn, synchronous, &mut group) {
            Ok(()) => tell(group, Ok(())),
            Err(Failed { error, changed }) if !changed || group.len() <= 1 => tell(group, Err(error)),
            Err(_) => {
                for alone in group {
                    Self(vec![alone]).run(conn, synchronous);
                }
            }
        }
    }
}

struct Failed {
    error: Error,
    /// It is not for the lock that it failed, for which each would wait again.
    changed: bool,
}

fn together(conn: &mut SqliteConnection, synchronous: &str, group: &mut [Box<dyn Waiting>]) -> Result<(), Failed> {
    let waits_for_disk = group.iter().any(|one| one.durability() == Durability::Configured);
    let mut changed = false;
    let mut change = |conn: &mut SqliteConnection| {
        conn.immediate_transaction(|conn| {
            changed = true;
            group.iter_mut().try_for_each(|one| one.change(conn))
        })
    };
    let done = match waits_for_disk {
        true => change(conn),
        false => without_disk(conn, synchronous, change),
    };
    done.map_err(|error| Failed { error, changed })
}

fn without_disk<T>(
    conn: &mut SqliteConnection,
    synchronous: &str,
    commit: impl FnOnce(&mut SqliteConnection) -> QueryResult<T>,
) -> QueryResult<T> {
    conn.batch_execute("PRAGMA synchronous = NORMAL")?;
    let committed = commit(conn);
    conn.batch_execute(&format!("PRAGMA synchronous = {synchronous}"))?;
    committed
}

fn tell(group: Vec<Box<dyn Waiting>>, done: QueryResult<()>) {
    let Err(error) = done else {
        return group.into_iter().for_each(|one| one.tell(Ok(())));
    };
    for one in group {
        one.tell(Err(same(&error)));
    }
}

/// diesel's errors cannot be cloned.
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
        if let Some(look) = &self.work.look {
            self.answer = look(conn)?;
        }
        Ok(self.answer.is_none())
    }

    fn change(&mut self, conn: &mut SqliteConnection) -> QueryResult<()> {
        self.answer = Some((self.work.change)(conn)?);
        Ok(())
    }

    fn tell(self: Box<Self>, done: QueryResult<()>) {
        let Self { answer, tell, .. } = *self;
        // Whoever asked may have given up meanwhile.
        let _ = tell.send(done.and_then(|()| answer.ok_or(Error::NotFound)));
    }
}

#[cfg(test)]
mod tests {
    use diesel::prelude::*;

    use super::*;

    #[derive(QueryableByName)]
    struct Level {
        #[diesel(sql_type = diesel::sql_types::Integer)]
        synchronous: i32,
    }

    fn level(conn: &mut SqliteConnection) -> i32 {
        let level: Level = diesel::sql_query("PRAGMA synchronous")
            .get_result(conn)
            .expect("is known");
        level.synchronous
    }

    #[test]
    fn only_the_commit_of_a_claim_does_not_wait_for_the_disk() {
        let mut conn = SqliteConnection::establish(":memory:").expect("opens");
        assert_eq!(without_disk(&mut conn, "FULL", |conn| Ok(level(conn))), Ok(1));
        assert_eq!(level(&mut conn), 2);
        let failed = without_disk(&mut conn, "FULL", |_| {
            QueryResult::<()>::Err(diesel::result::Error::NotFound)
        });
        assert_eq!(failed, Err(diesel::result::Error::NotFound));
        assert_eq!(level(&mut conn), 2);
    }
}
