//! Lines of an answer, with an end to how long they may be and how long they may take.

use std::time::Duration;

use futures::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _};
use tokio::time::timeout;

use super::{WatchError, watch_error::chain};

/// etcd's limit for an object is 1.5 MB, 8 MB where it is raised; JSON takes more room than what is stored.
const LONGEST: u64 = 32 << 20;

/// An answer that comes line by line.
pub(super) struct LineReader<R> {
    reader: R,
    line: Vec<u8>,
}

impl<R: AsyncBufRead + Unpin> LineReader<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, line: Vec::new() }
    }

    /// The next line, which comes within `patience`; `None` at a regular end.
    pub(super) async fn next(&mut self, patience: Duration) -> Result<Option<&[u8]>, WatchError> {
        self.line.clear();
        // One large object is no reason to keep so much room for good.
        self.line.shrink_to(64 << 10);
        let mut limited = (&mut self.reader).take(LONGEST);
        let read = timeout(patience, limited.read_until(b'\n', &mut self.line)).await;
        let read = read.map_err(|_| WatchError::Silent(patience))?;
        match read.map_err(|error| WatchError::Unreachable(chain(&error)))? {
            0 => Ok(None),
            _ if self.line.last() == Some(&b'\n') => Ok(Some(&self.line)),
            _ if self.line.len() as u64 >= LONGEST => {
                Err(WatchError::Malformed("a line without an end".to_owned()))
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
