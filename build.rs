//! Gives the program the revision that it is built from, and the page without what only
//! those who write it need.
//!
//! The revision is the variable `BUILD_REVISION` of the compilation.
//! `OPEN_PORTS_REVISION` of the environment names the revision where there is no
//! repository, as in an image's build. Otherwise git does; "-dirty" follows if the
//! program's own files have changed since. Without both it is "unknown".

#![allow(clippy::print_stdout, reason = "this is how a build script speaks to cargo")]

use std::env;
use std::path::Path;
use std::process::Command;

/// What the program is made from.
const SOURCES: [&str; 4] = ["Cargo.lock", "Cargo.toml", "build.rs", "src"];

fn main() {
    #[cfg(feature = "server")]
    if let Err(error) = page::write() {
        println!("cargo::error=the page: {error}");
    }
    println!("cargo::rerun-if-env-changed={VARIABLE}");
    for path in SOURCES {
        println!("cargo::rerun-if-changed={path}");
    }
    let given = env::var(VARIABLE).ok().filter(|revision| !revision.is_empty());
    let revision = match given {
        Some(revision) => revision,
        None => of_repository().unwrap_or_else(|| "unknown".to_owned()),
    };
    // It becomes a label of a metric, and a line break would be an instruction to cargo.
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.+".contains(c);
    if !revision.chars().all(is_plain) {
        println!("cargo::error={VARIABLE} may have letters, digits and -_.+, not {revision:?}");
        return;
    }
    // `cargo run` also sets it for the program, which takes OPEN_PORTS_… for settings.
    println!("cargo::rustc-env=BUILD_REVISION={revision}");
}

/// The commit of the working tree whose root this folder is.
fn of_repository() -> Option<String> {
    // A folder within a repository of something else has the revision of neither.
    if !git(&["rev-parse", "--show-prefix"])?.is_empty() {
        return None;
    }
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    // HEAD names a branch, whose file or packed entry names the commit; the log grows with
    // every change of HEAD. A missing path would make cargo run this each time.
    let branch = git(&["symbolic-ref", "--quiet", "HEAD"]);
    for name in ["HEAD", "logs/HEAD", "packed-refs"].into_iter().chain(branch.as_deref()) {
        if let Some(path) = git(&["rev-parse", "--git-path", name])
            && Path::new(&path).exists()
        {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    // Without a lock, so that this disturbs no git that runs at the same time.
    let mut status = vec!["--no-optional-locks", "status", "--porcelain", "--"];
    status.extend(SOURCES);
    let suffix = if git(&status)?.is_empty() { "" } else { "-dirty" };
    Some(format!("{commit}{suffix}"))
}

/// What git prints, if it can.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;
    Some(text.trim_end().to_owned())
}

/// The variable of the environment.
const VARIABLE: &str = "OPEN_PORTS_REVISION";

/// The engine alone has no page.
#[cfg(feature = "server")]
mod page {
    use std::error::Error;
    use std::{env, fs};

    /// Writes the style and the script of the page without comments and indentation, to
    /// `page.css` and `page.js` of the output.
    pub(crate) fn write() -> Result<(), Box<dyn Error>> {
        let out = env::var("OUT_DIR")?;
        let style = fs::read_to_string(format!("{PAGE}/page.css"))?;
        let style = minifier::css::minify(&style)?.to_string();
        fs::write(format!("{out}/page.css"), style)?;
        let scripts = SCRIPTS.map(|name| fs::read_to_string(format!("{PAGE}/{name}.js")));
        let script = scripts.into_iter().collect::<Result<String, _>>()?;
        fs::write(format!("{out}/page.js"), minifier::js::minify(&script).to_string())?;
        Ok(())
    }

    /// Where the files of the page are.
    const PAGE: &str = "src/http/endpoints/page";

    /// The files of its script, which is one for the browser: those first that others use.
    const SCRIPTS: [&str; 11] = [
        "base", "survey", "drift", "map", "call", "form", "host", "table", "sweep", "matrix",
        "main",
    ];
}
