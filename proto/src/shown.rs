//! What a person is shown of a wave. In: a release and its wave as the hub told them. Out: what goes back with the person's
//! agreement. It must not decide whether that is enough.

use crate::v1::{Release, Shown, Wave};

impl Release {
    /// What of a wave of this release a client that prints it has shown. An older hub names neither the wave's own images nor
    /// what an approval is about: it is asked with what it does name.
    #[must_use]
    pub fn shown(&self, wave: &Wave) -> Shown {
        let older = wave.stage.is_empty();
        let starts = matches!(wave.phase.as_str(), "Pending" | "WaitingForApproval");
        let stage = if starts { "Before" } else { "After" };
        Shown {
            images: if older {
                self.images.clone()
            } else {
                wave.images.clone()
            },
            revision: self.revision.clone(),
            stage: if older {
                stage.to_owned()
            } else {
                wave.stage.clone()
            },
        }
    }
}
