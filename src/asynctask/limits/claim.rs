//! The permits of one claim.

use std::{collections::HashMap, sync::Arc};

use super::{Limits, Permit, Permits};
use crate::{
    registry::MethodName,
    store::{Claim, Claimed, ClaimedTask, Wanted},
};

/// Permits for the limited methods of a claim. What is left of them when this is dropped is free again.
pub(crate) struct ClaimPermits {
    limits: Limits,
    theme: Arc<str>,
    /// By the places of the methods in the claim.
    permits: HashMap<usize, Permits>,
}

/// Whether a claimed task may run.
pub(crate) enum Leave {
    /// Its method has no limit.
    Unlimited,
    Permit(Permit),
    /// The claim has taken it by its id, or its method has had a limit only since.
    Refused,
}

impl Limits {
    /// Takes permits for a claim that names its methods, and has the claim take no more tasks of each method than there are permits for.
    pub(crate) fn take_for(&self, claim: &mut Claim) -> ClaimPermits {
        let mut taken = ClaimPermits {
            limits: self.clone(),
            theme: claim.theme.as_str().into(),
            permits: HashMap::new(),
        };
        let methods = claim.methods.as_ref().filter(|_| self.any());
        let Some(methods) = methods else { return taken };
        let limited = |(at, wanted): (usize, &Wanted)| {
            let name = MethodName {
                service: wanted.service.clone(),
                method: wanted.method.clone(),
            };
            let permits = self.take(&name, wanted.most.min(claim.limit));
            let at_most = permits.as_ref().map(|permits| permits.left);
            taken.permits.extend(permits.map(|permits| (at, permits)));
            Wanted {
                at_most,
                ..wanted.clone()
            }
        };
        let methods = methods.iter().enumerate().map(limited).collect();
        claim.methods = Some(methods);
        taken
    }
}

/// Permits that the claim has not needed are free again: for the scanners of other themes, since its own has just looked.
impl Drop for ClaimPermits {
    fn drop(&mut self) {
        for permits in self.permits.values() {
            self.limits.put_back(&self.theme, permits);
        }
    }
}

impl ClaimPermits {
    /// Notes how many due tasks the claim has left for lack of permits.
    pub(crate) fn note_left(&self, claimed: &Claimed) {
        for (at, permits) in &self.permits {
            let left = claimed.left.iter().find(|(method, _)| method == at);
            let left = left.map_or(0, |(_, tasks)| *tasks);
            self.limits.note_left(&self.theme, &permits.name, left);
        }
    }

    /// The leave to run for a task of the claim.
    pub(crate) fn leave(&mut self, task: &ClaimedTask) -> Leave {
        let mut permits = self.permits.values_mut();
        let of_method = permits.find(|permits| {
            let name = &permits.name;
            name.service == task.service && name.method == task.method
        });
        match of_method.and_then(Permits::take_one) {
            Some(permit) => Leave::Permit(permit),
            None if self.limits.is_limited(&task.service, &task.method) => {
                let name = MethodName {
                    service: task.service.clone(),
                    method: task.method.clone(),
                };
                self.limits.note_left(&self.theme, &name, 1);
                Leave::Refused
            }
            None => Leave::Unlimited,
        }
    }
}
