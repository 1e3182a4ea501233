//! A minimal HTTP client, which stands for Prometheus and the kubelet.

use std::{
    io::{self, Read as _, Write as _},
    net::{TcpStream, ToSocketAddrs},
    time::Duration,
};

/// The timeout for a response.
const ANSWER: Duration = Duration::from_secs(10);

/// Sends a GET request for a path, from the network namespace of this thread. Returns the response with its headers.
///
/// # Errors
/// No server listens, or the response does not end in time.
pub fn get(at: impl ToSocketAddrs, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(at)?;
    stream.set_read_timeout(Some(ANSWER))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
