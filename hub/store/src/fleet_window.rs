//! FleetWindows. In: checked documents. Out: stored ones. It must not ask whether they are open: that is `hub_engine::window`.

use hub_engine::document::{File, WINDOW_KIND, WindowDocument};
use hub_engine::name::Person;
use hub_engine::window::FleetWindow;

use sqlx::PgConnection;
use sqlx::types::Json;

use crate::fleet_rollout::Change;
use crate::row::row;
use crate::{Result, document};

pub(crate) const LIST: &str = "select document from fleet_windows order by name";
pub(crate) const UPSERT: &str = "insert into fleet_windows (name, document, source, version, applied_by, applied_at) \
     values ($1, $2, $3, 1, $4, now()) on conflict (name) do update \
     set document = excluded.document, source = excluded.source, version = fleet_windows.version + 1, \
     applied_by = excluded.applied_by, applied_at = excluded.applied_at";

row! {
    /// A stored FleetWindow.
    WindowRow { document: Json<FleetWindow> }
}

/// Every FleetWindow, by name.
pub(crate) async fn list(tx: &mut PgConnection) -> Result<Vec<FleetWindow>> {
    let rows: Vec<WindowRow> = sqlx::query_as(LIST).fetch_all(tx).await?;
    Ok(rows.into_iter().map(|row| row.document.0).collect())
}

/// As they would be, were the file applied: its own in the place of stored ones by the same name.
pub(crate) fn replace(windows: &mut Vec<FleetWindow>, file: &File) {
    let own = file.windows.iter().map(|document| &document.window);
    windows.retain(|stored| own.clone().all(|new| new.name != stored.name));
    windows.extend(own.cloned());
    windows.sort_by(|a, b| a.name.cmp(&b.name));
}

/// Stores a document if it says something else than the stored one, and says in the history who did.
pub(crate) async fn store(
    tx: &mut PgConnection,
    document: &WindowDocument,
    stored: &[FleetWindow],
    person: &Person,
) -> Result<Change> {
    let new = &document.window;
    let change = match stored.iter().find(|old| old.name == new.name) {
        None => Change::Created,
        Some(old) if old == new => return Ok(Change::Unchanged),
        Some(_) => Change::Configured,
    };
    sqlx::query(UPSERT)
        .bind(&new.name)
        .bind(Json(new))
        .bind(&document.text)
        .bind(person.as_str())
        .execute(&mut *tx)
        .await?;
    document::applied(
        tx,
        WINDOW_KIND,
        &new.name,
        change,
        person,
        serde_json::json!(new),
    )
    .await?;
    Ok(change)
}
