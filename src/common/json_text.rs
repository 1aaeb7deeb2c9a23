//! JSON that is kept for long and read now and then, as its text: a schema or the details of a device are some hundred bytes so,
//! and several thousand as a tree, since serde_json's has room for eleven fields in each object.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// See the module. Cheap to clone; equal where the values are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonText(Arc<str>);

impl JsonText {
    /// The value's own text, in which equal values are equal: fields stand in the order of their names.
    pub fn of(value: &Value) -> JsonText {
        JsonText(value.to_string().into())
    }

    /// As a tree, for whoever reads it; null where it is nested deeper than serde_json reads (127), which nothing can be that came
    /// over a wire or from the disk.
    pub fn to_value(&self) -> Value {
        serde_json::from_str(&self.0).unwrap_or_default()
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JsonText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Value> for JsonText {
    fn from(value: Value) -> JsonText {
        JsonText::of(&value)
    }
}

impl Serialize for JsonText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.0.as_ref().into()).map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
}

/// A JSON object that hardly anybody reads, such as a device's endpoints and clusters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Details(JsonText);

impl Details {
    pub fn new(fields: Map<String, Value>) -> Details {
        Details(JsonText::of(&Value::Object(fields)))
    }

    /// As [`JsonText::to_value`]; empty where that is null.
    pub fn to_map(&self) -> Map<String, Value> {
        serde_json::from_str(self.0.as_str()).unwrap_or_default()
    }

    /// Bytes of JSON.
    pub fn json_len(&self) -> usize {
        self.0.as_str().len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.as_str() == "{}"
    }
}

impl Default for Details {
    fn default() -> Details {
        Details::new(Map::new())
    }
}

impl Serialize for Details {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Details {
    /// Errs where it is no object.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Details, D::Error> {
        Map::deserialize(deserializer).map(Details::new)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn it_is_written_and_read_as_the_object_that_it_is() {
        let fields: Map<_, _> =
            [("b".into(), json!([1, {"c": null}])), ("a".into(), json!("\u{e9}\""))].into_iter().collect();
        let details = Details::new(fields.clone());
        assert_eq!(details.to_map(), fields);
        let json = serde_json::to_string(&json!({ "x": 1 })).expect("JSON").replace('1', details.0.as_str());
        let around = serde_json::from_str::<std::collections::BTreeMap<String, Details>>(&json).expect("an object");
        assert_eq!(around["x"], details);
        assert_eq!(serde_json::to_string(&around).expect("JSON"), json);
        assert_eq!(serde_json::to_value(&around).expect("JSON"), json!({ "x": fields }));
    }

    #[test]
    fn what_is_nested_without_end_is_nothing() {
        let nested = |depth| (0..depth).fold(Value::Null, |value, _| json!([value]));
        assert_eq!(JsonText::of(&nested(120)).to_value(), nested(120));
        assert_eq!(JsonText::of(&nested(500)).to_value(), Value::Null);
        assert_eq!(Details::new([("x".into(), nested(500))].into_iter().collect()).to_map(), Map::new());
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for json in ["[]", "1", "null", "\"{}\"", "{"] {
            assert!(serde_json::from_str::<Details>(json).is_err(), "{json}");
        }
        assert!(serde_json::from_str::<Details>(" {} ").expect("an object").is_empty());
        assert_eq!(
            JsonText::of(&json!({"b": 1, "a": [2.5]})),
            serde_json::from_str::<Value>(r#"{"a": [2.50], "b": 1}"#).expect("JSON").into()
        );
        assert_eq!(Details::default(), Details::new(Map::new()));
    }
}
