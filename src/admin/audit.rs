//! The audit: who has changed what, and why.

use super::{Admin, EndAudit, ListAudit, NewAudit};
use crate::{
    domain::AuditEntry,
    error::{Error, ask},
};

impl Admin {
    /// Changes that operators have made, or have tried to make, the newest first. The HTTP API makes an entry for each change that it is asked
    /// for by a caller who may ask. Entries are kept for 400 days.
    ///
    #[cfg_attr(feature = "sqlite", doc = "```")]
    #[cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
    /// use gaia_actors::{Gaia, admin::{EndAudit, ListAudit, NewAudit, PauseTheme}};
    ///
    /// # #[actix_rt::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let gaia = Gaia::builder().database("sqlite::memory:").start().await?;
    /// let admin = gaia.admin();
    /// let entry = NewAudit { theme: Some("mail".to_owned()), ..NewAudit::new("night shift", "theme.pause", "mail") };
    /// let id = admin.begin_audit(entry).await?;
    /// let paused = admin.pause_theme(PauseTheme { theme: "mail".to_owned(), ..PauseTheme::default() }).await;
    /// let result = if paused.is_ok() { "done" } else { "failed" }.to_owned();
    /// admin.end_audit(EndAudit { id, result }).await?;
    ///
    /// let of_mail = ListAudit { themes: vec!["mail".to_owned()], ..ListAudit::default() };
    /// let entries = admin.audit(of_mail).await?;
    /// assert_eq!((entries[0].author.as_str(), entries[0].result.as_deref()), ("night shift", Some("done")));
    /// # gaia.stop().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Invalid`] with every fault of the limit and the conditions, [`Error::Store`].
    pub async fn audit(&self, list: ListAudit) -> Result<Vec<AuditEntry>, Error> {
        list.check()?;
        ask(&self.store, |store| async move { store.cluster().audit(&list).await }).await
    }

    /// Writes down a change before it is made, and answers with the id of the entry. A caller who gets an error must not make the change: so
    /// there is no change without an entry. An entry that gets no [result](Self::end_audit) says that the change has begun, and that its end
    /// is unknown.
    ///
    /// # Errors
    /// [`Error::Invalid`] with every fault, [`Error::Store`].
    pub async fn begin_audit(&self, audit: NewAudit) -> Result<i64, Error> {
        audit.check()?;
        ask(
            &self.store,
            |store| async move { store.cluster().begin_audit(&audit).await },
        )
        .await
    }

    /// Notes what came of a change. False: there is no such entry, or it has a result already, which stays.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::Store`].
    pub async fn end_audit(&self, end: EndAudit) -> Result<bool, Error> {
        end.check()?;
        let note = ask(&self.store, |store| async move {
            store.cluster().end_audit(end.id, &end.result).await
        });
        note.await
    }
}
