//! A runtime with workers, and the two ways on which the program comes to its tasks: the database, and a server.

use std::{os::unix::fs::PermissionsExt, time::Duration};

use actix_web::{App, HttpServer, dev::ServerHandle, web};
use gaia_actors::{
    WaitKind, async_fn,
    logs::{KeepLogs, LogCapture},
    prelude::*,
    web::{Access, AccessToken, AdminOptions, Permission, admin},
};
use serde_json::{Value, value::RawValue};

use crate::{
    program::Way,
    support::{Database, Gate, Kind, THEME, eventually, options},
};

pub const OPERATOR: &str = "operator-0123456789";
pub const VIEWER: &str = "viewer-0123456789";

/// Short, so that the first beat comes soon; long enough for a machine that is busy with other things.
const LEASE: Duration = Duration::from_secs(8);

pub struct Served {
    pub gaia: Gaia,
    pub gate: Gate,
    pub url: String,
    server: ServerHandle,
    // Dropped last.
    pub database: Database,
}

/// The kinds of database that can be had here: a file always, a server if its URL is set.
pub fn kinds() -> Vec<Kind> {
    let servers = [Kind::Postgres, Kind::Mysql]
        .into_iter()
        .filter(|kind| kind.has_server());
    std::iter::once(Kind::Sqlite).chain(servers).collect()
}

impl Served {
    pub async fn start() -> Self {
        Self::on(Kind::Sqlite).await
    }

    /// With a worker that serves `Demo.Echo`, `Demo.Fail`, `Demo.Log` and `Demo.Gate`.
    pub async fn on(kind: Kind) -> Self {
        // The lines of handlers are kept by the logger of the process.
        let _ = LogCapture::around(env_logger::Builder::new().build()).install(log::LevelFilter::Info);
        let database = Database::of_kind(kind);
        let gate = Gate::closed();
        let gaia = database
            .builder()
            .lease(LEASE)
            .handler("Demo", "Echo", async_fn(async |_, value: Box<RawValue>| Ok(value)))
            .handler(
                "Demo",
                "Fail",
                async_fn(async |_, _: Value| Err::<(), _>(TaskError::discard("refused by a handler"))),
            )
            .handler(
                "Demo",
                "Log",
                async_fn(async |_, text: String| {
                    log::warn!("{text}");
                    Ok(())
                }),
            )
            .handler("Demo", "Gate", gate.handler())
            .scheduler(options().keep_logs(KeepLogs::default()))
            .jobs(JobsOptions::default().keep_logs(KeepLogs::default()))
            .start()
            .await
            .expect("starts");
        // Its row names its themes from its first beat on.
        eventually("a node with workers", async || {
            let nodes = gaia.nodes().await.expect("are told");
            nodes.iter().any(|node| node.workers > 0).then_some(())
        })
        .await;
        let (server, url) = serve(&gaia);
        Self {
            gaia,
            gate,
            url,
            server,
            database,
        }
    }

    /// On the database, without asking a server.
    pub fn local(&self) -> Way {
        Way::database(&self.database.url())
    }

    /// Through the server, as the operator.
    pub fn remote(&self) -> Way {
        self.with_token(OPERATOR)
    }

    pub fn ways(&self) -> [Way; 2] {
        [self.local(), self.remote()]
    }

    /// Through the server, with a token in a file that nobody else may read.
    pub fn with_token(&self, token: &str) -> Way {
        let file = self.database.file(token);
        std::fs::write(&file, format!("{token}\n")).expect("is written");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("is ours");
        let file = file.display().to_string();
        Way {
            options: vec!["--server".to_owned(), self.url.clone(), "--token-file".to_owned(), file],
            ..Way::default()
        }
    }

    /// A task that waits for its limit key: another one of the key runs. `Demo.Gate` has a limit of one for each key.
    pub async fn waits_for_key(&self, key: &str) -> i64 {
        let mut added = Vec::new();
        for _ in 0..2 {
            let task = NewTask::new("Demo", "Gate").limit_key(key);
            added.push(self.scheduler().add_task(task).await.expect("is added").id);
        }
        eventually("one of the tasks waits for the other", async || {
            for id in &added {
                let task = self.scheduler().get_task_detail(*id).await.expect("is there");
                if task
                    .waits_for
                    .is_some_and(|waits_for| waits_for.kind == WaitKind::Limit)
                {
                    return Some(*id);
                }
            }
            None
        })
        .await
    }

    pub fn scheduler(&self) -> Scheduler {
        self.gaia.scheduler(THEME).expect("is a theme")
    }

    pub async fn stop(self) {
        self.server.stop(false).await;
        self.gate.let_pass(1_000);
        self.gaia.stop().await.expect("stops");
    }
}

/// The API below a path, for an operator and a viewer.
fn serve(gaia: &Gaia) -> (ServerHandle, String) {
    let token = |name: &str, token: &str| AccessToken::new(name, &AccessToken::hash_of(token)).expect("is good");
    let access = Access::tokens([
        token("operator", OPERATOR).permissions(Permission::ALL),
        token("viewer", VIEWER).permissions(Permission::VIEWER),
    ]);
    let (served, options) = (gaia.clone(), AdminOptions::new(access).requests_per_second(1_000_000));
    let server =
        HttpServer::new(move || App::new().service(web::scope("/a/b").service(admin(&served, options.clone()))));
    let server = server.workers(1).disable_signals().bind("127.0.0.1:0").expect("binds");
    let address = server.addrs()[0];
    let running = server.run();
    let handle = running.handle();
    actix_rt::spawn(running);
    (handle, format!("http://{address}/a/b"))
}
