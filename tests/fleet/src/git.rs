//! A Git repository of manifests, pushed to as a team would. In: files. Out: the revision of each push. It is a working
//! copy and a bare repository beside it, which is what the applier follows.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Error, Result};
use crate::rundir::RunDir;

/// The branch that is followed.
pub const BRANCH: &str = "main";

/// The working copy and the repository it is pushed to.
#[derive(Debug)]
pub struct GitRepo {
    bare: PathBuf,
    work: PathBuf,
}

impl GitRepo {
    /// An empty repository.
    pub fn create(run: &RunDir) -> Result<Self> {
        let bare = run.folder("fleet.git")?;
        let work = run.folder("fleet")?;
        git(
            &bare,
            &["init", "--quiet", "--bare", "--initial-branch", BRANCH],
        )?;
        git(&work, &["init", "--quiet", "--initial-branch", BRANCH])?;
        let remote = bare.display().to_string();
        git(&work, &["remote", "add", "origin", &remote])?;
        Ok(Self { bare, work })
    }

    /// The repository that others read.
    pub fn path(&self) -> &Path {
        &self.bare
    }

    /// Commits these files and pushes; gives the revision.
    pub fn push(&self, files: &[(String, String)], message: &str) -> Result<String> {
        for (name, text) in files {
            let path = self.work.join(name);
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder).map_err(Error::io("make", folder))?;
            }
            std::fs::write(&path, text).map_err(Error::io("write", &path))?;
        }
        git(&self.work, &["add", "--all"])?;
        git(&self.work, &["commit", "--quiet", "--message", message])?;
        git(&self.work, &["push", "--quiet", "origin", BRANCH])?;
        Ok(git(&self.work, &["rev-parse", "HEAD"])?.trim().to_owned())
    }
}

fn git(folder: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(arguments)
        // The person's own settings (signing, hooks) have no say in a demo.
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .envs([
            ("GIT_AUTHOR_NAME", "demo"),
            ("GIT_AUTHOR_EMAIL", "demo@example.com"),
        ])
        .envs([
            ("GIT_COMMITTER_NAME", "demo"),
            ("GIT_COMMITTER_EMAIL", "demo@example.com"),
        ])
        .output()
        .map_err(Error::io("run", Path::new("git")))?;
    if !output.status.success() {
        return Err(Error::Program {
            program: format!("git {}", arguments.join(" ")),
            message: String::from_utf8_lossy(&output.stderr).into_owned(),
        });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_push_is_seen_in_the_bare_repository() {
        let run = RunDir::temporary("git").expect("folder");
        let repo = GitRepo::create(&run).expect("repository");
        let file = |text: &str| [("staging/app.yaml".to_owned(), text.to_owned())];
        let first = repo.push(&file("a: 1\n"), "one").expect("push");
        let second = repo.push(&file("a: 2\n"), "two").expect("push");
        assert_ne!(first, second);
        let head = git(repo.path(), &["rev-parse", BRANCH]).expect("head");
        assert_eq!(head.trim(), second);
        let text = git(repo.path(), &["show", "main:staging/app.yaml"]).expect("file");
        assert_eq!(text, "a: 2\n");
    }
}
