//! The node's pod interfaces: attaching the programs to them, again and again where that is refused.

use std::{collections::BTreeMap, sync::Arc};

use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::{
    kernel::{AttachError, AttachMode, InterfaceEvent, Programs, monotonic_now},
    model::Monotonic,
    pipeline::InterfaceChange,
    sink::metrics::Metrics,
};

/// An interface that the programs are to be attached to.
struct Unattached {
    name: Arc<str>,
    /// When the interface was created, if the agent was watching by then.
    created_at: Option<Monotonic>,
    /// Whether a refusal was logged.
    is_logged: bool,
}

/// Attaches the programs to interfaces as they come.
pub(super) struct Interfaces {
    programs: Programs,
    refresh: mpsc::Sender<u32>,
    metrics: Metrics,
    unattached: BTreeMap<u32, Unattached>,
    /// Whether all interfaces that were there at the start have been found.
    is_synced: bool,
}

impl Interfaces {
    pub(super) fn new(programs: Programs, refresh: mpsc::Sender<u32>, metrics: Metrics) -> Self {
        Self { programs, refresh, metrics, unattached: BTreeMap::new(), is_synced: false }
    }

    /// Interfaces that have the programs.
    pub(super) fn attached(&self) -> usize {
        self.programs.attached()
    }

    /// How programs are attached.
    pub(super) fn mode(&self) -> AttachMode {
        self.programs.mode()
    }

    /// Detaches the programs from all interfaces.
    pub(super) fn detach_all(&mut self) {
        self.programs.detach_all();
    }

    /// Does what an event asks for, and hands out the changes that come of it.
    pub(super) fn handle(&mut self, event: InterfaceEvent, out: &mut impl FnMut(InterfaceChange)) {
        match event {
            InterfaceEvent::Added { ifindex, name, at } => {
                let created_at = self.is_synced.then_some(at);
                self.attach(ifindex, Unattached { name, created_at, is_logged: false }, out);
            }
            InterfaceEvent::Addresses { ifindex, addresses } => {
                out(InterfaceChange::Addresses { ifindex, addresses });
            }
            InterfaceEvent::Removed { ifindex, at } => {
                self.unattached.remove(&ifindex);
                self.programs.forget(ifindex);
                out(InterfaceChange::Removed { ifindex, at });
            }
            InterfaceEvent::Host(addresses) => out(InterfaceChange::Host(addresses)),
            InterfaceEvent::Synced => {
                self.is_synced = true;
                out(InterfaceChange::Synced);
            }
            InterfaceEvent::Resynced => {
                warn!("link messages were missed; the list of veths was read anew");
                self.metrics.netlink_resync();
            }
        }
    }

    /// Attaches the programs; where that fails, it is tried again until the interface is gone.
    fn attach(&mut self, ifindex: u32, mut interface: Unattached, out: &mut impl FnMut(InterfaceChange)) {
        match self.programs.attach(ifindex) {
            Ok(()) => {
                let Unattached { name, created_at, .. } = interface;
                return out(InterfaceChange::Attached { ifindex, name, at: monotonic_now(), created_at });
            }
            Err(error @ AttachError::Refused { .. }) if !interface.is_logged => {
                warn!("{error}: connections of its pod are not seen until the kernel agrees");
                self.metrics.attach_error();
                interface.is_logged = true;
            }
            Err(_) => {}
        }
        self.unattached.insert(ifindex, interface);
    }

    /// Tries once more what was refused.
    pub(super) fn retry(&mut self, out: &mut impl FnMut(InterfaceChange)) {
        for (ifindex, interface) in std::mem::take(&mut self.unattached) {
            self.attach(ifindex, interface, out);
            if self.programs.is_attached(ifindex) {
                info!("attached to the interface with index {ifindex} after all");
                // Its addresses were reported while nobody knew of it.
                let _ = self.refresh.try_send(ifindex);
            }
        }
    }
}
