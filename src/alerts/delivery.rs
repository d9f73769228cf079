//! Gives messages to the functions of the application and to the webhooks.

use std::panic::{AssertUnwindSafe, catch_unwind};

#[cfg(feature = "hooks")]
use super::sender::Sender;
use super::{message::Message, options::AlertSettings};
use crate::{
    domain::{Alert, InvalidInput},
    panic_text::panic_text,
    repeats::Repeats,
};

/// A function of the application that hears of alerts.
pub(crate) type Listener = Box<dyn Fn(&Alert) + Send>;

pub(super) struct Delivery {
    listeners: Vec<Listener>,
    #[cfg(feature = "hooks")]
    senders: Vec<Sender>,
    /// The URL of the dashboard.
    dashboard: Option<String>,
    /// Panics of listeners that are logged, by the place of the listener.
    panics: Repeats<usize>,
}

impl Delivery {
    #[cfg_attr(
        not(feature = "hooks"),
        expect(clippy::unnecessary_wraps, reason = "there are no webhooks")
    )]
    pub(super) fn new(listeners: Vec<Listener>, settings: &AlertSettings) -> Result<Self, InvalidInput> {
        Ok(Self {
            listeners,
            #[cfg(feature = "hooks")]
            senders: Sender::all(settings)?,
            dashboard: settings.link.clone(),
            panics: Repeats::default(),
        })
    }

    /// Starts the tasks that send to webhooks, on this thread.
    #[cfg_attr(
        not(feature = "hooks"),
        expect(clippy::unused_self, reason = "there are no webhooks")
    )]
    pub(super) fn begin(&self) {
        #[cfg(feature = "hooks")]
        for sender in &self.senders {
            actix_rt::spawn(sender.clone().run());
        }
    }

    /// Gives messages to the functions now, and queues them for the webhooks.
    pub(super) fn send(&mut self, messages: Vec<Message>) {
        for message in messages {
            let alert = message.into_alert(self.dashboard.as_deref());
            self.call_listeners(&alert);
            #[cfg(feature = "hooks")]
            for sender in &self.senders {
                sender.push(alert.clone());
            }
        }
    }

    /// Completes when no message waits for a webhook or is under way.
    #[cfg_attr(
        not(feature = "hooks"),
        expect(clippy::unused_async, reason = "there are no webhooks")
    )]
    pub(super) async fn sent(&self) {
        #[cfg(feature = "hooks")]
        for sender in &self.senders {
            sender.sent().await;
        }
    }

    fn call_listeners(&mut self, alert: &Alert) {
        for (place, listener) in self.listeners.iter().enumerate() {
            let Err(payload) = catch_unwind(AssertUnwindSafe(|| listener(alert))) else {
                continue;
            };
            if let Some(said) = self.panics.say(place, &panic_text(&*payload)) {
                say!(
                    Error,
                    "function {} of `on_alert` panicked, and is called on: {said}",
                    place + 1
                );
            }
        }
    }
}
