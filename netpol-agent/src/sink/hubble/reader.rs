//! Reads the flows for one client's request from the ring.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::task::consume_budget;
use tonic::Status;

use super::{
    event::{FlowOrigin, convert},
    filter::Filters,
    mask::Mask,
    proto::{
        self,
        flow::LostEventSource,
        observer::{GetFlowsRequest, GetFlowsResponse},
    },
    ring::{Ring, RingEvent},
};
use crate::model::Flow;

/// The number of events that are read from the ring at a time.
const BATCH: usize = 256;

/// The shortest time between two reports of missed flows.
const MISSED_INTERVAL: Duration = Duration::from_secs(1);

/// A request, and the progress of its response.
pub(super) struct Reader {
    ring: Arc<Ring>,
    origin: FlowOrigin,
    filters: Filters,
    mask: Option<Mask>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    /// The position to read next.
    next: u64,
    /// The position at which to stop. `None` to wait for more events.
    end: Option<u64>,
    /// The number of flows still to send. `None` for no limit.
    left: Option<u64>,
    ready: VecDeque<GetFlowsResponse>,
    /// The number of flows that were overwritten before they could be read.
    missed: u64,
    /// When missed flows were last reported.
    last_report: Option<Instant>,
}

impl Reader {
    /// Creates a reader for a request.
    ///
    /// # Errors
    ///
    /// The request is not valid.
    pub(super) async fn open(
        ring: Arc<Ring>,
        origin: FlowOrigin,
        request: GetFlowsRequest,
    ) -> Result<Self, Status> {
        let GetFlowsRequest {
            number,
            follow,
            blacklist,
            whitelist,
            since,
            until,
            first,
            field_mask,
            experimental,
            extensions: _,
        } = request;
        if first && follow {
            return Err(Status::invalid_argument("first and follow exclude each other"));
        }
        let field_mask = field_mask.or_else(|| experimental.and_then(|experimental| experimental.field_mask));
        let bounds = ring.bounds();
        let mut reader = Self {
            filters: Filters::new(whitelist, blacklist)?,
            mask: Mask::new(field_mask)?,
            since: since.map(|at| timestamp("since", at)).transpose()?,
            until: until.map(|at| timestamp("until", at)).transpose()?,
            next: bounds.start,
            end: (!follow).then_some(bounds.end),
            left: (number > 0 && !follow).then_some(number),
            ready: VecDeque::new(),
            missed: 0,
            last_report: None,
            ring,
            origin,
        };
        if reader.since.is_none() && !first {
            reader.next = match number {
                0 if follow => bounds.end,
                0 => bounds.start,
                _ => reader.last(number).await,
            };
        }
        Ok(reader)
    }

    /// The position of the first of the last `number` flows that match the request.
    async fn last(&self, number: u64) -> u64 {
        let (positions, events) = self.ring.read(0, usize::MAX);
        let mut left = number;
        for (position, event) in positions.clone().rev().zip(events.iter().rev()) {
            if let RingEvent::Flow(number, flow) = &**event {
                left -= u64::from(self.matching(*number, flow).is_some());
            }
            if left == 0 {
                return position;
            }
            // A long search must not block other tasks.
            consume_budget().await;
        }
        positions.start
    }

    /// Waits for the next response. `None` at the end.
    ///
    /// # Errors
    ///
    /// A client can't cause an error.
    pub(super) async fn next(&mut self) -> Result<Option<GetFlowsResponse>, Status> {
        loop {
            if let Some(response) = self.ready.pop_front() {
                return Ok(Some(response));
            }
            if self.left == Some(0) || self.end.is_some_and(|end| self.next >= end) {
                return Ok(self.take_missed(true));
            }
            if self.end.is_none() {
                self.ring.wait(self.next).await;
            }
            self.read()?;
            consume_budget().await;
        }
    }

    fn read(&mut self) -> Result<(), Status> {
        let most = self.end.map_or(BATCH, |end| {
            usize::try_from(end.saturating_sub(self.next)).unwrap_or(usize::MAX).min(BATCH)
        });
        let (positions, events) = self.ring.read(self.next, most);
        self.missed += positions.start.saturating_sub(self.next);
        self.next = positions.end;
        let missed = self.take_missed(false);
        self.ready.extend(missed);
        for event in events {
            if self.left != Some(0) {
                self.take(&event)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, event: &RingEvent) -> Result<(), Status> {
        match event {
            // Lost events pass every filter, and do not count as requested flows.
            RingEvent::Lost(at, count) => {
                let lost = self.origin.lost(LostEventSource::PerfEventRingBuffer, *count, *at);
                self.ready.push_back(lost);
            }
            RingEvent::Flow(number, flow) => {
                if let Some(matching) = self.matching(*number, flow) {
                    let masked = self.mask.as_ref().map(|mask| mask.apply(&matching)).transpose()?;
                    self.ready.push_back(self.origin.flow(masked.unwrap_or(matching), flow.time));
                    self.left = self.left.map(|left| left.saturating_sub(1));
                } else if self.end.is_none() && self.until.is_some_and(|until| flow.time > until) {
                    self.left = Some(0);
                }
            }
        }
        Ok(())
    }

    /// Converts a flow if it matches the request.
    fn matching(&self, number: u64, flow: &Flow) -> Option<proto::flow::Flow> {
        let in_time = self.since.is_none_or(|since| flow.time >= since)
            && self.until.is_none_or(|until| flow.time <= until);
        in_time.then(|| convert(flow, number, &self.origin)).filter(|flow| self.filters.pass(flow))
    }

    /// Returns a report of the missed flows, at most one per [`MISSED_INTERVAL`], except at the end.
    fn take_missed(&mut self, at_the_end: bool) -> Option<GetFlowsResponse> {
        let recently = self.last_report.is_some_and(|last_report| last_report.elapsed() < MISSED_INTERVAL);
        if self.missed == 0 || (recently && !at_the_end) {
            return None;
        }
        self.last_report = Some(Instant::now());
        let count = std::mem::take(&mut self.missed);
        Some(self.origin.lost(LostEventSource::HubbleRingBuffer, count, Timestamp::now()))
    }
}

fn timestamp(field: &str, at: prost_types::Timestamp) -> Result<Timestamp, Status> {
    Timestamp::new(at.seconds, at.nanos)
        .map_err(|error| Status::invalid_argument(format!("{field}: {error}")))
}
