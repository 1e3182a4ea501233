//! The output of the eBPF programs: records in a ring buffer, counters in an array, and log lines if debugging is on.

use std::io;

use aya::{
    Ebpf,
    maps::{Map, MapData, MapError, PerCpuArray, RingBuf},
};
use aya_log::EbpfLogger;
use netpol_common::Counter;
use tokio::io::{Interest, unix::AsyncFd};

/// Reads the records from the ring buffer.
pub struct Records {
    ring: AsyncFd<RingBuf<MapData>>,
}

impl Records {
    pub(super) fn new(map: Map) -> anyhow::Result<Self> {
        let ring: RingBuf<MapData> = map.try_into()?;
        // SAFETY: the file descriptor belongs to the map that `ring` owns and is closed with it, not before.
        let ring = unsafe { AsyncFd::register_with_interest(ring, Interest::READABLE) }
            .map_err(|error| anyhow::anyhow!("cannot watch the ring buffer: {error:?}"))?;
        Ok(Self { ring })
    }

    /// Waits until there are records.
    ///
    /// # Errors
    ///
    /// The runtime's event loop has failed.
    pub async fn ready(&mut self) -> io::Result<()> {
        self.ring.readable_mut().await?.clear_ready();
        Ok(())
    }

    /// Passes at most `limit` records to `each`, oldest first; returns their number.
    pub fn drain(&mut self, limit: usize, mut each: impl FnMut(&[u8])) -> usize {
        let ring = self.ring.get_mut();
        let mut count = 0;
        while count < limit {
            let Some(record) = ring.next() else { break };
            each(&record);
            count += 1;
        }
        count
    }
}

/// The programs' counters.
pub struct Counters {
    array: PerCpuArray<MapData, u64>,
}

impl Counters {
    pub(super) fn new(map: Map) -> Result<Self, MapError> {
        Ok(Self { array: map.try_into()? })
    }

    /// The sum over all CPUs since the programs were loaded; 0 where the kernel does not answer.
    #[must_use]
    pub fn read(&self, counter: Counter) -> u64 {
        self.array.get(&(counter as u32), 0).map_or(0, |values| values.iter().sum())
    }
}

/// The programs' log lines, forwarded to the `log` crate.
pub struct KernelLog {
    logger: AsyncFd<EbpfLogger<&'static dyn log::Log>>,
}

impl KernelLog {
    pub(super) fn new(ebpf: &mut Ebpf) -> anyhow::Result<Self> {
        let logger = EbpfLogger::init(ebpf)?;
        // SAFETY: the file descriptor belongs to the map that `logger` owns and is closed with it, not before.
        let logger = unsafe { AsyncFd::register_with_interest(logger, Interest::READABLE) }
            .map_err(|error| anyhow::anyhow!("cannot watch the log buffer: {error:?}"))?;
        Ok(Self { logger })
    }

    /// Forwards lines until the event loop fails.
    ///
    /// # Errors
    ///
    /// The runtime's event loop has failed.
    pub async fn forward(mut self) -> io::Result<()> {
        loop {
            let mut guard = self.logger.readable_mut().await?;
            guard.get_inner_mut().flush();
            guard.clear_ready();
        }
    }
}
