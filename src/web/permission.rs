//! What callers may do.

use serde::Serialize;

macro_rules! permissions {
    ($($(#[$doc:meta])* $variant:ident = $text:literal),+ $(,)?) => {
        /// Something that a caller may do.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[non_exhaustive]
        pub enum Permission {
            $($(#[$doc])* #[serde(rename = $text)] $variant),+
        }

        impl utoipa::PartialSchema for Permission {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                crate::domain::schema::texts(&[$($text),+])
            }
        }

        impl utoipa::ToSchema for Permission {}

        impl Permission {
            /// Every permission.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Its name in answers.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text),+
                }
            }
        }
    };
}

permissions! {
    /// See tasks, themes, jobs and nodes, without arguments and results.
    View = "view",
    /// See arguments and results, too.
    ViewArgs = "view_args",
    /// Add tasks.
    Enqueue = "enqueue",
    /// Take tasks and end their runs, as a remote worker.
    Work = "work",
    /// Cancel tasks.
    Cancel = "cancel",
    /// Queue tasks again, and have tasks that wait for a later time run now.
    Retry = "retry",
    /// Delete finished tasks.
    Delete = "delete",
    /// Pause and resume themes.
    Pause = "pause",
    /// Change the number of workers, and the limits of methods.
    Resize = "resize",
    /// Add, change, enable, disable and delete jobs.
    EditJobs = "edit_jobs",
    /// Run jobs now, and cancel their runs.
    RunJobs = "run_jobs",
}

impl Permission {
    /// What somebody needs who only looks, and sees no arguments.
    pub const VIEWER: &[Self] = &[Self::View];

    /// What a program needs that only adds tasks.
    pub const PRODUCER: &[Self] = &[Self::Enqueue];

    /// What a remote worker needs.
    pub const WORKER: &[Self] = &[Self::Work];

    /// Whether callers with this permission are programs that call many times a second.
    pub(super) fn is_of_programs(self) -> bool {
        matches!(self, Self::Enqueue | Self::Work)
    }
}
