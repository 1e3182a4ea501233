//! Field masks: a client can request only some fields of each flow.

use std::collections::BTreeMap;

use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, Kind, MessageDescriptor, Value};
use prost_types::FieldMask;
use tonic::Status;

use super::proto::{DESCRIPTORS, flow::Flow};

/// Fields that are always sent. Hubble's command line shows them, but its own mask does not include them.
const ALWAYS_SENT: [&str; 9] = [
    "destination_names",
    "egress_allowed_by",
    "egress_denied_by",
    "ingress_allowed_by",
    "ingress_denied_by",
    "policy_match_type",
    "source_names",
    "traffic_direction",
    "uuid",
];

/// The fields to keep.
pub(super) struct Mask {
    flow: MessageDescriptor,
    keep: Fields,
}

/// The names of fields to keep, each with the subfields to keep. If there are no subfields, the whole field is kept.
#[derive(Default)]
struct Fields(BTreeMap<String, Fields>);

impl Mask {
    /// Creates a mask. `None` if the client requests all fields.
    ///
    /// # Errors
    ///
    /// A path is not a field of a flow.
    pub(super) fn new(mask: Option<FieldMask>) -> Result<Option<Self>, Status> {
        let Some(FieldMask { paths }) = mask.filter(|mask| !mask.paths.is_empty()) else { return Ok(None) };
        let flow = descriptor().map_err(|error| Status::internal(error.to_string()))?;
        let mut keep = Fields::default();
        for path in &paths {
            check(&flow, path)?;
            keep.add(path);
        }
        ALWAYS_SENT.iter().for_each(|path| keep.add(path));
        Ok(Some(Self { flow, keep }))
    }

    /// Removes the other fields from a flow.
    ///
    /// # Errors
    ///
    /// This does not fail as long as the descriptors match the flow's type.
    pub(super) fn apply(&self, flow: &Flow) -> Result<Flow, Status> {
        let internal = |error: prost::DecodeError| Status::internal(error.to_string());
        let bytes = flow.encode_to_vec();
        let mut message = DynamicMessage::decode(self.flow.clone(), &*bytes).map_err(internal)?;
        self.keep.prune(&mut message);
        message.transcode_to().map_err(internal)
    }
}

fn descriptor() -> Result<MessageDescriptor, Box<dyn std::error::Error>> {
    let pool = DescriptorPool::decode(DESCRIPTORS)?;
    pool.get_message_by_name("flow.Flow").ok_or_else(|| "no flow.Flow among the descriptors".into())
}

fn check(flow: &MessageDescriptor, path: &str) -> Result<(), Status> {
    let mut message = Some(flow.clone());
    for name in path.split('.') {
        let field = message.and_then(|message| message.get_field_by_name(name)).ok_or_else(|| {
            Status::invalid_argument(format!("field_mask: {path:?} is no field of flow.Flow (at {name:?})"))
        })?;
        message = match field.kind() {
            Kind::Message(message) if !field.is_list() => Some(message),
            _ => None,
        };
    }
    Ok(())
}

impl Fields {
    /// Adds a path. A path that ends at a field keeps the whole field, even if other paths name its subfields.
    fn add(&mut self, path: &str) {
        match path.split_once('.') {
            None => {
                self.0.insert(path.to_owned(), Self::default());
            }
            Some((name, rest)) => match self.0.get_mut(name) {
                Some(field) if field.0.is_empty() => {}
                Some(fields) => fields.add(rest),
                None => self.0.entry(name.to_owned()).or_default().add(rest),
            },
        }
    }

    fn prune(&self, message: &mut DynamicMessage) {
        if self.0.is_empty() {
            return;
        }
        let fields: Vec<_> = message.fields().map(|(field, _)| field).collect();
        for field in fields {
            match self.0.get(field.name()) {
                None => message.clear_field(&field),
                Some(subfields) => {
                    if let Value::Message(message) = message.get_field_mut(&field) {
                        subfields.prune(message);
                    }
                }
            }
        }
    }
}
