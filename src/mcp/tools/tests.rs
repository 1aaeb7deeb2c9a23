//! Every family of tools: what it does, and who may.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::testing::{rooms, rooms_of, who};
use crate::common::chat::Role as Speaker;
use crate::common::config::{Config, McpServer};
use crate::common::error::ErrorCode::{BadRequest, Conflict, Forbidden, NotFound};
use crate::common::who::{Door, Role};
use crate::mcp::Source;
use crate::store::{ModelProfile, NewMessage, UsageKey, UsageSum, User};

#[tokio::test]
async fn every_tool_is_described_and_for_somebody() {
    let rooms = rooms();
    let tools = rooms.native.tools();
    assert!(tools.is_sorted_by(|one, other| one.name < other.name));
    let least: BTreeMap<&str, Role> = tools.iter().map(|tool| (&*tool.name, tool.access)).collect();
    for (name, role) in &least {
        let writes = ["set", "delete"].iter().any(|verb| name.ends_with(verb));
        let is_own = name.starts_with("conversations.") || name.starts_with("profiles.");
        assert!(!writes || is_own || *role == Role::Owner, "{name} is for {role:?}");
    }
    let guests: Vec<_> = least.iter().filter(|(_, role)| **role == Role::Guest).map(|(name, _)| *name).collect();
    assert_eq!(guests, ["status", "tools.get", "tools.list"]);
    for tool in tools.iter() {
        assert!(tool.description.len() > 20 && tool.title.is_some(), "{}", tool.name);
        let (input, output) = (tool.input.to_value(), tool.output.as_ref().expect("a result").to_value());
        assert_eq!((&input["type"], &output["type"]), (&json!("object"), &json!("object")), "{}", tool.name);
        assert_eq!(input["additionalProperties"], false, "{}: {input}", tool.name);
        assert!(!tool.input.as_str().contains("$ref"), "{}", tool.name);
        assert_eq!(
            tool.annotations.is_destructive(),
            tool.name.ends_with(".delete") && &*tool.name != "tool_overlays.delete",
            "{}",
            tool.name
        );
        let guest = who("gus", Role::Guest);
        if tool.access > Role::Guest {
            assert_eq!(rooms.code(&guest, &tool.name, json!({})).await, Forbidden, "{}", tool.name);
        }
    }
}

#[tokio::test]
async fn what_a_tool_answers_is_of_its_own_schema() {
    let rooms = rooms();
    let owner = who("olga", Role::Owner);
    rooms.house.store.put(ModelProfile::new("default"), None).await.expect("sound");
    rooms.house.store.append("olga", "c", vec![NewMessage::new(Speaker::User, "hello", 1)]).await.expect("room");
    for (tool, arguments) in [
        ("status", json!({})),
        ("settings.list", json!({})),
        ("settings.get", json!({"key": "house.name"})),
        ("model_profiles.list", json!({})),
        ("model_profiles.get", json!({"name": "default"})),
        ("profiles.list", json!({})),
        ("profiles.get", json!({})),
        ("conversations.list", json!({})),
        ("conversations.get", json!({"id": "c"})),
        ("conversations.messages", json!({"id": "c"})),
        ("conversations.export", json!({"id": "c", "format": "json"})),
        ("conversations.search", json!({"q": "hello"})),
        ("usage.get", json!({})),
        ("audit.list", json!({})),
        ("mcp_servers.list", json!({})),
        ("tool_overlays.list", json!({})),
        ("tools.list", json!({})),
        ("tools.get", json!({"name": "status"})),
    ] {
        let result = rooms.ok(&owner, tool, arguments).await;
        let schema = rooms.service.tool(tool).and_then(|tool| tool.output.clone()).expect("a schema").to_value();
        let validator = jsonschema::draft202012::new(&schema).expect("a schema");
        let faults: Vec<_> = validator.iter_errors(&result).map(|fault| fault.to_string()).collect();
        assert!(faults.is_empty(), "{tool}: {faults:?}");
    }
}

#[tokio::test]
async fn status_tells_each_as_much_as_they_are() {
    let rooms = rooms();
    let of_guest = rooms.ok(&who("gus", Role::Guest), "status", json!({})).await;
    assert_eq!(
        (&of_guest["version"], &of_guest["uptime_s"], &of_guest["role"]),
        (&json!("1.2.3"), &json!(0), &json!("guest"))
    );
    assert_eq!((&of_guest["tools"], of_guest.get("records")), (&json!(3), None));
    let of_owner = rooms.ok(&who("olga", Role::Owner), "status", json!({})).await;
    assert_eq!(of_owner["records"]["users"], 0);
    assert_eq!(of_owner["house"], "Hearth");
}

/// What it has read may have talked it into that.
#[tokio::test]
async fn a_model_runs_no_program_of_its_own_choice_and_gives_nobody_a_tool() {
    let rooms = rooms();
    let owner = who("olga", Role::Owner);
    let model = Arc::new(owner.through(Door::Model));
    let program = json!({"slug": "evil", "server": {"command": "sh"}});
    assert_eq!(rooms.code(&model, "mcp_servers.set", program.clone()).await, Forbidden);
    rooms.ok(&owner, "mcp_servers.set", program).await;

    let for_guests = json!({"tool": "files__wipe", "access": "guest"});
    assert_eq!(rooms.code(&model, "tool_overlays.set", for_guests).await, Forbidden);
    let other_name = json!({"tool": "files__wipe", "name": "clean_up"});
    rooms.ok(&model, "tool_overlays.set", other_name.clone()).await;
    rooms.ok(&model, "tool_overlays.delete", json!({"tool": "files__wipe"})).await;
    // What a person has said of it does not go away either.
    rooms.ok(&owner, "tool_overlays.set", json!({"tool": "files__wipe", "access": "owner"})).await;
    assert_eq!(rooms.code(&model, "tool_overlays.set", other_name).await, Forbidden);
    assert_eq!(rooms.code(&model, "tool_overlays.delete", json!({"tool": "files__wipe"})).await, Forbidden);
}

/// It would have no effect, and who laid it would believe that it had.
#[tokio::test]
async fn nothing_is_laid_over_the_hubs_own_tools() {
    let rooms = rooms();
    for tool in ["devices.set", "ask", "search_tools", "", "a b"] {
        let hidden = json!({"tool": tool, "hidden": true});
        assert_eq!(rooms.code(&who("olga", Role::Owner), "tool_overlays.set", hidden).await, BadRequest, "{tool}");
    }
}

#[tokio::test]
async fn settings_are_known_checked_and_compared() {
    let rooms = rooms();
    let (owner, member) = (who("olga", Role::Owner), who("ann", Role::Member));
    let first = rooms
        .ok(&owner, "settings.set", json!({"key": "house.timezone", "value": "Europe/Zurich", "if_revision": 0}))
        .await;
    assert_eq!(first["value"], "Europe/Zurich");
    let stale = json!({"key": "house.timezone", "value": "Europe/Paris", "if_revision": 0});
    assert_eq!(rooms.code(&owner, "settings.set", stale).await, Conflict);
    assert_eq!(rooms.code(&member, "settings.set", json!({"key": "house.name", "value": "x"})).await, Forbidden);
    for (key, value, code) in [
        ("house.tiemzone", json!("Europe/Zurich"), NotFound),
        ("house.timezone", json!("Nowhere"), BadRequest),
        ("tools.pinned", json!([1]), BadRequest),
        ("tools.policy", json!("sometimes"), BadRequest),
    ] {
        assert_eq!(rooms.code(&owner, "settings.set", json!({"key": key, "value": value})).await, code, "{key}");
    }
    let all = rooms.ok(&member, "settings.list", json!({})).await;
    let zone =
        all["settings"].as_array().expect("a list").iter().find(|one| one["key"] == "house.timezone").expect("known");
    assert_eq!(
        (&zone["value"], &zone["default"], &zone["revision"]),
        (&json!("Europe/Zurich"), &Value::Null, &first["revision"])
    );
    assert_eq!(rooms.ok(&owner, "settings.delete", json!({"key": "house.timezone"})).await["deleted"], true);
    assert_eq!(rooms.ok(&owner, "settings.delete", json!({"key": "house.timezone"})).await["deleted"], false);
    assert_eq!(rooms.ok(&member, "settings.get", json!({"key": "house.timezone"})).await["revision"], 0);
}

#[tokio::test]
async fn model_profiles_are_written_whole_and_listed_in_pages() {
    let rooms = rooms();
    let (owner, member) = (who("olga", Role::Owner), who("ann", Role::Member));
    for name in ["default", "evening", "morning"] {
        rooms.ok(&owner, "model_profiles.set", json!({"name": name, "temperature": "0.5"})).await;
    }
    let page = rooms.ok(&member, "model_profiles.list", json!({"limit": 2})).await;
    assert_eq!((page["model_profiles"].as_array().map(Vec::len), &page["next_cursor"]), (Some(2), &json!("evening")));
    let rest = rooms.ok(&member, "model_profiles.list", json!({"limit": 2, "cursor": "evening"})).await;
    assert_eq!((&rest["model_profiles"][0]["name"], rest.get("next_cursor")), (&json!("morning"), None));
    // What was read is sent back, its revision included, with one field changed.
    let mut evening = rooms.ok(&member, "model_profiles.get", json!({"name": "evening"})).await;
    evening["top_p"] = json!(0.5);
    evening["if_revision"] = evening["revision"].clone();
    let written = rooms.ok(&owner, "model_profiles.set", evening.clone()).await;
    assert_eq!((&written["temperature"], &written["top_p"]), (&json!(0.5), &json!(0.5)));
    assert_eq!(rooms.code(&owner, "model_profiles.set", evening).await, Conflict);
    assert_eq!(rooms.code(&owner, "model_profiles.set", json!({"name": "x", "tempreature": 1})).await, BadRequest);
    assert_eq!(rooms.code(&owner, "model_profiles.delete", json!({"name": "default"})).await, BadRequest);
    assert_eq!(rooms.ok(&owner, "model_profiles.delete", json!({"name": "evening"})).await["deleted"], true);
    assert_eq!(rooms.code(&member, "model_profiles.get", json!({"name": "evening"})).await, NotFound);
    assert_eq!(rooms.code(&member, "model_profiles.set", json!({"name": "x"})).await, Forbidden);
}

#[tokio::test]
async fn everybody_writes_what_they_like_and_only_owners_that_of_others() {
    let rooms = rooms();
    let (owner, ann) = (who("olga", Role::Owner), who("ann", Role::Member));
    let empty = rooms.ok(&ann, "profiles.get", json!({})).await;
    assert_eq!(empty, json!({"user": "ann", "revision": 0}));
    rooms.ok(&ann, "profiles.set", json!({"user": "ann", "locale": "de-CH", "timezone": "Europe/Zurich"})).await;
    for (arguments, code) in [
        (json!({"user": "ben", "locale": "fr"}), NotFound),
        (json!({"user": "ann", "locale": "german!"}), BadRequest),
        (json!({"user": "ann", "timezone": "Mars/Olympus"}), BadRequest),
        (json!({"user": "ann", "model_profile": "gone"}), BadRequest),
    ] {
        assert_eq!(rooms.code(&ann, "profiles.set", arguments.clone()).await, code, "{arguments}");
    }
    assert_eq!(rooms.code(&owner, "profiles.set", json!({"user": "ben"})).await, NotFound, "there is no such user");
    let ben = User {
        name: "ben".into(),
        display_name: None,
        role: Role::Member,
        password_hash: None,
        disabled: false,
        allow: Vec::new(),
        deny: Vec::new(),
        rooms: None,
        created_at_ms: 1,
        revision: 0,
    };
    rooms.house.store.put(ben, None).await.expect("sound");
    rooms.ok(&owner, "profiles.set", json!({"user": "ben", "locale": "fr"})).await;
    assert_eq!(rooms.code(&ann, "profiles.get", json!({"user": "ben"})).await, NotFound);
    assert_eq!(rooms.ok(&ann, "profiles.list", json!({})).await["profiles"].as_array().map(Vec::len), Some(1));
    assert_eq!(rooms.ok(&owner, "profiles.list", json!({})).await["profiles"].as_array().map(Vec::len), Some(2));
    assert_eq!(rooms.code(&ann, "profiles.delete", json!({"user": "ben"})).await, NotFound);
    assert_eq!(rooms.ok(&ann, "profiles.delete", json!({"user": "ann"})).await["deleted"], true);
}

#[tokio::test]
async fn a_conversation_is_nobody_elses_business() {
    let rooms = rooms();
    let (owner, ann, ben) = (who("olga", Role::Owner), who("ann", Role::Member), who("ben", Role::Member));
    for at_ms in 1..=5 {
        for (user, id) in [("ann", "kitchen"), ("ben", "cellar")] {
            let said = NewMessage::new(Speaker::User, format!("{user} says {at_ms}, été"), at_ms);
            rooms.house.store.append(user, id, vec![said]).await.expect("room");
        }
    }
    for tool in ["get", "set", "delete", "messages", "export"] {
        let code = rooms.code(&ben, &format!("conversations.{tool}"), json!({"id": "kitchen"})).await;
        assert_eq!(code, NotFound, "{tool}");
        let code = rooms.code(&ben, &format!("conversations.{tool}"), json!({"id": "nothing"})).await;
        assert_eq!(code, NotFound, "{tool}: one that is not there looks the same");
    }
    let ids = |listed: &Value| {
        listed["conversations"].as_array().expect("a list").iter().map(|one| one["id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&rooms.ok(&ann, "conversations.list", json!({})).await), ["kitchen"]);
    assert_eq!(ids(&rooms.ok(&owner, "conversations.list", json!({})).await), ["kitchen", "cellar"]);
    assert_eq!(ids(&rooms.ok(&owner, "conversations.list", json!({"user": "ben"})).await), ["cellar"]);
    assert_eq!(rooms.code(&ann, "conversations.list", json!({"user": "ben"})).await, NotFound);
    let page = rooms.ok(&owner, "conversations.list", json!({"limit": 1})).await;
    let rest = rooms.ok(&owner, "conversations.list", json!({"limit": 1, "cursor": page["next_cursor"]})).await;
    assert_eq!((ids(&page), ids(&rest)), (vec![json!("kitchen")], vec![json!("cellar")]));

    let newest = rooms.ok(&ann, "conversations.messages", json!({"id": "kitchen", "limit": 3})).await;
    assert_eq!((&newest["messages"][0]["seq"], &newest["next_cursor"]), (&json!(3), &json!("3")));
    let older = rooms.ok(&ann, "conversations.messages", json!({"id": "kitchen", "limit": 3, "cursor": "3"})).await;
    assert_eq!((older["messages"].as_array().map(Vec::len), older.get("next_cursor")), (Some(2), None));
    let found = rooms.ok(&ann, "conversations.search", json!({"q": "ETE", "limit": 2})).await;
    assert_eq!(found["messages"][0]["seq"], 5);
    let rest = rooms.ok(&ann, "conversations.search", json!({"q": "ETE", "cursor": found["next_cursor"]})).await;
    assert_eq!(rest["messages"].as_array().map(Vec::len), Some(3), "only hers: {rest}");
    let named =
        rooms.ok(&ann, "conversations.set", json!({"id": "kitchen", "title": "Cooking", "if_revision": 9})).await;
    assert_eq!(named["title"], "Cooking");
    let stale = json!({"id": "kitchen", "title": "x", "if_revision": 9});
    assert_eq!(rooms.code(&ann, "conversations.set", stale).await, Conflict);
    let exported = rooms.ok(&ann, "conversations.export", json!({"id": "kitchen"})).await;
    assert!(exported["text"].as_str().is_some_and(|text| text.starts_with("# Cooking\n")), "{exported}");
    for cursor in ["", "x", "1.", "9.x.kitchen", "../x"] {
        for (tool, mut arguments) in [
            ("conversations.list", json!({})),
            ("conversations.messages", json!({"id": "kitchen"})),
            ("conversations.search", json!({"q": "x"})),
            ("conversations.export", json!({"id": "kitchen"})),
        ] {
            arguments["cursor"] = json!(cursor);
            assert_eq!(rooms.code(&ann, tool, arguments).await, BadRequest, "{tool} {cursor}");
        }
    }
    assert_eq!(rooms.code(&ann, "conversations.delete", json!({"id": "kitchen", "if_revision": 1})).await, Conflict);
    assert_eq!(rooms.ok(&owner, "conversations.delete", json!({"id": "kitchen"})).await["deleted"], true);
}

#[tokio::test]
async fn usage_is_added_up_for_those_who_may_see_it() {
    let rooms = rooms();
    let (owner, ann) = (who("olga", Role::Owner), who("ann", Role::Member));
    for (user, model, nano) in [("ann", "a", 1_000_000_000), ("ben", "b", 2_000_000_000)] {
        let name = |text: &str| text.to_owned();
        let day = jiff::civil::date(2025, 11, 22);
        let key =
            UsageKey { day, user: name(user), profile: name("default"), provider: name("openai"), model: name(model) };
        let sum = UsageSum { requests: 1, cost_nano_usd: nano, ..UsageSum::default() };
        rooms.house.store.add_usage(key, sum).await.expect("room");
    }
    let own = rooms.ok(&ann, "usage.get", json!({})).await;
    assert_eq!(
        (&own["to"], &own["totals"]["requests"], &own["totals"]["cost_usd"]),
        (&json!("2025-11-22"), &json!(1), &json!(1.0))
    );
    let all = rooms.ok(&owner, "usage.get", json!({"by": "model"})).await;
    assert_eq!((&all["rows"][0]["name"], &all["totals"]["requests"]), (&json!("openai/b"), &json!(2)));
    assert_eq!(rooms.ok(&owner, "usage.get", json!({"user": "ben"})).await["totals"]["requests"], 1);
    assert_eq!(rooms.code(&ann, "usage.get", json!({"user": "ben"})).await, NotFound);
    for bad in
        [json!({"from": "yesterday"}), json!({"from": "2025-11-23", "to": "2025-11-22"}), json!({"from": "2001-01-01"})]
    {
        assert_eq!(rooms.code(&owner, "usage.get", bad.clone()).await, BadRequest, "{bad}");
    }
}

#[tokio::test]
async fn the_audit_is_read_by_owners_in_pages() {
    let rooms = rooms();
    let (owner, ann) = (who("olga", Role::Owner), who("ann", Role::Member));
    for _ in 0..3 {
        rooms.ok(&ann, "status", json!({})).await;
    }
    assert_eq!(rooms.code(&ann, "audit.list", json!({})).await, Forbidden);
    rooms.service.flush().await;
    let denied = rooms.ok(&owner, "audit.list", json!({"outcome": "denied", "user": "ann"})).await;
    assert_eq!(
        (&denied["entries"][0]["tool"], denied["entries"].as_array().map(Vec::len)),
        (&json!("audit.list"), Some(1))
    );
    let page = rooms.ok(&owner, "audit.list", json!({"tool": "status", "limit": 2})).await;
    assert_eq!(page["entries"].as_array().map(Vec::len), Some(2));
    let rest =
        rooms.ok(&owner, "audit.list", json!({"tool": "status", "limit": 2, "cursor": page["next_cursor"]})).await;
    assert_eq!((rest["entries"].as_array().map(Vec::len), rest.get("next_cursor")), (Some(1), None));
}

#[tokio::test]
async fn servers_of_the_file_and_of_the_store_are_one_list() {
    let mut config = Config::default();
    config.mcp.servers.insert("memory".into(), McpServer { command: vec!["memory".into()], ..McpServer::default() });
    let rooms = rooms_of(config);
    let (owner, ann) = (who("olga", Role::Owner), who("ann", Role::Member));
    rooms
        .ok(&owner, "mcp_servers.set", json!({"slug": "files", "server": {"command": "files"}, "if_revision": 0}))
        .await;
    let off = rooms
        .ok(&owner, "mcp_servers.set", json!({"slug": "memory", "enabled": false, "disabled_tools": ["wipe"]}))
        .await;
    assert_eq!(
        (&off["enabled"], &off["in_config"], &off["server"]["command"]),
        (&json!(false), &json!(true), &json!(["memory"]))
    );
    let all = rooms.ok(&owner, "mcp_servers.list", json!({})).await;
    let slugs: Vec<_> = all["servers"].as_array().expect("a list").iter().map(|one| one["slug"].clone()).collect();
    assert_eq!(slugs, ["files", "memory"]);
    for bad in [
        json!({"slug": "a__b", "server": {"command": ["x"]}}),
        json!({"slug": "new"}),
        json!({"slug": "new", "server": {"command": ["x"], "url": "http://x/"}}),
        json!({"slug": "new", "server": {"command": ["x"], "nonsense": 1}}),
    ] {
        assert_eq!(rooms.code(&owner, "mcp_servers.set", bad.clone()).await, BadRequest, "{bad}");
    }
    assert_eq!(rooms.code(&ann, "mcp_servers.list", json!({})).await, Forbidden);
    assert_eq!(rooms.ok(&owner, "mcp_servers.delete", json!({"slug": "memory"})).await["deleted"], true);
    assert_eq!(rooms.ok(&owner, "mcp_servers.get", json!({"slug": "memory"})).await["revision"], 0);
    assert_eq!(rooms.code(&owner, "mcp_servers.get", json!({"slug": "nothing"})).await, NotFound);
}

#[tokio::test]
async fn overlays_are_laid_and_taken_away() {
    let rooms = rooms();
    let (owner, ann) = (who("olga", Role::Owner), who("ann", Role::Member));
    let laid = rooms
        .ok(&owner, "tool_overlays.set", json!({"tool": "files__read", "name": "read_file", "pinned": "true"}))
        .await;
    assert_eq!(laid["pinned"], true);
    for bad in [json!({"tool": "a__b", "name": "with space"}), json!({"tool": "a__b", "merged_into": "a__b"})] {
        assert_eq!(rooms.code(&owner, "tool_overlays.set", bad.clone()).await, BadRequest, "{bad}");
    }
    assert_eq!(rooms.ok(&ann, "tool_overlays.get", json!({"tool": "files__read"})).await["name"], "read_file");
    assert_eq!(rooms.code(&ann, "tool_overlays.delete", json!({"tool": "files__read"})).await, Forbidden);
    assert_eq!(rooms.ok(&owner, "tool_overlays.delete", json!({"tool": "files__read"})).await["deleted"], true);
    assert_eq!(rooms.ok(&ann, "tool_overlays.list", json!({})).await["overlays"], json!([]));
}

#[tokio::test]
async fn tools_are_listed_to_those_who_may_call_them() {
    let rooms = rooms();
    let (owner, guest) = (who("olga", Role::Owner), who("gus", Role::Guest));
    let of_guest = rooms.ok(&guest, "tools.list", json!({})).await;
    assert_eq!(of_guest["tools"].as_array().map(Vec::len), Some(3));
    assert_eq!(rooms.code(&guest, "tools.get", json!({"name": "settings.set"})).await, NotFound);
    let whole = rooms.ok(&owner, "tools.get", json!({"name": "settings.set"})).await;
    assert_eq!((&whole["input_schema"]["required"], &whole["server"]), (&json!(["key", "value"]), &json!("hub")));
    assert_eq!(rooms.ok(&owner, "tools.list", json!({"server": "files"})).await["tools"], json!([]));
}
