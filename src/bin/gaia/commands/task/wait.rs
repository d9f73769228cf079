//! Waiting for the end of a task.

use std::time::{Duration, Instant};

use super::{SHEET, details};
use crate::{
    api::{Api, Fields},
    exit::{Exit, Result},
    output::say,
    session::Session,
};

/// The longest wait of one request.
const LONGEST: Duration = Duration::from_secs(60);

pub async fn run(session: &Session, id: i64, timeout: Option<Duration>) -> Result {
    let (api, out) = (session.api().await?, &session.out);
    let (task, exit) = ended(api, id, timeout).await?;
    let view = out.view(api);
    out.item(&SHEET, &task, || details(&task, &view))?;
    Ok(exit)
}

/// The task at its end, or at the end of the wait, and the exit code that says which.
pub async fn ended(api: &Api, id: i64, timeout: Option<Duration>) -> Result<(Fields, Exit)> {
    let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    loop {
        let left = until.map_or(LONGEST, |until| until.saturating_duration_since(Instant::now()));
        let answer = api
            .get(&["tasks", &id.to_string(), "wait"])
            .waits(left.min(LONGEST))
            .send()
            .await?;
        let task = answer.fields()?;
        let has_ended = answer.status != 202;
        match (has_ended, task.text("status").as_str()) {
            (true, "Success") => return Ok((task, Exit::Done)),
            (true, status) => {
                say(&format!("The task {id} has ended as {status}."));
                return Ok((task, Exit::Failed));
            }
            (false, status) if left <= LONGEST && until.is_some_and(|until| Instant::now() >= until) => {
                say(&format!(
                    "The task {id} has not ended in time; it is {status}. `gaia check {id}` says why it does not run."
                ));
                return Ok((task, Exit::WaitedInVain));
            }
            (false, _) => {}
        }
    }
}
