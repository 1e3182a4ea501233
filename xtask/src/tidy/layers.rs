//! Which modules of the agent may use which: arrows point one way.

use super::Problem;

const SOURCE: &str = "netpol-agent/src/";

/// In the order in which data goes through them; each may use those before it.
const ORDER: [&str; 19] = [
    "model", "kernel", "identity", "cluster", "decode", "flow", "policy", "declared", "explain", "check",
    "matrix", "list", "diff", "lint", "verify", "pipeline", "capture", "sink", "runtime",
];

/// What wires the modules together may use all of them.
const FREE: [&str; 4] = ["bin", "cli", "lib", "main"];

pub(super) fn check(path: &str, code: &str) -> Vec<Problem> {
    let Some(inner) = path.strip_prefix(SOURCE) else { return Vec::new() };
    let module = inner.split('/').next().unwrap_or_default().trim_end_matches(".rs");
    if FREE.contains(&module) {
        return Vec::new();
    }
    if !ORDER.contains(&module) {
        return vec![Problem::new(
            path,
            0,
            format!("module `{module}` has no place in the order of the layers"),
        )];
    }
    let uses = uses(code, depth(inner)).into_iter().filter(|(_, used)| !allowed(module, used));
    uses.map(|(line, used)| Problem::new(path, line, format!("`{module}` may not use `{used}`"))).collect()
}

fn allowed(module: &str, used: &str) -> bool {
    let place = |name: &str| ORDER.iter().position(|module| *module == name);
    match (place(module), place(used)) {
        _ if module == used => true,
        // Sinks know what comes out of the pipeline; Events go to the API server, whose client is in `cluster`.
        (Some(_), Some(_)) if module == "sink" => matches!(used, "model" | "cluster"),
        // The pipeline is a function of its inputs.
        (Some(_), Some(_)) if module == "pipeline" && used == "kernel" => false,
        (Some(own), Some(other)) => other < own,
        // Not a module: something that `lib.rs` itself defines.
        _ => !FREE.contains(&used),
    }
}

/// How many `super` lead from a file to the crate's root.
fn depth(inner: &str) -> usize {
    let segments = inner.split('/').count();
    if inner.ends_with("/mod.rs") { segments - 1 } else { segments }
}

/// The crate's top-level modules that are named anywhere in the code, with the line.
fn uses(code: &str, depth: usize) -> Vec<(usize, String)> {
    let supers = "super::".repeat(depth);
    let mut found = Vec::new();
    for root in ["crate::", supers.as_str()] {
        for (at, _) in code.match_indices(root) {
            let starts_inside =
                code[..at].ends_with(|char: char| char.is_alphanumeric() || "_:$".contains(char));
            // A chain of `super` that goes on comes from a module inside the file.
            let tail = code[at + root.len()..].trim_start_matches("super::");
            if starts_inside {
                continue;
            }
            let line = code[..at].matches('\n').count() + 1;
            found.extend(heads(tail).into_iter().map(|name| (line, name)));
        }
    }
    found
}

/// The first names of a path: `a::b` has one, `{a::b, c::{d, e}}` has two.
fn heads(tail: &str) -> Vec<String> {
    let Some(group) = tail.strip_prefix('{') else { return head(tail).into_iter().collect() };
    let mut heads = Vec::new();
    let mut depth = 0;
    let mut start = 0;
    for (at, char) in group.char_indices() {
        match char {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                heads.extend(head(&group[start..at]));
                start = at + 1;
            }
            _ => {}
        }
        if char == '}' && depth == 0 && start == at + 1 {
            break;
        }
    }
    heads
}

fn head(path: &str) -> Option<String> {
    let name: String =
        path.trim_start().chars().take_while(|char| char.is_alphanumeric() || *char == '_').collect();
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::{super::source::strip, *};

    #[test]
    fn arrows_point_one_way() {
        for (file, source, refused) in [
            ("flow/mod.rs", "use crate::model::Flow;", vec![]),
            ("flow/mod.rs", "use crate::flow::table;", vec![]),
            ("flow/mod.rs", "use crate::verify::Outcome;", vec!["verify"]),
            ("flow/mod.rs", "//! See [`crate::verify`].\nlet text = \"crate::verify\";", vec![]),
            ("flow/table.rs", "fn f(x: crate::policy::Verdict) {}", vec!["policy"]),
            (
                "flow/table.rs",
                "use crate::{\n    model::{Flow, policy},\n    sink::Log,\n    runtime,\n};",
                vec!["sink", "runtime"],
            ),
            ("flow/table.rs", "use super::super::sink;", vec!["sink"]),
            ("flow/table.rs", "use super::sink;", vec![]),
            ("flow/mod.rs", "use super::sink;", vec!["sink"]),
            ("flow.rs", "mod tests { use super::super::sink; }", vec!["sink"]),
            ("flow.rs", "mod tests { use super::*; }", vec![]),
            ("sink/metrics.rs", "use crate::model::Flow;", vec![]),
            ("sink/metrics.rs", "use crate::verify::Outcome;", vec!["verify"]),
            ("model/mod.rs", "use crate::kernel::Ring;", vec!["kernel"]),
            ("runtime.rs", "use crate::{kernel, sink};", vec![]),
            ("verify.rs", "use crate::cli::Args;", vec!["cli"]),
            ("verify.rs", "use crate::VERSION;", vec![]),
            ("bin/netpol.rs", "use crate::anything;", vec![]),
            ("cli/mod.rs", "use crate::runtime;", vec![]),
        ] {
            let found = check(&format!("{SOURCE}{file}"), &strip(source));
            let found: Vec<_> = found.iter().filter_map(|problem| problem.what.rsplit('`').nth(1)).collect();
            assert_eq!(found, refused, "{file} {source:?}");
        }
    }

    #[test]
    fn every_module_has_a_place() {
        let found = check("netpol-agent/src/helpers.rs", "");
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(check("xtask/src/helpers.rs", "use crate::runtime;"), []);
    }
}
