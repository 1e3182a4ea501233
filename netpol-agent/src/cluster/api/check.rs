//! Checks of single values, and the errors that name the field.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

use crate::model::{FieldPath, Protocol, Step};

/// A field that the API server would refuse.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct Invalid {
    /// Which field.
    pub path: FieldPath,
    /// What is wrong, and what would be right.
    pub reason: String,
}

/// Where a check is in an object: a list through the stack, so that a path is only written down for an error.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    outer: Option<&'a At<'a>>,
    step: Here<'a>,
}

#[derive(Clone, Copy)]
enum Here<'a> {
    Key(&'a str),
    Index(usize),
}

impl<'a> At<'a> {
    pub(super) fn root(key: &'a str) -> Self {
        Self { outer: None, step: Here::Key(key) }
    }

    pub(super) fn key(&'a self, key: &'a str) -> Self {
        Self { outer: Some(self), step: Here::Key(key) }
    }

    pub(super) fn index(&'a self, index: usize) -> Self {
        Self { outer: Some(self), step: Here::Index(index) }
    }

    pub(super) fn invalid(&self, reason: impl Into<String>) -> Invalid {
        let mut steps = Vec::new();
        let mut at = Some(self);
        while let Some(here) = at {
            steps.push(match here.step {
                Here::Key(key) => Step::Key(key.into()),
                Here::Index(index) => Step::Index(index),
            });
            at = here.outer;
        }
        steps.reverse();
        Invalid { path: FieldPath(steps), reason: reason.into() }
    }
}

/// Converts each item of a list, naming the one that is wrong.
pub(super) fn each<T, U>(
    at: At<'_>,
    items: Vec<T>,
    convert: impl Fn(T, At<'_>) -> Result<U, Invalid>,
) -> Result<Vec<U>, Invalid> {
    items.into_iter().enumerate().map(|(i, item)| convert(item, at.index(i))).collect()
}

/// An address. An IPv4 address in IPv6 form is the IPv4 address.
pub(super) fn ip(text: &str, at: At<'_>) -> Result<IpAddr, Invalid> {
    match text.parse::<IpAddr>() {
        Ok(ip) => Ok(ip.to_canonical()),
        Err(_) => Err(at.invalid(format!("{text:?} is no IP address"))),
    }
}

/// A range of addresses. Old objects may have host bits or leading zeros, which the API server once took: bits are
/// cleared, and zeros mean nothing.
pub(super) fn cidr(text: &str, at: At<'_>) -> Result<IpNet, Invalid> {
    let fail =
        || at.invalid(format!("{text:?} is no CIDR: write an address range such as 10.0.0.0/8 or fd00::/8"));
    let (address, length) = text.split_once('/').ok_or_else(fail)?;
    if length.is_empty() || !length.bytes().all(|b| b.is_ascii_digit()) {
        return Err(fail());
    }
    let length: u8 = length.parse().map_err(|_| fail())?;
    let address = address.parse().or_else(|_| without_zeros(address).ok_or(())).map_err(|()| fail())?;
    let net = match (address, length) {
        (IpAddr::V6(v6), 96..) if v6.to_ipv4_mapped().is_some() => {
            let v4 = v6.to_ipv4_mapped().ok_or_else(fail)?;
            IpNet::V4(Ipv4Net::new(v4, length - 96).map_err(|_| fail())?)
        }
        (address, length) => IpNet::new(address, length).map_err(|_| fail())?,
    };
    Ok(net.trunc())
}

/// An IPv4 address whose numbers may start with zeros; they are decimal all the same.
fn without_zeros(text: &str) -> Option<IpAddr> {
    let numbers: Vec<u8> = text
        .split('.')
        .map(|part| part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok()).flatten())
        .collect::<Option<_>>()?;
    let octets: [u8; 4] = numbers.try_into().ok()?;
    Some(IpAddr::V4(Ipv4Addr::from(octets)))
}

/// A protocol that policies and ports can name; TCP where none is given.
pub(super) fn protocol(text: Option<&str>, at: At<'_>) -> Result<Protocol, Invalid> {
    match text {
        None | Some("TCP") => Ok(Protocol::Tcp),
        Some("UDP") => Ok(Protocol::Udp),
        Some("SCTP") => Ok(Protocol::Sctp),
        Some(other) => Err(at.invalid(format!("{other:?} is no protocol here: use TCP, UDP or SCTP"))),
    }
}

/// A port number.
pub(super) fn port(number: i64, at: At<'_>) -> Result<u16, Invalid> {
    match u16::try_from(number) {
        Ok(port @ 1..) => Ok(port),
        _ => Err(at.invalid(format!("{number} is no port: use 1 to 65535"))),
    }
}

/// A port name, by the rules for service names (RFC 6335).
pub(super) fn port_name(name: &str, at: At<'_>) -> Result<Box<str>, Invalid> {
    let form = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    let letter = name.bytes().any(|b| b.is_ascii_lowercase());
    let dashes = name.starts_with('-') || name.ends_with('-') || name.contains("--");
    if form && letter && !dashes && name.len() <= 15 {
        return Ok(name.into());
    }
    Err(at.invalid(format!(
        "{name:?} is no port name: at most 15 of a-z, 0-9 and single inner dashes, with a letter (a number goes without quotes)"
    )))
}

/// A label's key: an optional DNS prefix, a slash, and a name.
pub(super) fn label_key(key: &str, at: At<'_>) -> Result<(), Invalid> {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let named = !name.is_empty() && name.len() <= 63 && qualified(name);
    if named && prefix.is_none_or(is_dns_subdomain) {
        return Ok(());
    }
    Err(at.invalid(format!(
        "{key:?} is no label key: [prefix/]name, the name at most 63 of A-Z, a-z, 0-9, -, _ and ."
    )))
}

/// A label's value.
pub(super) fn label_value(value: &str, at: At<'_>) -> Result<(), Invalid> {
    if value.is_empty() || (value.len() <= 63 && qualified(value)) {
        return Ok(());
    }
    Err(at.invalid(format!("{value:?} is no label value: at most 63 of A-Z, a-z, 0-9, -, _ and .")))
}

fn qualified(text: &str) -> bool {
    let inner = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    let alphanumeric = |c: char| c.is_ascii_alphanumeric();
    inner && text.starts_with(alphanumeric) && text.ends_with(alphanumeric)
}

/// A name such as most objects have.
pub(super) fn is_dns_subdomain(text: &str) -> bool {
    text.len() <= 253
        && text.split('.').all(|label| {
            let form = label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
            form && !label.is_empty() && !label.starts_with('-') && !label.ends_with('-')
        })
}
