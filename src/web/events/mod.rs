//! A stream of what changes, for pages that stay open: `text/event-stream`.
//!
//! One state ([`Watch`]) serves all listeners of a process: whichever listener finds the last one to be old reads the next one, and the
//! others wait for it. So nothing is asked while nobody listens, and a listener that hangs up leaves the rest to another.

mod feed;

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use actix_web::{
    HttpResponse,
    http::{
        StatusCode,
        header::{CONTENT_TYPE, HeaderMap},
    },
    web::Bytes,
};
use futures_util::stream;

use self::feed::Sent;
use super::{
    access::{Access, AccessRequest},
    call::Call,
    hub::Seat,
    permission::Permission,
    problem::Problem,
    watch::{EVERY, Watch},
};

/// A stream without an event says that it lives, at least this often. Two looks lie in the fifteen seconds that are promised.
const SILENCE: Duration = Duration::from_secs(13);

/// A listener that takes nothing for so long is let go. It comes back by itself if it lives.
const PATIENCE: Duration = Duration::from_secs(30);

/// After how many milliseconds a listener whose stream has ended comes back.
const RETRY_MS: u32 = 5_000;

/// What is kept of a request while its stream lasts.
struct Listener {
    watch: Arc<Watch>,
    access: Access,
    peer: Option<IpAddr>,
    headers: HeaderMap,
    sent: Sent,
    sent_at: Instant,
    /// When the server took the last piece of the stream.
    taken_at: Option<Instant>,
    /// When the last state that it was told was read. `None`: it was told none.
    looked_at: Option<Instant>,
    _seat: Seat,
}

#[expect(clippy::unused_async, reason = "every handler is asynchronous")]
pub(super) async fn events(mut call: Call) -> Result<HttpResponse, Problem> {
    call.query.finish()?;
    let seat = call.shared.options.hub.seat().ok_or_else(Problem::too_many_listeners)?;
    let listener = Listener {
        watch: call.watch(),
        access: call.access().clone(),
        peer: call.peer(),
        headers: call.headers().clone(),
        sent: Sent::default(),
        sent_at: Instant::now(),
        taken_at: None,
        looked_at: None,
        _seat: seat,
    };
    let pieces = stream::unfold(listener, |listener| async move {
        let (piece, listener) = listener.next().await?;
        Some((Ok::<Bytes, actix_web::Error>(piece), listener))
    });
    let mut response = HttpResponse::build(StatusCode::OK);
    response.insert_header((CONTENT_TYPE, "text/event-stream"));
    // Proxies must pass each event on at once.
    response.insert_header(("x-accel-buffering", "no"));
    Ok(response.streaming(Box::pin(pieces)))
}

impl Listener {
    /// The next piece of the stream. `None`: the stream ends, since the caller has no access any more, takes nothing, or this Gaia has stopped.
    ///
    /// The server asks for the next piece only when it has sent the last one, so that no more than one piece waits in memory.
    async fn next(mut self) -> Option<(Bytes, Self)> {
        if self.taken_at.is_some_and(|taken| taken.elapsed() > PATIENCE) {
            return None;
        }
        loop {
            if let Some(looked) = self.looked_at {
                tokio::time::sleep(EVERY.saturating_sub(looked.elapsed())).await;
            }
            let state = self.watch.state().await?;
            let is_first = self.looked_at.replace(state.taken).is_none();
            let seen = AccessRequest {
                peer: self.peer,
                headers: &self.headers,
            };
            let caller = self.access.judged(&seen).await.ok()?;
            if !caller.may(Permission::View) {
                return None;
            }
            let mut piece = match is_first {
                true => format!("retry: {RETRY_MS}\n\n"),
                false => String::new(),
            };
            feed::write(&state, &caller, &mut self.sent, &mut piece);
            if piece.is_empty() && self.sent_at.elapsed() >= SILENCE {
                piece.push_str(":\n\n");
            }
            if !piece.is_empty() {
                self.sent_at = Instant::now();
                self.taken_at = Some(self.sent_at);
                return Some((piece.into(), self));
            }
        }
    }
}

pub(super) mod described {
    use utoipa::openapi::{Content, ObjectBuilder, Type};

    use super::feed::{Nodes, Operations, Themes, Unknown};
    use crate::web::openapi::Described;

    pub(in crate::web) fn events() -> Described {
        let text = ObjectBuilder::new().schema_type(Type::String).description(Some(
            "The events `themes`, `nodes`, `operations` and `problem`. Their data are JSON: `ThemesEvent`, `NodesEvent`, `OperationsEvent`, \
             `ProblemEvent`.",
        ));
        Described::new()
            .with::<Themes<'_>>()
            .with::<Nodes>()
            .with::<Operations>()
            .with::<Unknown>()
            .answer_content(
                200,
                "text/event-stream",
                Content::new(Some(text)),
                "The stream. Without a free place for a listener the answer is 503 with `too_many_listeners`.",
            )
    }
}
