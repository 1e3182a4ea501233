//! The extension of a flow: netpol's own fields, in a form that every client can read.

use prost_types::{Any, Struct, Value, value::Kind};

use crate::{model::Flow, sink::json};

/// The type URL of a message that every Protobuf library can decode.
const STRUCT: &str = "type.googleapis.com/google.protobuf.Struct";

/// Returns the fields `expected`, `observed` and `outcome` of the JSON line.
pub(super) fn extension(flow: &Flow) -> Option<Any> {
    let serde_json::Value::Object(fields) = json::verdict(flow).ok()? else { return None };
    let fields = fields.into_iter().map(|(name, field)| (name, value(field))).collect();
    let value = prost::Message::encode_to_vec(&Struct { fields });
    Some(Any { type_url: STRUCT.to_owned(), value })
}

fn value(json: serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value { kind: Some(Kind::NullValue(0)) },
        serde_json::Value::Bool(boolean) => boolean.into(),
        serde_json::Value::Number(number) => number.as_f64().unwrap_or_default().into(),
        serde_json::Value::String(text) => text.into(),
        serde_json::Value::Array(items) => items.into_iter().map(value).collect::<Vec<_>>().into(),
        serde_json::Value::Object(fields) => {
            let fields = fields.into_iter().map(|(name, field)| (name, value(field))).collect();
            Value { kind: Some(Kind::StructValue(Struct { fields })) }
        }
    }
}
