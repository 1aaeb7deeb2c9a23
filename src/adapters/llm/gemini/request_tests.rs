//! Tests of the request: what is sent for which model, and what is given up when a model refuses it.

use serde_json::{Value, json};

use super::*;
use crate::common::chat::{Effort, Message, Role, Sampling};

fn question(model: &str) -> ChatRequest {
    ChatRequest {
        model: model.into(),
        messages: vec![Message::new(Role::System, "Be brief."), Message::new(Role::User, "Héllo")],
        ..ChatRequest::default()
    }
}

fn sent(request: &ChatRequest, manner: &Manner) -> Value {
    serde_json::to_value(body(request, manner, ImageConfig::default())).unwrap()
}

fn config(request: &ChatRequest) -> Value {
    sent(request, &Manner::of(request))["generationConfig"].clone()
}

fn tool(schema: Value) -> Tool {
    Tool { name: "dim".into(), description: Some("Dims".into()), schema: schema.into(), strict: None }
}

fn refused(message: &str) -> Complaint {
    Complaint { message: message.into(), ..Complaint::default() }
}

#[test]
fn the_least_and_the_most_that_is_sent() {
    let least = question("gemini-2.0-flash");
    let text = serde_json::to_string(&body(&least, &Manner::of(&least), ImageConfig::default())).unwrap();
    insta::assert_snapshot!(text, @r#"{"systemInstruction":{"parts":[{"text":"Be brief."}]},"contents":[{"role":"user","parts":[{"text":"Héllo"}]}],"generationConfig":{}}"#);
    let sampling = Sampling {
        temperature: Some(0.7),
        top_p: Some(0.9),
        max_tokens: Some(50),
        stop: ["a", "b", "c", "d", "e", "f"].map(String::from).into(),
        seed: Some(1),
        frequency_penalty: Some(0.5),
        presence_penalty: Some(-0.5),
        reasoning: Some(Effort::Low),
    };
    let most = ChatRequest {
        sampling,
        tools: vec![tool(json!({"type": "object"})).into()],
        tool_choice: ToolChoice::Named("dim".into()),
        response_format: Some(ResponseFormat::Schema {
            name: "x".into(),
            schema: json!({"type": "array"}),
            strict: None,
        }),
        ..question("gemini-2.0-flash")
    };
    let text = serde_json::to_string(&body(&most, &Manner::of(&most), ImageConfig::default())).unwrap();
    insta::assert_snapshot!(text, @r#"{"systemInstruction":{"parts":[{"text":"Be brief."}]},"contents":[{"role":"user","parts":[{"text":"Héllo"}]}],"tools":[{"functionDeclarations":[{"name":"dim","description":"Dims","parametersJsonSchema":{"type":"object"}}]}],"toolConfig":{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["dim"]}},"generationConfig":{"temperature":0.7,"topP":0.9,"maxOutputTokens":50,"stopSequences":["a","b","c","d","e"],"seed":1,"presencePenalty":-0.5,"frequencyPenalty":0.5,"responseMimeType":"application/json","responseJsonSchema":{"type":"array"}}}"#);
}

#[test]
fn each_family_is_asked_to_think_in_its_own_words() {
    let asked = |model: &str, reasoning| {
        let sampling = Sampling { reasoning, frequency_penalty: Some(1.0), ..Sampling::default() };
        let config = config(&ChatRequest { sampling, ..question(model) });
        assert_eq!(config.get("frequencyPenalty").is_some(), model.starts_with("gemini-2.0"), "{model}");
        config["thinkingConfig"].clone()
    };
    assert_eq!(asked("gemini-2.0-flash", Some(Effort::High)), Value::Null);
    assert_eq!(asked("gemini-2.5-flash", None), json!({"includeThoughts": true}));
    assert_eq!(asked("gemini-2.5-flash", Some(Effort::None)), json!({"thinkingBudget": 0}));
    assert_eq!(asked("gemini-2.5-pro", Some(Effort::High)), json!({"includeThoughts": true, "thinkingBudget": 24_576}));
    assert_eq!(
        asked("gemini-3-pro-preview", Some(Effort::Low)),
        json!({"includeThoughts": true, "thinkingLevel": "LOW"})
    );
}

#[test]
fn pictures_are_asked_of_models_that_paint() {
    let modalities = |model: &str, images| {
        let request = ChatRequest { images, ..question(model) };
        config(&request)["responseModalities"].clone()
    };
    let both = json!(["TEXT", "IMAGE"]);
    assert_eq!(modalities("gemini-2.5-flash-image", false), both);
    assert_eq!(modalities("of-a-proxy", true), both);
    for (model, images) in [("gemini-2.5-flash", true), ("of-a-proxy", false), ("gemma-3-27b-it", true)] {
        assert_eq!(modalities(model, images), Value::Null, "{model}");
    }
    let request = question("gemini-2.5-flash-image");
    let picture = ImageConfig { aspect_ratio: Some("3:2"), image_size: None };
    let body = serde_json::to_value(body(&request, &Manner::of(&request), picture)).unwrap();
    assert_eq!(body["generationConfig"]["imageConfig"], json!({"aspectRatio": "3:2"}));
}

#[test]
fn how_tools_may_be_called() {
    let mode = |tool_choice, strict| {
        let tools = vec![Tool { strict, ..tool(json!({"type": "object"})) }.into()];
        let request = ChatRequest { tools, tool_choice, ..question("gemini-2.5-flash") };
        sent(&request, &Manner::of(&request))["toolConfig"]["functionCallingConfig"]["mode"].clone()
    };
    assert_eq!(mode(ToolChoice::Auto, None), Value::Null);
    assert_eq!(mode(ToolChoice::Auto, Some(true)), "VALIDATED");
    assert_eq!(mode(ToolChoice::None, None), "NONE");
    assert_eq!(mode(ToolChoice::Required, None), "ANY");
    let without = ChatRequest { tool_choice: ToolChoice::Required, ..question("gemini-2.5-flash") };
    assert_eq!(sent(&without, &Manner::of(&without)).get("toolConfig"), None);
}

#[test]
fn what_a_model_refuses_is_left_out_or_said_otherwise() {
    let schema =
        json!({"type": "object", "properties": {"to": {"type": ["integer", "null"]}}, "additionalProperties": false});
    let request = ChatRequest {
        sampling: Sampling { presence_penalty: Some(1.0), ..Sampling::default() },
        tools: vec![tool(schema.clone()).into(), tool(json!({"type": "object", "properties": {}})).into()],
        response_format: Some(ResponseFormat::Schema { name: "x".into(), schema, strict: None }),
        images: true,
        ..question("of-a-proxy")
    };
    let after = |message: &str| {
        let mut manner = Manner::of(&request);
        assert!(manner.concede(&refused(message)), "{message}");
        assert!(!manner.concede(&refused(message)), "once is enough: {message}");
        sent(&request, &manner)
    };
    let whole = sent(&request, &Manner::of(&request));
    let plain = after("Penalty is not enabled for models/gemini-2.5-flash");
    assert!(whole["generationConfig"].get("presencePenalty").is_some());
    assert_eq!(plain["generationConfig"].get("presencePenalty"), None);
    let plain = after("Developer instruction is not enabled for models/gemma-3-27b-it");
    assert_eq!(plain.get("systemInstruction"), None);
    assert_eq!(plain["contents"][0]["parts"][0]["text"], "Be brief.");
    let plain = after("Model does not support the requested response modalities: image,text");
    assert_eq!(plain["generationConfig"].get("responseModalities"), None);
    let plain = after("Invalid JSON payload received. Unknown name \"responseJsonSchema\" at 'generation_config'");
    let reduced = json!({"type": "object", "properties": {"to": {"type": "integer", "nullable": true}}});
    assert_eq!(plain["generationConfig"]["responseSchema"], reduced);
    let functions = &plain["tools"][0]["functionDeclarations"];
    assert_eq!(functions[0], json!({"name": "dim", "description": "Dims", "parameters": reduced}));
    assert_eq!(functions[1], json!({"name": "dim", "description": "Dims"}));
    after("Function call `dim` in the 2. content block is missing a `thought_signature`.");
    for other in [
        "API key not valid",
        "The input token count exceeds the maximum",
        "Function calling with a response mime type: 'application/json' is unsupported",
        // Whoever asked gives the tools up, and says so.
        "Function calling is not enabled for models/gemma-3-27b-it",
        "",
    ] {
        assert!(!Manner::of(&request).concede(&refused(other)), "{other}");
    }
}

#[test]
fn thinking_is_given_up_step_by_step() {
    let steps = |model: &str, effort, messages: &[&str]| {
        let sampling = Sampling { reasoning: effort, ..Sampling::default() };
        let request = ChatRequest { sampling, ..question(model) };
        let mut manner = Manner::of(&request);
        messages
            .iter()
            .map(|message| {
                assert!(manner.concede(&refused(message)), "{message}");
                sent(&request, &manner)["generationConfig"]["thinkingConfig"].clone()
            })
            .collect::<Vec<_>>()
    };
    const LEVEL: &str = "Thinking level MEDIUM is not supported for this model.";
    let medium = steps("gemini-3-pro-preview", Some(Effort::Medium), &[LEVEL, LEVEL, LEVEL]);
    assert_eq!(
        medium,
        [json!({"includeThoughts": true, "thinkingLevel": "HIGH"}), json!({"includeThoughts": true}), Value::Null]
    );
    let none = steps(
        "gemini-2.5-flash",
        Some(Effort::None),
        &["Budget 0 is invalid. This model only works in thinking mode."],
    );
    assert_eq!(none, [Value::Null]);
    const TOLD: &str = "Thinking_config.include_thoughts is only enabled when thinking is enabled.";
    assert_eq!(steps("gemini-2.5-flash", Some(Effort::Low), &[TOLD]), [json!({"thinkingBudget": 1024})]);
    assert_eq!(steps("gemini-2.5-flash", None, &[TOLD]), [Value::Null]);
    let mut plain = Manner::of(&question("gemini-2.0-flash"));
    assert!(!plain.concede(&refused(TOLD)), "there was nothing to give in with");
}

#[test]
fn a_quiet_manner_asks_for_no_thoughts() {
    let request = question("gemini-3-pro-image-preview");
    let told = |manner: &Manner| sent(&request, manner)["generationConfig"]["thinkingConfig"].clone();
    assert_eq!(told(&Manner::of(&request)), json!({"includeThoughts": true}));
    assert_eq!(told(&Manner::of(&request).quiet()), Value::Null);
}
