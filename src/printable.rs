//! Makes untrusted text safe to print on a terminal or in a line of text.

use std::fmt::{self, Write};

/// Text that cannot move the cursor, end the line or change the reading order: control
/// characters and invisible characters are escaped as in Rust.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Printable<'a>(pub(crate) &'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            ' '..='~' => f.write_char(c),
            _ => {
                // Escape it as `Debug` does behind a letter, where accents are left
                // alone. That escapes the categories Cc, Cf (which has all marks of
                // direction), Zl, Zp, Zs, Co and Cn.
                let mut bytes = [b'a'; 5];
                c.encode_utf8(&mut bytes[1..]);
                let text = std::str::from_utf8(&bytes[..=c.len_utf8()]).expect("encoded just now");
                text.escape_debug().skip(1).try_for_each(|c| f.write_char(c))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn printable(text: &str) -> String {
        Printable(text).to_string()
    }

    #[test]
    fn what_acts_on_a_terminal_is_escaped_and_everything_else_stays() {
        for (text, shown) in [
            ("\u{1b}[2J\u{7}", "\\u{1b}[2J\\u{7}"),
            ("a\nb\r\tc", "a\\nb\\r\\tc"),
            // CSI as one character, NEL, and the ends of a line and a paragraph.
            ("\u{9b}31m\u{85}\u{2028}\u{2029}", "\\u{9b}31m\\u{85}\\u{2028}\\u{2029}"),
            ("\u{202e}txt.exe\u{2066}\u{61c}", "\\u{202e}txt.exe\\u{2066}\\u{61c}"),
            ("a\u{200b}b\u{feff}\u{ad}\u{e0041}", "a\\u{200b}b\\u{feff}\\u{ad}\\u{e0041}"),
            ("\0\u{7f}", "\\0\\u{7f}"),
        ] {
            assert_eq!(printable(text), shown);
        }
        let plain = "/tmp/fünf 'a' \"b\" \\n e\u{301}日本.txt";
        assert_eq!(printable(plain), plain);
    }

    proptest! {
        #[test]
        fn it_is_one_line_and_escaping_it_again_changes_nothing(text in any::<String>()) {
            let shown = printable(&text);
            prop_assert!(!shown.contains(char::is_control), "{:?}", shown);
            prop_assert_eq!(printable(&shown), shown);
        }
    }
}
