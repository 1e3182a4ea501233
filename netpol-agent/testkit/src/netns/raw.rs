//! Sends raw frames, with any content.

use std::os::fd::AsRawFd as _;

use anyhow::{Context as _, Result};
use nix::{
    ifaddrs::getifaddrs,
    sys::socket::{AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, sendto, socket},
};

use super::{Lab, Namespace, Pod, pod::Mac};

const ETHERTYPE_VLAN: [u8; 2] = [0x81, 0x00];

impl Pod {
    /// Sends a packet that begins with its IP header out of the pod's interface.
    ///
    /// # Errors
    /// The interface does not exist, or is down.
    pub fn send(&self, packet: &[u8]) -> Result<()> {
        self.send_tagged(&[], packet)
    }

    /// Sends many packets that begin with their IP header out of the pod's interface, one after another.
    ///
    /// # Errors
    /// The interface does not exist, or is down.
    pub fn send_all(&self, packets: &[Vec<u8>]) -> Result<()> {
        let frames = packets.iter().map(|packet| frame(self.inner.host_mac, self.inner.mac, &[], packet));
        let frames: Vec<_> = frames.collect();
        transmit(self, Self::IFNAME, &frames)
    }

    /// Like [`Self::send`], with these VLAN tags, outermost first.
    ///
    /// # Errors
    /// The interface does not exist, or is down.
    pub fn send_tagged(&self, vlans: &[u16], packet: &[u8]) -> Result<()> {
        let frame = frame(self.inner.host_mac, self.inner.mac, vlans, packet);
        self.send_frame(&frame)
    }

    /// Sends these bytes, from the link-layer header on, out of the pod's interface.
    ///
    /// # Errors
    /// The interface does not exist, or is down.
    pub fn send_frame(&self, frame: &[u8]) -> Result<()> {
        transmit(self, Self::IFNAME, &[frame])
    }
}

impl Lab {
    /// Sends a packet that begins with its IP header to a pod, through the veth's host end. It bypasses the node's
    /// routing and packet filter.
    ///
    /// # Errors
    /// The pod's interface does not exist, or is down.
    pub fn send_to(&self, pod: &Pod, vlans: &[u16], packet: &[u8]) -> Result<()> {
        let frame = frame(pod.inner.mac, pod.inner.host_mac, vlans, packet);
        transmit(self, pod.host_ifname(), &[frame])
    }
}

fn frame(to: Mac, from: Mac, vlans: &[u16], packet: &[u8]) -> Vec<u8> {
    let mut frame = [to, from].concat();
    for vlan in vlans {
        frame.extend(ETHERTYPE_VLAN);
        frame.extend(vlan.to_be_bytes());
    }
    let ipv4 = packet.first().is_none_or(|byte| byte >> 4 == 4);
    frame.extend(if ipv4 { [0x08, 0x00] } else { [0x86, 0xdd] });
    frame.extend(packet);
    frame
}

fn transmit(netns: &Namespace, ifname: &str, frames: &[impl AsRef<[u8]> + Sync]) -> Result<()> {
    let bytes: usize = frames.iter().map(|frame| frame.as_ref().len()).sum();
    let context = || format!("sending {bytes} bytes out of {ifname}");
    netns
        .run(|| {
            let link = link(ifname)?;
            // Protocol 0: this socket receives nothing.
            let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None)?;
            for frame in frames {
                sendto(socket.as_raw_fd(), frame.as_ref(), &link, MsgFlags::empty())?;
            }
            anyhow::Ok(())
        })?
        .with_context(context)
}

/// The interface's link-layer socket address, in the network namespace of this thread.
fn link(ifname: &str) -> Result<LinkAddr> {
    let address = getifaddrs()?
        .filter(|interface| interface.interface_name == ifname)
        .find_map(|interface| interface.address?.as_link_addr().copied());
    address.context("there is no such interface")
}
