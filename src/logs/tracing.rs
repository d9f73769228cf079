//! Events of `tracing` as lines of the run that makes them.

use std::fmt::{self, Write};

use log::Level;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context};

use super::{capture::is_ours, scope};

/// A layer for the application's subscriber, for handlers that log by `tracing`: what [`LogCapture`](super::LogCapture) is for `log`. The
/// message of a line is the message of its event, then the other fields as `name=value`.
///
/// ```
/// use gaia_actors::logs::CaptureLayer;
/// use tracing_subscriber::layer::SubscriberExt;
///
/// let subscriber = tracing_subscriber::registry().with(CaptureLayer::default());
/// # let _ = subscriber;
/// ```
#[derive(Debug, Default)]
pub struct CaptureLayer(());

impl<S: Subscriber> Layer<S> for CaptureLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let level = level(*metadata.level());
        if is_ours(metadata.target()) || !scope::keeps(level) {
            return;
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        let Fields { message, others } = fields;
        let gap = if message.is_empty() || others.is_empty() {
            ""
        } else {
            " "
        };
        scope::note(level, metadata.target(), format_args!("{message}{gap}{others}"), |_| {});
    }
}

fn level(level: tracing::Level) -> Level {
    match level {
        tracing::Level::ERROR => Level::Error,
        tracing::Level::WARN => Level::Warn,
        tracing::Level::INFO => Level::Info,
        tracing::Level::DEBUG => Level::Debug,
        tracing::Level::TRACE => Level::Trace,
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    others: String,
}

impl Fields {
    fn add(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        // Writing to a String does not fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value}"),
            // What the bridge from `log` says of the place is no text of the line.
            name if name.starts_with("log.") => Ok(()),
            name if self.others.is_empty() => write!(self.others, "{name}={value}"),
            name => write!(self.others, " {name}={value}"),
        };
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format_args!("{value:?}"));
    }
}
