//! JSON as a careful reader takes it: a name twice in one object is an error, where serde_json would keep the last one and
//! two readers might see two different things. Says in which line and column; knows no schema.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// The value, or what is wrong with the text and where. As deep as serde_json goes: 128.
pub fn parse(text: &[u8]) -> Result<Value, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let value = Strict.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Strict)? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = fields.next_key::<String>()? {
            if object.contains_key(&name) {
                return Err(A::Error::custom(format_args!("the name {name:?} stands twice in one object")));
            }
            let value = fields.next_value_seed(Strict)?;
            object.insert(name, value);
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_name_twice_is_an_error_with_its_place() {
        let read = parse(br#" {"a": [1, -2, 2.5, true, null, "x"], "b": {"a": {}}} "#).expect("JSON");
        assert_eq!(read, json!({ "a": [1, -2, 2.5, true, null, "x"], "b": { "a": {} } }));
        let twice = parse(b"{\"a\": 1,\n \"b\": {\"c\": 1, \"c\": 2}}").expect_err("twice");
        assert!(
            twice.to_string().starts_with("the name \"c\" stands twice in one object at line 2 column "),
            "{twice}"
        );
        assert!(parse(br#"{"a": 1, "\u0061": 2}"#).is_err(), "escaped, it is the same name");
        for broken in ["", "{", "{} {}", "nul", "1e999", "{\"a\" 1}", "\u{feff}{}"] {
            assert!(parse(broken.as_bytes()).is_err(), "{broken}");
        }
        assert!(parse(&[b'"', 0xff, b'"']).is_err(), "no UTF-8");
        assert!(parse("[".repeat(100_000).as_bytes()).is_err(), "too deep, and no overflow");
    }

    proptest! {
        #[test]
        fn what_serde_json_writes_is_read_alike(keys in prop::collection::btree_map("[a-z\"\\\\]{0,4}", any::<i64>(), 0..8)) {
            let text = serde_json::to_vec(&keys).expect("text keys");
            prop_assert_eq!(parse(&text).expect("JSON"), serde_json::from_slice::<Value>(&text).expect("JSON"));
        }
    }
}
