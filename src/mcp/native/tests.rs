//! Resources, prompts, completion and news of a house.

use super::*;
use crate::common::chat::Role as Speaker;
use crate::common::who::Role;
use crate::mcp::tools::testing::{Rooms, rooms, who};
use crate::store::NewMessage;

async fn ask(rooms: &Rooms, method: Method, params: Value, who: &Arc<Principal>) -> Result<Value, Fault> {
    rooms.service.request(method, params, who.clone(), Reach::default()).await
}

async fn read(rooms: &Rooms, uri: &str, who: &Arc<Principal>) -> Result<Value, ErrorCode> {
    let read = ask(rooms, Method::ReadResource, json!({ "uri": uri }), who).await.map_err(|fault| fault.error.code)?;
    assert_eq!(
        (&read["contents"][0]["uri"], &read["contents"][0]["mimeType"]),
        (&json!(uri), &json!("application/json"))
    );
    Ok(serde_json::from_str(read["contents"][0]["text"].as_str().expect("a text")).expect("JSON"))
}

async fn lived_in() -> Rooms {
    let rooms = rooms();
    let store = &rooms.house.store;
    store.put(ModelProfile::new("default"), None).await.expect("sound");
    for (user, id) in [("ann", "kitchen"), ("ben", "cellar")] {
        let said = NewMessage::new(Speaker::User, format!("A question of {user}"), 1);
        store.append(user, id, vec![said]).await.expect("room");
        store.put(UserProfile { user: user.into(), ..UserProfile::default() }, None).await.expect("sound");
    }
    rooms
}

#[tokio::test]
async fn records_are_read_by_those_who_may() {
    let rooms = lived_in().await;
    let (ann, owner, guest) = (who("ann", Role::Member), who("olga", Role::Owner), who("gus", Role::Guest));
    let own = read(&rooms, "hearth://conversations/kitchen", &ann).await.expect("her own");
    assert_eq!(
        (&own["conversation"]["user"], &own["history"]["messages"][0]["text"]),
        (&json!("ann"), &json!("A question of ann"))
    );
    assert_eq!(read(&rooms, "hearth://conversations/cellar", &ann).await, Err(ErrorCode::NotFound));
    assert!(read(&rooms, "hearth://conversations/cellar", &owner).await.is_ok());
    assert_eq!(read(&rooms, "hearth://profiles/ben", &ann).await, Err(ErrorCode::NotFound));
    assert_eq!(read(&rooms, "hearth://settings", &guest).await, Err(ErrorCode::Forbidden));
    assert_eq!(read(&rooms, "hearth://settings/house.name", &ann).await.expect("known")["value"], "Hearth");
    assert!(read(&rooms, "hearth://usage", &ann).await.is_ok());
    for nothing in ["hearth://", "hearth://nothing", "hearth://status/x", "hearth://conversations/../x"] {
        assert_eq!(read(&rooms, nothing, &owner).await, Err(ErrorCode::NotFound), "{nothing}");
    }
    assert!(read(&rooms, "file:///etc/passwd", &owner).await.is_err());

    let uris = |listed: Vec<Value>| {
        listed.iter().map(|one| one["uri"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    let of_ann = uris(rooms.service.resources(&ann).await.expect("readable"));
    assert!(of_ann.is_sorted() && of_ann.contains(&"hearth://model-profiles/default".to_owned()), "{of_ann:?}");
    assert!(
        of_ann.contains(&"hearth://profiles/ann".to_owned()) && !of_ann.contains(&"hearth://profiles/ben".to_owned())
    );
    assert_eq!(uris(rooms.service.resources(&guest).await.expect("readable")), ["hearth://status"]);
    for uri in uris(rooms.service.resources(&owner).await.expect("readable")) {
        assert!(read(&rooms, &uri, &owner).await.is_ok(), "{uri}");
    }
    let templates = rooms.service.templates(&ann);
    let templates: Vec<_> = templates.iter().map(|one| one["uriTemplate"].as_str().unwrap_or_default()).collect();
    let expected = ["conversations/{id}", "model-profiles/{name}", "profiles/{user}", "settings/{key}"];
    assert_eq!(templates, expected.map(|path| format!("hearth://{path}")));
    assert!(rooms.service.templates(&guest).is_empty());
}

#[tokio::test]
async fn prompts_bring_what_the_house_knows() {
    let rooms = lived_in().await;
    let (ann, guest) = (who("ann", Role::Member), who("gus", Role::Guest));
    let names: Vec<_> = rooms.service.prompts(&ann).iter().map(|one| one["name"].clone()).collect();
    assert_eq!(names, ["explain_setting", "find_in_history", "house_report", "summarise_conversation"]);
    assert!(rooms.service.prompts(&guest).is_empty());
    let text = |got: &Value| got["messages"][0]["content"]["text"].as_str().expect("a text").to_owned();
    let got =
        ask(&rooms, Method::GetPrompt, json!({"name": "summarise_conversation", "arguments": {"id": "kitchen"}}), &ann)
            .await;
    assert!(text(&got.expect("hers")).contains("A question of ann"));
    let got =
        ask(&rooms, Method::GetPrompt, json!({"name": "find_in_history", "arguments": {"words": "question"}}), &ann)
            .await;
    let got = text(&got.expect("found"));
    assert!(got.contains("kitchen") && !got.contains("cellar"), "{got}");
    assert!(
        text(&ask(&rooms, Method::GetPrompt, json!({"name": "house_report"}), &ann).await.expect("known"))
            .contains("1.2.3")
    );
    for (params, code) in [
        (json!({"name": "summarise_conversation"}), ErrorCode::BadRequest),
        (json!({"name": "summarise_conversation", "arguments": {"id": "cellar"}}), ErrorCode::NotFound),
        (json!({"name": "nothing"}), ErrorCode::NotFound),
    ] {
        let refused = ask(&rooms, Method::GetPrompt, params.clone(), &ann).await.expect_err("refused");
        assert_eq!(refused.error.code, code, "{params}");
    }
}

#[tokio::test]
async fn ids_and_names_are_completed_with_what_one_may_see() {
    let rooms = lived_in().await;
    let (ann, owner) = (who("ann", Role::Member), who("olga", Role::Owner));
    let complete = async |reference: Value, name: &str, value: &str, who: &Arc<Principal>| {
        let params = json!({"ref": reference, "argument": {"name": name, "value": value}});
        ask(&rooms, Method::Complete, params, who).await.map(|done| done["completion"]["values"].clone())
    };
    let prompt = json!({"type": "ref/prompt", "name": "summarise_conversation"});
    assert_eq!(complete(prompt.clone(), "id", "", &ann).await, Ok(json!(["kitchen"])));
    assert_eq!(complete(prompt.clone(), "id", "CEL", &owner).await, Ok(json!(["cellar"])));
    assert_eq!(complete(prompt.clone(), "id", "question of b", &owner).await, Ok(json!(["cellar"])), "by its title");
    let template = |path: &str| json!({"type": "ref/resource", "uri": format!("hearth://{path}")});
    assert_eq!(complete(template("settings/{key}"), "key", "house.n", &ann).await, Ok(json!(["house.name"])));
    assert_eq!(complete(template("model-profiles/{name}"), "name", "d", &ann).await, Ok(json!(["default"])));
    assert_eq!(complete(template("profiles/{user}"), "user", "", &ann).await, Ok(json!(["ann"])));
    assert_eq!(complete(template("mcp-servers/{slug}"), "slug", "", &ann).await, Ok(json!([])), "an owner's");
    assert!(complete(prompt, "other", "", &ann).await.is_err());
}

#[tokio::test]
async fn whoever_watches_hears_of_changes_and_of_new_tools() {
    let rooms = lived_in().await;
    let watching = tokio::spawn(rooms.native.clone().watch());
    let (ann, ben) = (who("ann", Role::Member), who("ben", Role::Member));
    let kitchen = json!({"uri": "hearth://conversations/kitchen"});
    for _ in 0..2 {
        ask(&rooms, Method::Subscribe, kitchen.clone(), &ann).await.expect("hers");
    }
    let refused = ask(&rooms, Method::Subscribe, kitchen.clone(), &ben).await.expect_err("not his");
    assert_eq!(refused.error.code, ErrorCode::NotFound);
    ask(&rooms, Method::Subscribe, json!({"uri": "hearth://settings"}), &ann).await.expect("everybody's");
    let mut news = rooms.service.changes();
    // The watch has begun once it tells of something.
    let mut number = 0;
    while news.try_recv().is_err() {
        number += 1;
        rooms.house.store.put(ModelProfile::new(format!("p{number}")), None).await.expect("sound");
        tokio::task::yield_now().await;
    }
    let store = &rooms.house.store;
    let mut news = rooms.service.changes();
    store.append("ben", "cellar", vec![NewMessage::new(Speaker::User, "x", 2)]).await.expect("room");
    store.append("ann", "kitchen", vec![NewMessage::new(Speaker::User, "x", 3)]).await.expect("room");
    let owner = who("olga", Role::Owner);
    rooms.ok(&owner, "settings.set", json!({"key": "house.name", "value": "Rose Cottage"})).await;
    let mut heard = Vec::new();
    while heard.len() < 2 {
        match news.recv().await.expect("news") {
            Changed::Resource(uri) => heard.push(uri.to_string()),
            Changed::Resources => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(heard, ["hearth://conversations/kitchen", "hearth://settings"]);
    // Two watched it: one that leaves leaves the other.
    ask(&rooms, Method::Unsubscribe, kitchen.clone(), &ann).await.expect("a word");
    assert_eq!(rooms.native.shared.watched.lock().unwrap()["hearth://conversations/kitchen"], 1);
    ask(&rooms, Method::Unsubscribe, kitchen.clone(), &ann).await.expect("a word");
    ask(&rooms, Method::Unsubscribe, kitchen, &ann).await.expect("also twice");
    assert!(!rooms.native.shared.watched.lock().unwrap().contains_key("hearth://conversations/kitchen"));
    let tool = rooms.native.shared.tool("status").expect("a tool");
    rooms.native.register(tool);
    assert_eq!(news.recv().await, Ok(Changed::Tools));
    watching.abort();
}
