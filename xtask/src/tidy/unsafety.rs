//! Where unsafe code may be.

use super::Problem;

const HOMES: [&str; 3] = ["netpol-agent/src/kernel/", "netpol-common/", "netpol-ebpf/"];

pub(super) fn check(path: &str, code: &str) -> Vec<Problem> {
    if HOMES.iter().any(|home| path.starts_with(home)) {
        return Vec::new();
    }
    let mentions = |line: &str| {
        line.split(|char: char| !char.is_alphanumeric() && char != '_').any(|word| word == "unsafe")
    };
    let lines = code.lines().enumerate().filter(|(_, line)| mentions(line));
    lines
        .map(|(index, _)| Problem::new(path, index + 1, format!("unsafe code outside {}", HOMES.join(", "))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{super::source::strip, *};

    #[test]
    fn unsafe_code_has_its_homes() {
        for (path, source, lines) in [
            ("netpol-agent/src/flow/mod.rs", "fn f() {\n    unsafe { g() }\n}", vec![2]),
            ("netpol-agent/src/flow/mod.rs", "unsafe impl Send for X {}", vec![1]),
            ("netpol-agent/src/flow/mod.rs", "// unsafe\nlet unsafe_code = \"unsafe\";", vec![]),
            ("netpol-agent/src/kernel/ring.rs", "unsafe { g() }", vec![]),
            ("netpol-ebpf/src/main.rs", "unsafe { g() }", vec![]),
            ("xtask/src/lab/raw.rs", "unsafe { g() }", vec![1]),
        ] {
            let found: Vec<_> = check(path, &strip(source)).into_iter().map(|problem| problem.line).collect();
            assert_eq!(found, lines, "{path} {source:?}");
        }
    }
}
