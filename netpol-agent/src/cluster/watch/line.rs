//! Reads a response line by line, with a limit on the length of a line and a timeout.

use std::time::Duration;

use futures::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _};
use tokio::time::timeout;

use super::{WatchError, watch_error::chain};

/// The longest line, in bytes. etcd's limit for an object is 1.5 MB, or 8 MB if it is raised. JSON needs more space
/// than the stored form.
const MAX_LINE: u64 = 32 << 20;

/// A response that is read line by line.
pub(super) struct LineReader<R> {
    reader: R,
    line: Vec<u8>,
}

impl<R: AsyncBufRead + Unpin> LineReader<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, line: Vec::new() }
    }

    /// Reads the next line. It must arrive within `patience`. `None` at the regular end of the response.
    pub(super) async fn next(&mut self, patience: Duration) -> Result<Option<&[u8]>, WatchError> {
        self.line.clear();
        // Do not keep a large buffer forever because of one large object.
        self.line.shrink_to(64 << 10);
        let mut limited = (&mut self.reader).take(MAX_LINE);
        let read = timeout(patience, limited.read_until(b'\n', &mut self.line)).await;
        let read = read.map_err(|_| WatchError::Silent(patience))?;
        match read.map_err(|error| WatchError::Unreachable(chain(&error)))? {
            0 => Ok(None),
            _ if self.line.last() == Some(&b'\n') => Ok(Some(&self.line)),
            _ if self.line.len() as u64 >= MAX_LINE => {
                Err(WatchError::Malformed("a line is too long".to_owned()))
            }
            _ => Err(WatchError::Unreachable("the connection ended in the middle of an event".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::io::Cursor;

    use super::*;

    #[tokio::test]
    async fn a_line_cut_off_is_no_event() {
        let mut lines = LineReader::new(Cursor::new(b"one\n\ntwo".as_slice()));
        let patience = Duration::from_secs(1);
        assert_eq!(lines.next(patience).await, Ok(Some(b"one\n".as_slice())));
        assert_eq!(lines.next(patience).await, Ok(Some(b"\n".as_slice())));
        assert!(matches!(lines.next(patience).await, Err(WatchError::Unreachable(_))));
        assert_eq!(lines.next(patience).await, Ok(None));
    }
}
