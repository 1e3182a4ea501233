//! A tree as a source for serde, whose errors name the field.

use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, Error, IntoDeserializer as _, MapAccess, SeqAccess, Visitor,
    value::StringDeserializer,
};

use super::{Key, Value, Yaml};
use crate::model::{FieldPath, Step};

/// Why a tree is not the value that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeError {
    /// Which field is wrong.
    pub path: FieldPath,
    /// What is wrong with it.
    pub reason: String,
}

impl DeError {
    /// The same error, seen from one step further out.
    fn within(mut self, step: Step) -> Self {
        self.path.0.insert(0, step);
        self
    }
}

impl fmt::Display for DeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.reason)
    }
}

impl std::error::Error for DeError {}

impl Error for DeError {
    fn custom<T: fmt::Display>(reason: T) -> Self {
        Self { path: FieldPath::default(), reason: reason.to_string() }
    }
}

impl<'de> Deserializer<'de> for &'de Yaml {
    type Error = DeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeError> {
        match &self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(bool) | Value::OldBool(bool, _) => visitor.visit_bool(*bool),
            Value::Int(int) => visitor.visit_i64(*int),
            Value::Float(float) => visitor.visit_f64(*float),
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::List(items) => visitor.visit_seq(Items { items, next: 0 }),
            Value::Map(entries) => visitor.visit_map(Entries { entries, next: 0 }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeError> {
        match &self.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    /// The API server takes no number for a string either; what the author meant lacks its quotes.
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeError> {
        let unquoted = match &self.value {
            Value::Bool(bool) => bool.to_string(),
            Value::OldBool(bool, text) => {
                let reason =
                    format_args!("must be a string: put {text} in quotes (unquoted, kubectl reads {bool})");
                return Err(DeError::custom(reason));
            }
            Value::Int(int) => int.to_string(),
            Value::Float(float) => float.to_string(),
            _ => return self.deserialize_any(visitor),
        };
        Err(DeError::custom(format_args!("must be a string: put {unquoted} in quotes")))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DeError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeError> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct enum identifier
    }
}

struct Items<'de> {
    items: &'de [Yaml],
    next: usize,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = DeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, DeError> {
        let Some(item) = self.items.get(self.next) else { return Ok(None) };
        let index = self.next;
        self.next += 1;
        seed.deserialize(item).map(Some).map_err(|error| error.within(Step::Index(index)))
    }
}

struct Entries<'de> {
    entries: &'de [(Key, Yaml)],
    next: usize,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = DeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, DeError> {
        let Some((key, _)) = self.entries.get(self.next) else { return Ok(None) };
        let text: StringDeserializer<DeError> = key.text.clone().into_deserializer();
        seed.deserialize(text).map(Some).map_err(|error| error.within(Step::Key(key.text.as_str().into())))
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, DeError> {
        let Some((key, value)) = self.entries.get(self.next) else {
            return Err(DeError::custom("a value was asked for past the end"));
        };
        self.next += 1;
        seed.deserialize(value).map_err(|error| error.within(Step::Key(key.text.as_str().into())))
    }
}
