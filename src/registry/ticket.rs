//! The ticket of a run that a service may park.

/// What a claim is made from if a service parks the run.
#[derive(Clone)]
pub(crate) struct Ticket {
    /// The mark of that claim.
    pub(crate) mark: String,
    /// The key of its tokens.
    pub(crate) secret: String,
}

impl Ticket {
    pub(crate) fn new() -> Self {
        Self {
            mark: uuid::Uuid::now_v7().simple().to_string(),
            secret: uuid::Uuid::new_v4().simple().to_string(),
        }
    }
}

/// It shows no secret.
impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ticket")
            .field("mark", &self.mark)
            .finish_non_exhaustive()
    }
}
