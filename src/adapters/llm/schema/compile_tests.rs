//! Tests of the schema compiler: what becomes of each word, and the law that nothing is refused that was accepted.

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use super::*;

fn compiled(schema: &Value, dialect: Dialect) -> Value {
    compile(schema, dialect).expect("a schema of an object").schema
}

#[test]
fn references_are_put_in_their_places_and_circles_end() {
    let schema = json!({
        "type": "object", "properties": {"tree": {"$ref": "#/$defs/tree"}, "odd": {"$ref": "http://x/y"}, "no": {"$ref": "#/$defs/a~1b%20c"}},
        "$defs": {
            "tree": {"type": "object", "properties": {"name": {"type": "string"}, "left": {"$ref": "#/$defs/tree"}}},
            "a/b c": {"type": "boolean"},
        },
    });
    for dialect in Dialect::ALL {
        if dialect == Dialect::OpenAiStrict {
            continue;
        }
        let schema = compiled(&schema, dialect);
        assert_eq!(
            schema["properties"]["tree"]["properties"],
            json!({"name": {"type": "string"}, "left": {"description": "again tree"}}),
            "{dialect:?}"
        );
        assert_eq!(schema["properties"]["odd"], json!({"description": "of the form y, which is not given here"}));
        assert_eq!(schema["properties"]["no"], json!({"type": "boolean"}));
        assert!(!schema.to_string().contains("$defs"));
    }
}

#[test]
fn a_root_is_one_plain_object() {
    let schema = json!({
        "properties": {"unit": {"type": "string"}},
        "anyOf": [
            {"properties": {"city": {"type": "string"}}, "required": ["city", "unit"], "additionalProperties": true},
            {"properties": {"lat": {"type": "number"}, "unit": {}}, "required": ["lat", "unit"], "additionalProperties": false},
        ],
    });
    let Compiled { schema, note } = compile(&schema, Dialect::Anthropic).expect("an object");
    assert_eq!(schema["type"], "object");
    assert!(schema.get("anyOf").is_none());
    assert_eq!(schema["required"], json!(["unit"]));
    // The first form lets `lat` be anything.
    assert_eq!(schema["properties"]["lat"], json!({"description": "number"}));
    assert_eq!(schema["properties"]["city"], json!({"type": "string"}));
    assert_eq!(note.as_deref(), Some("either {city: string, unit: anything}, or {lat: number, unit: anything}"));
    for (odd, refused) in [
        (json!({"type": "string"}), Refused::NoObject),
        (json!(false), Refused::NoObject),
        (json!({"type": ["null", "array"]}), Refused::NoObject),
    ] {
        assert_eq!(compile(&odd, Dialect::OpenAi), Err(refused), "{odd}");
    }
    let nothing = json!({"type": "object", "properties": {}});
    for fine in
        [json!(null), json!({}), json!(true), json!({"type": ["object", "null"]}), json!("what?"), json!({"type": 7})]
    {
        assert_eq!(compiled(&fine, Dialect::Gemini), nothing, "{fine}");
    }
}

#[test]
fn each_provider_gets_what_it_takes_and_the_rest_in_words() {
    let schema = json!({
        "type": "object", "additionalProperties": false,
        "properties": {
            "level": {"type": ["integer", "null"], "minimum": 0, "exclusiveMaximum": 100, "default": 5, "description": "How bright"},
            "name": {"type": "string", "minLength": 1, "pattern": "^[a-z]+$", "format": "slug", "title": "Name"},
            "kind": {"const": "lamp"},
            "steps": {"enum": [1, "2", null]},
            "mixed": {"type": ["string", "integer"]},
            "pair": {"type": "array", "prefixItems": [{"type": "number"}, {"type": "string"}], "items": false},
            "at": {"oneOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]},
        },
        "required": ["level", "level", "ghost"],
        "if": {"required": ["name"]}, "then": {"required": ["kind"]},
    });
    let of = |dialect| {
        let compiled = compile(&schema, dialect).expect("an object");
        serde_json::to_string(&json!([compiled.schema, compiled.note])).expect("JSON")
    };
    insta::assert_snapshot!(of(Dialect::OpenAi), @r#"[{"additionalProperties":false,"properties":{"at":{"anyOf":[{"format":"date-time","type":"string"},{"type":"null"}]},"ghost":{},"kind":{"enum":["lamp"]},"level":{"description":"How bright (default 5)","exclusiveMaximum":100,"minimum":0,"type":["integer","null"]},"mixed":{"type":["string","integer"]},"name":{"description":"format slug; matches ^[a-z]+$","minLength":1,"type":"string"},"pair":{"description":"a list of, in this order: number, string","items":{},"type":"array"},"steps":{"enum":[1,"2",null]}},"required":["level","ghost"],"type":"object"},"if with name; then with kind"]"#);
    insta::assert_snapshot!(of(Dialect::Gemini), @r#"[{"additionalProperties":false,"properties":{"at":{"anyOf":[{"format":"date-time","type":"string"},{"type":"null"}]},"ghost":{},"kind":{"enum":["lamp"],"type":"string"},"level":{"description":"How bright (default 5; less than 100)","minimum":0,"type":["integer","null"]},"mixed":{"anyOf":[{"type":"string"},{"type":"integer"}]},"name":{"description":"format slug; at least 1 characters; matches ^[a-z]+$","type":"string"},"pair":{"description":"a list of, in this order: number, string","items":{},"type":"array"},"steps":{"description":"one of 1, \"2\", null"}},"required":["level","ghost"],"type":"object"},"if with name; then with kind"]"#);
    insta::assert_snapshot!(of(Dialect::GeminiOpenApi), @r#"[{"properties":{"at":{"format":"date-time","nullable":true,"type":"string"},"ghost":{},"kind":{"enum":["lamp"],"type":"string"},"level":{"description":"How bright (default 5; less than 100)","minimum":0,"nullable":true,"type":"integer"},"mixed":{"anyOf":[{"type":"string"},{"type":"integer"}]},"name":{"description":"format slug; matches ^[a-z]+$","minLength":1,"type":"string"},"pair":{"description":"a list of, in this order: number, string","items":{},"type":"array"},"steps":{"description":"one of 1, \"2\""}},"required":["level","ghost"],"type":"object"},"if with name; then with kind"]"#);
    insta::assert_snapshot!(of(Dialect::LlamaCpp), @r#"[{"additionalProperties":false,"properties":{"at":{"anyOf":[{"format":"date-time","type":"string"},{"type":"null"}]},"ghost":{},"kind":{"enum":["lamp"]},"level":{"description":"How bright (default 5; less than 100; at least 0)","type":["integer","null"]},"mixed":{"type":["string","integer"]},"name":{"description":"format slug; at least 1 characters; matches ^[a-z]+$","type":"string"},"pair":{"description":"a list of, in this order: number, string","type":"array"},"steps":{"enum":[1,"2",null]}},"required":["level","ghost"],"type":"object"},"if with name; then with kind"]"#);
    insta::assert_snapshot!(of(Dialect::Ollama), @r#"[{"properties":{"at":{"anyOf":[{"description":"format date-time","type":"string"},{"type":"null"}]},"ghost":{},"kind":{"enum":["lamp"]},"level":{"description":"How bright (default 5; less than 100; at least 0)","type":["integer","null"]},"mixed":{"type":["string","integer"]},"name":{"description":"format slug; at least 1 characters; matches ^[a-z]+$","type":"string"},"pair":{"description":"a list of, in this order: number, string","type":"array"},"steps":{"enum":[1,"2",null]}},"required":["level","ghost"],"type":"object"},"if with name; then with kind"]"#);
}

#[test]
fn keys_that_anthropic_refuses_are_told_in_words() {
    let schema = json!({"type": "object", "properties": {"ok": {}, "not ok": {"type": "string"}}, "required": ["not ok"], "additionalProperties": false});
    let Compiled { schema, note } = compile(&schema, Dialect::Anthropic).expect("an object");
    assert_eq!(schema, json!({"type": "object", "properties": {"ok": {}}}));
    assert_eq!(note.as_deref(), Some("also takes \"not ok\": string; \"not ok\" must be given"));
}

#[test]
fn only_what_is_said_exactly_is_strict() {
    let closed = json!({"type": "object", "properties": {"a": {"type": ["string", "null"]}}, "required": ["a"], "additionalProperties": false});
    assert_eq!(compiled(&closed, Dialect::OpenAiStrict), closed);
    let open = json!({"type": "object", "properties": {"a": {"type": "object"}}, "required": ["a"], "additionalProperties": false});
    assert_eq!(compile(&open, Dialect::OpenAiStrict), Err(Refused::NotStrict("a".into())));
    assert!(
        compile(&json!({"type": "object", "properties": {"a": {"type": "string"}}}), Dialect::OpenAiStrict).is_err()
    );
}

#[test]
fn what_is_too_large_loses_its_depth_and_then_its_place() {
    let field = |at: usize| (format!("field{at}"), json!({"type": "string", "description": "words ".repeat(20)}));
    let wide: serde_json::Map<String, Value> = (0..100).map(field).collect();
    let deep = json!({"type": "object", "properties": {"a": {"type": "object", "properties": wide}, "b": {"type": "object", "properties": wide},
        "c": {"type": "object", "properties": wide}}});
    let schema = compiled(&deep, Dialect::OpenAi);
    assert!(schema.to_string().len() <= SCHEMA_BYTES_MAX);
    assert_eq!(schema["properties"]["c"]["properties"]["field0"], json!({"description": "string"}), "{schema}");
    let hopeless: serde_json::Map<String, Value> = (0..5000).map(field).collect();
    assert_eq!(compile(&json!({"properties": hopeless}), Dialect::OpenAi), Err(Refused::TooLarge));
}

#[test]
fn what_doubles_with_each_step_stays_bounded() {
    let names: Vec<String> = (0..40).map(|at| format!("d{at}")).collect();
    let mut defs = serde_json::Map::new();
    for pair in names.windows(2) {
        let next = json!({"$ref": format!("#/$defs/{}", pair[1])});
        defs.insert(pair[0].clone(), json!({"type": "object", "properties": {"a": next, "b": next}}));
    }
    let schema = json!({"$ref": "#/$defs/d0", "$defs": defs});
    assert!(compiled(&schema, Dialect::Ollama).to_string().len() <= SCHEMA_BYTES_MAX);
}

// The law: what the original accepts, the compiled one does.

const KEYS: [&str; 4] = ["a", "b", "c d", "e"];

fn leaf() -> impl Strategy<Value = Value> {
    let kind = prop::sample::select(vec!["null", "boolean", "object", "array", "number", "string", "integer"]);
    let value = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|value| json!(value)),
        (-3i64..6).prop_map(|value| json!(value)),
        Just(json!(1.5)),
        "[ab]{0,3}".prop_map(|value| json!(value)),
        Just(json!([])),
        Just(json!({})),
    ];
    prop_oneof![
        any::<bool>().prop_map(|value| json!(value)),
        Just(json!({})),
        kind.clone().prop_map(|kind| json!({"type": kind})),
        prop::collection::btree_set(kind, 2..4).prop_map(|kinds| json!({"type": kinds})),
        value.clone().prop_map(|value| json!({"const": value})),
        prop::collection::vec(value, 1..4).prop_map(|values| json!({"enum": values})),
        (0u64..3, 1u64..5).prop_map(|(low, high)| json!({"type": "string", "minLength": low, "maxLength": high})),
        Just(json!({"type": "string", "pattern": "^a", "format": "date-time"})),
        (-3i64..2, 0i64..6)
            .prop_map(|(low, high)| json!({"type": "integer", "minimum": low, "exclusiveMaximum": high})),
        Just(json!({"type": "number", "multipleOf": 0.5})),
        prop::sample::select(vec!["#/$defs/x", "#/$defs/y", "#", "#/$defs/none/such"])
            .prop_map(|path| json!({"$ref": path})),
    ]
}

fn schema() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(4, 24, 3, |inner| {
        let some = || prop::collection::vec(inner.clone(), 1..3);
        let object = (
            prop::collection::btree_map(prop::sample::select(KEYS.to_vec()), inner.clone(), 0..4),
            prop::collection::btree_set(prop::sample::select(KEYS.to_vec()), 0..2),
            prop::option::of(inner.clone()),
            prop::option::weighted(0.2, inner.clone()),
        )
            .prop_map(|(properties, required, others, pattern)| {
                let mut schema = json!({"type": "object", "properties": properties, "required": required});
                if let Some(others) = others {
                    schema["additionalProperties"] = others;
                }
                if let Some(pattern) = pattern {
                    schema["patternProperties"] = json!({"^[ab]": pattern});
                }
                schema
            });
        prop_oneof![
            3 => object,
            1 => some().prop_map(|kinds| json!({"anyOf": kinds})),
            1 => some().prop_map(|kinds| json!({"oneOf": kinds})),
            1 => some().prop_map(|kinds| json!({"allOf": kinds})),
            1 => inner.clone().prop_map(|schema| json!({"not": schema})),
            1 => (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| json!({"if": a, "then": b, "else": c})),
            1 => (inner.clone(), 0u64..2).prop_map(|(items, least)| json!({"type": "array", "items": items, "minItems": least})),
            1 => (some(), inner.clone()).prop_map(|(places, rest)| json!({"prefixItems": places, "items": rest})),
            1 => (inner.clone(), inner.clone()).prop_map(|(a, b)| both_words(a, b)),
            1 => inner.clone().prop_map(|schema| json!({"contains": schema})),
        ]
    })
}

/// Two schemas' words in one, as nobody would write them.
fn both_words(a: Value, b: Value) -> Value {
    match (a, b) {
        (Value::Object(mut a), Value::Object(b)) => {
            a.extend(b);
            Value::Object(a)
        }
        (a, _) => a,
    }
}

fn document() -> impl Strategy<Value = Value> {
    (schema(), schema(), schema(), any::<bool>()).prop_map(|(root, x, y, is_plain)| {
        let mut root = if root.is_object() { root } else { json!({"properties": {"a": root}}) };
        if is_plain {
            root = json!({"type": "object", "properties": {"a": root.clone(), "b": {"$ref": "#/$defs/y"}}, "anyOf": [root, true]});
        }
        root["$defs"] = json!({"x": x, "y": y});
        root
    })
}

/// Something that a schema may well accept, chosen by chance.
fn sample(schema: &Value, document: &Value, chance: &mut impl FnMut() -> usize, depth: usize) -> Value {
    let plain =
        [json!(null), json!(true), json!(1), json!(2.5), json!("ab"), json!([]), json!({}), json!(""), json!(["a", 1])];
    let any = |chance: &mut dyn FnMut() -> usize| plain[chance() % plain.len()].clone();
    let Some(words) = schema.as_object().filter(|_| depth > 0) else { return any(chance) };
    if let Some(path) = words.get("$ref").and_then(Value::as_str) {
        let target = document.pointer(&path[1..]).cloned().unwrap_or_default();
        return sample(&target, document, chance, depth - 1);
    }
    if let Some(only) = words.get("const") {
        return only.clone();
    }
    if let Some(choices) = words.get("enum").and_then(Value::as_array) {
        return choices[chance() % choices.len()].clone();
    }
    let kind = match words.get("type") {
        Some(Value::Array(kinds)) => kinds[chance() % kinds.len()].as_str().unwrap_or_default().to_owned(),
        Some(kind) => kind.as_str().unwrap_or_default().to_owned(),
        None if words.contains_key("properties") => "object".into(),
        None => String::new(),
    };
    match kind.as_str() {
        "null" => json!(null),
        "boolean" => json!(chance().is_multiple_of(2)),
        "integer" | "number" => json!(chance() % 5),
        "string" => json!(["", "a", "ab", "abb"][chance() % 4]),
        "array" => {
            let count = chance() % 3;
            let items = words.get("items").cloned().unwrap_or_default();
            (0..count).map(|_| sample(&items, document, chance, depth - 1)).collect()
        }
        "object" => {
            let mut out = serde_json::Map::new();
            let required = words.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
            for key in KEYS {
                let property = words.get("properties").and_then(|properties| properties.get(key));
                let schema = property.or(words.get("additionalProperties")).cloned().unwrap_or_default();
                if required.iter().any(|name| name == key) || (schema != json!(false) && chance().is_multiple_of(3)) {
                    out.insert(key.into(), sample(&schema, document, chance, depth - 1));
                }
            }
            out.into()
        }
        _ => match ["allOf", "anyOf", "oneOf"].iter().find_map(|key| words.get(*key)?.as_array()) {
            Some(kinds) => sample(&kinds[chance() % kinds.len()], document, chance, depth - 1),
            None => any(chance),
        },
    }
}

/// OpenAPI's `nullable` in the words of JSON Schema, for the judge.
fn judged(schema: &Value) -> Value {
    match schema {
        Value::Object(fields) => {
            let mut plain: serde_json::Map<String, Value> = fields
                .iter()
                .filter(|(key, _)| *key != "nullable")
                .map(|(key, value)| (key.clone(), judged(value)))
                .collect();
            if let Some(properties) = fields.get("properties").and_then(Value::as_object) {
                plain.insert(
                    "properties".into(),
                    properties.iter().map(|(name, value)| (name.clone(), judged(value))).collect(),
                );
            }
            match fields.get("nullable") {
                Some(Value::Bool(true)) => json!({"anyOf": [{"type": "null"}, plain]}),
                _ => plain.into(),
            }
        }
        Value::Array(list) => list.iter().map(judged).collect(),
        other => other.clone(),
    }
}

#[test]
fn what_the_original_accepts_the_compiled_one_accepts() {
    let ProptestConfig { cases, .. } = ProptestConfig::default();
    let config = ProptestConfig { cases: cases.max(1500), failure_persistence: None, ..ProptestConfig::default() };
    let accepted = std::cell::Cell::new(0);
    let outcome =
        TestRunner::new(config).run(&(document(), prop::collection::vec(0usize..60, 1..40)), |(document, chances)| {
            let Ok(original) = jsonschema::draft202012::new(&document) else { return Ok(()) };
            let lowered: Vec<_> =
                Dialect::ALL.into_iter().map(|dialect| (dialect, lowered(&document, dialect))).collect();
            let compiled: Vec<_> = Dialect::ALL
                .into_iter()
                .filter_map(|dialect| Some((dialect, compile(&document, dialect).ok()?.schema)))
                .collect();
            let judges: Vec<_> = lowered
                .iter()
                .map(|lowered| (lowered, false))
                .chain(compiled.iter().map(|compiled| (compiled, true)))
                .map(|((dialect, schema), whole)| {
                    let judge = jsonschema::draft202012::new(&judged(schema));
                    (*dialect, whole, schema, judge.unwrap_or_else(|error| panic!("{dialect:?} {schema}: {error}")))
                })
                .collect();
            let mut at = 0;
            let mut chance = || {
                at += 1;
                chances[at % chances.len()] + at / chances.len()
            };
            for _ in 0..8 {
                let instance = sample(&document, &document, &mut chance, 8);
                if !original.is_valid(&instance) {
                    continue;
                }
                accepted.set(accepted.get() + 1);
                if instance.is_object() {
                    prop_assert!(
                        compiled.iter().any(|(dialect, _)| *dialect == Dialect::Ollama),
                        "left out: {document} for {instance}"
                    );
                }
                for (dialect, whole, schema, judge) in &judges {
                    // A tool's arguments are an object, whatever else the original would take.
                    if *whole && !instance.is_object() {
                        continue;
                    }
                    prop_assert!(judge.is_valid(&instance), "{dialect:?} refuses {instance}: {schema} of {document}");
                }
            }
            Ok(())
        });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
    assert!(accepted.get() > 1500, "only {} instances were judged", accepted.get());
}
