//! Which segments may hold some tasks.

/// Whether the ids of a segment lie between the first and the last id: some of these tasks may be in it. The indexes `gaia_due_ids` and
/// `gaia_due_long` find such segments.
macro_rules! may_hold {
    ($first:literal, $last:literal) => {
        concat!(
            "(min_id BETWEEN ",
            $first,
            " AND ",
            $last,
            " OR min_id < max_id AND max_id >= ",
            $first,
            " AND min_id <= ",
            $last,
            ")"
        )
    };
}
pub(super) use may_hold;
