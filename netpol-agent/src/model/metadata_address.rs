//! The addresses of the clouds' metadata services, which return a machine's identity and credentials.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The addresses of metadata services, from the clouds' documentation. AWS, Azure, Google Cloud, OpenStack and others
/// share the first one. The others are, in order: AWS for tasks, AWS for pods, Alibaba Cloud, AWS over IPv6 (two),
/// Google Cloud over IPv6.
pub const METADATA_ADDRESSES: [IpAddr; 7] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 23)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
];

/// Returns whether an address belongs to a cloud's metadata service.
#[must_use]
pub fn is_metadata_address(address: IpAddr) -> bool {
    METADATA_ADDRESSES.contains(&address)
}
