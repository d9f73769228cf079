//! A worker of the Go framework, as small as can be. It locks, runs and ends tasks, beats, and sets back tasks of every theme, by the
//! framework's rules. Its times are those of Shanghai.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use diesel::{
    QueryableByName, sql_query,
    sql_types::{BigInt, Nullable, Text},
};
use diesel_async::{AsyncConnection, AsyncMysqlConnection, RunQueryDsl, SimpleAsyncConnection};
use serde_json::Value;

use crate::support::{Database, of_driver};

/// How often it beats, and looks for abandoned tasks.
const BEAT: Duration = Duration::from_secs(5);

/// How often it scans. The framework scans every 5 s.
const SCAN: Duration = Duration::from_millis(500);

const SLOTS: usize = 4;

const WORK: u8 = 0;
const FINISH: u8 = 1;
const DIE: u8 = 2;

pub struct GoWorker {
    order: Arc<AtomicU8>,
    thread: JoinHandle<()>,
}

#[derive(QueryableByName)]
struct Scanned {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Nullable<Text>)]
    arg: Option<String>,
}

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

/// A task that it runs.
struct Run {
    id: i64,
    until: Instant,
}

struct Worker {
    conn: AsyncMysqlConnection,
    theme: &'static str,
    beats: bool,
    runs: Vec<Run>,
}

impl GoWorker {
    /// `beats`: whether the tables have heartbeats. Without them the framework's look for abandoned tasks fails, and nothing else does.
    pub fn start(database: &Database, theme: &'static str, beats: bool) -> Self {
        let order = Arc::new(AtomicU8::new(WORK));
        let (url, orders) = (of_driver(&database.url()), Arc::clone(&order));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("starts").block_on(work(&url, theme, beats, &orders));
        });
        Self { order, thread }
    }

    /// Takes no more tasks, and ends those that it runs.
    pub fn finish(self) {
        self.end(FINISH);
    }

    /// Leaves all as it is, as a killed process does.
    pub fn die(self) {
        self.end(DIE);
    }

    fn end(self, how: u8) {
        self.order.store(how, Ordering::SeqCst);
        self.thread.join().expect("does not panic");
    }
}

async fn work(url: &str, theme: &'static str, beats: bool, order: &AtomicU8) {
    let mut conn = AsyncMysqlConnection::establish(url).await.expect("connects");
    conn.batch_execute("SET time_zone = '+08:00'").await.expect("is a zone");
    let mut worker = Worker {
        conn,
        theme,
        beats,
        runs: Vec::new(),
    };
    let (mut beaten, mut scanned) = (Instant::now(), Instant::now());
    loop {
        worker.end_runs().await;
        match order.load(Ordering::SeqCst) {
            DIE => return,
            FINISH if worker.runs.is_empty() => return,
            WORK if scanned.elapsed() >= SCAN => {
                scanned = Instant::now();
                worker.scan().await;
            }
            _ => {}
        }
        if beats && beaten.elapsed() >= BEAT {
            beaten = Instant::now();
            worker.beat_all().await;
            worker.set_back().await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

impl Worker {
    async fn execute(&mut self, sql: &str) -> usize {
        sql_query(sql).execute(&mut self.conn).await.expect("plain SQL runs")
    }

    async fn scan(&mut self) {
        let (theme, free) = (self.theme, SLOTS - self.runs.len());
        let scan = format!(
            "SELECT id, arg FROM asynctasks WHERE system_name = '{theme}' AND task_status IN ('Wait', 'Retry') ORDER BY id LIMIT {free}"
        );
        let found: Vec<Scanned> = sql_query(scan).load(&mut self.conn).await.expect("answers");
        for Scanned { id, arg } in found {
            let lock = format!(
                "UPDATE asynctasks SET task_status = 'Running', last_run_time = NOW(3), update_time = NOW() \
                 WHERE id = {id} AND task_status IN ('Wait', 'Retry')"
            );
            if self.execute(&lock).await == 0 {
                continue;
            }
            self.beat(id).await;
            let args: Value = serde_json::from_str(&arg.unwrap_or_default()).unwrap_or_default();
            let millis = args["ms"].as_u64().unwrap_or(0);
            let until = Instant::now() + Duration::from_millis(millis);
            self.runs.push(Run { id, until });
        }
    }

    async fn beat(&mut self, id: i64) {
        if !self.beats {
            return;
        }
        let beat = format!(
            "INSERT INTO async_task_heartbeat (task_id, heart_beat_time, heart_beat_nano_time) \
             VALUES ({id}, NOW(3), CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000000 AS SIGNED)) ON DUPLICATE KEY UPDATE \
             heart_beat_time = VALUES(heart_beat_time), heart_beat_nano_time = VALUES(heart_beat_nano_time)"
        );
        self.execute(&beat).await;
    }

    async fn beat_all(&mut self) {
        let ids: Vec<i64> = self.runs.iter().map(|run| run.id).collect();
        for id in ids {
            self.beat(id).await;
        }
    }

    async fn end_runs(&mut self) {
        let now = Instant::now();
        let (ended, runs) = std::mem::take(&mut self.runs)
            .into_iter()
            .partition(|run| run.until <= now);
        self.runs = runs;
        let ended: Vec<Run> = ended;
        for Run { id, .. } in ended {
            let end = format!(
                "UPDATE asynctasks SET task_status = 'Success', last_run_end_time = NOW(3), last_result = '\"by Go\"', update_time = NOW() \
                 WHERE id = {id}"
            );
            self.execute(&end).await;
            let record = format!(
                "INSERT INTO asynctask_exec_row (task_id, task_status, last_result, last_run_time, last_run_end_time) \
                 SELECT id, task_status, last_result, last_run_time, last_run_end_time FROM asynctasks WHERE id = {id}"
            );
            self.execute(&record).await;
        }
    }

    /// Sets tasks of every theme back that look abandoned.
    async fn set_back(&mut self) {
        const STALE: &str = "SELECT t.id FROM async_task_heartbeat h JOIN asynctasks t ON t.id = h.task_id WHERE t.task_status = 'Running' \
            AND h.heart_beat_nano_time < (UNIX_TIMESTAMP(NOW(6)) - 30) * 1000000000";
        const WITHOUT: &str = "SELECT t.id FROM asynctasks t LEFT JOIN async_task_heartbeat h ON h.task_id = t.id \
            WHERE t.task_status = 'Running' AND t.update_time < NOW() - INTERVAL 30 SECOND AND h.task_id IS NULL";
        for look in [STALE, WITHOUT] {
            let dead: Vec<Id> = sql_query(look).load(&mut self.conn).await.expect("answers");
            for Id { id } in dead {
                let back =
                    format!("UPDATE asynctasks SET task_status = 'Wait' WHERE id = {id} AND task_status = 'Running'");
                self.execute(&back).await;
            }
        }
    }
}
