//! What a model thought, signed or sealed, goes back to it with the next question, byte for byte, over the store and a restart;
//! and to nobody else.

use std::time::Duration;

use hearth::common::config::{Api, ProviderName};
use serde_json::{Value, json};

use super::hub_of;
use crate::world::client::Client;
use crate::world::dialects::{anthropic, openai, openrouter, responses, row_mut};
use crate::world::provider::{FakeProvider, Script};

/// In every item here, and nowhere else.
const SIGNATURE: &str = "c2lnbmVkLi4uKysv==";

struct Case {
    name: ProviderName,
    api: Option<Api>,
    /// An answer of "Hello" with an item to be kept.
    script: Script,
    /// As it must come back.
    item: Value,
}

fn cases() -> Vec<Case> {
    let part = json!({"text": "Hello", "thoughtSignature": SIGNATURE});
    let detail = json!({"type": "reasoning.encrypted", "data": SIGNATURE, "id": "r1", "format": "openai-responses-v1", "index": 0});
    let said = json!({"content": "Hello", "reasoning_details": [detail]});
    let thoughts = responses::Answer::begin().thoughts(&["Hm", "…"], SIGNATURE);
    let summary = json!([{"type": "summary_text", "text": "Hm…"}]);
    vec![
        Case {
            name: ProviderName::Anthropic,
            api: None,
            script: anthropic::Answer::begin()
                .thinking(&["Hm", "…"], SIGNATURE)
                .text(&["Hel", "lo"], Duration::ZERO)
                .end("end_turn"),
            item: json!({"type": "thinking", "thinking": "Hm…", "signature": SIGNATURE}),
        },
        Case {
            name: ProviderName::Gemini,
            api: None,
            script: Script::stream().gemini_parts(&json!([part])).gemini_end("STOP"),
            item: part,
        },
        Case {
            name: ProviderName::Openai,
            api: Some(Api::Responses),
            script: thoughts.words(&["Hel", "lo"], Duration::ZERO).end(),
            item: json!({"id": "rs_1", "type": "reasoning", "summary": summary, "encrypted_content": SIGNATURE}),
        },
        Case {
            name: ProviderName::Openrouter,
            api: None,
            script: openrouter::done(openrouter::delta(Script::stream(), &said), &openrouter::usage(0.01)),
            item: detail,
        },
    ]
}

#[tokio::test]
async fn thoughts_go_back_as_they_came_and_to_nobody_else() {
    for Case { name, api, script, item } in cases() {
        let what = name.as_str();
        let (world, other) =
            (FakeProvider::start(script).await, FakeProvider::start(openai::DIALECT.answer(&["Hello"])).await);
        let hub = hub_of(name, &world, |config| {
            row_mut(config, name).api = api;
            row_mut(config, ProviderName::Local).base_url = other.base_url();
        })
        .await;
        let wishes = json!({"conversation_id": "c"});
        let mut client = Client::v2(hub.address).await;
        assert_eq!(client.chat_with("1", "Hi", wishes.clone()).await.text(), "Hello", "{what}");
        client.chat_with("2", "And?", wishes.clone()).await;
        let elsewhere = json!({"conversation_id": "c", "provider": "local"});
        assert_eq!(client.chat_with("3", "And you?", elsewhere).await.provider(), "local", "{what}");
        drop(client);
        let hub = hub.restart().await;
        Client::v2(hub.address).await.chat_with("4", "And now?", wishes).await;

        let (first, second, third) = (world.request(0).await, world.request(1).await, world.request(2).await);
        assert!(!first.text.contains(SIGNATURE), "{what}");
        for (request, times) in [(&second, 1), (&third, 2)] {
            assert_eq!(request.text.matches(SIGNATURE).count(), times, "{what}: {}", request.text);
            assert_eq!(items(&request.body, &item), times, "{what}: {}", request.text);
        }
        let (before, after) = (around(&second.text), around(&third.text));
        assert_eq!(before, after, "{what}: a restart changed its bytes");
        let stranger = other.request(0).await.text;
        assert!(stranger.contains("Hello") && !stranger.contains(SIGNATURE), "{what}: {stranger}");
        assert!(!stranger.contains("Hm"), "{what}: {stranger}");
    }
}

/// How often this stands in a document.
fn items(json: &Value, item: &Value) -> usize {
    let within = match json {
        Value::Array(list) => list.iter().map(|one| items(one, item)).sum(),
        Value::Object(fields) => fields.values().map(|one| items(one, item)).sum(),
        _ => 0,
    };
    within + usize::from(json == item)
}

/// The bytes of the first object with the signature in it.
fn around(text: &str) -> &str {
    let at = text.find(SIGNATURE).expect("it is there");
    let (start, end) = (text[..at].rfind('{').expect("an object"), text[at..].find('}').expect("its end"));
    &text[start..=at + end]
}
