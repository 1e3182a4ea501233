//! Writes an enforcer's bans as classic BPF for TC, in the form that `tc filter … bpf bytecode` takes.

use std::net::IpAddr;

use super::{enforcer::Ban, tuple::Transport};

/// `TC_ACT_SHOT`.
const SHOT: u32 = 2;
/// `TC_ACT_UNSPEC`: the next filter decides.
const NEXT: u32 = u32::MAX;

const LOAD_WORD: u16 = 0x20;
const LOAD_HALF: u16 = 0x28;
const LOAD_BYTE: u16 = 0x30;
const LOAD_HALF_INDEXED: u16 = 0x48;
const LOAD_BYTE_INDEXED: u16 = 0x50;
const LOAD_HEADER_LENGTH: u16 = 0xb1;
const SET_INDEX: u16 = 0x01;
const JUMP_EQUAL: u16 = 0x15;
const AND: u16 = 0x54;
const RETURN: u16 = 0x06;

/// The link-layer header is in front.
const LINK: u32 = 14;

/// An instruction: code, jump if true, jump if false, value.
type Instruction = (u16, u8, u8, u32);

/// The program that drops what the bans are about. TCP segments other than the first of a connection pass.
pub(super) fn program(bans: &[Ban]) -> String {
    let mut program = Vec::new();
    for ban in bans {
        for transport in [Transport::Tcp, Transport::Udp, Transport::Sctp] {
            let ports = ban.ports.iter().flatten().filter(|(of, _)| *of == transport);
            let ports: Vec<u16> = ports.map(|(_, port)| *port).collect();
            if !ports.is_empty() {
                program.extend(block(ban.from, ban.to, transport, &ports));
            }
        }
    }
    program.push((RETURN, 0, 0, NEXT));
    let lines: Vec<_> =
        program.iter().map(|(code, yes, no, value)| format!("{code} {yes} {no} {value}")).collect();
    format!("{},{}", lines.len(), lines.join(","))
}

/// Drops packets to some ports, and goes on behind its own end with all others.
fn block(from: IpAddr, to: IpAddr, transport: Transport, ports: &[u16]) -> Vec<Instruction> {
    // What to load, and what it must be.
    let mut tests: Vec<(Instruction, u32)> = Vec::new();
    let mut test = |code: u16, at: u32, value: u32| tests.push(((code, 0, 0, at), value));
    let (index, addresses) = match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            test(LOAD_HALF, 12, 0x0800);
            test(LOAD_BYTE, LINK + 9, transport.number().into());
            let index = (LOAD_HEADER_LENGTH, 0, 0, LINK);
            (index, vec![(LINK + 12, u32::from(from)), (LINK + 16, u32::from(to))])
        }
        (from, to) => {
            test(LOAD_HALF, 12, 0x86dd);
            test(LOAD_BYTE, LINK + 6, transport.number().into());
            let all = words(from).into_iter().chain(words(to));
            let at = (0..8).map(|word| LINK + 8 + 4 * word);
            ((SET_INDEX, 0, 0, 40), at.zip(all).collect())
        }
    };
    for (at, value) in addresses {
        test(LOAD_WORD, at, value);
    }
    let mut tail = vec![index];
    if transport == Transport::Tcp {
        let jump = ports.len() as u8 + 2;
        tail.extend([(LOAD_BYTE_INDEXED, 0, 0, LINK + 13), (AND, 0, 0, 0x12), (JUMP_EQUAL, 0, jump, 0x02)]);
    }
    tail.push((LOAD_HALF_INDEXED, 0, 0, LINK + 2));
    for (number, port) in ports.iter().enumerate() {
        let left = (ports.len() - number - 1) as u8;
        tail.push((JUMP_EQUAL, left, u8::from(left == 0), u32::from(*port)));
    }
    tail.push((RETURN, 0, 0, SHOT));
    assemble(&tests, tail)
}

/// The four words of an IPv6 address.
fn words(ip: IpAddr) -> [u32; 4] {
    let bits = if let IpAddr::V6(ip) = ip { u128::from(ip) } else { 0 };
    [96, 64, 32, 0].map(|shift| (bits >> shift) as u32)
}

/// The tests, of which each that fails leads behind the tail.
fn assemble(tests: &[(Instruction, u32)], tail: Vec<Instruction>) -> Vec<Instruction> {
    let mut block = Vec::new();
    for (number, (load, value)) in tests.iter().enumerate() {
        let left = 2 * (tests.len() - number - 1) + tail.len();
        block.push(*load);
        block.push((JUMP_EQUAL, 0, left as u8, *value));
    }
    block.extend(tail);
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jumps_stay_inside_or_lead_just_behind() {
        for (from, to) in [("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")] {
            for transport in [Transport::Tcp, Transport::Udp] {
                let block = block(from.parse().unwrap(), to.parse().unwrap(), transport, &[80, 81, 82]);
                let end = block.len();
                let jumps = block.iter().enumerate().filter(|(_, (code, ..))| *code == JUMP_EQUAL);
                for (at, (_, yes, no, value)) in jumps {
                    let (yes, no) = (at + 1 + usize::from(*yes), at + 1 + usize::from(*no));
                    match value {
                        80 | 81 => assert_eq!((yes, no), (end - 1, at + 1)),
                        82 => assert_eq!((yes, no), (end - 1, end)),
                        _ => assert_eq!((yes, no), (at + 1, end)),
                    }
                }
            }
        }
    }
}
