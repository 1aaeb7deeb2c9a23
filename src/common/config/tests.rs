//! The configuration as an owner meets it: what files and variables give, and what is said about mistakes.

use std::path::Path;

use super::load::{overrides, parse};
use super::*;

const FILE: &str = include_str!("../../../config.yaml");

fn read(text: &str, env: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    parse(Path::new("config.yaml"), text, &overrides(env))
}

fn good(text: &str, env: &[(&str, &str)]) -> Config {
    read(text, env).unwrap_or_else(|error| panic!("{text}\n{error}"))
}

fn refused(text: &str, env: &[(&str, &str)]) -> String {
    read(text, env).expect_err(text).to_string()
}

#[test]
fn the_file_is_the_defaults() {
    assert_eq!(good(FILE, &[]), Config::default());
    assert_eq!(good("", &[]), Config::default());
    assert_eq!(good("# nothing\ngateway:\nmcp: {}\n", &[]), Config::default());
}

#[test]
fn the_commented_examples_of_the_file_are_good() {
    let uncommented = FILE.replace("\n    # ", "\n    ");
    let config = good(&uncommented[uncommented.find("\nmcp:").unwrap()..], &[]);
    assert_eq!(config.mcp.servers["memory"].command[0], "npx");
    assert_eq!(config.mcp.servers["context7"].headers_env["Authorization"], "CONTEXT7_TOKEN");
    assert!(!config.mcp.servers["context7"].enabled);
}

#[test]
fn what_is_given_lies_over_the_defaults() {
    let config = good(
        "gateway: {port: 8001}\nproviders:\n  local:\n    model: 4.10\n    api_key_env: LOCAL_KEY\n  openai: {api_key_env: null}\n\
         zigbee: {channel: 15, backend: off}\nmodel_profile: {system_prompt: 42, temperature: 1}\n",
        &[],
    );
    assert_eq!(config.gateway.port, 8001);
    assert_eq!(config.gateway.max_connections, Config::default().gateway.max_connections);
    assert_eq!(config.providers.local.model, "4.10", "as written, and not as a number");
    assert_eq!(config.providers.local.base_url, Config::default().providers.local.base_url);
    assert_eq!(config.providers.local.api_key_env.as_deref(), Some("LOCAL_KEY"));
    assert_eq!(config.providers.openai.api_key_env, None);
    assert_eq!((config.zigbee.channel.as_str(), config.zigbee.backend), ("15", ZigbeeBackend::Off));
    assert_eq!(config.model_profile.system_prompt.as_deref(), Some("42"));
    assert_eq!(config.model_profile.temperature, Some(1.0));
}

#[test]
fn variables_lie_over_the_file() {
    let config = good(
        "gateway: {port: 8001, host: 10.0.0.1}\nmcp: {servers: {Memory: {command: [npx]}}}\n",
        &[
            ("HEARTH__GATEWAY__PORT", "8002"),
            ("hearth__log__Level", "debug,hearth=trace"),
            ("HEARTH__PROVIDERS__FALLBACK", "[local, assistant]"),
            ("HEARTH__PROVIDERS__ANTHROPIC__API_KEY_ENV", ""),
            ("HEARTH__MODEL_PROFILE__SYSTEM_PROMPT", "You are: a butler # 1"),
            ("HEARTH__MODEL_PROFILE__MAX_TOKENS", "100"),
            ("HEARTH__PROVIDERS__LOCAL__MODEL", "\"quoted\""),
            ("HEARTH__ZIGBEE__CHANNEL", "20"),
            ("HEARTH__GATEWAY__LAN_ONLY", "false"),
            ("HEARTH__MCP__SERVERS__MEMORY__ENABLED", "false"),
            ("HEARTH_SHARED", "not for the configuration"),
            ("PATH", "/bin"),
        ],
    );
    assert_eq!((config.gateway.port, config.gateway.host.to_string().as_str()), (8002, "10.0.0.1"));
    assert_eq!(config.log.level, "debug,hearth=trace");
    assert_eq!(config.providers.fallback, [ProviderName::Local, ProviderName::Assistant]);
    assert_eq!(config.providers.anthropic.api_key_env, None);
    assert_eq!(config.model_profile.system_prompt.as_deref(), Some("You are: a butler # 1"));
    assert_eq!(config.model_profile.max_tokens, Some(100));
    assert_eq!(config.providers.local.model, "quoted");
    assert_eq!(config.zigbee.channel, "20");
    assert!(!config.gateway.lan_only);
    assert!(!config.mcp.servers["Memory"].enabled && config.mcp.servers.len() == 1);
}

#[test]
fn a_mistake_is_shown_with_line_and_caret() {
    let text = "gateway:\n  prot: 8000\n";
    assert_eq!(
        refused(text, &[]),
        "config.yaml:2:3: there is no key `prot` in `gateway`\n  2 |   prot: 8000\n    |   ^^^^\n  help: did you mean `port`?"
    );
    let text = "# ü\nlog:\n  level: \"ü\"\n  format: josn\n";
    assert_eq!(
        refused(text, &[]),
        "config.yaml:3:10: `log.level`: `ü` is no level\n  3 |   level: \"ü\"\n    |          ^^^\n  help: one of error, warn, info, debug, trace, or a filter: info,hearth::router=debug\n\
         config.yaml:4:11: `log.format`: got `josn`, expected one of `auto`, `pretty`, `json`, `journald`\n  4 |   format: josn\n    |           ^^^^"
    );
}

#[test]
fn every_kind_of_mistake_has_its_words() {
    for (text, place, words) in [
        ("gateway: {port: 70000}", "1:17", "whole number from 0 to 65535"),
        ("gateway: {port: abc}", "1:17", "got string \"abc\""),
        ("gateway: {port: [1]}", "1:17", "got sequence"),
        ("gateway: {port: {a: 1}}", "1:17", "got map"),
        ("gateway: {host: nowhere}", "1:17", "invalid IP address"),
        ("gateway: {lan_only: perhaps}", "1:21", "true or false"),
        ("gateway: {allowed_hosts: hub}", "1:26", "expected a list"),
        ("gateway: 5", "1:10", "is a section"),
        ("gateway:\n  port:\n", "2:7", "has no value"),
        ("port: 8000", "1:1", "did you mean `gateway.port`?"),
        ("providers:\n  openai: {url: x}", "2:12", "did you mean `mcp.servers.*.url`"),
        ("colour: red", "1:1", "the keys here: `budget`, `gateway`"),
        ("- a", "1:1", "sections"),
        ("providers: {fallback: [local, assistent]}", "1:31", "got `assistent`, expected one of"),
        ("gateway:\n  port: 1\n  port: 2\n", "3:3", "the key `port` stands here twice"),
        ("gateway: {port: 1}\nlog: {level: info}\ngateway: {host: 1.1.1.1}", "3:1", "stands here twice"),
        ("a: [b\nc: d", "2:2", "illegal"),
        ("gateway:\n\tport: 1", "2:2", "tabs"),
        ("--- {}\n--- {}\n", "2:1", "more than a configuration needs"),
        ("log: {level: !!binary x}", "1:", ""),
        ("? [a]\n: b", "1:3", "string"),
        ("mcp: {servers: {x: {comand: [a], url: \"http://a\"}}}", "1:21", "did you mean `command`"),
        ("gateway: {max_connections: -1}", "1:28", "whole number"),
        ("model_profile: {temperature: .nan}", "1:", ""),
    ] {
        let error = refused(text, &[]);
        assert!(error.starts_with(&format!("config.yaml:{place}")) && error.contains(words), "{text}\n{error}");
        assert!(error.contains("^"), "{error}");
    }
}

#[test]
fn all_mistakes_are_told_at_once_in_the_order_of_the_file() {
    let text = "gateway: {port: x, lan_only: maybe}\nlog: {level: inof}\nprot: 1\nmqtt: {url: x}\n";
    let Err(ConfigError::Refused(problems)) = read(text, &[("HEARTH__NOPE", "1"), ("HEARTH__LOG__FORMAT", "x")]) else {
        panic!("it has mistakes");
    };
    let places: Vec<_> = problems.iter().map(|problem| problem.place.as_str()).collect();
    assert_eq!(
        places,
        [
            "config.yaml:1:17",
            "config.yaml:1:30",
            "config.yaml:2:14",
            "config.yaml:3:1",
            "config.yaml:4:13",
            "HEARTH__LOG__FORMAT",
            "HEARTH__NOPE"
        ]
    );
}

#[test]
fn a_variables_mistake_names_the_variable() {
    for (name, value, words) in [
        ("HEARTH__GATEWAY__PORT", "abc", "whole number from 0 to 65535"),
        ("HEARTH__GATEWAY__PORT", "", "has no value"),
        ("HEARTH__GATEWAY__PROT", "1", "did you mean `port`?"),
        ("HEARTH__PORT", "1", "did you mean `gateway.port`?"),
        ("HEARTH__", "1", "there is no key ``"),
        ("HEARTH__GATEWAY__PORT__X", "1", "there is no key `x` in `gateway.port`"),
        ("HEARTH__PROVIDERS__FALLBACK", "[x]", "got `x`"),
        ("HEARTH__PROVIDERS__FALLBACK", "[local", "no YAML"),
        ("HEARTH__PROVIDERS__OPENAI__API_KEY", "sk-hunter2", "secrets do not belong"),
        ("HEARTH__LOG__LEVEL", "inof", "no level"),
        ("HEARTH__GATEWAY", "5", "is a section"),
    ] {
        let error = refused("", &[(name, value)]);
        assert!(error.starts_with(&format!("{name}: ")) && error.contains(words), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    let twice = refused("", &[("HEARTH__LOG__LEVEL", "info"), ("hearth__log__level", "debug")]);
    assert!(twice.starts_with("hearth__log__level: `log.level` is set by HEARTH__LOG__LEVEL already"), "{twice}");
}

#[test]
fn a_secret_in_the_file_is_refused_and_not_shown() {
    for text in [
        "providers:\n  openai:\n    api_key: sk-hunter2\n",
        "providers: { openai: { model: x, api-key: hunter2 } }\n",
        "providers: {openai: {api_key_env: sk-hunter2-hunter2}}\n",
        "providers: {openai: {token: hunter2}}\n",
        "providers: {openai: {base_url: \"https://me:hunter2@host/v1\"}}\n",
        "mqtt: {url: \"mqtt://me:hunter2@host\"}\n",
        "password: hunter2\n",
        "password: hunter2 : broken\n",
    ] {
        let error = refused(text, &[]);
        assert!(!error.contains("hunter2"), "{error}");
    }
    let error = refused("providers:\n  openai:\n    api_key: sk-hunter2\n", &[]);
    assert!(error.contains("3 |     api_key: …") && error.contains("systemd credential"), "{error}");
}

#[test]
fn what_types_cannot_check_is_checked() {
    for (key, bad, fine) in [
        ("gateway.allowed_hosts", "[\"http://x\"]", "[hub.example, 10.0.0.1, \"::1\", \"[::1]\", hub.]"),
        ("gateway.allowed_hosts", "[\"hub:8000\"]", "[]"),
        ("gateway.allowed_hosts", "[\"*\"]", "[a_b]"),
        ("gateway.allowed_hosts", "[\"a/b\"]", "[a]"),
        ("gateway.allowed_origins", "[\"https://panel/x\"]", "[\"https://panel:8443\", \"null\", \"http://[::1]:80\"]"),
        ("gateway.allowed_origins", "[\"*\"]", "[\"capacitor://localhost\"]"),
        ("gateway.allowed_origins", "[panel]", "[\"https://a.b\"]"),
        ("gateway.allowed_origins", "[\"HTTPS://panel\"]", "[]"),
        ("gateway.max_connections", "0", "1"),
        ("gateway.max_connections_per_address", "0", "1"),
        ("providers.fallback", "[local, local]", "[openai, local]"),
        ("providers.openai.model", "\"\"", "x"),
        ("providers.openai.base_url", "api.openai.com", "\"http://localhost\""),
        ("providers.openai.base_url", "\"https://\"", "\"http://[::1]:8080/v1\""),
        ("providers.openai.base_url", "\"https://x:70000\"", "\"https://x:7000/\""),
        ("providers.openai.base_url", "\"https://x?y=1\"", "\"https://x/a/b\""),
        ("providers.openai.api_key_env", "\"a b\"", "A_B"),
        ("providers.openai.first_token_s", "0", "86400"),
        ("providers.inter_token_s", "0", "1"),
        ("providers.total_s", "86401", "86400"),
        ("model_profile.temperature", "2.1", "2"),
        ("model_profile.temperature", "-1", "0"),
        ("model_profile.max_tokens", "0", "1"),
        ("zigbee.port", "ttyUSB0", "/dev/ttyUSB0"),
        ("zigbee.port", "\"tcp://host\"", "\"tcp://host:6638\""),
        ("zigbee.channel", "10", "11"),
        ("zigbee.channel", "27", "26"),
        ("mqtt.url", "\"http://x\"", "\"mqtts://broker.lan:8883\""),
        ("mqtt.url", "\"mqtt://\"", "\"mqtt://10.0.0.1\""),
        ("mqtt.base_topic", "\"a/#\"", "a/b"),
        ("mqtt.ca_file", "/", "/etc/ssl/house.pem"),
        ("mqtt.qos", "3", "2"),
        ("mqtt.password_env", "\"hunter2 hunter2\"", "MQTT_PASSWORD"),
        ("mcp.servers.x", "{}", "{command: [a]}"),
        ("mcp.servers.x", "{command: [a], url: \"https://x\"}", "{url: \"https://x/mcp\"}"),
        ("mcp.servers.x.url", "ftp://x", "\"https://x\""),
        ("mcp.servers.x.headers_env", "{\"A B\": C}", "{}"),
        ("store.path", "/", "/var/lib/hearth/hearth.redb"),
        ("store.path", "\"\"", "x.redb"),
        ("store.snapshots.folder", "\"\"", "/media/usb"),
        ("store.snapshots.newest", "1", "2"),
        ("store.snapshots.days", "367", "0"),
        ("store.snapshots.max_mb", "8", "16"),
        ("log.level", "loud", "off"),
    ] {
        let env_name = format!("HEARTH__{}", key.replace('.', "__").to_uppercase());
        let base = if key == "mcp.servers.x.url" || key == "mcp.servers.x.headers_env" {
            "mcp: {servers: {x: {url: \"https://x\"}}}"
        } else {
            ""
        };
        let error = refused(base, &[(&env_name, bad)]);
        assert!(error.starts_with(&env_name) && error.contains(&format!("`{key}`")), "{key}: {bad}\n{error}");
        good(base, &[(&env_name, fine)]);
    }
}

#[test]
fn bombs_are_defused() {
    let mut laughs = String::from("a: &a [x, x, x, x, x, x, x, x, x]\n");
    for (at, letter) in ('b'..='p').enumerate() {
        let before = char::from(b'a' + at as u8);
        laughs.push_str(&format!("{letter}: &{letter} [{}]\n", vec![format!("*{before}"); 9].join(", ")));
    }
    let deep = format!("a: {}", "[".repeat(100_000));
    let long = format!("gateway: {{allowed_hosts: [{}]}}", "a, ".repeat(50_000));
    for bomb in [laughs, deep, long] {
        let error = refused(&bomb, &[]);
        assert!(error.len() < 2_000, "{error}");
    }
}

#[test]
fn files_are_found_read_and_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.yaml");
    let load_it = |path: &Path| load(Some(path), std::iter::empty());
    let error = load_it(&path).unwrap_err().to_string();
    assert!(error.ends_with("mine.yaml: there is no such file"), "{error}");
    std::fs::write(&path, "gateway: {port: 1}").unwrap();
    let env = [("HEARTH__LOG__LEVEL".to_owned(), "warn".to_owned()), ("A".to_owned(), "b".to_owned())];
    let loaded = load(Some(&path), env.into_iter()).unwrap();
    assert_eq!((loaded.config.gateway.port, loaded.config.log.level.as_str()), (1, "warn"));
    assert_eq!((loaded.file.as_deref(), &loaded.overrides[..]), (Some(&*path), &["HEARTH__LOG__LEVEL".to_owned()][..]));
    std::fs::write(&path, b"\xff\xfe").unwrap();
    assert!(load_it(&path).unwrap_err().to_string().contains("not UTF-8"));
    std::fs::write(&path, vec![b'#'; 256 * 1024 + 1]).unwrap();
    assert!(load_it(&path).unwrap_err().to_string().contains("larger than 262144 bytes"));
    assert!(load_it(folder.path()).unwrap_err().to_string().contains("not a file"));
    std::fs::write(&path, "\u{feff}gateway: {port: 2}\r\n").unwrap();
    assert_eq!(load_it(&path).unwrap().config.gateway.port, 2, "a byte order mark and CRLF are taken");
}
