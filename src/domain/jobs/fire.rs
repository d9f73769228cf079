//! Decides whether a fire runs while other runs of its job are under way. The caller holds the lock on the job's row.

use super::OverlapPolicy;

/// Which record is written for a fire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    Run {
        /// The runs of the same job that are cancelled.
        replaced: Vec<i64>,
    },
    /// The fire is recorded as skipped, for this reason.
    Skip(String),
}

/// Decides by the overlap policy. `open` are the job's runs under way, on any node. (A fire of a schedule that is delayed waits instead; a run
/// that a caller asks for does not.)
pub(crate) fn decide(policy: OverlapPolicy, open: &[i64]) -> Decision {
    match (policy, open) {
        (OverlapPolicy::Forbid | OverlapPolicy::Delay, [run, ..]) => Decision::Skip(format!(
            "skipped: run {run} is still under way, and the job's overlap policy is {policy}"
        )),
        (OverlapPolicy::Replace, open) => Decision::Run {
            replaced: open.to_vec(),
        },
        _ => Decision::Run { replaced: Vec::new() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_decides_only_while_another_run_is_open() {
        let alone = Decision::Run { replaced: Vec::new() };
        for policy in OverlapPolicy::ALL {
            assert_eq!(decide(policy, &[]), alone, "{policy}");
        }
        assert_eq!(decide(OverlapPolicy::Allow, &[7]), alone);
        assert_eq!(
            decide(OverlapPolicy::Replace, &[7, 8]),
            Decision::Run { replaced: vec![7, 8] }
        );
        assert!(matches!(decide(OverlapPolicy::Forbid, &[7]), Decision::Skip(why) if why.contains("run 7")));
    }
}
