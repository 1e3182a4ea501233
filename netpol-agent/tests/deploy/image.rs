//! The image: one static binary that tells what it was built of.

use std::{collections::BTreeSet, fs, process::Command};

use auditable_info::{Limits, audit_info_from_file};
use netpol_testkit::image::{self, Image};
use serde_json::{Value, json};

use crate::objects::Objects;

#[test]
fn one_file() {
    let image = Image::unpack(&image::of_tests()).unwrap();
    let files: Vec<_> = fs::read_dir(image.root()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(files, ["netpol-agent"]);
}

/// With nothing but itself to be found: no loader, no library.
#[test]
fn static_binary() {
    let image = Image::unpack(&image::of_tests()).unwrap();
    let output =
        Command::new("chroot").arg(image.root()).args(["/netpol-agent", "--version"]).output().unwrap();
    let version = format!("netpol-agent {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(String::from_utf8_lossy(&output.stdout), version, "{output:?}");
}

#[test]
fn configuration() {
    let image = Image::unpack(&image::of_tests()).unwrap();
    // Tools write the default registry in front.
    assert!(image.name().ends_with(image::NAME), "{}", image.name());
    let config = image.config();
    assert_eq!(config["os"], "linux");
    let config = &config["config"];
    assert_eq!(config["Entrypoint"], json!(["/netpol-agent"]));
    assert_eq!(config["User"], "65532:65532");
    let label = |name: &str| &config["Labels"][format!("org.opencontainers.image.{name}")];
    assert_eq!(label("title"), "netpol-agent");
    assert_eq!(label("version"), env!("CARGO_PKG_VERSION"));
    assert_eq!(label("licenses"), env!("CARGO_PKG_LICENSE"));
    assert_eq!(label("source"), env!("CARGO_PKG_REPOSITORY"));
    assert_ne!(label("revision"), &Value::Null);
}

/// The file has the capabilities that the container gets, so that it need not be root's. They are not effective at once: the
/// kernel would not start it where one is not granted.
#[test]
fn capabilities() {
    let image = Image::unpack(&image::of_tests()).unwrap();
    let file = image.root().join("netpol-agent");
    let output = Command::new("/sbin/getcap").arg(&file).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (_, held) = text.trim().rsplit_once(' ').unwrap_or_else(|| panic!("{file:?}: {text:?}"));
    let objects = Objects::rendered(&[]);
    let given =
        objects.field("DaemonSet", "/spec/template/spec/containers/0/securityContext/capabilities/add");
    let given =
        given.as_array().unwrap().iter().map(|name| format!("cap_{}", name.as_str().unwrap().to_lowercase()));
    assert_eq!(
        held.trim_end_matches("=p").split(',').map(str::to_owned).collect::<BTreeSet<_>>(),
        given.collect()
    );
    assert!(held.ends_with("=p"), "{held}");
    let recipe = format!("setcap {} ", image::CAPABILITIES);
    assert!(
        include_str!("../../../deploy/image/Containerfile").contains(&recipe),
        "{recipe} is not in the Containerfile"
    );
}

/// The list of dependencies is in the binary, where scanners look for it: those that are in the agent, and no others.
#[test]
fn dependencies() {
    let image = Image::unpack(&image::of_tests()).unwrap();
    let list = audit_info_from_file(&image.root().join("netpol-agent"), Limits::default()).unwrap();
    let names: Vec<&str> = list.packages.iter().map(|package| package.name.as_str()).collect();
    for (name, is_there) in [
        ("netpol-agent", true),
        ("aya", true),
        ("kube", true),
        ("rustls", true),
        ("proptest", false),
        ("xtask", false),
    ] {
        assert_eq!(names.contains(&name), is_there, "{name} in {names:?}");
    }
}
