//! For how long the host of a service has refused connections.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// So long a refused connection uses no attempt, from the first one since the service has last answered.
const PATIENCE: Duration = Duration::from_secs(600);

/// The first pause and the longest.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(30)];

/// Since when nothing but refusals has come, by the clock's reading. `None`: the service answers.
#[derive(Debug, Default)]
pub(super) struct Silence(Mutex<Option<Duration>>);

/// What a refused connection means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal {
    /// It is the first one since the service has last answered.
    pub(super) is_first: bool,
    /// When to call again without a used attempt. `None`: the service has been down for too long.
    pub(super) pause: Option<Duration>,
}

impl Silence {
    /// The service has answered at this reading. Answers how long it was silent before, if it was.
    pub(super) fn end(&self, now: Duration) -> Option<Duration> {
        let since = self.since().take()?;
        Some(now.saturating_sub(since))
    }

    /// A connection was refused at this reading.
    pub(super) fn refused(&self, now: Duration) -> Refusal {
        let mut since = self.since();
        let is_first = since.is_none();
        let lasts = now.saturating_sub(*since.get_or_insert(now));
        let pause = (lasts < PATIENCE).then(|| pause_after(lasts));
        Refusal { is_first, pause }
    }

    fn since(&self) -> MutexGuard<'_, Option<Duration>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
        assert!(silence.refused(now).is_first);
        while let Some(pause) = silence.refused(now).pause {
            // A second call at the same time makes no pause longer.
            let (is_first, pause) = (false, Some(pause));
            assert_eq!(silence.refused(now), Refusal { is_first, pause });
            pauses.extend(pause.map(|pause| pause.as_secs()));
            now += pause.unwrap();
        }
        assert_eq!(pauses[..8], [1, 1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(pauses.iter().sum::<u64>(), 602);
        assert_eq!(silence.end(now), Some(Duration::from_secs(602)));
        assert_eq!(silence.end(now), None);
        assert_eq!(silence.refused(now).pause, Some(Duration::from_secs(1)));
    }
}
