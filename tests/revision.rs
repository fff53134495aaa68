//! Which revision build.rs says a build is of, and what makes cargo ask it again.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to fail")]

mod support;

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use support::service::{Ended, run};
use tempfile::TempDir;

support::trials::main! {
    the_revision_is_the_commit_of_the_tree_with_a_mark_if_the_program_differs: Git,
    a_changed_head_makes_cargo_ask_again: Git,
    without_a_repository_the_environment_says_the_revision: Git,
}

/// A folder with the files that build.rs looks at, and build.rs as a program.
struct Tree {
    folder: TempDir,
}

fn the_revision_is_the_commit_of_the_tree_with_a_mark_if_the_program_differs() {
    let tree = Tree::new();
    tree.commit();
    let commit = tree.git(&["rev-parse", "HEAD"])[..12].to_owned();
    assert_eq!(tree.revision(), commit);
    // What is no part of the program does not count.
    tree.write("README.md", "changed");
    tree.write("notes", "new");
    assert_eq!(tree.revision(), commit);
    tree.write("src/lib.rs", "// changed");
    assert_eq!(tree.revision(), format!("{commit}-dirty"));
    tree.git(&["add", "."]);
    assert_eq!(tree.revision(), format!("{commit}-dirty"));
    tree.git(&["commit", "--quiet", "--message", "next"]);
    let next = tree.revision();
    assert!(next != commit && next.len() == 12, "{next}");
    tree.write("src/new.rs", "");
    assert_eq!(tree.revision(), format!("{next}-dirty"));
}

fn a_changed_head_makes_cargo_ask_again() {
    let tree = Tree::new();
    tree.commit();
    // As after `git gc`, and with a branch of its own file.
    for prepare in [&["pack-refs", "--all"][..], &["switch", "--quiet", "-c", "a/b"]] {
        tree.git(prepare);
        let watched = tree.watched();
        // A missing file would make cargo ask at every build.
        assert!(watched.iter().all(|path| tree.path(path).exists()), "{watched:?}");
        for path in ["src", "Cargo.toml", "Cargo.lock", "build.rs", ".git/HEAD"] {
            assert!(watched.iter().any(|watched| watched == path), "{path}: {watched:?}");
        }
        for change in [
            &["commit", "--quiet", "--allow-empty", "--message", "more"][..],
            &["switch", "--quiet", "--detach", "HEAD~1"],
            &["switch", "--quiet", "-"],
            &["reset", "--quiet", "--soft", "HEAD~1"],
        ] {
            let content = |path: &String| fs::read(tree.path(path)).unwrap_or_default();
            let before: Vec<Vec<u8>> = watched.iter().map(content).collect();
            tree.git(change);
            let after: Vec<Vec<u8>> = watched.iter().map(content).collect();
            assert_ne!(before, after, "{change:?} changes none of {watched:?}");
        }
    }
}

fn without_a_repository_the_environment_says_the_revision() {
    let tree = Tree::new();
    assert_eq!(tree.revision(), "unknown");
    assert_eq!(tree.revision_with("v1.2.3-4-gabc"), "v1.2.3-4-gabc");
    assert_eq!(tree.revision_with(""), "unknown");
    let ended = tree.ask(Some("a\ncargo::rustc-env=PATH=x"), ".");
    assert!(!ended.stdout.lines().any(|line| line.starts_with("cargo::rustc-env")), "{ended:?}");
    assert!(ended.stdout.contains("cargo::error=OPEN_PORTS_REVISION may have"), "{ended:?}");
    // It takes precedence, and is the same in a repository.
    tree.commit();
    assert_eq!(tree.revision_with("given"), "given");
    // A folder within the repository of something else has no revision.
    let ended = tree.ask(None, "src");
    assert!(ended.stdout.contains("=unknown\n"), "{ended:?}");
}

impl Tree {
    fn new() -> Self {
        let tree = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(tree.path("src")).unwrap();
        for file in ["Cargo.lock", "Cargo.toml", "README.md", "build.rs", "src/lib.rs"] {
            tree.write(file, "");
        }
        tree.write(".gitignore", "/program\n");
        let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
        let mut command = Command::new(rustc);
        command.args(["--edition", "2024", "-o"]).arg(tree.path("program"));
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("build.rs"));
        let ended = run(command);
        assert!(ended.status.success(), "{ended:?}");
        tree
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// Makes it a repository with one commit.
    fn commit(&self) {
        self.git(&["init", "--quiet", "--initial-branch", "main"]);
        self.git(&["add", "."]);
        self.git(&["commit", "--quiet", "--message", "first"]);
    }

    #[track_caller]
    fn git(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=Nobody", "-c", "user.email=nobody@example.com"]);
        command.args(arguments).current_dir(self.folder.path());
        // Settings of the user, such as signing, have no effect here.
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
        let ended = run(without_git_variables(command));
        assert!(ended.status.success(), "{arguments:?}: {ended:?}");
        ended.stdout
    }

    /// Runs build.rs in a folder of the tree, as cargo would.
    fn ask(&self, revision: Option<&str>, folder: &str) -> Ended {
        let mut command = Command::new(self.path("program"));
        command.current_dir(self.path(folder)).env_remove("OPEN_PORTS_REVISION");
        command.envs(revision.map(|revision| ("OPEN_PORTS_REVISION", revision)));
        // No repository around the folder of temporary files counts.
        command.env("GIT_CEILING_DIRECTORIES", self.folder.path().parent().unwrap());
        let ended = run(without_git_variables(command));
        assert!(ended.status.success(), "{ended:?}");
        ended
    }

    fn revision(&self) -> String {
        let ended = self.ask(None, ".");
        value(&ended, "cargo::rustc-env=BUILD_REVISION=")[0].to_owned()
    }

    fn revision_with(&self, given: &str) -> String {
        let ended = self.ask(Some(given), ".");
        value(&ended, "cargo::rustc-env=BUILD_REVISION=")[0].to_owned()
    }

    /// The files whose change makes cargo run build.rs again.
    fn watched(&self) -> Vec<String> {
        value(&self.ask(None, "."), "cargo::rerun-if-changed=")
    }
}

/// The values of build.rs's lines that begin with `key`.
fn value(ended: &Ended, key: &str) -> Vec<String> {
    let values: Vec<String> =
        ended.stdout.lines().filter_map(|line| line.strip_prefix(key)).map(str::to_owned).collect();
    assert!(!values.is_empty(), "{ended:?}");
    values
}

/// Without the variables that git sets for its hooks, from which tests may be run.
fn without_git_variables(mut command: Command) -> Command {
    for name in ["GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE", "GIT_PREFIX"] {
        command.env_remove(name);
    }
    command
}
