//! The themes of a database, as operators see them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Admin, PauseTheme, ResizeTheme, ResumeTheme};
use crate::{
    asynctask::Scheduler,
    domain::{Faults, InvalidInput, Note, check_theme, check_workers},
    error::{Error, ask},
    node::NodeInfo,
    store::{StoredNote, StoredTheme},
};

/// A theme that the database knows: it has settings, tasks that wait or run, or a node that works on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "web", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct ThemeInfo {
    /// Its name.
    pub theme: String,
    /// Whether no node takes tasks of it.
    pub paused: bool,
    /// Who paused it last, or resumed it last if it is not paused. `None`: it was never paused.
    pub pause: Option<ThemeNote>,
    /// Who paused it first, if it was paused again since, for another reason perhaps. `None`: it is not paused, or was paused once.
    pub first_pause: Option<ThemeNote>,
    /// How many workers every node is to have. `None`: as many as each process says for itself.
    pub workers: Option<usize>,
    /// Who resized it last on all nodes. `None`: it was never resized.
    pub resize: Option<ThemeNote>,
    /// How many living nodes work on it, by their last heartbeats.
    pub nodes: usize,
    /// The workers of these nodes.
    pub node_workers: usize,
    /// Those of them that have a task.
    pub running: usize,
}

/// Who changed a setting of a theme, when and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "web", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct ThemeNote {
    /// Who, if they said so. [`Scheduler::pause`](crate::Scheduler::pause) and the like do not.
    pub by: Option<String>,
    /// Why, if they said so.
    pub reason: Option<String>,
    /// When.
    pub at: DateTime<Utc>,
}

impl ThemeNote {
    fn of(stored: StoredNote) -> Option<Self> {
        let at = stored.at?;
        let StoredNote { note, .. } = stored;
        Some(Self {
            by: note.by,
            reason: note.reason,
            at,
        })
    }
}

impl ThemeInfo {
    fn of(theme: String, stored: StoredTheme) -> Self {
        Self {
            theme,
            paused: stored.settings.paused,
            pause: ThemeNote::of(stored.paused),
            first_pause: ThemeNote::of(stored.first_paused).filter(|_| stored.settings.paused),
            workers: stored.settings.size.workers,
            resize: ThemeNote::of(stored.resized),
            nodes: 0,
            node_workers: 0,
            running: 0,
        }
    }
}

impl Admin {
    /// The themes that the database knows, by name: those with settings, with tasks that wait or run, or with nodes that work on them. A
    /// theme that has nothing but finished tasks is not among them.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn themes(&self) -> Result<Vec<ThemeInfo>, Error> {
        let stored = ask(&self.store, |store| async move { store.cluster().known_themes().await }).await?;
        Ok(known(stored, &self.nodes().await?))
    }

    /// One theme, as [`themes`](Self::themes) lists it. A theme that the database does not know has no settings and no nodes.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a name that no theme can have, [`Error::Store`].
    pub async fn theme(&self, theme: &str) -> Result<ThemeInfo, Error> {
        let mut faults = Faults::default();
        faults.take(check_theme(theme));
        faults.into_result()?;
        let found = self.themes().await?.into_iter().find(|info| info.theme == theme);
        Ok(found.unwrap_or_else(|| ThemeInfo::of(theme.to_owned(), StoredTheme::default())))
    }

    /// Stops every node from taking tasks of a theme, as [`Scheduler::pause`] does, and keeps who did it and why.
    ///
    #[cfg_attr(feature = "sqlite", doc = "```")]
    #[cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
    /// use gaia_actors::{Gaia, admin::PauseTheme};
    ///
    /// # #[actix_rt::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let gaia = Gaia::builder().database("sqlite::memory:").start().await?;
    /// let pause = PauseTheme {
    ///     theme: "mail".to_owned(),
    ///     by: Some("ops".to_owned()),
    ///     reason: Some("the mail server is away".to_owned()),
    /// };
    /// gaia.admin().pause_theme(pause).await?;
    ///
    /// let themes = gaia.admin().themes().await?;
    /// assert!(themes[0].paused);
    /// let note = themes[0].pause.as_ref().expect("was paused");
    /// assert_eq!(note.reason.as_deref(), Some("the mail server is away"));
    /// # gaia.stop().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Invalid`] with every fault, [`Error::Store`].
    pub async fn pause_theme(&self, pause: PauseTheme) -> Result<(), Error> {
        let PauseTheme { theme, by, reason } = pause;
        let note = note(&theme, by, reason, 0)?;
        self.scheduler(&theme)?.set_paused(true, note).await
    }

    /// Lets every node take tasks of a theme again, as [`Scheduler::resume`] does, and keeps who did it and why.
    ///
    /// # Errors
    /// [`Error::Invalid`] with every fault, [`Error::Store`].
    pub async fn resume_theme(&self, resume: ResumeTheme) -> Result<(), Error> {
        let ResumeTheme { theme, by, reason } = resume;
        let note = note(&theme, by, reason, 0)?;
        self.scheduler(&theme)?.set_paused(false, note).await
    }

    /// Changes how many workers every node has for a theme, as [`Scheduler::resize_theme`] does, and keeps who did it and why.
    ///
    /// # Errors
    /// [`Error::Invalid`] with every fault, [`Error::Store`].
    pub async fn resize_theme(&self, resize: ResizeTheme) -> Result<(), Error> {
        let ResizeTheme {
            theme,
            workers,
            by,
            reason,
        } = resize;
        let note = note(&theme, by, reason, workers.unwrap_or(0))?;
        self.scheduler(&theme)?.set_size(workers, note).await
    }

    pub(super) fn scheduler(&self, theme: &str) -> Result<Scheduler, Error> {
        Ok(Scheduler::new(theme, self.store.clone(), self.themes.clone())?)
    }
}

/// The themes that the tables and the nodes name, by name.
pub(super) fn known(mut stored: BTreeMap<String, StoredTheme>, nodes: &[NodeInfo]) -> Vec<ThemeInfo> {
    for theme in nodes.iter().flat_map(|node| &node.themes) {
        stored.entry(theme.theme.clone()).or_default();
    }
    let mut themes: BTreeMap<String, ThemeInfo> = stored
        .into_iter()
        .map(|(theme, stored)| (theme.clone(), ThemeInfo::of(theme, stored)))
        .collect();
    for theme in nodes.iter().filter(|node| node.alive).flat_map(|node| &node.themes) {
        if let Some(info) = themes.get_mut(&theme.theme) {
            info.nodes += 1;
            info.node_workers += theme.workers;
            info.running += theme.running;
        }
    }
    themes.into_values().collect()
}

/// Checks everything that an operator says of a theme, so that one answer names every fault.
fn note(theme: &str, by: Option<String>, reason: Option<String>, workers: usize) -> Result<Note, InvalidInput> {
    let mut faults = Faults::default();
    faults.take(check_theme(theme));
    check_workers(&mut faults, workers);
    let note = Note::checked(&mut faults, by, reason);
    faults.into_result()?;
    Ok(note)
}
