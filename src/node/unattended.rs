//! Warns of themes that this process adds tasks to or has handlers for, and that no living node runs.

use super::NodeInfo;
use crate::asynctask::ThemeRuntimes;

/// The most themes that one warning names.
const MOST_NAMED: usize = 20;

/// Looks at the themes that wait for it.
pub(super) fn look(runtimes: &ThemeRuntimes, nodes: &[NodeInfo]) {
    let is_run = |theme: &str| {
        let elsewhere = || nodes.iter().any(|node| node.alive && node.works_on(Some(theme)));
        runtimes.get(theme).is_some() || elsewhere()
    };
    let mut themes = runtimes.take_unattended();
    themes.retain(|theme| !is_run(theme));
    if themes.is_empty() {
        return;
    }
    let mut named: Vec<String> = themes
        .iter()
        .take(MOST_NAMED)
        .map(|theme| format!("{theme:?}"))
        .collect();
    if let Some(more) = themes.len().checked_sub(MOST_NAMED).filter(|more| *more > 0) {
        named.push(format!("and {more} more"));
    }
    say!(
        Warn,
        "no living node runs workers of these themes, to which this process adds tasks or for which it has handlers: {}; the tasks wait: \
         start workers with `GaiaBuilder::theme` or `GaiaBuilder::scheduler`, or correct the theme",
        named.join(", ")
    );
}
