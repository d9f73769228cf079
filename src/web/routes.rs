//! The table of routes: everything that the API answers, and who may ask for it.

use futures_util::future::LocalBoxFuture;

use actix_web::HttpResponse;

use super::{
    alerts, audit, batches,
    body::BodyRule,
    call::Call,
    claims, errors, events, export, health, history, jobs, logs, method_limits, metrics, nodes,
    openapi::{self, Described},
    operations,
    permission::Permission,
    problem::Problem,
    runs, schedules, tasks, themes,
};

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RouteAccess {
    /// Anybody, also callers without access. Its answer tells only whether the process is well.
    Anybody,
    /// Every caller that has access.
    AnyCaller,
    /// Callers with this permission.
    Permission(Permission),
    /// Callers with one of these permissions at least. Which one is needed depends on the request.
    OneOf(&'static [Permission]),
}

/// One route of the API.
///
/// ```
/// use gaia_actors::web::ROUTES;
///
/// for route in ROUTES {
///     println!("{} {}: {}", route.method, route.path, route.summary);
/// }
/// assert!(ROUTES.iter().any(|route| route.method == "POST" && route.path == "/tasks"));
/// ```
#[non_exhaustive]
pub struct Route {
    /// The method of the request, such as `GET`. A route for `GET` answers `HEAD`, too.
    pub method: &'static str,
    /// The path below `/api/v1`, with a name in braces for each variable part.
    pub path: &'static str,
    /// Who may use it.
    pub access: RouteAccess,
    /// Whether it changes anything.
    pub changes: bool,
    /// The action under which the audit has its calls, such as `task.cancel`. `None`: it has none of them. Only routes that change nothing,
    /// and those that add tasks or work on them, are not in the audit.
    pub action: Option<&'static str>,
    /// What it does, in one sentence.
    pub summary: &'static str,
    pub(super) body: BodyRule,
    pub(super) run: Run,
    /// What it is called in the description of the API: `tasks_add` for `tasks::add`.
    pub(super) name: &'static str,
    /// Which part of the API it belongs to: `tasks` for `tasks::add`.
    pub(super) part: &'static str,
    pub(super) described: fn() -> Described,
}

/// Does what a route is for.
pub(super) type Run = fn(Call) -> LocalBoxFuture<'static, Result<HttpResponse, Problem>>;

impl std::fmt::Debug for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Route")
            .field("method", &self.method)
            .field("path", &self.path)
            .field("access", &self.access)
            .field("changes", &self.changes)
            .finish_non_exhaustive()
    }
}

macro_rules! access {
    (Anybody) => {
        RouteAccess::Anybody
    };
    (AnyCaller) => {
        RouteAccess::AnyCaller
    };
    ([$($permission:ident)*]) => {
        RouteAccess::OneOf(&[$(Permission::$permission),*])
    };
    ($permission:ident) => {
        RouteAccess::Permission(Permission::$permission)
    };
}

/// What a route does: it `reads`, it `adds` tasks, it `works` on tasks, or it makes a change that the audit has under this action.
macro_rules! changes {
    (reads) => {
        false
    };
    (adds) => {
        true
    };
    (works) => {
        true
    };
    ($action:literal) => {
        true
    };
}

macro_rules! action {
    (reads) => {
        None
    };
    (adds) => {
        None
    };
    (works) => {
        None
    };
    ($action:literal) => {
        Some($action)
    };
}

/// A row is: the method, the path, who may use the route, whether it changes anything, its body, its handler, and what it does. Beside a
/// handler `tasks::add` stands its description `tasks::described::add`: parameters, body, answers and refusals.
macro_rules! routes {
    ($($method:literal $path:literal $access:tt $does:tt $body:ident $part:ident::$run:ident: $summary:literal;)*) => {
        /// Every route of the API: both what is mounted, and what a test or a document must know of it.
        pub const ROUTES: &[Route] = &[$(Route {
            method: $method,
            path: $path,
            access: access!($access),
            changes: changes!($does),
            action: action!($does),
            summary: $summary,
            body: BodyRule::$body,
            run: |call| Box::pin($part::$run(call)),
            name: concat!(stringify!($part), "_", stringify!($run)),
            part: stringify!($part),
            described: $part::described::$run,
        }),*];
    };
}

routes! {
    "GET" "/healthz" Anybody reads Empty health::healthz: "Tells that the process answers.";
    "GET" "/readyz" Anybody reads Empty health::readyz: "Tells whether the process can take work.";
    "GET" "/whoami" AnyCaller reads Empty nodes::whoami: "Tells who the caller is, and what the caller may do.";
    "GET" "/openapi.json" AnyCaller reads Empty openapi::show: "Describes this API, as OpenAPI 3.1 has it.";
    "GET" "/nodes" View reads Empty nodes::list: "Lists the processes that share the database.";
    "GET" "/nodes/{node}" View reads Empty nodes::show: "Shows a process with its counters.";
    "PUT" "/nodes/{node}/themes/{theme}/workers" Resize "node.resize" Small nodes::resize:
        "Sets how many workers one process has for a theme, until it stops.";
    "GET" "/methods" View reads Empty nodes::methods: "Lists the methods that living processes serve.";
    "GET" "/events" View reads Empty events::events: "Streams themes, nodes and bulk operations as they change.";
    "GET" "/metrics" View reads Empty metrics::metrics: "Tells Prometheus how this process and its database are.";
    "GET" "/history" View reads Empty history::of_all: "Tells what ended in the past, in steps of time, of tasks or of jobs.";

    "POST" "/tasks" Enqueue adds Task tasks::add: "Adds a task.";
    "GET" "/tasks" View reads Empty tasks::list: "Finds tasks, the newest first.";
    "GET" "/tasks/export" View reads Empty export::export: "Streams whole tasks as JSON lines or as CSV, the newest first.";
    "POST" "/tasks/batch" Enqueue adds Batch tasks::add_batch: "Adds many tasks of one theme, all or none.";
    "POST" "/batches" Enqueue adds Runs batches::add: "Adds tasks of one theme, and a task that runs when all of them have ended.";
    "POST" "/tasks/bulk" [Cancel Retry Delete] "task.bulk" Small operations::bulk:
        "Cancels, retries, runs now or deletes all tasks that meet a filter.";
    "POST" "/tasks/bulk/preview" View reads Small operations::preview: "Counts what a bulk operation would change.";
    "GET" "/tasks/{id}" View reads Empty tasks::show: "Shows a task.";
    "GET" "/tasks/{id}/records" View reads Empty tasks::records: "Lists the runs of a task, the newest first.";
    "GET" "/tasks/{id}/log" ViewArgs reads Empty logs::of_task: "Lists what the handler has logged in one run of a task.";
    "GET" "/tasks/{id}/wait" View reads Empty tasks::wait: "Answers when a task has ended.";
    "POST" "/tasks/{id}/cancel" Cancel "task.cancel" Small tasks::cancel: "Cancels a task.";
    "POST" "/tasks/{id}/retry" Retry "task.retry" Small tasks::retry: "Queues a failed or cancelled task again.";
    "POST" "/tasks/{id}/run_now" Retry "task.run_now" Small tasks::run_now: "Has a task run now that waits for a later time.";
    "DELETE" "/tasks/{id}" Delete "task.delete" Small tasks::remove: "Deletes a finished task with its records.";

    "POST" "/claims" Work works Task claims::claim: "Hands tasks to a remote worker, which then holds them.";
    "POST" "/claims/beat" Work works Runs claims::beat: "Notes that runs of a remote worker go on.";
    "POST" "/claims/progress" Work works Runs claims::progress: "Notes how far runs of a remote worker are.";
    "POST" "/claims/log" Work works Runs claims::log: "Keeps lines that a remote worker has logged in runs.";
    "POST" "/claims/finish" Work works Runs claims::finish: "Ends runs of a remote worker as successes.";
    "POST" "/claims/fail" Work works Runs claims::fail: "Ends runs of a remote worker as failures.";
    "POST" "/claims/snooze" Work works Runs claims::snooze: "Puts tasks that a remote worker holds off until later.";
    "POST" "/claims/release" Work works Runs claims::release: "Gives tasks back that a remote worker holds.";

    "GET" "/operations" View reads Empty operations::list: "Lists bulk operations, the newest first.";
    "GET" "/operations/{id}" View reads Empty operations::show: "Shows a bulk operation.";
    "POST" "/operations/{id}/cancel" [Cancel Retry Delete] "operation.cancel" Small operations::cancel: "Ends a bulk operation.";

    "GET" "/themes" View reads Empty themes::list: "Lists the themes that have settings, unfinished tasks or workers.";
    "GET" "/themes/{theme}" View reads Empty themes::show: "Shows a theme: its settings and its workers.";
    "GET" "/themes/{theme}/history" View reads Empty history::of_theme: "Tells what ended in the past, in steps of time.";
    "GET" "/themes/{theme}/errors" View reads Empty errors::of_theme:
        "Groups the errors of tasks that have failed or wait for another attempt.";
    "GET" "/themes/{theme}/methods" View reads Empty themes::methods:
        "Lists the methods that processes serve for a theme, and those that its due tasks call.";
    "POST" "/themes/{theme}/pause" Pause "theme.pause" Small themes::pause: "Stops all nodes from taking tasks of a theme.";
    "POST" "/themes/{theme}/resume" Pause "theme.resume" Small themes::resume: "Lets all nodes take tasks of a theme again.";
    "PUT" "/themes/{theme}/workers" Resize "theme.resize" Small themes::resize: "Sets how many workers each node has for a theme.";

    "GET" "/limits" View reads Empty method_limits::list: "Lists the limits of methods, and how much of them is used.";
    "PUT" "/limits/{service}/{method}" Resize "limit.set" Small method_limits::set:
        "Limits how many tasks of a method run at once, and how many start in a time.";
    "DELETE" "/limits/{service}/{method}" Resize "limit.remove" Small method_limits::remove: "Lifts the limit of a method.";

    "GET" "/alerts" View reads Empty alerts::list: "Lists the alerts whose causes go on, the newest first.";
    "GET" "/audit" View reads Empty audit::list: "Lists what operators have changed, the newest first.";

    "GET" "/jobs" View reads Empty jobs::list: "Lists jobs, the newest first.";
    "POST" "/jobs" EditJobs "job.add" Task jobs::add: "Adds a job.";
    "PUT" "/jobs/by_name/{name}" EditJobs "job.ensure" Task jobs::ensure: "Adds a job, or brings the job with this name up to date.";
    "GET" "/jobs/{id}" View reads Empty jobs::show: "Shows a job and its next fires.";
    "PUT" "/jobs/{id}" EditJobs "job.update" Task jobs::update: "Replaces the definition of a job.";
    "DELETE" "/jobs/{id}" EditJobs "job.delete" Small jobs::remove: "Deletes a job. Its records stay.";
    "POST" "/jobs/{id}/enable" EditJobs "job.enable" Small jobs::enable: "Lets a job fire.";
    "POST" "/jobs/{id}/disable" EditJobs "job.disable" Small jobs::disable: "Keeps a job from firing.";
    "POST" "/jobs/{id}/run" RunJobs "job.run" Small jobs::run: "Runs a job now, on a process that runs jobs.";
    "POST" "/jobs/{id}/cancel" RunJobs "job.cancel" Small jobs::cancel: "Cancels the runs of a job on all nodes.";
    "GET" "/jobs/{id}/runs" View reads Empty runs::of_job: "Lists the runs of a job, the newest first.";
    "GET" "/runs" View reads Empty runs::of_all: "Lists the runs of all jobs, the newest first.";
    "GET" "/runs/{id}" View reads Empty runs::show: "Shows a run of a job.";
    "GET" "/runs/{id}/log" ViewArgs reads Empty logs::of_run: "Lists what the handler has logged in a run of a job.";
    "POST" "/schedules/explain" View reads Small schedules::explain:
        "Says in words when a cron expression fires, or what is wrong with it.";
}
