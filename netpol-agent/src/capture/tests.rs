//! Tests of writing and reading captures.

use std::{collections::BTreeMap, io::Cursor, time::Duration};

use jiff::Timestamp;

use super::{CaptureError, CaptureReader, CaptureWriter};
use crate::{
    cluster::{Index, SyncStatus, manifests},
    flow::Limits,
    model::{ConntrackQuery, DropReasons, Monotonic, ObjectKind, Place, Protocol, SocketAddress, Tuple},
    pipeline::{Input, InterfaceChange, KernelCounts, PipelineConfig},
    policy::{ClusterView, Compiler},
    verify::Clock,
};

fn config() -> PipelineConfig {
    PipelineConfig {
        limits: Limits { entries: 77, ..Limits::default() },
        grace: Duration::from_millis(1_500),
        stale_after: Duration::MAX,
        host_netns: Some(4_026_531_840),
        reasons: DropReasons::new(BTreeMap::from([(12, "NETFILTER_DROP".into())])),
        clock: Clock { boot: Timestamp::UNIX_EPOCH },
        node: Some("one".into()),
    }
}

fn pod(name: &str, address: &str) -> String {
    format!(
        "---\n{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, namespace: shop, labels: {{app: {name}}}}}, \
         status: {{podIP: {address}}}}}\n"
    )
}

/// Returns the inputs as text.
fn text(inputs: &[Input<'_>]) -> Vec<String> {
    inputs
        .iter()
        .map(|input| match input {
            Input::View { view, at } => {
                let snapshot = view.engine.snapshot();
                let mut objects: Vec<_> = snapshot.references().filter_map(|r| snapshot.object(&r)).collect();
                objects.sort_by_key(|object| object.reference());
                let hidden: Vec<_> = snapshot.unreadable_namespaces().collect();
                format!("view at {at:?}: {objects:?} {hidden:?} {:?}", view.sync)
            }
            other => format!("{other:?}"),
        })
        .collect()
}

fn written(inputs: &[Input<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = CaptureWriter::new(&mut bytes, &config()).unwrap();
    inputs.iter().for_each(|input| writer.write(input).unwrap());
    drop(writer);
    bytes
}

/// Writes and reads every kind of input, with a cluster that changes.
#[test]
fn there_and_back() {
    let (mut index, mut compiler) = (Index::new(), Compiler::new());
    let mut view = |yaml: &str, hidden: Option<&str>, second| {
        index.set_time(Monotonic::from_secs(second));
        index.sync(manifests::parse("test.yaml", yaml).objects);
        hidden.into_iter().for_each(|namespace| index.hide_policy(&namespace.into()));
        let mut sync = SyncStatus::current();
        sync.set_lost(ObjectKind::Node, Monotonic::from_secs(second));
        let engine = compiler.update(&index.publish());
        Input::View { view: ClusterView { engine, sync }, at: Monotonic::from_secs(second) }
    };
    let peer = |port| SocketAddress { address: [10, 0, 0, 1].into(), port };
    let tuple = Tuple { protocol: Protocol::Other(50), source: peer(1), destination: peer(2) };
    let inputs = [
        Input::View { view: ClusterView::empty(), at: Monotonic::ZERO },
        view(&(pod("a", "10.0.0.1") + &pod("b", "10.0.0.2")), None, 1),
        Input::Record(&[0, 1, 2, 255]),
        Input::Interface(InterfaceChange::Attached {
            ifindex: 7,
            name: "veth7".into(),
            places: vec![Place { netns: 4_026_531_840, ifindex: 2 }],
            is_inside: true,
            at: Monotonic::from_nanos(1),
            created_at: None,
        }),
        view(&(pod("b", "10.0.0.3") + &pod("c", "fd00::1")), Some("shop"), 2),
        Input::Counters { counts: KernelCounts::read(|counter| counter as u64), at: Monotonic::MAX },
        Input::Conntrack { query: ConntrackQuery { id: 9, tuple }, answer: None },
        view(&pod("c", "fd00::1"), None, 3),
        Input::Tick { now: Monotonic::from_secs(3), time: "2026-01-02T03:04:05.678Z".parse().unwrap() },
        Input::Finish,
    ];
    let bytes = written(&inputs);
    let mut reader = CaptureReader::new(Cursor::new(&bytes)).unwrap();
    assert_eq!(format!("{:?}", reader.config()), format!("{:?}", config()));
    let mut read = Vec::new();
    while reader.next(|input| read.extend(text(&[input]))).unwrap() {}
    assert_eq!(read, text(&inputs));
    // A run that was killed leaves an incomplete last line.
    let cut = &bytes[..bytes.len() - 3];
    let mut reader = CaptureReader::new(Cursor::new(cut)).unwrap();
    let mut count = 0;
    while reader.next(|_| count += 1).unwrap() {}
    assert_eq!(count, inputs.len() - 1);
}

/// A file that is not a capture gives an error with the line.
#[test]
fn what_is_none() {
    let good = String::from_utf8(written(&[Input::Finish])).unwrap();
    let with_line = |line: &str| format!("{good}{line}\n");
    let other_format = good.replacen("\"netpol_capture\":1", "\"netpol_capture\":2", 1);
    for (name, text, error) in [
        ("nothing", "", "this is no capture of netpol"),
        ("something else", "{\"a\": 1}\n", "this is no capture of netpol"),
        (
            "another format",
            &*other_format,
            "the capture has format 2, and this version of netpol reads format 1",
        ),
        ("no JSON", &with_line("nonsense"), "line 3 of the capture is no input"),
        ("no input", &with_line("{\"packet\": 1}"), "line 3 of the capture is no input"),
        ("no base64", &with_line("{\"record\": \"?\"}"), "line 3 of the capture is no input"),
    ] {
        let read = || -> Result<(), CaptureError> {
            let mut reader = CaptureReader::new(Cursor::new(text))?;
            while reader.next(|_| {})? {}
            Ok(())
        };
        let message = read().expect_err(name).to_string();
        assert!(message.starts_with(error), "{name}: {message}");
    }
}
