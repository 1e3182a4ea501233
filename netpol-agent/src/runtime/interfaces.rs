//! Attaches the eBPF programs to the node's pod interfaces, and retries where the kernel refuses.
//!
//! It translates the kernel's interface events to the pipeline's inputs.

use std::{collections::BTreeMap, sync::Arc};

use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::{
    kernel::{AttachError, AttachMode, Hook, Hooks, InterfaceEvent, Programs, monotonic_now},
    model::{Monotonic, Place},
    pipeline::InterfaceChange,
    sink::metrics::Metrics,
};

/// An interface to which the programs are not attached yet.
struct Unattached {
    name: Arc<str>,
    hooks: Hooks,
    /// When the interface was created. `None` if it existed before the agent started.
    created_at: Option<Monotonic>,
    /// True if the failure was logged.
    is_logged: bool,
}

/// Attaches the programs to interfaces as they are added.
pub(super) struct Interfaces {
    programs: Programs,
    refresh: mpsc::Sender<u32>,
    metrics: Metrics,
    /// Inode of the node's network namespace; `None` if it could not be read.
    host_netns: Option<u32>,
    /// The interfaces to retry, by interface index.
    unattached: BTreeMap<u32, Unattached>,
    /// True once all interfaces that existed at the start have been reported.
    is_synced: bool,
}

impl Interfaces {
    pub(super) fn new(
        programs: Programs,
        refresh: mpsc::Sender<u32>,
        metrics: Metrics,
        host_netns: Option<u32>,
    ) -> Self {
        Self { programs, refresh, metrics, host_netns, unattached: BTreeMap::new(), is_synced: false }
    }

    /// The number of interfaces to which the programs are attached.
    pub(super) fn attached(&self) -> usize {
        self.programs.attached()
    }

    /// How the programs are attached.
    pub(super) fn mode(&self) -> AttachMode {
        self.programs.mode()
    }

    /// Detaches the programs from all interfaces.
    pub(super) fn detach_all(&mut self) {
        self.programs.detach_all();
    }

    /// Handles an event, and passes the resulting changes to `out`.
    pub(super) fn handle(&mut self, event: InterfaceEvent, out: &mut impl FnMut(InterfaceChange)) {
        match event {
            InterfaceEvent::Added { ifindex, name, hooks, at } => {
                let created_at = self.is_synced.then_some(at);
                self.attach(ifindex, Unattached { name, hooks, created_at, is_logged: false }, out);
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
            InterfaceEvent::Exits { watched, is_complete } => {
                let attached = self.programs.attach_exits(&watched);
                if let Err(error) = &attached {
                    warn!("{error}: not all packets that leave the node are observed");
                    self.metrics.attach_error();
                }
                let is_complete = is_complete && attached.is_ok();
                out(InterfaceChange::Exits { is_complete, at: monotonic_now() });
            }
            InterfaceEvent::Synced => {
                self.is_synced = true;
                if self.programs.attached() == 0 {
                    warn!(
                        "no pod is observed yet: where this node has pods, their network namespaces are in another folder \
                         (--netns-dir)"
                    );
                }
                out(InterfaceChange::Synced);
            }
            InterfaceEvent::Resynced => {
                warn!("netlink messages were lost; the agent has listed all interfaces again");
                self.metrics.netlink_resync();
            }
        }
    }

    /// Attaches the programs. If that fails, the interface is retried until it is removed.
    fn attach(&mut self, ifindex: u32, mut interface: Unattached, out: &mut impl FnMut(InterfaceChange)) {
        match self.programs.attach(ifindex, &interface.hooks) {
            Ok(()) => {
                let Unattached { name, hooks, created_at, .. } = interface;
                return out(InterfaceChange::Attached {
                    ifindex,
                    name,
                    places: [&hooks.from_pod, &hooks.to_pod].map(|hook| self.place(hook)).into(),
                    is_inside: hooks.is_inside(),
                    at: monotonic_now(),
                    created_at,
                });
            }
            Err(error @ AttachError::Refused { .. }) if !interface.is_logged => {
                warn!("{error}: connections of its pod are not observed until the programs can be attached");
                self.metrics.attach_error();
                interface.is_logged = true;
            }
            Err(_) => {}
        }
        self.unattached.insert(ifindex, interface);
    }

    /// Returns how records name the interface of a hook.
    fn place(&self, hook: &Hook) -> Place {
        let netns = hook.namespace.as_ref().map(|namespace| namespace.inode()).or(self.host_netns);
        Place { netns: netns.unwrap_or_default(), ifindex: hook.ifindex }
    }

    /// Retries the interfaces to which the programs could not be attached.
    pub(super) fn retry(&mut self, out: &mut impl FnMut(InterfaceChange)) {
        for (ifindex, interface) in std::mem::take(&mut self.unattached) {
            self.attach(ifindex, interface, out);
            if self.programs.is_attached(ifindex) {
                info!("attached to the interface with index {ifindex} after a retry");
                // Its addresses were reported before the pipeline knew the interface.
                let _ = self.refresh.try_send(ifindex);
            }
        }
    }
}
