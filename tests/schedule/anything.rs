/// Whatever the text and the instant are: an error or an answer, and no panic.
fn explain_anything(text: &str, at: i64) {
    let Ok(schedule) = text.parse::<gaia_actors::Schedule>() else {
        return;
    };
    let ends = [
        chrono::DateTime::<chrono::Utc>::MIN_UTC,
        chrono::DateTime::<chrono::Utc>::MAX_UTC,
    ];
    let at = chrono::DateTime::from_timestamp(at % 400_000_000_000, 0);
    for after in at.into_iter().chain(ends) {
        let next = schedule.next_after(after);
        assert!(
            next.is_none_or(|next| next > after && schedule.contains(next)),
            "{text:?} after {after}"
        );
        let _ = schedule.contains(after);
    }
    assert!(!schedule.describe(gaia_actors::schedule::Language::English).is_empty());
    assert!(!schedule.describe(gaia_actors::schedule::Language::Chinese).is_empty());
}
