//! What becomes of a fire, seen what else runs of its job. Decided where the job's row is locked.

use super::OverlapPolicy;

/// What is to be written for a fire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    Run {
        /// Runs of the same job to be cancelled.
        replaced: Vec<i64>,
    },
    /// With the reason.
    Skip(String),
}

/// Decides by the overlap policy. `open` are the job's runs under way, on any node; one may begin just now, too.
pub(crate) fn decide(policy: OverlapPolicy, open: &[i64], begins: bool) -> Decision {
    let skip = |other: &str| Decision::Skip(format!("skipped: {other}, and the job's overlap policy is forbid"));
    match (policy, open) {
        (OverlapPolicy::Forbid, [run, ..]) => skip(&format!("run {run} is still under way")),
        (OverlapPolicy::Forbid, []) if begins => skip("the run of an earlier second has only just begun"),
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
            assert_eq!(decide(policy, &[], false), alone, "{policy}");
        }
        assert_eq!(decide(OverlapPolicy::Allow, &[7], true), alone);
        assert_eq!(
            decide(OverlapPolicy::Replace, &[7, 8], false),
            Decision::Run { replaced: vec![7, 8] }
        );
        assert!(matches!(decide(OverlapPolicy::Forbid, &[7], false), Decision::Skip(why) if why.contains("run 7")));
        assert!(matches!(decide(OverlapPolicy::Forbid, &[], true), Decision::Skip(_)));
    }
}
