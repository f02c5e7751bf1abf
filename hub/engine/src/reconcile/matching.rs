//! Which content belongs to which release (gate.md G25). In: revisions, images. Out: yes or no. It must not look at where
//! anything is served.

use crate::name::Revision;
use crate::release::{Content, Release};

/// Same revision; else, both unknown, same images.
pub(crate) fn carries(release: &Release, content: &Content) -> bool {
    match (&release.revision, &content.revision) {
        (Some(own), Some(other)) => own == other,
        (None, None) => same_images(&release.images, &content.images),
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// Whether two contents are the same one: their revision, else, both unknown, their images.
pub(crate) fn same_content(left: &Content, right: &Content) -> bool {
    match (&left.revision, &right.revision) {
        (Some(left), Some(right)) => left == right,
        (None, None) => same_images(&left.images, &right.images),
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// Whether a past release's outline is of this content: its revision, else, both unknown, a digest bound in it.
pub(super) fn past_carries(past: &crate::observed::PastRelease, content: &Content) -> bool {
    match (&past.revision, &content.revision) {
        (Some(own), Some(other)) => own == other,
        (None, None) => past.digests.contains(&content.digest),
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// The same images, whatever registry each cluster pulls them from.
pub(super) fn same_images(left: &[String], right: &[String]) -> bool {
    let bare = |images: &[String]| {
        let mut bare: Vec<String> = images
            .iter()
            .map(|image| without_host(image).to_owned())
            .collect();
        bare.sort();
        bare.dedup();
        bare
    };
    bare(left) == bare(right)
}

/// `registry.example.com:5000/shop/app:v1` → `shop/app:v1`. A first part is a host if it has a dot or a port, or is localhost.
fn without_host(image: &str) -> &str {
    match image.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => rest,
        Some(_) | None => image,
    }
}

/// A revision as people see it.
pub(super) fn shown(revision: Option<&Revision>) -> &str {
    revision.map_or("unknown", Revision::as_str)
}
