//! JSON with line breaks and indentation, for people. It is made from JSON on one
//! line, a part at a time, so that a long report is never whole in memory.

use hyper::body::Bytes;

/// What was written so far, as far as it matters for the next byte.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Indenter {
    /// How many lists and objects are open.
    depth: usize,
    /// Whether the last byte opened one of them.
    has_opened: bool,
    place: Place,
}

/// Where the next byte is.
#[derive(Clone, Copy, Debug, Default)]
enum Place {
    #[default]
    Outside,
    String,
    /// In a string, after a backslash.
    Escape,
}

impl Indenter {
    /// The next part, indented. The whole is what `serde_json::to_vec_pretty` makes.
    pub(super) fn indent(&mut self, part: &[u8]) -> Bytes {
        let mut indented = Vec::with_capacity(2 * part.len());
        for &byte in part {
            self.write(byte, &mut indented);
        }
        indented.into()
    }

    fn write(&mut self, byte: u8, indented: &mut Vec<u8>) {
        match (self.place, byte) {
            (Place::Outside, _) => return self.write_outside(byte, indented),
            (Place::String, b'\\') => self.place = Place::Escape,
            (Place::String, b'"') => self.place = Place::Outside,
            (Place::String, _) => {}
            (Place::Escape, _) => self.place = Place::String,
        }
        indented.push(byte);
    }

    fn write_outside(&mut self, byte: u8, indented: &mut Vec<u8>) {
        let is_first = std::mem::take(&mut self.has_opened);
        let closes = matches!(byte, b'}' | b']');
        if closes {
            self.depth = self.depth.saturating_sub(1);
        }
        // Without an item, both brackets stay on one line.
        if is_first != closes {
            self.begin_line(indented);
        }
        indented.push(byte);
        match byte {
            b'{' | b'[' => (self.depth, self.has_opened) = (self.depth + 1, true),
            b',' => self.begin_line(indented),
            b':' => indented.push(b' '),
            b'"' => self.place = Place::String,
            _ => {}
        }
    }

    fn begin_line(&self, indented: &mut Vec<u8>) {
        indented.push(b'\n');
        indented.resize(indented.len() + 2 * self.depth, b' ');
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn the_parts_are_together_what_the_whole_would_be() {
        let document = json!({
            "empty": [[], {}, "", null],
            "text": "a \"quoted\" {word}, [and]: \\",
            "numbers": [1, -2.5, 1e300],
            "nested": [{ "a": [1, { "b": [true] }] }, [[[]]]],
        });
        let line = serde_json::to_string(&document).unwrap();
        let whole = serde_json::to_string_pretty(&document).unwrap();
        for size in 1..=line.len() {
            let mut indenter = Indenter::default();
            let parts = line.as_bytes().chunks(size).map(|part| indenter.indent(part));
            let indented: Vec<u8> = parts.flatten().collect();
            assert_eq!(String::from_utf8(indented).unwrap(), whole, "in parts of {size}");
        }
        assert_eq!(serde_json::from_str::<Value>(&whole).unwrap(), document);
    }

    #[test]
    fn a_newline_at_the_end_stays() {
        assert_eq!(Indenter::default().indent(b"{\"a\":1}\n"), "{\n  \"a\": 1\n}\n");
    }
}
