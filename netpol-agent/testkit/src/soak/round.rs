//! One round: makes the lab, runs the agent, the enforcer and the traffic, and compares.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    net::SocketAddr,
    path::Path,
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use fastrand::Rng;

use super::{
    Soak,
    attack::{self, Attack},
    cluster,
    enforcement::Enforcement,
    enforcer::{ENFORCERS, Enforcer},
    faults,
    judge::{self, Tally},
    oracle::Epoch,
    plan::{self, Planned},
    policy::{Label, Policy},
    service::{self, Service},
    told, traffic,
    truth::Evidence,
    world::World,
};
use crate::{
    agent::{Agent, Printing},
    netns::{Lab, Namespace, Server},
};

/// The agent's grace window.
const GRACE: Duration = Duration::from_secs(1);

/// From the agent's start to the first connection.
const SETTLE: Duration = Duration::from_millis(1500);

/// From the last connection to the agent's end: longer than it takes the agent to decide on it.
const DECIDED: Duration = Duration::from_millis(9500);

/// When the cluster changes, if it does.
const CHANGE: Duration = Duration::from_millis(1500);
const CHURN: Duration = Duration::from_millis(3500);

/// What one round came to.
#[derive(Debug)]
pub(super) struct Round {
    /// One line about it.
    pub(super) summary: String,
    pub(super) enforcer: &'static str,
    pub(super) tally: Tally,
    /// Connections that could not be made, and why.
    pub(super) failures: Vec<String>,
}

/// What a round does besides opening connections, in the order of time.
#[derive(Clone, Debug)]
enum Event {
    /// Other policies hold.
    Change(Vec<Policy>),
    /// The enforcer takes in the current state.
    Enforce,
    /// The enforcer loses all its rules.
    Forget,
    /// A pod is deleted, and another one takes its addresses.
    Churn(usize, Label),
}

/// What is fixed before a round begins.
struct Script {
    enforcer: Enforcer,
    policies: Vec<Policy>,
    services: Vec<Service>,
    events: Vec<(Duration, Event)>,
    plans: Vec<Planned>,
    attacks: Vec<Attack>,
    loses: bool,
    reorders: bool,
    intercepts: bool,
}

/// What changes in a round.
struct Stage {
    world: World,
    enforcement: Enforcement,
    epochs: Vec<Epoch>,
    start: Instant,
    /// The proxy on the node, if it has one.
    proxy: Option<Server>,
}

/// Runs the round with this seed.
///
/// # Errors
/// The lab can't be made, or the agent can't be started or stopped.
pub(super) fn run(soak: &Soak, seed: u64) -> Result<Round> {
    let mut dice = Rng::with_seed(seed);
    let start = Instant::now();
    let world = World::new(&mut dice, start)?;
    let script = Script::new(&mut dice, &world, seed, soak);
    let enforcement = Enforcement::new(script.enforcer, seed);
    let mut stage = Stage { world, enforcement, epochs: Vec::new(), start, proxy: None };
    stage.prepare(&script)?;
    let agent = start_agent(&soak.agent, &stage.world)?;
    thread::sleep(SETTLE);
    let began = start.elapsed();
    let stage = Mutex::new(stage);
    let failures = perform(&script, &stage)?;
    thread::sleep(DECIDED);
    let (output, _) = agent.end()?;
    let stage = stage.into_inner().unwrap_or_else(PoisonError::into_inner);
    let lines = told::parse(&output)?;
    let enforcer = script.enforcer.name;
    let options = script.options();
    let evidence = stage.end(script, began);
    let tally = judge::compare(&evidence, &lines, seed);
    let connections: u64 = tally.outcomes.values().sum();
    let summary = format!(
        "seed {seed}: {enforcer}{options}: {connections} connections, {} wrong, {:.1} s",
        tally.wrong.len(),
        start.elapsed().as_secs_f32(),
    );
    Ok(Round { summary, enforcer, tally, failures })
}

impl Script {
    fn new(dice: &mut Rng, world: &World, seed: u64, soak: &Soak) -> Self {
        let members = world.members();
        let kinds = ENFORCERS.len() as u64;
        let enforcer = ENFORCERS[(seed % kinds) as usize];
        let mut policies = cluster::policies(dice, &members);
        let services = cluster::services(dice, &members, world.lab.number());
        let mut events = Vec::new();
        let is_late = enforcer.delay > Duration::ZERO;
        let changes = dice.u8(..5) == 0;
        if changes || is_late {
            let next = cluster::policies(dice, &members);
            if is_late {
                policies.clear();
            }
            events.push((CHANGE, Event::Change(next)));
            events.push((CHANGE + enforcer.delay, Event::Enforce));
        }
        let pod = dice.usize(..members.iter().filter(|member| member.is_pod()).count());
        let label = cluster::label(dice);
        let (churns, loses, reorders) = (dice.u8(..5) == 0, dice.u8(..4) == 0, dice.u8(..4) == 0);
        if churns {
            events.push((CHURN, Event::Churn(pod, label)));
            events.push((CHURN, Event::Enforce));
        }
        events.extend(enforcer.forgets_after.map(|at| (at, Event::Forget)));
        events.sort_by_key(|(at, _)| *at);
        let intercepts = dice.u8(..6) == 0;
        let plans = plan::connections(dice, &members, &services, world.node(), soak.connections);
        let attacks =
            if soak.attacks { attack::attacks(dice, &members, world.node(), &plans) } else { Vec::new() };
        Self { enforcer, policies, services, events, plans, attacks, loses, reorders, intercepts }
    }

    /// What this round has beside its enforcer, for people.
    fn options(&self) -> String {
        let mut text = String::new();
        let churns = self.events.iter().any(|(_, event)| matches!(event, Event::Churn(..)));
        let changes = self.events.iter().any(|(_, event)| matches!(event, Event::Change(_)));
        for (is_on, name) in
            [(changes, "a change"), (churns, "churn"), (self.loses, "loss"), (self.reorders, "reordering")]
        {
            if is_on {
                // Writing to a String can't fail.
                let _ = write!(text, ", {name}");
            }
        }
        text
    }
}

impl Stage {
    fn prepare(&mut self, script: &Script) -> Result<()> {
        let Script { policies, services, loses, reorders, intercepts, .. } = script;
        let (world, members) = (&self.world, self.world.members());
        if !services.is_empty() {
            world.lab.nft(&service::ruleset(services, &members, world.node()))?;
        }
        if *loses {
            faults::lose(&world.lab)?;
        }
        if *reorders {
            faults::reorder(&world.lab, &world.pods())?;
        }
        if *intercepts {
            self.proxy = Some(faults::intercept(&self.world.lab)?);
        }
        self.declare(policies.clone(), services)?;
        self.enforce()
    }

    /// Makes these policies and the current pods known.
    fn declare(&mut self, policies: Vec<Policy>, services: &[Service]) -> Result<()> {
        let epoch = Epoch { since: self.start.elapsed(), members: self.world.members(), policies };
        self.world.write_manifests(&epoch.policies, services)?;
        self.epochs.push(epoch);
        Ok(())
    }

    fn enforce(&mut self) -> Result<()> {
        let Some(epoch) = self.epochs.last() else { return Ok(()) };
        self.enforcement.enforce(&self.world.lab, &self.world.pods(), epoch, self.start.elapsed())
    }

    fn play(&mut self, event: &Event, services: &[Service]) -> Result<()> {
        match event {
            Event::Change(policies) => self.declare(policies.clone(), services),
            Event::Enforce => self.enforce(),
            Event::Forget => {
                self.enforcement.forget(&self.world.lab, &self.world.pods(), self.start.elapsed())
            }
            Event::Churn(number, label) => self.churn(*number, *label, services),
        }
    }

    fn churn(&mut self, number: usize, label: Label, services: &[Service]) -> Result<()> {
        let policies = self.epochs.last().map(|epoch| epoch.policies.clone()).unwrap_or_default();
        let mut members = self.world.members();
        members[number].ips.clear();
        self.epochs.push(Epoch { since: self.start.elapsed(), members, policies: policies.clone() });
        self.world.delete(number)?;
        self.world.replace(number, label)?;
        self.declare(policies, services)
    }

    /// Stops to record, and joins what is known.
    fn end(self, mut script: Script, began: Duration) -> Evidence {
        let members = self.world.members();
        let mut services = BTreeMap::<SocketAddr, Vec<SocketAddr>>::new();
        for service in &script.services {
            let endpoints = service.endpoints(&members);
            let node = service
                .node_port
                .map(|port| SocketAddr::new(self.world.node()[usize::from(service.address.is_ipv6())], port));
            for way in [Some(service.address), node].into_iter().flatten() {
                services.insert(way, endpoints.clone());
            }
        }
        for plan in &mut script.plans {
            plan.at += began;
        }
        Evidence::new(self.epochs, self.enforcement, script.plans, services, GRACE, &self.world.end())
    }
}

/// Opens all connections, each on a thread of its own, and plays the events. Returns why some could not be made.
fn perform(script: &Script, stage: &Mutex<Stage>) -> Result<Vec<String>> {
    let start = Instant::now();
    let failures = Mutex::new(Vec::new());
    let lock = || stage.lock().unwrap_or_else(PoisonError::into_inner);
    let wait = |at: Duration| thread::sleep(at.saturating_sub(start.elapsed()));
    let pods = Mutex::new(lock().world.pods());
    let node = Namespace::open(&lock().world.lab.path())?;
    thread::scope(|scope| {
        let events = scope.spawn(|| -> Result<()> {
            for (at, event) in &script.events {
                wait(*at);
                let mut stage = lock();
                stage.play(event, &script.services).with_context(|| format!("playing {event:?}"))?;
                *pods.lock().unwrap_or_else(PoisonError::into_inner) = stage.world.pods();
            }
            Ok(())
        });
        let attacks = scope.spawn(|| {
            for attack in &script.attacks {
                wait(attack.at);
                let pods = pods.lock().unwrap_or_else(PoisonError::into_inner).clone();
                // An attacker may be gone.
                scope.spawn(move || drop(attack.run(&pods)));
            }
        });
        for plan in &script.plans {
            wait(plan.at);
            let pods = pods.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let (node, failures) = (&node, &failures);
            scope.spawn(move || {
                if let Err(error) = traffic::run(plan, node, &pods) {
                    let failure = format!("{}: {error:#}", plan.tuple);
                    failures.lock().unwrap_or_else(PoisonError::into_inner).push(failure);
                }
            });
        }
        attacks.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        events.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })?;
    Ok(failures.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn start_agent(binary: &Path, world: &World) -> Result<Agent> {
    let text = |path: &Path| path.display().to_string();
    let mut arguments = vec!["run".to_owned(), "--manifests".to_owned(), text(world.manifests())];
    arguments.extend(["--output", "json", "--node", Lab::NODE].map(str::to_owned));
    arguments.extend(["--grace".to_owned(), GRACE.as_secs().to_string()]);
    Agent::start(&world.lab, binary, arguments, Printing::Kept)
}
