//! How a command ends. In: errors of the other modules. Out: one sentence with a next step, and an exit code. It must not
//! print.

/// The release has failed or was taken back.
pub const DEGRADED: u8 = 3;
/// There is no verdict: it could not be measured.
pub const UNKNOWN: u8 = 4;
/// A person has to approve, or to decide.
pub const NEEDS_APPROVAL: u8 = 5;
/// Ended from the keyboard before the end; shells say so too.
pub const INTERRUPTED: u8 = 130;

/// What goes to stdout, and the exit code.
#[derive(Debug)]
pub struct Answer {
    /// Complete, with its last line feed.
    pub text: String,
    /// 0 unless the command promises another.
    pub code: u8,
}

impl Answer {
    /// Success.
    pub fn ok(text: String) -> Self {
        Self { text, code: 0 }
    }
}

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The client configuration.
    #[error(transparent)]
    Config(#[from] crate::config::Error),
    /// The connection or the hub.
    #[error(transparent)]
    Client(#[from] crate::client::Error),
    /// Documents with problems; nothing was stored.
    #[error("{0}")]
    Problems(String),
    /// A file that cannot be read.
    #[error("cannot read {path}: {source}; name a YAML file, or - for stdin")]
    File {
        /// As given.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// The arguments do not go together or cannot be meant.
    #[error("{0}")]
    Usage(String),
    /// There is nothing that this could apply to.
    #[error("{0}")]
    Nothing(String),
}

impl Failure {
    /// As the manual says.
    pub fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Config(_)
            | Self::Client(_)
            | Self::Problems(_)
            | Self::File { .. }
            | Self::Nothing(_) => 1,
        }
    }
}
