//! Common spellings of options that argh does not accept.

/// Turns `--name=value` into two words, and `-p80` too.
pub(super) fn split_values(words: Vec<String>) -> Vec<String> {
    let mut split = Vec::with_capacity(words.len());
    for word in words {
        // Of `--expect-file=a=b`, the file is `a=b`.
        let long = word.starts_with("--").then(|| word.split_once('=')).flatten();
        let short = word.strip_prefix("-p").filter(|ports| !ports.is_empty());
        match (long, short) {
            (Some((name, value)), _) => split.extend([name.to_owned(), value.to_owned()]),
            (None, Some(ports)) => split.extend(["-p".to_owned(), ports.to_owned()]),
            (None, None) => split.push(word),
        }
    }
    split
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_may_follow_an_equals_sign_or_the_p() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(
            split_values(words("scan -p80 -p- --seed=1 --targets - --output=a=b -p 22 a=b")),
            words("scan -p 80 -p - --seed 1 --targets - --output a=b -p 22 a=b")
        );
    }
}
