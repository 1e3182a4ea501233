//! The objects that the chart renders to.

use netpol_agent::cluster::yaml;
use netpol_testkit::helm::Helm;
use serde::Deserialize as _;
use serde_json::Value;

pub(crate) struct Objects(Vec<Value>);

impl Objects {
    /// With these values, each as `--set` takes it.
    pub(crate) fn rendered(values: &[&str]) -> Self {
        let arguments: Vec<&str> = values.iter().flat_map(|value| ["--set", value]).collect();
        let text = Helm::find_or_fetch().unwrap().template(&arguments);
        let text = text.unwrap_or_else(|error| panic!("{values:?}: {error:#}"));
        let documents = yaml::documents(&text).into_iter().map(Result::unwrap);
        let objects = documents.map(|document| Value::deserialize(&document).unwrap());
        Self(objects.filter(|object| !object.is_null()).collect())
    }

    /// The kinds, in the order in which they are applied.
    pub(crate) fn kinds(&self) -> Vec<&str> {
        self.0.iter().map(|object| object["kind"].as_str().unwrap()).collect()
    }

    /// A field of all objects of a kind.
    pub(crate) fn all(&self, kind: &str, pointer: &str) -> Vec<Option<&Value>> {
        let objects = self.0.iter().filter(|object| object["kind"] == kind);
        objects.map(|object| object.pointer(pointer)).collect()
    }

    /// A field of the first object of a kind, by its JSON pointer; null where either is not there.
    pub(crate) fn field(&self, kind: &str, pointer: &str) -> &Value {
        let object = self.0.iter().find(|object| object["kind"] == kind);
        object.and_then(|object| object.pointer(pointer)).unwrap_or(&Value::Null)
    }
}
