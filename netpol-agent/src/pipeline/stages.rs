//! The pipeline: how an input passes through the stages.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;

use super::{
    Input, InterfaceChange, KernelCounts, PipelineConfig,
    pending::{PendingQueue, Wait},
    totals::Totals,
};
use crate::{
    cluster::SyncStatus,
    decode::{DecodeError, decode},
    flow::FlowTable,
    identity::PodInterfaces,
    model::{
        Attempt, ConntrackEntry, ConntrackQuery, Direction, Finding, FindingKind, Flow, Monotonic, Nodes,
        ObjectKind, Outcome, Output, Packet, PolicyKind, Protocol, Record, Status, Summary, Tuple,
    },
    policy::ClusterView,
    verify::{Clock, Findings, Judge},
};

/// How often the node's pods are compared with the interfaces, and the list of nodes is updated.
const AUDIT_INTERVAL: Duration = Duration::from_secs(5);

/// All stages from the bytes of a record to judged flows and findings, and their state.
pub struct Pipeline {
    interfaces: PodInterfaces,
    /// Whether all interfaces that existed at the start have been found.
    interfaces_synced: bool,
    table: FlowTable,
    judge: Judge,
    findings: Findings,
    config: PipelineConfig,
    sync: SyncStatus,
    pending: PendingQueue,
    /// The attempts that the table has decided in this step.
    decided: Vec<Attempt>,
    totals: Totals,
    audit: Audit,
    /// Whether the run is ending, and only answers of connection tracking are outstanding.
    is_finishing: bool,
}

/// Values that are computed only every few seconds, because that iterates over all pods or nodes.
#[derive(Default)]
struct Audit {
    at: Option<Monotonic>,
    pods_unseen: Option<usize>,
    nodes: Nodes,
    has_new_nodes: bool,
}

impl Pipeline {
    /// Creates an empty pipeline.
    #[must_use]
    pub fn new(config: PipelineConfig) -> Self {
        let keep_for = FlowTable::max_delay(&config.limits) + PendingQueue::max_delay();
        Self {
            interfaces: PodInterfaces::default(),
            interfaces_synced: false,
            table: FlowTable::new(config.limits, config.host_netns),
            judge: Judge::new(config.clock, config.reasons.clone(), config.grace, keep_for),
            findings: Findings::default(),
            sync: SyncStatus::default(),
            pending: PendingQueue::default(),
            decided: Vec::new(),
            totals: Totals::default(),
            audit: Audit::default(),
            is_finishing: false,
            config,
        }
    }

    /// Processes one input, and emits its outputs to `out`.
    pub fn step(&mut self, input: Input<'_>, out: &mut impl FnMut(Output)) {
        match input {
            Input::Record(bytes) => self.record(bytes, out),
            Input::Interface(change) => self.interface(change),
            Input::View { view, at } => self.view(view, at, out),
            Input::Counters { counts, at } => self.counters(counts, at),
            Input::Conntrack { query, answer } => self.conntrack(&query, answer, out),
            Input::Tick { now, time } => self.tick(now, time, out),
            Input::Finish => self.finish(out),
        }
    }

    fn record(&mut self, bytes: &[u8], out: &mut impl FnMut(Output)) {
        match decode(bytes, |place| self.interfaces.number(place)) {
            Ok(Record::Packet(packet)) => {
                self.totals.packets += 1;
                if self.has_unknown_source(&packet) {
                    out(Output::RefreshInterface(packet.ifindex));
                }
                self.table.packet(&packet, &self.interfaces, &mut self.decided);
            }
            Ok(Record::Exit(packet)) => {
                self.totals.packets += 1;
                self.table.left_node(&packet, &self.interfaces, &mut self.decided);
            }
            Ok(Record::IcmpError(error)) => {
                self.totals.icmp_errors += 1;
                self.table.icmp_error(&error, &self.interfaces, &mut self.decided);
            }
            Ok(Record::Drop(drop)) => {
                self.totals.drops += 1;
                *self.totals.drops_by_reason.entry(drop.reason).or_default() += u64::from(drop.count);
                self.table.kernel_drop(&drop, &self.config.reasons, &self.interfaces);
            }
            // Nobody is there any more of whom it could tell.
            Err(DecodeError::Interface) => self.totals.removed_interface += 1,
            Err(_) => self.totals.undecodable += 1,
        }
        self.judge_decided(out);
    }

    /// Returns whether a packet came out of an interface with a source address that the interface is not known to have.
    fn has_unknown_source(&self, packet: &Packet) -> bool {
        packet.direction == Direction::FromPod
            && self.interfaces.carries(packet.ifindex, packet.tuple.source.address) != Some(true)
    }

    fn interface(&mut self, change: InterfaceChange) {
        match change {
            InterfaceChange::Attached { ifindex, name, places, is_inside, at, created_at } => {
                self.interfaces.attached(ifindex, name, places, is_inside, at);
                if let Some(created_at) = created_at {
                    self.interfaces.created(ifindex, created_at);
                }
            }
            InterfaceChange::Addresses { ifindex, addresses } => {
                self.interfaces.set_addresses(ifindex, addresses);
                self.confine_interfaces();
            }
            InterfaceChange::Removed { ifindex, at } => self.interfaces.removed(ifindex, at),
            InterfaceChange::Host(addresses) => self.interfaces.set_host(addresses),
            InterfaceChange::Exits { is_complete, at } => {
                self.interfaces.set_exits_seen_since(is_complete.then_some(at));
            }
            InterfaceChange::Synced => self.interfaces_synced = true,
        }
    }

    /// Replaces the current view: the cluster state and its sync status, together.
    fn view(&mut self, view: ClusterView, at: Monotonic, out: &mut impl FnMut(Output)) {
        let is_new =
            view.has_state() && self.judge.state().is_none_or(|state| !Arc::ptr_eq(state, &view.engine));
        let ClusterView { engine, sync } = view;
        self.sync = sync;
        self.update_sync(at);
        if is_new {
            self.judge.set_state(engine, at);
            self.confine_interfaces();
            self.judge_reported(out);
        }
    }

    /// Takes from the interfaces the addresses that are not their pod's, by what the API reports now.
    fn confine_interfaces(&mut self) {
        if let Some(state) = self.judge.state() {
            self.interfaces.confine(state.snapshot().addresses(), self.config.node.as_deref());
        }
    }

    /// Updates which kinds are usable. That also changes with time alone.
    fn update_sync(&mut self, now: Monotonic) {
        let usability = self.sync.usability(now, self.config.stale_after);
        self.judge.set_unusable(usability.unusable);
        let is_current = usability.pods_age.is_zero();
        self.judge.set_pods_as_of(if is_current { Monotonic::MAX } else { now - usability.pods_age });
    }

    fn counters(&mut self, counts: KernelCounts, at: Monotonic) {
        self.totals.kernel = counts;
        self.table.set_lost(counts.lost_records(), at);
    }

    /// Decides and removes what is due, and emits the status.
    fn tick(&mut self, now: Monotonic, time: Timestamp, out: &mut impl FnMut(Output)) {
        self.judge.set_clock(Clock::new(now, time));
        self.update_sync(now);
        self.table.expire(now, &self.interfaces, &mut self.decided);
        self.judge_decided(out);
        self.judge_reported(out);
        self.judge_due(now, out);
        for finding in self.findings.expire(now) {
            out(Output::Finding { finding, time });
        }
        self.audit(now);
        out(Output::Status(Box::new(self.status(now, time))));
    }

    fn judge_decided(&mut self, out: &mut impl FnMut(Output)) {
        let mut decided = std::mem::take(&mut self.decided);
        for attempt in decided.drain(..) {
            if self.judge.lacks_endpoint(&attempt)
                && let Some(query) = self.pending.ask(Wait::Endpoint, &attempt)
            {
                out(Output::Conntrack(query));
            } else {
                self.await_report(attempt, out);
            }
        }
        self.decided = decided;
    }

    /// Continues with an attempt that waits for this answer of connection tracking.
    fn conntrack(
        &mut self,
        query: &ConntrackQuery,
        answer: Option<ConntrackEntry>,
        out: &mut impl FnMut(Output),
    ) {
        match self.pending.answered(query) {
            Some((Wait::Endpoint, attempt)) => self.await_report(with_endpoint(attempt, answer), out),
            Some((Wait::Opener, attempt)) => self.recheck(with_opener(attempt, answer), out),
            // The answer came too late: the attempt was judged without it.
            _ => {}
        }
        if self.is_finishing {
            self.finish(out);
        }
    }

    /// Judges an attempt as soon as the API has reported its pods.
    fn await_report(&mut self, attempt: Attempt, out: &mut impl FnMut(Output)) {
        match self.judge.awaits(&attempt, &self.interfaces) {
            Some(until) if !self.is_finishing && self.pending.await_report(until, &attempt) => {}
            _ => self.judge(attempt, out),
        }
    }

    /// Judges the attempts whose report has been received.
    fn judge_reported(&mut self, out: &mut impl FnMut(Output)) {
        let Self { pending, judge, interfaces, .. } = self;
        for attempt in pending.reported(|attempt| judge.awaits(attempt, interfaces).is_some()) {
            self.judge(attempt, out);
        }
    }

    /// Judges the attempts that have waited long enough.
    fn judge_due(&mut self, now: Monotonic, out: &mut impl FnMut(Output)) {
        while let Some((wait, attempt)) = self.pending.pop_due(now) {
            self.resume(wait, attempt, now, out);
        }
    }

    /// Continues with an attempt that no longer waits.
    fn resume(&mut self, wait: Wait, attempt: Attempt, now: Monotonic, out: &mut impl FnMut(Output)) {
        match wait {
            Wait::Endpoint => self.await_report(attempt, out),
            Wait::Report => self.judge(attempt, out),
            Wait::Opener => self.recheck(attempt, out),
            Wait::Recheck => {
                let flow = self.judge.judge_until(attempt, &self.interfaces, now);
                self.report(flow, out);
            }
        }
    }

    /// Judges an attempt for the first time.
    fn judge(&mut self, attempt: Attempt, out: &mut impl FnMut(Output)) {
        let flow = self.judge.judge(attempt, &self.interfaces);
        // A datagram that seems to open a conversation against the policies may be an answer. Connection tracking
        // remembers who opened a conversation for longer than the flow table does, and from before the agent started.
        if attempt.tuple.protocol == Protocol::Udp
            && flow.outcome == Outcome::NotEnforced
            && let Some(query) = self.pending.ask(Wait::Opener, &attempt)
        {
            return out(Output::Conntrack(query));
        }
        self.report_unless_suspect(flow, out);
    }

    /// Judges a datagram after connection tracking has answered who opened the conversation.
    fn recheck(&mut self, attempt: Attempt, out: &mut impl FnMut(Output)) {
        let flow = self.judge.judge(attempt, &self.interfaces);
        self.report_unless_suspect(flow, out);
    }

    fn report_unless_suspect(&mut self, flow: Flow, out: &mut impl FnMut(Output)) {
        if !self.pending.push_if_suspect(&flow) {
            self.report(flow, out);
        }
    }

    /// Emits a flow, and the findings that it opens or closes.
    fn report(&mut self, flow: Flow, out: &mut impl FnMut(Output)) {
        let time = flow.time;
        let emit = |findings: Vec<Finding>, out: &mut dyn FnMut(Output)| {
            findings.into_iter().for_each(|finding| out(Output::Finding { finding, time }));
        };
        if flow.attempt.is_recheck {
            return emit(self.findings.recheck(&flow), out);
        }
        // A revised flow is counted under both outcomes, as in the metrics.
        *self.totals.outcomes.entry(flow.outcome).or_default() += 1;
        let findings = self.findings.flow(&flow);
        out(Output::Flow(flow));
        emit(findings, out);
    }

    /// Updates, from time to time, how many of this node's pods are not observed, and the list of nodes.
    fn audit(&mut self, now: Monotonic) {
        if self.audit.at.is_some_and(|at| now.since(at) < AUDIT_INTERVAL) {
            return;
        }
        self.audit.at = Some(now);
        self.audit.pods_unseen = self
            .config
            .node
            .as_deref()
            .filter(|_| self.interfaces_synced)
            .and_then(|node| self.count_unseen(node));
        let Some(state) = self.judge.state() else { return };
        let nodes = state.snapshot().nodes();
        let nodes: Nodes =
            nodes.filter_map(|node| Some((Arc::clone(&node.name), *node.ips.first()?))).collect();
        if nodes != self.audit.nodes {
            self.audit.nodes = nodes;
            self.audit.has_new_nodes = true;
        }
    }

    /// Returns how many pods of a node (this one) are not observed: none of their addresses is behind an interface with
    /// the programs.
    fn count_unseen(&self, node: &str) -> Option<usize> {
        let own = self
            .judge
            .state()?
            .snapshot()
            .pods()
            .filter(|pod| pod.is_member() && !pod.ips.is_empty() && pod.node.as_deref() == Some(node));
        Some(own.filter(|pod| pod.ips.iter().all(|ip| self.interfaces.owner(*ip).is_none())).count())
    }

    fn status(&mut self, now: Monotonic, time: Timestamp) -> Status {
        let usability = self.sync.usability(now, self.config.stale_after);
        let state = self.judge.state();
        let has_new_nodes = std::mem::take(&mut self.audit.has_new_nodes);
        Status {
            time,
            records: self.totals.records(),
            packets_skipped: self.totals.skipped(self.table.stats()),
            drops: self.totals.drops(&self.config.reasons),
            losses: self.totals.losses(self.table.stats(), self.findings.stats()),
            interfaces: self.interfaces.len(),
            pods_unseen: self.audit.pods_unseen,
            flow_table: self.table.len(),
            findings_open: FindingKind::ALL.map(|kind| (kind, self.findings.count(kind))),
            generation: state.map_or(0, |state| state.snapshot().generation()),
            age: usability.age,
            unknown: usability.unknown,
            is_ready: self.interfaces_synced
                && state.is_some()
                && !usability.awaited.iter().any(ObjectKind::is_essential),
            policy_versions: PolicyKind::ALL
                .map(|kind| (kind, self.sync.api_version(kind.object_kind())))
                .into(),
            nodes: has_new_nodes.then(|| self.audit.nodes.clone()),
        }
    }

    /// Judges all waiting attempts, and emits the summary.
    fn finish(&mut self, out: &mut impl FnMut(Output)) {
        self.is_finishing = true;
        while let Some((wait, attempt)) = self.pending.pop_without_query() {
            self.resume(wait, attempt, Monotonic::MAX, out);
        }
        if self.pending.awaits_answers() {
            return;
        }
        let lost = self.totals.kernel.lost_records()
            + self.totals.undecodable
            + self.table.stats().evicted_undecided;
        out(Output::Summary(Summary {
            flows: self.totals.outcomes.clone(),
            findings: self.findings.list().into_iter().cloned().collect(),
            lost,
        }));
    }
}

/// Replaces the Service's address by the endpoint that was chosen.
fn with_endpoint(attempt: Attempt, answer: Option<ConntrackEntry>) -> Attempt {
    let service_address = attempt.tuple.destination;
    match answer.map(|entry| entry.reply.source) {
        Some(endpoint) if endpoint != service_address => Attempt {
            tuple: Tuple { destination: endpoint, ..attempt.tuple },
            service_address: Some(service_address),
            ..attempt
        },
        _ => attempt,
    }
}

/// Marks a datagram as pre-existing if the other side opened the conversation.
fn with_opener(attempt: Attempt, answer: Option<ConntrackEntry>) -> Attempt {
    let is_answer = answer.is_some_and(|entry| entry.original.source != attempt.tuple.source);
    Attempt { pre_existing: attempt.pre_existing || is_answer, ..attempt }
}
