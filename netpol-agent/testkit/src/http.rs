//! Plain HTTP, as a scraper or the kubelet speaks it.

use std::{
    io::{self, Read as _, Write as _},
    net::{TcpStream, ToSocketAddrs},
    time::Duration,
};

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(10);

/// Asks for a path, from the network namespace of this thread; the answer with its head.
///
/// # Errors
/// Nobody listens, or the answer does not end.
pub fn get(at: impl ToSocketAddrs, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(at)?;
    stream.set_read_timeout(Some(ANSWER))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
