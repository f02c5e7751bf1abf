//! Persons' words in the tables. In: an obeyed word. Out: what of it still holds, beside its release and waves, and the
//! answer to whoever said it. It must not work out what a word means: the engine's `advance` does.

use hub_engine::release::{Release, ReleasePhase, Wave};
use hub_engine::{Action, Observed};
use sqlx::types::Json;

use super::Writer;
use crate::cluster::number;
use crate::request::{self, Settled};
use crate::time::to_db;
use crate::{Error, Result};

pub(crate) const RELEASE: &str = "update releases set word = $3, phase = $4, verdict = $5, ended_at = $6 \
     where fleet_rollout = $1 and number = $2";
pub(crate) const WAVE: &str = "update waves set phase = $4, verdict = $5, bake_until = $6, ended_at = $7, promoted = $8 \
     where fleet_rollout = $1 and release = $2 and number = $3";

impl Writer<'_> {
    /// Writes whatever the word changes in its release and waves, and answers.
    pub(super) async fn obey(&mut self, action: &Action) -> Result<()> {
        let Action::Obey {
            request, release, ..
        } = action
        else {
            return Ok(());
        };
        let before = self.before.as_ref().unwrap_or(self.observed);
        let mut after = before.clone();
        after.advance(action);
        let old = find(before, *release)?.clone();
        let new = find(&after, *release)?;
        if old.word != new.word || old.phase != new.phase {
            self.write_word(new).await?;
        }
        for wave in &new.waves {
            if old.wave(wave.number) != Some(wave) {
                self.write_wave(*release, wave).await?;
            }
        }
        let answer = action.to_string();
        request::settle(self.tx, *request, Settled::Obeyed(&answer)).await
    }

    pub(super) async fn write_word(&mut self, release: &Release) -> Result<()> {
        let ended = release.ended_at.filter(|_| release.phase.ended());
        sqlx::query(RELEASE)
            .bind(release.id.fleet_rollout.as_str())
            .bind(number(release.id.number))
            .bind(Json(&release.word))
            .bind(ReleasePhase::as_str(release.phase))
            .bind(&release.verdict)
            .bind(ended.map(to_db))
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }

    pub(super) async fn write_wave(&mut self, release: u64, wave: &Wave) -> Result<()> {
        sqlx::query(WAVE)
            .bind(self.observed.fleet_rollout.name.as_str())
            .bind(number(release))
            .bind(i32::try_from(wave.number).unwrap_or(i32::MAX))
            .bind(wave.phase.as_str())
            .bind(&wave.verdict)
            .bind(wave.bake_until.map(to_db))
            .bind(wave.ended_at.map(to_db))
            .bind(wave.promoted)
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }
}

fn find(state: &Observed, release: u64) -> Result<&Release> {
    state.release(release).ok_or_else(|| Error::NotFound {
        what: format!("release {}", state.id(release)),
    })
}
