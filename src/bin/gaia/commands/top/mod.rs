//! Themes and nodes as they work.

mod feed;
mod screen;
mod state;

use std::{pin::pin, time::Duration};

use futures_util::{Stream, StreamExt};

use self::{feed::Feed, screen::Screen, state::State};
use crate::{
    api::Api,
    args::TopArgs,
    exit::{Exit, Failure, Result},
    session::Session,
};

/// How often the rates are read: nodes write their counts every 10 s.
const RATES: Duration = Duration::from_secs(10);

pub async fn run(session: &Session, args: TopArgs) -> Result {
    let (api, out) = (session.api().await?, &session.out);
    let mut events = pin!(events(api).await?);
    let mut state = State::default();
    while !state.is_whole() {
        next(&mut state, events.next().await)?;
    }
    state.read_rates(api).await?;
    if args.once || !out.is_terminal() || !out.is_table() {
        state.write(session, api)?;
        return Ok(Exit::Done);
    }
    let screen = Screen::enter().map_err(|error| Failure::of_output(&error))?;
    let mut ticks = tokio::time::interval(Duration::from_secs(args.every));
    let mut rates = tokio::time::interval(RATES);
    loop {
        tokio::select! {
            event = events.next() => next(&mut state, event)?,
            _ = rates.tick() => state.read_rates(api).await?,
            _ = ticks.tick() => screen.draw(&state.text(session, api)).map_err(|error| Failure::of_output(&error))?,
        }
    }
}

/// The events of the API, each with its name and its data.
async fn events(api: &Api) -> Result<impl Stream<Item = Result<(String, String)>>> {
    let parts = api.get(&["events"]).stream().await?;
    Ok(Feed::of(parts))
}

fn next(state: &mut State, event: Option<Result<(String, String)>>) -> Result<()> {
    match event {
        Some(event) => {
            let (name, data) = event?;
            state.take(&name, &data)
        }
        None => Err(Failure::away(
            "the server has ended the stream of events; it stops, or the caller has no access any more",
        )),
    }
}
