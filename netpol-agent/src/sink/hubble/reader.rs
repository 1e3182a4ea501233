//! One client's way through the ring.

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

/// Events taken from the ring at a time.
const BATCH: usize = 256;

/// How often it is told at most that flows were missed.
const MISSED_EVERY: Duration = Duration::from_secs(1);

/// What a request asks for, and how far its answer is.
pub(super) struct Reader {
    ring: Arc<Ring>,
    origin: FlowOrigin,
    filters: Filters,
    mask: Option<Mask>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    /// The position to read next.
    next: u64,
    /// Where to stop; `None` to wait for more.
    end: Option<u64>,
    /// Flows still to send; `None` for no bound.
    left: Option<u64>,
    ready: VecDeque<GetFlowsResponse>,
    missed: u64,
    told: Option<Instant>,
}

impl Reader {
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
            told: None,
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

    /// The position of the earliest of the last so many flows that are asked for.
    async fn last(&self, number: u64) -> u64 {
        let (positions, events) = self.ring.read(0, usize::MAX);
        let mut left = number;
        for (position, event) in positions.clone().rev().zip(events.iter().rev()) {
            if let RingEvent::Flow(number, flow) = &**event {
                left -= u64::from(self.wanted(*number, flow).is_some());
            }
            if left == 0 {
                return position;
            }
            // A long search lets others go on.
            consume_budget().await;
        }
        positions.start
    }

    /// The next answer; `None` at the end.
    ///
    /// # Errors
    ///
    /// None that a client could bring about.
    pub(super) async fn next(&mut self) -> Result<Option<GetFlowsResponse>, Status> {
        loop {
            if let Some(response) = self.ready.pop_front() {
                return Ok(Some(response));
            }
            if self.left == Some(0) || self.end.is_some_and(|end| self.next >= end) {
                return Ok(self.tell_missed(true));
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
        let missed = self.tell_missed(false);
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
            // These pass every filter, and are not among what was asked for.
            RingEvent::Lost(at, count) => {
                let lost = self.origin.lost(LostEventSource::PerfEventRingBuffer, *count, *at);
                self.ready.push_back(lost);
            }
            RingEvent::Flow(number, flow) => {
                if let Some(wanted) = self.wanted(*number, flow) {
                    let masked = self.mask.as_ref().map(|mask| mask.apply(&wanted)).transpose()?;
                    self.ready.push_back(self.origin.flow(masked.unwrap_or(wanted), flow.time));
                    self.left = self.left.map(|left| left.saturating_sub(1));
                } else if self.end.is_none() && self.until.is_some_and(|until| flow.time > until) {
                    self.left = Some(0);
                }
            }
        }
        Ok(())
    }

    /// The flow as the client gets it, if it wants it.
    fn wanted(&self, number: u64, flow: &Flow) -> Option<proto::flow::Flow> {
        let in_time = self.since.is_none_or(|since| flow.time >= since)
            && self.until.is_none_or(|until| flow.time <= until);
        in_time.then(|| convert(flow, number, &self.origin)).filter(|flow| self.filters.pass(flow))
    }

    /// Says how many flows were gone before they could be read; not too often, but before the end.
    fn tell_missed(&mut self, at_the_end: bool) -> Option<GetFlowsResponse> {
        let recently = self.told.is_some_and(|told| told.elapsed() < MISSED_EVERY);
        if self.missed == 0 || (recently && !at_the_end) {
            return None;
        }
        self.told = Some(Instant::now());
        let count = std::mem::take(&mut self.missed);
        Some(self.origin.lost(LostEventSource::HubbleRingBuffer, count, Timestamp::now()))
    }
}

fn timestamp(field: &str, at: prost_types::Timestamp) -> Result<Timestamp, Status> {
    Timestamp::new(at.seconds, at.nanos)
        .map_err(|error| Status::invalid_argument(format!("{field}: {error}")))
}
