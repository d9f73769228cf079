//! Whether a theme takes new work on this node.

use actix::Message;

/// Closed as soon as anybody has a reason. The scanner and the pool each keep one.
#[expect(clippy::struct_excessive_bools, reason = "each is a reason of its own")]
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Gate {
    pub(super) paused: bool,
    pub(super) fenced: bool,
    pub(super) draining: bool,
    pub(super) stopping: bool,
}

/// A reason to close the gate comes or goes.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub(crate) enum GateChange {
    /// Somebody paused or resumed the theme.
    Paused(bool),
    /// The node lost or regained its lease.
    Fenced(bool),
    /// The process is about to stop, and takes nothing more.
    Draining,
}

impl Gate {
    pub(super) fn is_open(self) -> bool {
        !(self.paused || self.fenced || self.draining || self.stopping)
    }

    pub(super) fn change(&mut self, change: GateChange) {
        match change {
            GateChange::Paused(paused) => self.paused = paused,
            GateChange::Fenced(fenced) => self.fenced = fenced,
            GateChange::Draining => self.draining = true,
        }
    }
}
