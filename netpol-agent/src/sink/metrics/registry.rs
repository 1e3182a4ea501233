//! The Prometheus metrics. The set of label values is bounded: enums and the kernel's drop reasons, never pod names.

use std::sync::atomic::AtomicU64;

use jiff::Timestamp;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, info::Info},
    registry::Registry,
};

use crate::{
    model::{Expected, Finding, FindingStatus, Flow, ObjectKind, Status},
    sink::{Sink, format},
};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FlowLabels {
    verdict: &'static str,
    protocol: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConnectionLabels {
    expected: &'static str,
    observed: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CauseLabel {
    cause: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResourceLabel {
    resource: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NoLabels {}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WatchLabels {
    resource: &'static str,
    cause: &'static str,
}

/// All metrics. Clones share the values.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    flows: Family<FlowLabels, Counter>,
    connections: Family<ConnectionLabels, Counter>,
    drops: Family<ReasonLabel, Counter>,
    findings: Family<KindLabel, Counter>,
    findings_open: Family<KindLabel, Gauge>,
    undecidable: Family<ReasonLabel, Counter>,
    lost: Family<CauseLabel, Counter>,
    packets_skipped: Family<CauseLabel, Counter>,
    records: Family<KindLabel, Counter>,
    attach_errors: Counter,
    netlink_resyncs: Counter,
    veths: Gauge,
    /// A family, so that the metric is absent if the node's name is not known.
    pods_unseen: Family<NoLabels, Gauge>,
    flow_table: Gauge,
    generation: Gauge,
    manifest_errors: Gauge,
    snapshot_age: Gauge<f64, AtomicU64>,
    resource_unknown: Family<ResourceLabel, Gauge>,
    watch_troubles: Family<WatchLabels, Counter>,
    objects_unreadable: Counter,
    events_written: Counter,
    events_failed: Family<CauseLabel, Counter>,
}

impl Metrics {
    /// Creates the registry of all metrics.
    #[must_use]
    pub fn registry(&self) -> Registry {
        let mut registry = Registry::with_prefix("netpol");
        let r = &mut registry;
        let version = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        r.register("build", "Version of the agent", version);
        r.register("flows", "Connections, by expected verdict", self.flows.clone());
        r.register(
            "connections",
            "Connections by expectation, observation and outcome",
            self.connections.clone(),
        );
        r.register(
            "drops",
            "Packets that the kernel dropped, by drop reason; drops of the last half second of a series of similar drops count as one",
            self.drops.clone(),
        );
        r.register("findings", "Findings opened", self.findings.clone());
        r.register("findings_open", "Findings that are open", self.findings_open.clone());
        r.register(
            "undecidable",
            "Connections whose verdict is undecidable, by reason",
            self.undecidable.clone(),
        );
        r.register("records_lost", "Records lost, by cause", self.lost.clone());
        r.register(
            "packets_skipped",
            "Packets for which no record was written, by cause",
            self.packets_skipped.clone(),
        );
        r.register("records", "Records read from the kernel", self.records.clone());
        r.register(
            "veth_attach_errors",
            "Veths that the programs could not be attached to",
            self.attach_errors.clone(),
        );
        r.register(
            "netlink_resyncs",
            "Number of times that netlink messages were lost",
            self.netlink_resyncs.clone(),
        );
        r.register("veths_attached", "Veths to which the programs are attached", self.veths.clone());
        r.register(
            "pods_unseen",
            "Pods of this node to whose interface the programs are not attached",
            self.pods_unseen.clone(),
        );
        r.register("flow_table_entries", "Connections in the table", self.flow_table.clone());
        r.register(
            "snapshot_generation",
            "Generation of the cluster state in force",
            self.generation.clone(),
        );
        r.register(
            "manifest_errors",
            "Objects in the manifests that could not be read",
            self.manifest_errors.clone(),
        );
        r.register(
            "snapshot_age_seconds",
            "Time since the cluster state was last known to be current",
            self.snapshot_age.clone(),
        );
        r.register(
            "resource_unknown",
            "1 if objects of a kind are not known, or not well enough for a verdict",
            self.resource_unknown.clone(),
        );
        r.register(
            "watch_troubles",
            "Failed requests to the Kubernetes API, by resource and cause",
            self.watch_troubles.clone(),
        );
        r.register(
            "objects_unreadable",
            "Objects from the Kubernetes API that could not be read and were left out",
            self.objects_unreadable.clone(),
        );
        r.register(
            "events_written",
            "Events that were written to the Kubernetes API",
            self.events_written.clone(),
        );
        r.register(
            "events_failed",
            "Events that could not be written, by cause of the last failed attempt",
            self.events_failed.clone(),
        );
        registry
    }

    /// Encodes all metrics in the OpenMetrics text format.
    ///
    /// # Errors
    ///
    /// This does not fail as long as all labels are text.
    pub fn encode(registry: &Registry) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, registry)?;
        Ok(text)
    }

    /// Counts a veth to which the programs could not be attached.
    pub fn attach_error(&self) {
        self.attach_errors.inc();
    }

    /// Counts a loss of netlink messages.
    pub fn netlink_resync(&self) {
        self.netlink_resyncs.inc();
    }

    /// Counts a failed request to the Kubernetes API. The cause must be one of a fixed set.
    pub fn watch_trouble(&self, kind: ObjectKind, cause: &'static str) {
        self.watch_troubles.get_or_create(&WatchLabels { resource: kind.plural(), cause }).inc();
    }

    /// Counts an object from the Kubernetes API that could not be read.
    pub fn object_unreadable(&self) {
        self.objects_unreadable.inc();
    }

    /// Counts an Event that was written.
    pub fn event_written(&self) {
        self.events_written.inc();
    }

    /// Counts an Event that could not be written. The cause must be one of a fixed set.
    pub fn event_failed(&self, cause: &'static str) {
        self.events_failed.get_or_create(&CauseLabel { cause }).inc();
    }

    /// Sets the number of objects in the manifests that could not be read.
    pub fn manifest_errors(&self, count: usize) {
        self.manifest_errors.set(gauge(count));
    }
}

impl Sink for Metrics {
    /// Counts a flow. A flow that is revised on better evidence is also counted with its new outcome.
    fn flow(&mut self, flow: &Flow) {
        let verdict = format::expected(&flow.expected);
        if !flow.attempt.revised {
            let protocol = flow.attempt.tuple.protocol.to_string();
            self.flows.get_or_create(&FlowLabels { verdict, protocol }).inc();
        }
        let labels = ConnectionLabels {
            expected: verdict,
            observed: flow.attempt.observed.name(),
            outcome: flow.outcome.name(),
        };
        self.connections.get_or_create(&labels).inc();
        if let Expected::Undecidable(why) = &flow.expected {
            let reason = format::undecidable(why).to_owned();
            self.undecidable.get_or_create(&ReasonLabel { reason }).inc();
        }
    }

    fn finding(&mut self, finding: &Finding, _: Timestamp) {
        let label = KindLabel { kind: finding.key.kind.name() };
        let open = self.findings_open.get_or_create_owned(&label);
        match finding.status {
            FindingStatus::Open => {
                self.findings.get_or_create(&label).inc();
                open.inc();
            }
            FindingStatus::Resolved | FindingStatus::Expired => {
                open.dec();
            }
        }
    }

    fn status(&mut self, status: &Status) {
        for (kind, total) in status.records {
            raise(&self.records.get_or_create(&KindLabel { kind }), total);
        }
        for (cause, total) in &status.packets_skipped {
            raise(&self.packets_skipped.get_or_create(&CauseLabel { cause }), *total);
        }
        for (reason, total) in &status.drops {
            raise(&self.drops.get_or_create(&ReasonLabel { reason: reason.to_string() }), *total);
        }
        for (cause, total) in &status.losses {
            raise(&self.lost.get_or_create(&CauseLabel { cause: cause.name() }), *total);
        }
        for (kind, count) in status.findings_open {
            self.findings_open.get_or_create(&KindLabel { kind: kind.name() }).set(gauge(count));
        }
        if let Some(count) = status.pods_unseen {
            self.pods_unseen.get_or_create(&NoLabels {}).set(gauge(count));
        }
        for kind in ObjectKind::ALL {
            let label = ResourceLabel { resource: kind.plural() };
            self.resource_unknown.get_or_create(&label).set(i64::from(status.unknown.contains(kind)));
        }
        self.veths.set(gauge(status.interfaces));
        self.flow_table.set(gauge(status.flow_table));
        self.generation.set(i64::try_from(status.generation).unwrap_or(i64::MAX));
        self.snapshot_age.set(status.age.as_secs_f64());
    }
}

/// Raises a counter to a total that is counted elsewhere.
fn raise(counter: &Counter, total: u64) {
    counter.inc_by(total.saturating_sub(counter.get()));
}

fn gauge(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
