//! The validator against JSON Schema's own words, against another validator, and against schemas that mean harm.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::common::who::Role;
use crate::mcp::definition::{Annotations, Origin};

fn tool(schema: Value) -> Arc<Definition> {
    Arc::new(Definition {
        name: "lights__set".into(),
        title: None,
        description: String::new(),
        input: schema.into(),
        output: None,
        annotations: Annotations::default(),
        access: Role::Guest,
        origin: Origin::Hub,
        pinned: false,
        extra: Map::new(),
    })
}

fn check(schema: Value, arguments: Value) -> Checked {
    Checker::default().arguments(&tool(schema), into_map(arguments))
}

/// What comes through, or the faults.
fn mended(schema: Value, arguments: Value) -> Result<Value, Vec<String>> {
    match check(schema, arguments) {
        Checked::Fits(arguments) => Ok(arguments.into()),
        Checked::Unknown(_, why) => panic!("unknown: {why}"),
        Checked::Wrong(wrong) => Err(wrong.faults),
    }
}

/// Of one field `v`, required.
fn of(schema: Value, value: Value) -> Result<Value, Vec<String>> {
    let whole =
        json!({"type": "object", "properties": {"v": schema}, "required": ["v"], "additionalProperties": false});
    mended(whole, json!({ "v": value })).map(|arguments| arguments["v"].clone())
}

#[test]
fn what_can_mean_one_thing_is_that() {
    for (schema, given, meant) in [
        (json!({"type": "integer"}), json!("10"), json!(10)),
        (json!({"type": "integer"}), json!(" -3 "), json!(-3)),
        (json!({"type": "integer"}), json!("1e2"), json!(100)),
        (json!({"type": "integer"}), json!(1.0), json!(1)),
        (json!({"type": "number"}), json!("1.5"), json!(1.5)),
        (json!({"type": "boolean"}), json!("true"), json!(true)),
        (json!({"type": "boolean"}), json!("False"), json!(false)),
        (json!({"type": "string"}), json!(10), json!("10")),
        (json!({"type": "array", "items": {"type": "string"}}), json!("a"), json!(["a"])),
        (json!({"type": "array", "items": {"type": "integer"}}), json!("5"), json!([5])),
        (json!({"type": "array", "items": {"type": "integer"}}), json!("[1, \"2\"]"), json!([1, 2])),
        (json!({"type": "array", "items": {"type": "integer"}}), json!(["1", 2.0]), json!([1, 2])),
        (json!({"type": "object", "properties": {"n": {"type": "integer"}}}), json!("{\"n\": \"7\"}"), json!({"n": 7})),
        (json!({"type": ["integer", "null"]}), json!("10"), json!(10)),
        (json!({"anyOf": [{"type": "integer"}, {"type": "null"}]}), json!("10"), json!(10)),
        (json!({"anyOf": [{"type": "boolean"}, {"type": "integer"}]}), json!("true"), json!(true)),
        (json!({"enum": [1, 2, 3]}), json!("2"), json!(2)),
        (json!({"type": "integer", "minimum": 5}), json!("7"), json!(7)),
        (
            json!({"oneOf": [
                {"type": "object", "properties": {"kind": {"const": "a"}, "n": {"type": "integer"}}, "required": ["kind"]},
                {"type": "object", "properties": {"kind": {"const": "b"}, "n": {"type": "boolean"}}, "required": ["kind"]}
            ]}),
            json!({"kind": "b", "n": "true"}),
            json!({"kind": "b", "n": true}),
        ),
        (json!({"allOf": [{"type": "array"}, {"items": {"type": "integer"}}]}), json!("4"), json!([4])),
    ] {
        assert_eq!(of(schema.clone(), given.clone()), Ok(meant), "{schema} {given}");
    }
}

#[test]
fn what_can_mean_two_things_or_fits_already_stays() {
    for (schema, fits) in [
        (json!({"type": "string"}), json!("10")),
        (json!({"type": ["string", "integer"]}), json!("10")),
        (json!({}), json!("true")),
        (json!({"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "string"}]}), json!("a")),
        (json!({"type": "number"}), json!(1.0)),
        (json!({"type": "integer"}), json!(1e300)),
        (json!({"type": ["null", "string"]}), json!(null)),
        (json!({"type": "string", "nullable": true}), json!(null)),
    ] {
        assert_eq!(of(schema, fits.clone()), Ok(fits));
    }
    for (schema, given) in [
        (json!({"type": "integer"}), json!("ten")),
        (json!({"type": "integer"}), json!("10.5")),
        (json!({"type": "integer"}), json!("010")),
        (json!({"type": "boolean"}), json!("yes")),
        (json!({"type": "boolean"}), json!(1)),
        (json!({"type": "object"}), json!("no object")),
        (json!({"type": "string"}), json!({"a": 1})),
        (json!({"type": "integer", "minimum": 50}), json!("10")),
        (json!({"not": {"type": "string"}}), json!("a text")),
    ] {
        assert!(of(schema.clone(), given.clone()).is_err(), "{schema} {given}");
    }
}

#[test]
fn null_for_what_may_be_absent_is_nothing() {
    let schema = json!({
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": "string"}, "c": {"type": ["string", "null"]}},
        "required": ["a"]
    });
    let given = json!({"a": "x", "b": null, "c": null});
    assert_eq!(mended(schema.clone(), given), Ok(json!({"a": "x", "c": null})));
    assert_eq!(mended(schema, json!({"a": null})), Err(vec!["a: is null, a string is wanted, got null".to_owned()]));
}

#[test]
fn every_fault_says_what_is_wrong_and_what_is_wanted() {
    let schema = json!({
        "type": "object",
        "properties": {
            "brightness": {"type": "integer", "minimum": 0, "maximum": 254, "description": "How bright it is to be"},
            "color": {"enum": ["red", "green"]},
            "targets": {"type": "array", "items": {"type": "string", "pattern": "^[a-z]+$"}, "minItems": 1, "uniqueItems": true},
            "mode": {"anyOf": [{"type": "object", "properties": {"speed": {"type": "number"}}, "required": ["speed"]}, {"type": "null"}]},
            "steps": {"multipleOf": 5}
        },
        "required": ["brightness"],
        "additionalProperties": false
    });
    for (given, fault) in [
        (json!({}), "brightness: is missing, an integer (How bright it is to be) is wanted"),
        (
            json!({"brightness": "dim"}),
            "brightness: is a string, an integer (How bright it is to be) is wanted, got \"dim\"",
        ),
        (json!({"brightness": 300}), "brightness: is too large, at most 254 is wanted, got 300"),
        (
            json!({"brightness": 1, "color": "gren"}),
            "color: is none of the allowed values, \"red\" or \"green\" is wanted (did you mean \"green\"?), got \"gren\"",
        ),
        (
            json!({"brightness": 1, "colour": "red"}),
            "colour: is no field of this, did you mean color? brightness, color, mode, steps, targets are known",
        ),
        (
            json!({"brightness": 1, "targets": ["a", "B"]}),
            "targets[1]: has another form, text like the pattern ^[a-z]+$ is wanted, got \"B\"",
        ),
        (json!({"brightness": 1, "targets": []}), "targets: has too few items, at least 1 are wanted, got 0"),
        (
            json!({"brightness": 1, "targets": ["a", "a"]}),
            "targets[1]: is the same as item 0, different items are wanted, got \"a\"",
        ),
        (json!({"brightness": 1, "mode": {}}), "mode.speed: is missing, a number is wanted"),
        (json!({"brightness": 1, "steps": 7}), "steps: is between two steps, a multiple of 5 is wanted, got 7"),
    ] {
        assert_eq!(mended(schema.clone(), given), Err(vec![fault.to_owned()]));
    }
    let Checked::Wrong(wrong) = check(schema.clone(), json!({"brightness": "12", "color": 1, "steps": 1, "x": 1}))
    else {
        panic!()
    };
    assert_eq!(wrong.faults.len(), 3, "all at once, and none of what was mended: {:?}", wrong.faults);
    let text = wrong.text();
    assert!(
        text.starts_with("The arguments of lights__set are wrong; mend them and call it again:\n- color: "),
        "{text}"
    );
    for door in [Door::Model, Door::Mcp, Door::Stdio] {
        assert!(matches!(wrong.answer(door), Ok(Outcome::Done(output)) if output.is_error && output.words() == text));
    }
    for door in [Door::Rest, Door::Websocket] {
        assert!(matches!(wrong.answer(door), Err(fault) if fault.error.code == ErrorCode::BadRequest));
    }
    let many: Map<String, Value> = (0..40).map(|n| (format!("x{n}"), json!(1))).collect();
    let Checked::Wrong(wrong) = check(schema, many.into()) else { panic!() };
    assert!(wrong.faults.len() == FAULTS_MAX && wrong.cut);
}

#[test]
fn older_drafts_mean_what_they_meant() {
    let old = |schema: Value| {
        let mut schema = schema;
        schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
        schema
    };
    let schema = old(json!({
        "definitions": {"n": {"type": "integer"}},
        "properties": {
            "a": {"$ref": "#/definitions/n", "minimum": 100},
            "b": {"items": [{"type": "string"}], "additionalItems": {"type": "integer"}},
            "c": {"minimum": 3, "exclusiveMinimum": true}
        },
        "dependencies": {"a": ["b"]}
    }));
    assert!(mended(schema.clone(), json!({"a": 1, "b": ["x", 1]})).is_ok(), "what stands beside $ref does not count");
    assert!(mended(schema.clone(), json!({"b": ["x", "y"]})).is_err());
    assert!(mended(schema.clone(), json!({"c": 3})).is_err() && mended(schema.clone(), json!({"c": 4})).is_ok());
    assert!(mended(schema, json!({"a": 1})).is_err());
    let new = json!({"$defs": {"n": {"$anchor": "num", "type": "integer"}}, "properties": {"a": {"$ref": "#num", "minimum": 100}}});
    assert!(mended(new.clone(), json!({"a": 1})).is_err());
    assert_eq!(mended(new, json!({"a": "100"})), Ok(json!({"a": 100})));
}

#[test]
fn schemas_that_mean_harm_end_soon_and_hold_up_nobody() {
    // As deep as JSON can be that is read.
    let mut deep = json!({"type": "integer"});
    for _ in 0..40 {
        deep = json!({"oneOf": [{"type": "array", "items": deep}, {"type": "null"}]});
    }
    let wide: Vec<_> = (0..60_000).map(|n| json!({"const": n})).collect();
    let evil = [
        json!({"$ref": "#"}),
        json!({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}),
        json!({"anyOf": [{"$ref": "#"}, {"$ref": "#"}, {"$ref": "#"}]}),
        json!({"allOf": [{"$ref": "#"}, {"$ref": "#"}], "type": "object"}),
        json!({"properties": {"v": {"anyOf": wide}}}),
        json!({"$ref": "https://example.com/schema.json"}),
        json!({"properties": {"v": {"$ref": "file:///etc/passwd"}}}),
        json!({"properties": {"v": {"pattern": "^(a+)+$"}}}),
        json!({"properties": {"v": {"pattern": "((((a{1,100}){1,100}){1,100}){1,100})"}}}),
        json!({"properties": {"v": {"pattern": "(?=.*\\d)(?!x)\\1"}}}),
        json!({"properties": {"v": {"pattern": "("}}}),
        json!({"patternProperties": {"(?<=x)": false, "[": false}}),
        json!({"properties": {"v": deep}}),
        json!({"type": 7, "properties": [], "required": "v", "enum": "x", "items": 3, "minimum": "3", "allOf": {}}),
        json!({"properties": {"v": {"type": "string", "minLength": -1, "maxLength": 1e308}}}),
        json!({"unevaluatedProperties": {"$ref": "#"}}),
        json!({"not": {"$ref": "#"}}),
    ];
    for schema in evil {
        for value in [json!("a".repeat(40)), json!("1"), json!([[[["1"]]]]), json!({"v": {"v": {"v": "1"}}})] {
            let (schema, value) = (schema.clone(), json!({ "v": value, "w": "x" }));
            let (done, ended) = std::sync::mpsc::channel();
            let shown = schema.to_string().chars().take(90).collect::<String>();
            std::thread::spawn(move || {
                let _ = check(schema, value);
                let _ = done.send(());
            });
            assert!(ended.recv_timeout(Duration::from_secs(20)).is_ok(), "{shown}");
        }
    }
    assert!(matches!(check(json!({"$ref": "#"}), json!({"v": 1})), Checked::Unknown(..)));
    // What cannot be known is let through, and what can is still said.
    let half = json!({"properties": {"v": {"$ref": "https://example.com/x"}, "w": {"type": "integer"}}});
    assert!(mended(half.clone(), json!({"v": 1, "w": 1})).is_ok());
    assert_eq!(mended(half, json!({"v": 1, "w": "x"})).expect_err("w").len(), 1);
    let look = json!({"properties": {"v": {"pattern": "^(?=.*\\d).+$"}}});
    assert!(mended(look, json!({"v": "no digit"})).is_ok());
    let of_either = json!({"oneOf": [{"$ref": "https://example.com/x"}, {"type": "object"}]});
    assert!(mended(of_either, json!({})).is_ok(), "nobody knows whether it is one or both");
}

#[test]
fn only_so_many_schemas_are_kept() {
    let checker = Checker::default();
    for number in 0..CACHE_LEN + 50 {
        let one = Definition { name: format!("t{number}").into(), ..(*tool(json!({"type": "object"}))).clone() };
        assert!(matches!(checker.arguments(&Arc::new(one), Map::new()), Checked::Fits(_)));
    }
    let cache = checker.ready.lock().unwrap();
    assert_eq!((cache.tools.len(), cache.order.len()), (CACHE_LEN, CACHE_LEN));
    drop(cache);
    // A changed definition of the same name is looked at anew.
    let strict = tool(json!({"required": ["v"]}));
    assert!(matches!(checker.arguments(&tool(json!({})), Map::new()), Checked::Fits(_)));
    assert!(matches!(checker.arguments(&strict, Map::new()), Checked::Wrong(_)));
}

#[test]
fn a_result_that_does_not_fit_is_told_once() {
    let checker = Checker::default();
    let tool = Arc::new(Definition {
        output: Some(json!({"type": "object", "required": ["ok"]}).into()),
        ..(*tool(json!({}))).clone()
    });
    assert_eq!(checker.output(&tool, &ToolOutput::structured(json!({"ok": 1}))), None);
    let told = checker.output(&tool, &ToolOutput::structured(json!({})));
    assert_eq!(told.as_deref(), Some("ok: is missing and wanted"));
    assert_eq!(checker.output(&tool, &ToolOutput::structured(json!({}))), None);
}

/// Schemas as servers write them, and some that they do not.
fn schemas() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!({})),
        Just(json!(true)),
        Just(json!(false)),
        prop::sample::select(vec!["string", "integer", "number", "boolean", "null", "array", "object"])
            .prop_map(|word| json!({ "type": word })),
        Just(json!({"type": ["string", "null"]})),
        (0..4i64, 0..6i64).prop_map(|(min, max)| json!({"type": "integer", "minimum": min, "exclusiveMaximum": max})),
        (0..3u8, 0..5u8).prop_map(|(min, max)| json!({"minLength": min, "maxLength": max})),
        Just(json!({"multipleOf": 0.5})),
        Just(json!({"multipleOf": 3})),
        Just(json!({"pattern": "^[a-c]+$"})),
        Just(json!({"enum": ["a", 1, null, [1], {"a": 1}]})),
        Just(json!({"const": {"a": [1, true]}})),
        Just(json!({"uniqueItems": true, "maxItems": 3})),
        Just(json!({"required": ["a"], "maxProperties": 2})),
        Just(json!({"dependentRequired": {"a": ["b"]}})),
        Just(json!({"propertyNames": {"maxLength": 1}})),
        Just(json!({"$ref": "#/$defs/n"})),
        Just(json!({"$ref": "#text"})),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone(), any::<bool>()).prop_map(|(a, b, open)| {
                json!({"type": "object", "properties": {"a": a, "b": b}, "additionalProperties": open})
            }),
            (inner.clone(), inner.clone())
                .prop_map(|(a, b)| json!({"patternProperties": {"^a": a}, "additionalProperties": b})),
            inner.clone().prop_map(|item| json!({"type": "array", "items": item})),
            (inner.clone(), inner.clone()).prop_map(|(first, rest)| json!({"prefixItems": [first], "items": rest})),
            (inner.clone(), 0..3u8)
                .prop_map(|(item, min)| json!({"contains": item, "minContains": min, "maxContains": 2})),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| json!({"anyOf": [a, b]})),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| json!({"oneOf": [a, b]})),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| json!({"allOf": [a, b]})),
            inner.clone().prop_map(|not| json!({"not": not})),
            (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| json!({"if": a, "then": b, "else": c})),
            (inner.clone(), inner.clone())
                .prop_map(|(a, b)| { json!({"allOf": [{"properties": {"a": a}}, b], "unevaluatedProperties": false}) }),
            (inner.clone(), inner.clone())
                .prop_map(|(a, b)| json!({"prefixItems": [a], "anyOf": [b, true], "unevaluatedItems": false})),
            inner.prop_map(|schema| json!({"dependentSchemas": {"a": schema}})),
        ]
    })
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Value::from),
        (-2..8i64).prop_map(Value::from),
        prop::sample::select(vec![0.5, 1.0, 2.0, 2.5, -1.5]).prop_map(Value::from),
        "[a-d]{0,4}".prop_map(Value::from),
        prop::sample::select(vec!["1", "2.0", "true", "null", "[1]", "{\"a\":1}", "x y"]).prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(
                prop::sample::select(vec!["a", "b", "ab", "c"]).prop_map(str::to_owned),
                inner,
                0..4
            )
            .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn whole(schema: &Value) -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$defs": {"n": {"type": "integer"}, "t": {"$anchor": "text", "type": "string"}},
        "allOf": [schema]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_finds_what_another_validator_finds(schema in schemas(), value in values()) {
        let schema = whole(&schema);
        let other = jsonschema::draft202012::new(&schema).expect("a schema");
        let index = Index::of(&schema);
        let mut check = Check::new(&schema, &index);
        let fits = check.fits(&schema, &value);
        prop_assert_eq!(check.gave_up(), None);
        prop_assert_eq!(fits, other.is_valid(&value), "{} {}", schema, value);
        prop_assert_eq!(fits, Check::new(&schema, &index).faults(&value).is_empty(), "{} {}", schema, value);
    }

    #[test]
    fn what_fits_stays_and_what_is_mended_fits(schema in schemas(), value in values()) {
        let schema = whole(&json!({"properties": {"v": schema}}));
        let given = json!({ "v": value });
        let other = jsonschema::draft202012::new(&schema).expect("a schema");
        match check(schema.clone(), given.clone()) {
            Checked::Fits(arguments) => {
                let arguments = Value::Object(arguments);
                prop_assert!(other.is_valid(&arguments), "{} {} {}", schema, given, arguments);
                if other.is_valid(&given) {
                    prop_assert!(equal::equal(&given, &arguments), "{} {} became {}", schema, given, arguments);
                }
            }
            Checked::Wrong(wrong) => {
                prop_assert!(!other.is_valid(&given), "{} {} {:?}", schema, given, wrong);
                prop_assert!(!wrong.faults.is_empty());
            }
            Checked::Unknown(arguments, _) => prop_assert_eq!(Value::Object(arguments), given),
        }
    }
}
