//! What a scalar means to `kubectl`: the core schema of YAML 1.2, and of YAML 1.1 the booleans and octal numbers
//! (sigs.k8s.io/yaml).

use saphyr_parser::{ScalarStyle, Tag};

use super::Value;

/// The value of a scalar, by its tag, or else by its style and form.
pub(super) fn value(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Value {
    match tag {
        Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => Value::String(text.to_owned()),
        Some(tag) if tag.is_yaml_core_schema() => plain(text),
        None if style == ScalarStyle::Plain => plain(text),
        _ => Value::String(text.to_owned()),
    }
}

fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Value::OldBool(true, text.to_owned()),
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Value::OldBool(false, text.to_owned()),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Value::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Value::Float(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => Value::Float(f64::NAN),
        _ => number(text).unwrap_or_else(|| Value::String(text.to_owned())),
    }
}

/// Rust's own parsers also take words such as `infinity` and forms such as `0x`, so the form is checked first.
fn number(text: &str) -> Option<Value> {
    if let Some(digits) = text.strip_prefix("0x") {
        return i64::from_str_radix(unsigned(digits)?, 16).ok().map(Value::Int);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return i64::from_str_radix(unsigned(digits)?, 8).ok().map(Value::Int);
    }
    if let Some(digits) = text.strip_prefix('0').filter(|digits| !digits.is_empty())
        && digits.bytes().all(|b| matches!(b, b'0'..=b'7'))
    {
        return i64::from_str_radix(digits, 8).ok().map(Value::Int);
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let numeric =
        unsigned.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'-' | b'+'));
    if !numeric || !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let whole = unsigned.bytes().all(|b| b.is_ascii_digit());
    match text.parse() {
        Ok(int) if whole => Some(Value::Int(int)),
        _ => text.parse().ok().map(Value::Float),
    }
}

/// The digits, where there is no sign among them.
fn unsigned(digits: &str) -> Option<&str> {
    (!digits.starts_with(['-', '+'])).then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_mean_what_kubectl_reads() {
        let string = |text: &str| Value::String(text.to_owned());
        let old = |value: bool, text: &str| Value::OldBool(value, text.to_owned());
        for (text, expected) in [
            ("y", old(true, "y")),
            ("no", old(false, "no")),
            ("On", old(true, "On")),
            ("yEs", string("yEs")),
            ("017", Value::Int(15)),
            ("019", Value::Int(19)),
            ("true", Value::Bool(true)),
            ("~", Value::Null),
            ("80", Value::Int(80)),
            ("-1", Value::Int(-1)),
            ("0x1F", Value::Int(31)),
            ("0o17", Value::Int(15)),
            ("0x-1", string("0x-1")),
            ("1.5", Value::Float(1.5)),
            ("1e3", Value::Float(1000.0)),
            ("99999999999999999999", Value::Float(1e20)),
            ("10.0.0.0/8", string("10.0.0.0/8")),
            ("10.0.0.1", string("10.0.0.1")),
            ("infinity", string("infinity")),
            ("2001:db8::/32", string("2001:db8::/32")),
            (".", string(".")),
            ("-", string("-")),
        ] {
            assert_eq!(value(text, ScalarStyle::Plain, None), expected, "{text}");
        }
        assert_eq!(value("80", ScalarStyle::DoubleQuoted, None), string("80"));
        assert_eq!(value("y", ScalarStyle::SingleQuoted, None), string("y"));
    }
}
