//! JSON values one after another, which are no YAML: one a line (NDJSON), or just concatenated.

use serde::de::IgnoredAny;

/// A document cut into the JSON values that it is, each with the number of lines before it. What does not start as JSON
/// does is one piece.
pub(super) fn values(document: &str) -> Vec<(u32, &str)> {
    let marker = if document.starts_with("---") {
        document.find('\n').map_or(document.len(), |end| end + 1)
    } else {
        0
    };
    let body = document.get(marker..).unwrap_or_default();
    if !body.trim_start().starts_with(['{', '[']) {
        return vec![(0, document)];
    }
    let mut values = Vec::new();
    let mut at = marker;
    while let Some(rest) = document.get(at..).filter(|rest| !rest.trim_start().is_empty()) {
        let length = length(rest);
        // Flow style of YAML looks like JSON. What follows a broken value is another one only if it looks like one.
        let length = length.unwrap_or_else(|| rest.find("\n{").map_or(rest.len(), |end| end + 1));
        let (value, end) = (rest.get(..length).unwrap_or(rest), at + length);
        values.push((lines(document.get(..at).unwrap_or_default()), value));
        at = end;
    }
    values
}

/// How long the JSON value is that a text starts with, the white space before it included; `None` where there is none.
fn length(text: &str) -> Option<usize> {
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    stream.next()?.ok()?;
    let end = stream.byte_offset();
    // A comment may follow, and the end of the YAML document: they belong to it.
    let rest = text.get(end..)?;
    let after = rest.trim_start();
    Some(if after.starts_with(['{', '[']) || after.is_empty() { end } else { text.len() })
}

fn lines(text: &str) -> u32 {
    u32::try_from(text.bytes().filter(|byte| *byte == b'\n').count()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_one_after_another() {
        for (text, expected) in [
            ("{\"a\": 1}", vec![(0, "{\"a\": 1}")]),
            ("{\"a\": 1}{\"b\": 2}\n", vec![(0, "{\"a\": 1}"), (0, "{\"b\": 2}")]),
            ("{\"a\": 1}\n{\"b\": 2}\n", vec![(0, "{\"a\": 1}"), (0, "\n{\"b\": 2}")]),
            ("---\n{\"a\":\n 1}\n{\"b\": 2}", vec![(1, "{\"a\":\n 1}"), (2, "\n{\"b\": 2}")]),
            ("{\"a\": }\n{\"b\": 2}\n", vec![(0, "{\"a\": }\n"), (1, "{\"b\": 2}")]),
            ("{a: 1,\n b: 2}\n", vec![(0, "{a: 1,\n b: 2}\n")]),
            ("{\"a\": 1} # comment\n...\n", vec![(0, "{\"a\": 1} # comment\n...\n")]),
            ("a: 1\n", vec![(0, "a: 1\n")]),
            ("---\n", vec![(0, "---\n")]),
        ] {
            assert_eq!(values(text), expected, "{text:?}");
        }
    }
}
