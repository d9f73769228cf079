//! The open alerts, as operators see them.

use super::{Admin, ListAlerts, OpenAlert};
use crate::error::{Error, ask};

impl Admin {
    /// The alerts whose causes go on, the newest first, at most 1,000. Processes with a function or a webhook write them
    /// ([`GaiaBuilder::on_alert`](crate::GaiaBuilder::on_alert), [`GaiaBuilder::alerts`](crate::GaiaBuilder::alerts)); any process can read
    /// them.
    ///
    #[cfg_attr(feature = "sqlite", doc = "```")]
    #[cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
    /// use gaia_actors::{Gaia, admin::ListAlerts};
    ///
    /// # #[actix_rt::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let gaia = Gaia::builder().database("sqlite::memory:").on_alert(|alert| println!("{}", alert.text_en)).start().await?;
    /// let open = gaia.admin().alerts(ListAlerts::default()).await?;
    /// assert!(open.is_empty());
    /// # gaia.stop().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Invalid`] with every fault of the conditions, [`Error::Store`].
    pub async fn alerts(&self, list: ListAlerts) -> Result<Vec<OpenAlert>, Error> {
        list.check()?;
        let read = ask(&self.store, |store| async move { store.cluster().alerts(&list).await });
        Ok(read.await?.into_iter().map(|stored| stored.alert).collect())
    }
}
