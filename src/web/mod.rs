//! The HTTP API and the dashboard: what operators see and do, and how programs in other languages add tasks.
//!
//! [`admin`] is a service that any actix-web application can mount, at any path. It is a thin layer over [`Gaia`], [`Admin`](crate::Admin),
//! [`Scheduler`](crate::Scheduler) and [`Jobs`](crate::Jobs): the same checks hold, and the same errors come back, as
//! `application/problem+json`. [`ROUTES`] is the table of everything it answers.
//!
//! Beside the API lies the dashboard, pages for people, in English and Chinese. A page shows what the API answers with, and its forms call routes
//! of the API: the same permissions hold, and the audit has the same entries. Pages work without scripts, below any path.
//!
//! Nobody has access by default: [`AdminOptions`] cannot be made without an [`Access`]. Browsers use [`Access::basic`], [`Access::header`] or
//! [`Access::loopback_only`]; tokens are for programs.
//!
#![cfg_attr(feature = "sqlite", doc = "```no_run")]
#![cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
//! use actix_web::{App, HttpServer, web};
//! use gaia_actors::{prelude::*, web::{Access, AdminOptions, admin}};
//!
//! #[actix_web::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let gaia = Gaia::builder().database("sqlite:orders.db").start().await?;
//!     let options = AdminOptions::new(Access::loopback_only());
//!     let served = gaia.clone();
//!     HttpServer::new(move || {
//!         App::new().service(web::scope("/gaia").service(admin(&served, options.clone())))
//!     })
//!     .bind("127.0.0.1:8080")?
//!     .run()
//!     .await?;
//!     gaia.stop().await?;
//!     Ok(())
//! }
//! ```
//!
//! `http://localhost:8080/gaia/` is then the dashboard, and `curl localhost:8080/gaia/api/v1/tasks` lists tasks.

mod access;
mod alerts;
mod audit;
mod batches;
mod body;
mod call;
mod claims;
mod cursor;
mod dispatch;
mod environment;
mod errors;
mod events;
mod export;
mod filter;
mod health;
mod history;
mod hub;
mod jobs;
mod limits;
mod logs;
mod method_limits;
mod metrics;
mod nodes;
mod openapi;
mod operations;
mod origin;
mod pages;
mod permission;
mod problem;
mod query;
mod readiness;
mod record;
mod redact;
mod routes;
mod runs;
mod schedules;
mod tasks;
mod themes;
mod watch;

use std::{collections::BTreeMap, sync::Arc};

use actix_web::{
    HttpRequest, Scope,
    dev::{AppService, HttpServiceFactory},
    web,
};

use self::environment::Environment;
pub use self::{
    access::{Access, AccessRequest, AccessToken, BasicUser, Caller, ReplaceableAccess},
    environment::EnvironmentColour,
    openapi::openapi,
    permission::Permission,
    redact::{Redacted, RedactedPart},
    routes::{ROUTES, Route, RouteAccess},
};
use crate::runtime::Gaia;

/// The path of the API below the path at which it is mounted.
const PREFIX: &str = "/api/v1";

/// How the API is served.
///
/// ```
/// use gaia_actors::web::{Access, AdminOptions, RedactedPart};
///
/// // Whatever an error says of a password is for nobody.
/// let options = AdminOptions::new(Access::loopback_only()).redact(|text| {
///     let is_secret = text.part == RedactedPart::Error && text.text.contains("password");
///     is_secret.then(|| "(not shown)".to_owned())
/// });
/// ```
#[derive(Clone)]
#[must_use = "options do nothing until the API is mounted with them"]
pub struct AdminOptions {
    access: Access,
    redact: Option<redact::Redact>,
    hub: Arc<hub::Hub>,
    limits: Arc<limits::Limits>,
    environment: Option<Environment>,
}

/// How many listeners `GET /events` has at most in one process, unless told otherwise.
const LISTENERS: usize = 1_000;

impl AdminOptions {
    /// Options with this access, and nothing hidden but what the access hides.
    pub fn new(access: Access) -> Self {
        Self {
            access,
            redact: None,
            hub: Arc::new(hub::Hub::new(LISTENERS)),
            limits: Arc::default(),
            environment: None,
        }
    }

    /// The name of this environment and its colour, which every page shows in its head.
    pub fn environment(self, name: impl Into<String>, colour: EnvironmentColour) -> Self {
        let name = name.into();
        Self {
            environment: Some(Environment { name, colour }),
            ..self
        }
    }

    /// A function that replaces texts before they leave the process: arguments, results, errors and the URLs of hooks. It answers with the
    /// text to be shown, or with `None` if the text may be shown as it is. What it replaces stays as it is in the database, so a retry uses
    /// the real arguments. Values of hooks' headers and secrets of hooks are never shown, with or without this function.
    pub fn redact(self, redact: impl Fn(&Redacted<'_>) -> Option<String> + Send + Sync + 'static) -> Self {
        Self {
            redact: Some(Arc::new(redact)),
            ..self
        }
    }

    /// How many clients may listen to `GET /events` at the same time, over all services that have clones of these options. Default 1,000. Others
    /// are refused with 503.
    pub fn events(self, listeners: usize) -> Self {
        Self {
            hub: Arc::new(hub::Hub::new(listeners)),
            ..self
        }
    }

    /// How many searches, counts, previews, histories, groupings of errors and pages of exports run at the same time, and how many exports
    /// besides; 8 unless told otherwise, and 1 at least. Further ones wait for up to 2 s, and are then refused with 429.
    ///
    /// The clones of these options share this limit and the others: so do all threads of a server.
    pub fn searches(self, at_a_time: u32) -> Self {
        let limits = Arc::new(self.limits.with_searches(at_a_time));
        Self { limits, ..self }
    }

    /// How many requests a caller may send in a second; 200 unless told otherwise, and 1 at least. Twice as many may come at once. Further
    /// ones are refused with 429. Probes and additions of tasks do not count.
    pub fn requests_per_second(self, requests: u32) -> Self {
        let limits = Arc::new(self.limits.with_requests(requests));
        Self { limits, ..self }
    }
}

impl std::fmt::Debug for AdminOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AdminOptions")
            .field("access", &self.access)
            .field("redacts", &self.redact.is_some())
            .finish_non_exhaustive()
    }
}

/// What all calls of one service share.
struct Shared {
    gaia: Gaia,
    options: AdminOptions,
    readiness: readiness::Cached,
}

/// The dashboard and the API as a service of an actix-web application: pages below the path of the scope in which it is mounted, and the API
/// under `/api/v1` there. Give it a scope that holds nothing else; paths that it does not know are left to the application.
///
/// The factory of an [`HttpServer`](actix_web::HttpServer) calls this once for each of its threads, with clones of the same options.
///
#[cfg_attr(feature = "sqlite", doc = "```")]
#[cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
/// use actix_web::{App, test, web};
/// use gaia_actors::{Gaia, web::{Access, AccessToken, AdminOptions, Permission, admin}};
///
/// # #[actix_rt::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let gaia = Gaia::builder().database("sqlite::memory:").start().await?;
/// let hash = AccessToken::hash_of("kept by nobody else");
/// let grafana = AccessToken::new("grafana", &hash)?.permissions(Permission::VIEWER);
/// let options = AdminOptions::new(Access::tokens([grafana]));
/// let app = App::new().service(web::scope("/a/b").service(admin(&gaia, options)));
///
/// let app = test::init_service(app).await;
/// let request = test::TestRequest::get()
///     .uri("/a/b/api/v1/whoami")
///     .insert_header(("authorization", "Bearer kept by nobody else"));
/// let answer = test::call_and_read_body(&app, request.to_request()).await;
/// assert_eq!(answer, r#"{"name":"grafana","permissions":["view"],"themes":null}"#);
/// # gaia.stop().await?;
/// # Ok(())
/// # }
/// ```
#[must_use]
pub fn admin(gaia: &Gaia, options: AdminOptions) -> impl HttpServiceFactory + use<> {
    Mounted(Arc::new(Shared {
        gaia: gaia.clone(),
        options,
        readiness: readiness::Cached::default(),
    }))
}

/// The pages and the API, each path on its own: paths that they do not know are left to the application.
struct Mounted(Arc<Shared>);

impl HttpServiceFactory for Mounted {
    fn register(self, config: &mut AppService) {
        api(&self.0).register(config);
        pages::register(&self.0, config);
    }
}

fn api(shared: &Arc<Shared>) -> Scope {
    let mut patterns: BTreeMap<&'static str, Vec<&'static Route>> = BTreeMap::new();
    for route in ROUTES {
        patterns.entry(route.path).or_default().push(route);
    }
    let answer = |routes: Vec<&'static Route>| {
        let (shared, routes): (_, Arc<[_]>) = (Arc::clone(shared), routes.into());
        move |request: HttpRequest, body: web::Payload| {
            dispatch::answer(Arc::clone(&shared), Arc::clone(&routes), request, body.into_inner())
        }
    };
    // actix-web tries patterns in their order: first those that it need only compare, then those with variables, of which a word comes before
    // a variable in the same place.
    let mut patterns: Vec<_> = patterns.into_iter().collect();
    patterns.sort_by_key(|(path, _)| (path.contains('{'), path.replace('{', "\u{ffff}")));
    let mut scope = web::scope(PREFIX);
    for (path, routes) in patterns {
        scope = scope.service(web::resource(path).to(answer(routes)));
    }
    scope.default_service(web::to(answer(Vec::new())))
}
