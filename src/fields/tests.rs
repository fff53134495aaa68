use std::env;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Compares the table of docs/service.md between `<!-- name -->` and `<!-- /name -->`. With
/// `UPDATE_FILES=1` in the environment, it writes the table instead.
pub(crate) fn assert_in_readme(name: &str, table: &str) {
    // Tests run beside each other.
    static WRITING: Mutex<()> = Mutex::new(());
    let _writing = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/service.md");
    let readme = fs::read_to_string(&path).unwrap();
    let (start, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->\n"));
    let (before, rest) = readme.split_once(&start).unwrap();
    let (there, after) = rest.split_once(&end).unwrap();
    if there != table && env::var_os("UPDATE_FILES").is_some() {
        fs::write(&path, format!("{before}{start}{table}{end}{after}")).unwrap();
    } else {
        assert_eq!(there, table, "run this test with UPDATE_FILES=1 to renew docs/service.md");
    }
}
