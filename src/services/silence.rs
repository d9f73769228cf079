//! For how long the host of a service has refused connections.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// So long a refused connection uses no attempt, from the first one since the service has last answered.
const PATIENCE: Duration = Duration::from_secs(600);

/// The first pause and the longest.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(30)];

/// Since when nothing but refusals has come, by the clock's reading. `None`: the service answers.
#[derive(Debug, Default)]
pub(super) struct Silence(Mutex<Option<Duration>>);

impl Silence {
    /// The service has answered.
    pub(super) fn end(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// A connection was refused at this reading. Answers when to call again without a used attempt; `None`: the service has been down for too
    /// long.
    pub(super) fn pause(&self, now: Duration) -> Option<Duration> {
        let mut since = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lasts = now.saturating_sub(*since.get_or_insert(now));
        (lasts < PATIENCE).then(|| pause_after(lasts))
    }
}

/// The pauses double from one second to the longest: each is about as long as the silence before it, however many calls share the service.
fn pause_after(lasts: Duration) -> Duration {
    let [first, longest] = PAUSES;
    Duration::from_secs(lasts.as_secs()).clamp(first, longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_ten_minutes_after_the_last_answer() {
        let silence = Silence::default();
        let mut now = Duration::from_secs(7);
        let mut pauses = Vec::new();
        while let Some(pause) = silence.pause(now) {
            // A second call at the same time makes no pause longer.
            assert_eq!(silence.pause(now), Some(pause));
            pauses.push(pause.as_secs());
            now += pause;
        }
        assert_eq!(pauses[..8], [1, 1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(pauses.iter().sum::<u64>(), 602);
        silence.end();
        assert_eq!(silence.pause(now), Some(Duration::from_secs(1)));
    }
}
