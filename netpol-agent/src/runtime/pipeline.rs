//! The way of a record through the stages, without any I/O.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use jiff::Timestamp;
use netpol_common::Counter;

use crate::{
    decode::decode,
    flow::{FlowTable, Limits},
    kernel::Tracked,
    model::{
        Attempt, Direction, DropReasons, FindingKind, Flow, Kinds, Outcome, Packet, PodInterfaces, Protocol,
        Record, Tuple,
    },
    policy::Engine,
    sink::{
        Events, Lines, Lost, Metrics, Summary,
        hubble::{Nodes, Recorder},
    },
    verify::{Clock, Findings, Judge, RecheckQueue},
};

/// All stages from decoding to the sinks.
pub struct Pipeline {
    interfaces: PodInterfaces,
    table: FlowTable,
    judge: Judge,
    findings: Findings,
    reasons: DropReasons,
    track: Track,
    metrics: Metrics,
    lines: Option<Lines>,
    events: Option<Events>,
    recorder: Option<Recorder>,
    outcomes: BTreeMap<Outcome, u64>,
    decided: Vec<Attempt>,
    /// Decided attempts of pods whose names may still come, with the time to give up.
    waiting: VecDeque<(u64, Attempt)>,
    rechecks: RecheckQueue,
    seen: Seen,
}

/// Attempts that may wait for a name; more are judged without.
const MOST_WAITING: usize = 65_536;

/// Records read, by kind.
#[derive(Default)]
struct Seen {
    packets: u64,
    icmp_errors: u64,
    drops: u64,
    undecodable: u64,
    kernel_lost: u64,
}

/// What the pipeline needs to know at its start.
pub struct Setup {
    /// What the connection table holds.
    pub limits: Limits,
    /// See [`Judge::new`].
    pub grace_ns: u64,
    /// See [`FlowTable::new`].
    pub host_netns: Option<u32>,
    /// The kernel's drop reasons.
    pub reasons: DropReasons,
    /// Ties the kernel's clock to the calendar.
    pub clock: Clock,
    /// Tells which endpoint a connection to a Service was translated to, and who opened a conversation.
    pub track: Track,
}

/// What is tracked of the connection that packets with a tuple belong to.
pub type Track = Box<dyn FnMut(&Tuple) -> Option<Tracked> + Send>;

impl Pipeline {
    /// One that has seen nothing.
    #[must_use]
    pub fn new(setup: Setup, metrics: Metrics) -> Self {
        let Setup { limits, grace_ns, host_netns, reasons, clock, track } = setup;
        Self {
            interfaces: PodInterfaces::default(),
            table: FlowTable::new(limits, host_netns),
            judge: Judge::new(clock, reasons.clone(), grace_ns),
            findings: Findings::default(),
            reasons,
            track,
            metrics,
            lines: None,
            events: None,
            recorder: None,
            outcomes: BTreeMap::new(),
            decided: Vec::new(),
            waiting: VecDeque::new(),
            rechecks: RecheckQueue::default(),
            seen: Seen::default(),
        }
    }

    /// Tells connections and findings as lines.
    pub fn print_to(&mut self, lines: Lines) {
        self.lines = Some(lines);
    }

    /// Tells findings as Events.
    pub fn tell_events(&mut self, events: Events) {
        self.events = Some(events);
    }

    /// Keeps judged connections for the clients of Hubble's API.
    pub fn record_to(&mut self, recorder: Recorder) {
        self.recorder = Some(recorder);
    }

    /// The node's veths, to change.
    pub fn interfaces_mut(&mut self) -> &mut PodInterfaces {
        &mut self.interfaces
    }

    /// Puts a cluster state in force.
    pub fn set_state(&mut self, state: Arc<Engine>, now_ns: u64) {
        self.judge.set_state(state, now_ns);
        self.judge_waiting(now_ns);
    }

    /// Whether a cluster state is in force.
    #[must_use]
    pub fn has_state(&self) -> bool {
        self.judge.state().is_some()
    }

    /// Says which kinds of objects are not known well enough to judge by.
    pub fn set_gaps(&mut self, gaps: Kinds) {
        self.judge.set_gaps(gaps);
    }

    /// See [`Judge::set_pods_as_of`].
    pub fn set_pods_as_of(&mut self, as_of_ns: u64) {
        self.judge.set_pods_as_of(as_of_ns);
    }

    /// Takes in the bytes of one record. Hands back the interface whose addresses should be looked at again, for a
    /// packet came out of it with an address that it is not known to have.
    pub fn record(&mut self, bytes: &[u8]) -> Option<u32> {
        let mut refresh_requests = None;
        match decode(bytes) {
            Ok(Record::Packet(packet)) => {
                self.seen.packets += 1;
                refresh_requests = self.is_strange(&packet).then_some(packet.ifindex);
                self.table.packet(&packet, &self.interfaces, &mut self.decided);
            }
            Ok(Record::IcmpError(error)) => {
                self.seen.icmp_errors += 1;
                self.table.icmp_error(&error, &self.interfaces, &mut self.decided);
            }
            Ok(Record::Drop(drop)) => {
                self.seen.drops += 1;
                self.metrics.drops(&self.reasons.name(drop.reason), drop.count);
                self.table.kernel_drop(&drop, &self.reasons);
            }
            Err(_) => self.seen.undecodable += 1,
        }
        self.judge_decided();
        refresh_requests
    }

    fn is_strange(&self, packet: &Packet) -> bool {
        packet.direction == Direction::FromPod
            && self.interfaces.carries(packet.ifindex, packet.tuple.source.address) != Some(true)
    }

    /// Decides and forgets what is due. All records until `now_ns` have been taken in, and then
    /// [`Self::kernel_counters`] has told how many were lost.
    pub fn expire(&mut self, now_ns: u64, now: Timestamp) {
        self.judge.set_clock(Clock::new(now_ns, now));
        self.table.expire(now_ns, &self.interfaces, &mut self.decided);
        self.judge_decided();
        self.judge_waiting(now_ns);
        self.judge_held(now_ns);
        for finding in self.findings.expire(now_ns) {
            self.tell(&finding, now);
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.lost(self.seen.kernel_lost, now);
        }
    }

    fn judge_decided(&mut self) {
        let mut decided = std::mem::take(&mut self.decided);
        for mut attempt in decided.drain(..) {
            self.translate(&mut attempt);
            match self.judge.awaits(&attempt, &self.interfaces) {
                Some(until_ns) if self.waiting.len() < MOST_WAITING => {
                    self.waiting.push_back((until_ns, attempt))
                }
                _ => self.judge_one(attempt),
            }
        }
        self.decided = decided;
    }

    /// Puts the endpoint that was chosen in the place of a Service.
    fn translate(&mut self, attempt: &mut Attempt) {
        if !self.judge.lacks_endpoint(attempt) {
            return;
        }
        let service_address = attempt.tuple.destination;
        let tracked = (self.track)(&attempt.tuple);
        if let Some(endpoint) =
            tracked.map(|tracked| tracked.reply.source).filter(|endpoint| *endpoint != service_address)
        {
            attempt.tuple.destination = endpoint;
            attempt.service_address = Some(service_address);
        }
    }

    /// Judges what has waited for a name that has come, or for long enough.
    fn judge_waiting(&mut self, now_ns: u64) {
        for _ in 0..self.waiting.len() {
            let Some((until_ns, attempt)) = self.waiting.pop_front() else { break };
            if now_ns < until_ns && self.judge.awaits(&attempt, &self.interfaces).is_some() {
                self.waiting.push_back((until_ns, attempt));
            } else {
                self.judge_one(attempt);
            }
        }
    }

    /// Whether what seems to open a conversation, against the policies, belongs to one that the other side opened:
    /// connection tracking remembers those for longer than the table does, and from before the agent.
    fn is_answer(&mut self, flow: &Flow) -> bool {
        let tuple = flow.attempt.tuple;
        tuple.protocol == Protocol::Udp
            && flow.outcome == Outcome::NotEnforced
            && (self.track)(&tuple).is_some_and(|tracked| tracked.original.source != tuple.source)
    }

    fn judge_one(&mut self, attempt: Attempt) {
        let mut flow = self.judge.judge(attempt, &self.interfaces);
        if self.is_answer(&flow) {
            flow = self.judge.judge(Attempt { pre_existing: true, ..flow.attempt }, &self.interfaces);
        }
        if !self.rechecks.push_if_suspect(&flow) {
            self.take(flow);
        }
    }

    /// Judges what looked wrong once more, by what has become known since.
    fn judge_held(&mut self, now_ns: u64) {
        while let Some(attempt) = self.rechecks.pop_due(now_ns) {
            let flow = self.judge.judge_until(attempt, &self.interfaces, now_ns);
            self.take(flow);
        }
    }

    fn take(&mut self, flow: Flow) {
        if flow.attempt.is_recheck {
            for finding in self.findings.is_recheck(&flow) {
                self.tell(&finding, flow.time);
            }
            return;
        }
        // One that turned out otherwise counts as both, as in the metrics.
        *self.outcomes.entry(flow.outcome).or_default() += 1;
        self.metrics.flow(&flow);
        if let Some(lines) = &mut self.lines {
            lines.flow(&flow);
        }
        for finding in self.findings.flow(&flow) {
            self.tell(&finding, flow.time);
        }
        if let Some(recorder) = &self.recorder {
            recorder.flow(flow);
        }
    }

    fn tell(&mut self, finding: &crate::model::Finding, at: Timestamp) {
        self.metrics.finding(finding);
        self.metrics.findings_open(finding.key.kind, self.findings.count(finding.key.kind));
        if let Some(lines) = &mut self.lines {
            lines.finding(finding);
        }
        if let Some(events) = &mut self.events {
            events.finding(finding, at);
        }
    }

    /// Takes over what the programs have counted until now.
    pub fn kernel_counters(&mut self, now_ns: u64, read: impl Fn(Counter) -> u64) {
        for counter in Counter::ALL {
            let total = read(counter);
            match counter {
                Counter::PacketRingFull => self.metrics.lost(Lost::PacketRing, total),
                Counter::DropRingFull => self.metrics.lost(Lost::DropRing, total),
                Counter::DropUnreadable => self.metrics.lost(Lost::UnreadableDrop, total),
                Counter::FragmentLater => self.metrics.packets_skipped("fragment_later", total),
                Counter::Truncated => self.metrics.packets_skipped("truncated", total),
                Counter::ExtensionHeaders => self.metrics.packets_skipped("extension_headers", total),
                Counter::OtherProtocol => self.metrics.packets_skipped("other_protocol", total),
            }
        }
        let losses = [Counter::PacketRingFull, Counter::DropRingFull, Counter::DropUnreadable];
        self.seen.kernel_lost = losses.into_iter().map(read).sum();
        self.table.set_lost(self.seen.kernel_lost, now_ns);
    }

    /// Counts the pods of a node, this one, whose traffic is not seen: none of their addresses is behind a veth that has
    /// the programs.
    pub fn count_unseen(&self, node: &str) {
        let Some(state) = self.judge.state() else { return };
        let own = state
            .snapshot()
            .pods()
            .filter(|pod| pod.is_member() && !pod.ips.is_empty() && pod.node.as_deref() == Some(node));
        let unseen = own.filter(|pod| pod.ips.iter().all(|ip| self.interfaces.owner(*ip).is_none()));
        self.metrics.pods_unseen(unseen.count());
    }

    /// The cluster's nodes, each with the first of its addresses.
    #[must_use]
    pub fn nodes(&self) -> Nodes {
        let nodes = self.judge.state().into_iter().flat_map(|state| state.snapshot().nodes());
        nodes.filter_map(|node| Some((Arc::clone(&node.name), *node.ips.first()?))).collect()
    }

    /// Brings sizes and totals in the metrics up to date.
    pub fn refresh_metrics(&self, attached: usize, snapshot_age_seconds: f64) {
        self.metrics.sizes(attached, self.table.len());
        self.metrics.records("packet", self.seen.packets);
        self.metrics.records("icmp_error", self.seen.icmp_errors);
        self.metrics.records("drop", self.seen.drops);
        self.metrics.lost(Lost::Decode, self.seen.undecodable);
        self.metrics.lost(Lost::FlowTable, self.table.stats().evicted_undecided);
        self.metrics.lost(Lost::Findings, self.findings.stats().overflowed);
        self.metrics.lost(Lost::SlowReader, self.lines.as_ref().map_or(0, Lines::lost));
        self.metrics.lost(Lost::Events, self.events.as_ref().map_or(0, Events::lost));
        for kind in FindingKind::ALL {
            self.metrics.findings_open(kind, self.findings.count(kind));
        }
        let generation = self.judge.state().map_or(0, |state| state.snapshot().generation());
        self.metrics.snapshot(generation, snapshot_age_seconds);
    }

    /// The end: tells what was seen, if asked to, and lets go of the lines.
    pub fn finish(mut self, summary: bool) {
        self.judge_waiting(u64::MAX);
        self.judge_held(u64::MAX);
        let Some(mut lines) = self.lines.take() else { return };
        if summary {
            let stats = self.table.stats();
            let lost = self.seen.kernel_lost + self.seen.undecodable + stats.evicted_undecided + lines.lost();
            lines.summary(&Summary { flows: &self.outcomes, findings: self.findings.list(), lost });
        }
    }
}
