//! Warns of themes that this process adds tasks to or has handlers for, and that no living node runs.

use super::NodeInfo;
use crate::asynctask::ThemeRuntimes;

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
    let themes: Vec<String> = themes.iter().map(|theme| format!("{theme:?}")).collect();
    say!(
        Warn,
        "no living node runs workers of these themes, to which this process adds tasks or for which it has handlers: {}; the tasks wait: \
         start workers with `GaiaBuilder::theme` or `GaiaBuilder::scheduler`, or correct the theme",
        themes.join(", ")
    );
}
