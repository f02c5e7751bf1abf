//! The file by which a person reaches the hub. In: an address, the CA, a person's certificate and key. Out: YAML, readable
//! by its owner only. It must not make certificates: `authority` does.

use std::path::Path;

use crate::authority::{self, Authority, Issued, key_mode};
use crate::identity::ADMINS_GROUP;

/// The file in the data folder for the administrator that every hub starts with.
pub const ADMIN_FILE: &str = "admin.yaml";
/// The name in that file.
const ADMIN: &str = "admin";
const ADDRESS_KEY: &str = "hub: ";

/// The text of a client configuration.
#[must_use]
pub fn render(
    address: &str,
    ca_pem: &str,
    person: &str,
    groups: &[String],
    issued: &Issued,
) -> String {
    let mut text = format!(
        "{ADDRESS_KEY}{address}\nperson: {person}\ngroups: [{}]\n",
        groups.join(", ")
    );
    for (key, pem) in [
        ("ca", ca_pem),
        ("certificate", &issued.certificate),
        ("key", &issued.key),
    ] {
        text.push_str(key);
        text.push_str(": |\n");
        for line in pem.lines() {
            text.push_str(&format!("  {line}\n"));
        }
    }
    text
}

/// Makes a certificate for a person and writes the file.
pub fn write(
    path: &Path,
    authority: &Authority,
    address: &str,
    person: &str,
    groups: &[String],
) -> Result<(), authority::Error> {
    let issued = authority.person(person, groups)?;
    authority::write(
        path,
        &render(address, authority.ca_pem(), person, groups, &issued),
        key_mode(),
    )
}

/// Writes the administrator's file at the first start; later only its address is brought up to date, so that a copy
/// that somebody made goes on working.
pub fn write_admin(
    dir: &Path,
    authority: &Authority,
    address: &str,
) -> Result<(), authority::Error> {
    let path = dir.join(ADMIN_FILE);
    let Ok(text) = std::fs::read_to_string(&path) else {
        return write(&path, authority, address, ADMIN, &[ADMINS_GROUP.to_owned()]);
    };
    let wanted = format!("{ADDRESS_KEY}{address}");
    let moved: Vec<&str> = text
        .lines()
        .map(|line| {
            if line.starts_with(ADDRESS_KEY) {
                wanted.as_str()
            } else {
                line
            }
        })
        .collect();
    let moved = format!("{}\n", moved.join("\n"));
    if moved == text {
        Ok(())
    } else {
        authority::write(&path, &moved, key_mode())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_administrator_keeps_a_certificate_when_the_address_moves() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::open(dir.path()).unwrap();
        let read = || std::fs::read_to_string(dir.path().join(ADMIN_FILE)).unwrap();
        write_admin(dir.path(), &authority, "https://127.0.0.1:1").unwrap();
        let first = read();
        write_admin(dir.path(), &authority, "https://127.0.0.1:2").unwrap();
        assert_eq!(read(), first.replace("127.0.0.1:1", "127.0.0.1:2"));
        assert!(first.contains("groups: [groundswell-admins]\n"));
    }
}
