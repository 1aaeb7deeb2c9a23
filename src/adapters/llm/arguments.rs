//! Arguments of a tool's call on their way back to a model. Many servers parse them, and refuse the whole conversation for
//! ever where one of them is no JSON object.

use std::borrow::Cow;

use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};

/// The arguments as a JSON object: as the model wrote them where they are one; else an object that holds what it wrote.
pub fn object(arguments: &str) -> Cow<'_, RawValue> {
    let text = arguments.trim();
    let text = if text.is_empty() { "{}" } else { text };
    match serde_json::from_str::<&RawValue>(text) {
        Ok(raw) if raw.get().starts_with('{') => Cow::Borrowed(raw),
        _ => Cow::Owned(to_raw_value(&json!({"invalid_json": arguments})).expect("a string in an object is JSON")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_an_object_stays_as_it_was_written() {
        for (written, sent) in [
            ("", "{}"),
            (" \n", "{}"),
            ("{ \"a\" : 1.0 }", "{ \"a\" : 1.0 }"),
            ("{\"a\":", r#"{"invalid_json":"{\"a\":"}"#),
            ("[1]", r#"{"invalid_json":"[1]"}"#),
            ("{} {}", r#"{"invalid_json":"{} {}"}"#),
        ] {
            assert_eq!(object(written).get(), sent);
        }
    }
}
