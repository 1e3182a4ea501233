//! Where clouds tell a machine who it is, and hand out its credentials to whoever asks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The addresses of metadata services, as the clouds' documentation has them: AWS, Azure, Google Cloud, OpenStack and
/// others share the first; then AWS's for tasks and for pods, Alibaba Cloud's, and the IPv6 ones of AWS and Google Cloud.
pub const METADATA_ADDRESSES: [IpAddr; 7] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 23)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
];

/// Whether an address is that of a cloud's metadata service.
#[must_use]
pub fn is_metadata_address(address: IpAddr) -> bool {
    METADATA_ADDRESSES.contains(&address)
}
