//! The lab of one round: pods and hosts outside, each with servers and a sniffer, and the manifests of the cluster.

use std::{fs, net::IpAddr, path::Path, time::Instant};

use anyhow::{Context as _, Result};
use fastrand::Rng;
use tempfile::TempDir;

use super::{
    cluster::{label, pick},
    member::{Member, NAMESPACES},
    policy::{Label, Policy},
    service::Service,
    sniffer::{Sights, Sniffer},
    traffic,
};
use crate::netns::{Lab, Pod, PodSpec, Server, Stack};

/// A pod or host with what runs in it.
#[derive(Debug)]
struct Place {
    member: Member,
    pod: Pod,
    sniffer: Sniffer,
    /// They stop when they are dropped.
    _servers: Vec<Server>,
}

/// The lab of one round.
#[derive(Debug)]
pub(super) struct World {
    pub(super) lab: Lab,
    start: Instant,
    places: Vec<Place>,
    /// What was seen at pods that are gone.
    gone: Vec<Sights>,
    manifests: TempDir,
}

impl World {
    /// Makes three to ten pods, and up to two hosts outside. Packets are recorded from now on, with times since `start`.
    ///
    /// # Errors
    /// The process lacks root's capabilities, or a tool fails.
    pub(super) fn new(dice: &mut Rng, start: Instant) -> Result<Self> {
        let lab = Lab::new()?;
        for (namespace, (key, value)) in NAMESPACES {
            lab.label_namespace(namespace, key, value);
        }
        let mut world = Self {
            lab,
            start,
            places: Vec::new(),
            gone: Vec::new(),
            manifests: TempDir::with_prefix("netpol-soak-").context("making a folder for manifests")?,
        };
        for number in 0..dice.usize(3..=10) {
            let namespace = pick(dice, &NAMESPACES).0;
            let stack = *pick(dice, &[Stack::Dual, Stack::Dual, Stack::Dual, Stack::V4, Stack::V6]);
            let label = label(dice);
            let spec = PodSpec::new(namespace, &format!("pod-{number}")).stack(stack);
            world.add(spec.label(label.0, label.1), namespace, format!("pod-{number}"), label)?;
        }
        for (name, is_bridged) in [("outside", false), ("beyond", true)] {
            let spec = PodSpec::outside(name).dual_stack();
            let spec = if is_bridged { spec.bridged() } else { spec };
            if dice.u8(..10) < 7 {
                world.add(spec, "", name.to_owned(), ("", ""))?;
            }
        }
        Ok(world)
    }

    /// The current pods and hosts outside, as policies see them.
    pub(super) fn members(&self) -> Vec<Member> {
        self.places.iter().map(|place| place.member.clone()).collect()
    }

    /// The current pods and hosts, in the order of [`Self::members`].
    pub(super) fn pods(&self) -> Vec<Pod> {
        self.places.iter().map(|place| place.pod.clone()).collect()
    }

    /// The node's addresses, IPv4 first.
    pub(super) fn node(&self) -> [IpAddr; 2] {
        [self.lab.node_ipv4().into(), self.lab.node_ipv6().into()]
    }

    /// The folder with the cluster's manifests.
    pub(super) fn manifests(&self) -> &Path {
        self.manifests.path()
    }

    /// Writes the manifests of the pods, and these policies and Services.
    ///
    /// # Errors
    /// The folder can't be written to.
    pub(super) fn write_manifests(&self, policies: &[Policy], services: &[Service]) -> Result<()> {
        let members = self.members();
        let mut text: String = policies.iter().map(Policy::manifest).collect();
        text.extend(services.iter().map(|service| service.manifest(&members)));
        let (draft, file) = (self.manifests().join("rest.draft"), self.manifests().join("rest.yaml"));
        fs::write(&draft, text).with_context(|| format!("writing {}", draft.display()))?;
        fs::rename(&draft, &file).with_context(|| format!("replacing {}", file.display()))?;
        self.lab.write_manifests(self.manifests())
    }

    /// Deletes a pod.
    ///
    /// # Errors
    /// Its interface does not exist.
    pub(super) fn delete(&mut self, number: usize) -> Result<()> {
        self.lab.delete_pod(&self.places[number].pod)
    }

    /// Makes a pod with the addresses of a deleted one, with another name and label.
    ///
    /// # Errors
    /// A tool fails.
    pub(super) fn replace(&mut self, number: usize, label: Label) -> Result<()> {
        let old = &self.places[number].member;
        let (namespace, name) = (old.namespace, format!("{}-again", old.name));
        let spec = PodSpec::new(namespace, &name).label(label.0, label.1);
        let spec = old.ips.iter().fold(spec, |spec, ip| spec.address(*ip));
        self.add(spec, namespace, name, label)?;
        let old = self.places.swap_remove(number);
        self.gone.push(old.sniffer.stop(old.member.ips));
        Ok(())
    }

    /// Stops to record. Returns all that was seen.
    pub(super) fn end(self) -> Vec<Sights> {
        let current = self.places.into_iter().map(|place| place.sniffer.stop(place.member.ips));
        self.gone.into_iter().chain(current).collect()
    }

    fn add(&mut self, spec: PodSpec, namespace: &'static str, name: String, label: Label) -> Result<()> {
        let (pod, sniffer) = self.lab.add_pod_with(spec, |netns| Sniffer::start(netns, self.start))?;
        let servers = traffic::listen(&pod)?;
        let member = Member { name, namespace, label, ips: pod.ips() };
        self.places.push(Place { member, pod, sniffer, _servers: servers });
        Ok(())
    }
}
