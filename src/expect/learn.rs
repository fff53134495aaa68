//! Expectations from what is open: the text of a file that [`Expectations`] reads.
//!
//! A file keeps its comments, its blank lines and its order. A line changes only if the
//! ports that it expects do.

use std::collections::BTreeMap;

use super::{Expectation, ExpectationLineError, Expectations, host_of};
use crate::ports::PortSet;

/// What a scan found on a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Learned {
    /// The host as typed.
    pub(crate) host: String,
    /// The open ports.
    pub(crate) open: Option<PortSet>,
    /// Whether every port that was asked for has its state.
    pub(crate) is_whole: bool,
}

/// How a file changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Edit {
    /// Its new text.
    pub(crate) text: String,
    /// Lines that are new.
    pub(crate) added: usize,
    /// Lines that expect other ports than before.
    pub(crate) changed: usize,
}

impl Edit {
    /// A new file, with a line for each host of which everything is known.
    pub(crate) fn new(learned: &[Learned]) -> Self {
        let whole = learned.iter().filter(|host| host.is_whole);
        let lines: Vec<String> =
            whole.map(|host| format!("{} {}\n", host.host, shown(host.open.as_ref()))).collect();
        Self { added: lines.len(), changed: 0, text: lines.concat() }
    }

    /// The file `text` with what was learned about hosts whose ports `asked` were scanned.
    /// Lines of other hosts stay, and so do ports that were not scanned. Of a host that was
    /// not scanned as a whole, ports are only added.
    ///
    /// # Errors
    /// Names the first line that is invalid.
    pub(crate) fn of(
        text: &str,
        learned: &[Learned],
        asked: &PortSet,
    ) -> Result<Self, ExpectationLineError> {
        Expectations::new(None).read(text)?;
        let mut new: BTreeMap<&str, &Learned> =
            learned.iter().map(|host| (host.host.as_str(), host)).collect();
        let mut edit = Self::default();
        for line in text.split_inclusive('\n') {
            let parts = parts(line);
            let host = parts.as_ref().and_then(|parts| host_of(parts.host).ok());
            let known = host.and_then(|host| new.remove(host.as_str()));
            match parts.zip(known).and_then(|(parts, known)| parts.changed(known, asked)) {
                None => edit.text += line,
                Some(changed) => {
                    edit.text += &changed;
                    edit.changed += 1;
                }
            }
        }
        let rest: Vec<Learned> =
            learned.iter().filter(|host| new.contains_key(&*host.host)).cloned().collect();
        let added = Self::new(&rest);
        if added.added > 0 && !edit.text.is_empty() && !edit.text.ends_with('\n') {
            edit.text.push('\n');
        }
        edit.text += &added.text;
        edit.added = added.added;
        Ok(edit)
    }
}

/// A line, divided so that all parts together are the line.
struct Parts<'a> {
    before: &'a str,
    host: &'a str,
    between: &'a str,
    ports: &'a str,
    /// Blanks, a comment and the line break.
    after: &'a str,
}

/// The parts of a line; `None` if it has only a comment, or nothing.
fn parts(line: &str) -> Option<Parts<'_>> {
    let mark = '\u{feff}';
    let end = line.find('#').unwrap_or(line.len());
    let (code, comment) = line.split_at(end);
    let is_blank = |c: char| c.is_whitespace() || c == mark;
    let start = code.find(|c| !is_blank(c))?;
    let (before, rest) = code.split_at(start);
    let (host, rest) = rest.split_at(rest.find(char::is_whitespace)?);
    let (between, rest) = rest.split_at(rest.find(|c: char| !c.is_whitespace())?);
    let ports = rest.trim_end();
    let after = &line[line.len() - comment.len() - (rest.len() - ports.len())..];
    Some(Parts { before, host, between, ports, after })
}

impl Parts<'_> {
    /// The line with other ports, if they are others.
    fn changed(&self, learned: &Learned, asked: &PortSet) -> Option<String> {
        let expected = Expectation::typed(self.ports).expect("the file was read");
        let expected = expected.ports();
        let kept = match expected {
            Some(expected) if learned.is_whole => expected.difference(asked),
            expected => expected.cloned(),
        };
        let sets: Vec<PortSet> = [kept, learned.open.clone()].into_iter().flatten().collect();
        let ports = PortSet::union_of(&sets);
        let Self { before, host, between, after, .. } = self;
        (ports.as_ref() != expected)
            .then(|| format!("{before}{host}{between}{}{after}", shown(ports.as_ref())))
    }
}

fn shown(ports: Option<&PortSet>) -> String {
    ports.map_or_else(|| super::NONE.to_owned(), PortSet::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learned(host: &str, open: &str, is_whole: bool) -> Learned {
        Learned { host: host.into(), open: open.parse().ok(), is_whole }
    }

    fn edit(text: &str, learned: &[Learned]) -> (String, usize, usize) {
        let asked = "1-1000".parse().unwrap();
        let Edit { text, added, changed } = Edit::of(text, learned, &asked).unwrap();
        let again = Edit::of(&text, learned, &asked).unwrap();
        assert_eq!((&again.text, again.added, again.changed), (&text, 0, 0), "it is settled");
        (text, added, changed)
    }

    #[test]
    fn a_new_file_has_a_line_for_each_host_that_was_scanned_as_a_whole() {
        let hosts =
            [learned("web", "22,443", true), learned("db", "", true), learned("gone", "22", false)];
        let Edit { text, added, changed } = Edit::new(&hosts);
        assert_eq!((&*text, added, changed), ("web 22,443\ndb none\n", 2, 0));
        Expectations::new(None).read(&text).unwrap();
    }

    #[test]
    fn comments_order_blanks_and_notation_stay() {
        let text =
            "\u{feff}# ours\n\nweb\thttp,443,  # the shop\n  db  none#\r\nother 1\n[fd00::1] 22";
        let same = [learned("web", "80,443", true), learned("db", "", true)];
        assert_eq!(edit(text, &same), (text.into(), 0, 0));
        let hosts = [
            learned("fd00::1", "", true),
            learned("new", "8", true),
            learned("db", "5", true),
            learned("web", "443", true),
        ];
        let changed =
            "\u{feff}# ours\n\nweb\t443  # the shop\n  db  5#\r\nother 1\n[fd00::1] none\nnew 8\n";
        assert_eq!(edit(text, &hosts), (changed.into(), 1, 3));
    }

    #[test]
    fn what_was_not_scanned_stays() {
        // 8080 was not asked for, and of web not everything was scanned.
        assert_eq!(edit("web 22,8080\n", &[learned("web", "", true)]).0, "web 8080\n");
        assert_eq!(edit("web 22\n", &[learned("web", "443", false)]).0, "web 22,443\n");
        assert_eq!(edit("web 22\n", &[learned("web", "", false)]).0, "web 22\n");
        assert_eq!(edit("web 22\n", &[learned("new", "22", false)]).0, "web 22\n");
    }

    #[test]
    fn an_invalid_line_is_named() {
        let error = Edit::of("web 22\ndb\n", &[], &PortSet::all()).unwrap_err();
        assert!(error.to_string().starts_with("line 2: "), "{error}");
    }
}
