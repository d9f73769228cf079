//! A database of its own for each measurement.

use gaia_actors::{Clock, store::Store};

use crate::database::{Home, Kind, Plain, Result, name};

pub(crate) struct Place {
    pub(crate) kind: Kind,
    pub(crate) url: String,
    home: Home,
    name: String,
}

/// Measures on a new database, which is removed whatever came of it.
pub(crate) async fn on_fresh<T>(database: &str, work: impl AsyncFnOnce(&Place) -> Result<T>) -> Result<T> {
    let place = Place::make(database).await?;
    let done = work(&place).await;
    place.home.remove(&[place.name]).await?;
    done
}

impl Place {
    /// All tables, and no rows.
    async fn make(database: &str) -> Result<Self> {
        let home = Home::new(database)?;
        let name = name("bench");
        home.create(&name).await?;
        let url = home.url_of(&name)?;
        Store::connect(&url, Clock::system()).await?.migrate().await?;
        let kind = home.kind;
        Ok(Self { kind, url, home, name })
    }

    pub(crate) async fn plain(&self) -> Result<Plain> {
        Plain::connect(self.kind, &self.url).await
    }

    /// Does at once what the servers would do by themselves some time after many rows were added, and SQLite's users by hand.
    pub(crate) async fn settle(&self) -> Result<()> {
        let statements: &[&str] = match self.kind {
            Kind::Sqlite => &["ANALYZE", "PRAGMA wal_checkpoint(TRUNCATE)"],
            Kind::Postgres => &["VACUUM (ANALYZE) asynctasks, asynctask_exec_row"],
            Kind::Mysql => &["ANALYZE TABLE asynctasks, asynctask_exec_row"],
        };
        let mut plain = self.plain().await?;
        for statement in statements {
            plain.run(statement).await?;
        }
        Ok(())
    }

    /// So many tasks have succeeded, and each has one record of it.
    pub(crate) async fn check(&self, tasks: usize) -> Result<()> {
        let count = "SELECT CONCAT( \
                       (SELECT COUNT(*) FROM asynctasks WHERE task_status = 'Success' AND lease_owner IS NULL), ' ', \
                       (SELECT COUNT(*) FROM asynctask_exec_row WHERE task_status = 'Success'), ' ', \
                       (SELECT COUNT(DISTINCT task_id) FROM asynctask_exec_row)) AS line";
        let counts = self.plain().await?.lines(count).await?.join("");
        match counts == format!("{tasks} {tasks} {tasks}") {
            true => Ok(()),
            false => Err(format!("{tasks} tasks became (tasks, records, tasks with records) {counts}").into()),
        }
    }
}
