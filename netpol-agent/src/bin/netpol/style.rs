//! Colour, which `anstream` leaves out where it is not wanted: on what is no terminal, or with `NO_COLOR`.

use std::fmt;

use anstyle::{AnsiColor, Style};

const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default();
const UNSURE: Style = AnsiColor::Yellow.on_default();
const STRONG: Style = Style::new().bold();

pub(crate) fn good(text: impl fmt::Display) -> String {
    format!("{GOOD}{text}{GOOD:#}")
}

pub(crate) fn bad(text: impl fmt::Display) -> String {
    format!("{BAD}{text}{BAD:#}")
}

pub(crate) fn unsure(text: impl fmt::Display) -> String {
    format!("{UNSURE}{text}{UNSURE:#}")
}

pub(crate) fn strong(text: impl fmt::Display) -> String {
    format!("{STRONG}{text}{STRONG:#}")
}

/// Text in lines of at most 80 columns, all but the first indented.
pub(crate) fn wrapped(text: &str, indent: usize) -> String {
    const WIDTH: usize = 80;
    let mut lines = String::new();
    let mut column = indent;
    for word in text.split_whitespace() {
        let width = word.chars().count();
        if column > indent && column + 1 + width > WIDTH {
            lines.push('\n');
            lines.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        } else if column > indent {
            lines.push(' ');
            column += 1;
        }
        lines.push_str(word);
        column += width;
    }
    lines
}
