//! Whether this node takes new work: the tasks of a theme, or the fires of jobs. (A fire is one second at which a job is due.)

use actix::Message;

/// Closed while any of its fields is true. The scanner, the pool and the cron actor have one each.
#[expect(clippy::struct_excessive_bools, reason = "each is a reason of its own")]
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Gate {
    /// An operator paused the theme.
    pub(crate) paused: bool,
    /// Workers of the Go framework run tasks of the theme.
    pub(crate) shared: bool,
    /// The node has lost its lease and must not start work.
    pub(crate) fenced: bool,
    /// The process takes nothing new, since a stop will follow.
    pub(crate) draining: bool,
    /// The actor that owns the gate was asked to stop. The actor sets this itself: there is no [`GateChange`] for it.
    pub(crate) stopping: bool,
}

/// A reason to close the gate comes or goes.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub(crate) enum GateChange {
    /// An operator paused or resumed the theme.
    Paused(bool),
    /// Workers of the Go framework run tasks of the theme, or do so no more.
    Shared(bool),
    /// The node lost or regained its lease.
    Fenced(bool),
    /// The process is about to stop, and takes nothing more.
    Draining,
}

impl Gate {
    pub(crate) fn is_open(self) -> bool {
        !(self.paused || self.shared || self.fenced || self.is_closed_for_good())
    }

    /// Whether the process stops, or is about to.
    pub(crate) fn is_closed_for_good(self) -> bool {
        self.draining || self.stopping
    }

    pub(crate) fn change(&mut self, change: GateChange) {
        match change {
            GateChange::Paused(paused) => self.paused = paused,
            GateChange::Shared(shared) => self.shared = shared,
            GateChange::Fenced(fenced) => self.fenced = fenced,
            GateChange::Draining => self.draining = true,
        }
    }
}
