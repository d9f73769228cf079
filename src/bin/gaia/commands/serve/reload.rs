//! SIGHUP: the configuration is read again.

use gaia_actors::{Config, Gaia, web::ReplaceableAccess};
use serde_json::Value;

use super::Settings;
use crate::{
    exit::{Failure, Result},
    output::say,
};

/// Keys that are taken over while the process runs.
const LIVE: [&str; 3] = ["AsyncTask.WorkerNum", "Http.Access", "Jobs.Declared"];

/// The signals that ask for it.
pub struct Reload(#[cfg(unix)] tokio::signal::unix::Signal);

impl Reload {
    #[cfg(unix)]
    pub fn listen() -> Result<Self> {
        let signal = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup());
        let unheard = |error| Failure::failed(format!("cannot listen for SIGHUP: {error}"));
        signal.map(Self).map_err(unheard)
    }

    #[cfg(not(unix))]
    pub fn listen() -> Result<Self> {
        Ok(Self())
    }

    #[cfg(unix)]
    async fn next(&mut self) -> Option<()> {
        self.0.recv().await
    }

    #[cfg(not(unix))]
    async fn next(&mut self) -> Option<()> {
        std::future::pending().await
    }

    /// Takes over the configuration at each signal.
    pub async fn follow(
        mut self,
        gaia: &Gaia,
        started: Settings,
        access: &ReplaceableAccess,
        read: impl Fn() -> Result<Settings>,
    ) {
        let (mut started, mut taken) = (started.config.clone(), started.config);
        while self.next().await.is_some() {
            match read() {
                Ok(settings) => take_over(gaia, &mut started, &mut taken, settings, access).await,
                Err(failure) => say(&format!("gaia: SIGHUP: nothing is changed: {failure}")),
            }
        }
    }
}

/// `started`: the settings with which everything that runs was started.
async fn take_over(
    gaia: &Gaia,
    started: &mut Config,
    taken: &mut Config,
    settings: Settings,
    access: &ReplaceableAccess,
) {
    // First of all a token that is revoked opens nothing any more.
    access.replace(settings.access);
    if !settings.is_read_only
        && let Err(error) = gaia.reconfigure(taken, &settings.config).await
    {
        leave_open(taken, &settings.config);
        return say(&format!(
            "gaia: SIGHUP: a part of the configuration is not taken over: {error}; send SIGHUP again once that is mended"
        ));
    }
    *taken = settings.config;
    for (theme, own) in &taken.themes {
        started.themes.entry(theme.clone()).or_insert_with(|| own.clone());
    }
    let rest = needs_restart(started, taken);
    match rest.as_slice() {
        [] => say("gaia: SIGHUP: the configuration is taken over"),
        rest => say(&format!(
            "gaia: SIGHUP: the configuration is taken over; warning: {} needs a restart",
            rest.join(", ")
        )),
    }
}

/// Some of this configuration may be taken over and some not: the next one is compared with settings that none can have, whichever it is.
fn leave_open(taken: &mut Config, tried: &Config) {
    for name in tried.services.keys() {
        taken.services.entry(name.clone()).or_default();
    }
    for service in taken.services.values_mut() {
        service.url.clear();
    }
    // A theme that only the tried one names is started or resized, whether it runs or not.
    for theme in taken.themes.values_mut() {
        theme.worker_num = Some(usize::MAX);
    }
}

/// The keys that differ, and that a running process does not take over. No value is among them.
fn needs_restart(started: &Config, now: &Config) -> Vec<String> {
    let (Ok(Value::Object(started)), Ok(Value::Object(now))) =
        (serde_json::to_value(started), serde_json::to_value(now))
    else {
        return Vec::new();
    };
    let mut keys = Vec::new();
    for (section, before) in &started {
        let after = &now[section];
        match section.as_str() {
            "Databases" if before != after => keys.push(section.clone()),
            // Services are taken over as they are.
            "Databases" | "Services" => {}
            "Themes" => keys.extend(themes(before, after)),
            _ => keys.extend(differences(section, before, after).filter(|key| !LIVE.contains(&key.as_str()))),
        }
    }
    keys
}

/// Themes that are gone, and keys of themes other than the number of workers.
fn themes(before: &Value, after: &Value) -> Vec<String> {
    let themes = before.as_object().into_iter().flatten();
    let keys = themes.flat_map(|(theme, before)| {
        let place = format!("Themes.{theme}");
        match after.get(theme) {
            Some(after) => differences(&place, before, after)
                .filter(|key| !key.ends_with(".WorkerNum"))
                .collect(),
            None => vec![place],
        }
    });
    keys.collect()
}

fn differences<'a>(place: &'a str, before: &'a Value, after: &'a Value) -> impl Iterator<Item = String> + 'a {
    let keys = before.as_object().into_iter().flatten();
    keys.filter(|(key, before)| after.get(key.as_str()) != Some(before))
        .map(move |(key, _)| format!("{place}.{key}"))
}
