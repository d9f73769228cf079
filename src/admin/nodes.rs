//! The nodes of a database, as operators see and resize them.

use super::{Admin, ResizeNode, requests::not_followed};
use crate::{
    domain::{Answer, Asked, Faults, Note, check_node, check_theme, check_wait, check_workers},
    error::{Error, ask},
    node::{NodeDetail, NodeInfo, NodeStatus},
};

impl Admin {
    /// One node of the database, with the counters that it has written last: at most five seconds old on a node that works and has the default
    /// lease, at most a minute old on an idle one.
    ///
    #[cfg_attr(feature = "sqlite", doc = "```")]
    #[cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
    /// use gaia_actors::prelude::*;
    ///
    /// # #[actix_rt::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let gaia = Gaia::builder().database("sqlite::memory:").start().await?;
    /// let detail = gaia.admin().node(gaia.node_id()).await?;
    /// assert!(detail.node.alive);
    /// # gaia.stop().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::NodeNotFound`], [`Error::Invalid`], [`Error::Store`].
    pub async fn node(&self, id: &str) -> Result<NodeDetail, Error> {
        let mut faults = Faults::default();
        check_node(&mut faults, id);
        faults.into_result()?;
        let node = self.find_node(id).await?;
        let id = id.to_owned();
        let said = ask(
            &self.store,
            |store| async move { store.cluster().said_status(&id).await },
        )
        .await?;
        let status = said.and_then(|(at, text)| NodeStatus::of(&text, at));
        Ok(NodeDetail::new(node, status))
    }

    pub(super) async fn nodes(&self) -> Result<Vec<NodeInfo>, Error> {
        let nodes = ask(&self.store, |store| async move { store.cluster().nodes().await }).await?;
        Ok(NodeInfo::all(nodes))
    }

    async fn find_node(&self, id: &str) -> Result<NodeInfo, Error> {
        let found = self.nodes().await?.into_iter().find(|node| node.id == id);
        found.ok_or_else(|| Error::NodeNotFound { node: id.to_owned() })
    }

    /// Changes how many workers one node has for a theme, and answers once the node has followed, within 3 s (on PostgreSQL: at once). It holds
    /// until the node stops or the theme is resized again, there or on all nodes.
    ///
    /// If the node does not take the request within the timeout, or within 60 s, the request is withdrawn.
    ///
    /// # Errors
    /// [`Error::Invalid`] with every fault, such as more than 100,000 workers; [`Error::NodeNotFound`]; [`Error::NotScheduledThere`]
    /// ([`Error::NotScheduledHere`] for this node); [`Error::NotTaken`], [`Error::NotAnswered`], [`Error::NotFollowed`];
    /// [`Error::Stopped`]; [`Error::Store`], after which the node may follow.
    pub async fn resize_node(&self, resize: ResizeNode) -> Result<(), Error> {
        let ResizeNode {
            node,
            theme,
            workers,
            by,
            reason,
            timeout,
        } = resize;
        let mut faults = Faults::default();
        check_node(&mut faults, &node);
        faults.take(check_theme(&theme));
        check_workers(&mut faults, workers);
        let note = Note::checked(&mut faults, by, reason);
        check_wait(&mut faults, timeout);
        faults.into_result()?;
        if *node == *self.node {
            return self.scheduler(&theme)?.resize_workers(workers).await;
        }
        // A remote worker, and a node that runs no theme, looks for no such requests.
        let works_on_it =
            |found: &NodeInfo| !found.is_remote() && found.themes.iter().any(|works| works.theme == theme);
        if !works_on_it(&self.find_node(&node).await?) {
            return Err(Error::NotScheduledThere { node, theme });
        }
        let asked = Asked::Resize {
            theme: theme.clone(),
            workers,
        };
        let (node, answer) = self.request(Some(node), asked, note, timeout).await?;
        resized(theme, node, answer)
    }
}

/// The answer of a node that was to resize a theme.
fn resized(theme: String, node: String, answer: Answer) -> Result<(), Error> {
    match answer {
        Answer::Resized => Ok(()),
        Answer::NotScheduled => Err(Error::NotScheduledThere { node, theme }),
        answer => Err(not_followed(node, answer)),
    }
}
