//! Checks that no type can make: forms of names and addresses, ranges, and keys that exclude each other. Looks at the
//! configuration alone, apart from asking whether the store's path is a folder.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{Config, Mcp, McpServer, Provider, Snapshots, UpdateCheck, is_server_name};
use crate::common::log;

/// The longest deadline, seconds: one day.
const DEADLINE_S_MAX: u64 = 24 * 60 * 60;

/// The most that one provider is asked again.
const RETRIES_MAX: u32 = 10;

/// A key whose value cannot be.
pub(super) struct Fault {
    /// The full name: `gateway.allowed_hosts`.
    pub key: String,
    pub text: String,
    pub help: Option<String>,
}

/// Everything that is wrong, in the order of the keys.
pub(super) fn check(config: &Config) -> Vec<Fault> {
    let mut faults = Faults(Vec::new());
    gateway(config, &mut faults);
    if config.house.locale.as_deref().is_some_and(|locale| !is_locale(locale)) {
        faults.add("house.locale", "this is no language", "as BCP 47 writes them: de, fr-CH, pt-BR");
    }
    providers(config, &mut faults);
    speech_and_budget(config, &mut faults);
    devices(config, &mut faults);
    mcp(&config.mcp, &mut faults);
    for (name, server) in &config.mcp.servers {
        mcp_server(name, server, &mut faults);
    }
    if config.store.path.as_os_str().is_empty() || config.store.path.is_dir() {
        faults.add("store.path", "the database is a file, and this is a folder", "for example ./hearth.redb");
    }
    snapshots(&config.store.snapshots, &mut faults);
    update(config, &mut faults);
    if let Err(text) = log::filter(&config.log.level) {
        faults.add("log.level", text, "one of error, warn, info, debug, trace, or a filter: info,hearth::router=debug");
    }
    faults.0
}

/// Whether a text has the form of a language of BCP 47: a language, and parts of 1 to 8 letters and digits (RFC 5646 §2.1).
pub fn is_locale(text: &str) -> bool {
    let mut parts = text.split('-');
    let language = parts.next().unwrap_or_default();
    (2..=8).contains(&language.len())
        && language.bytes().all(|b| b.is_ascii_alphabetic())
        && parts.all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric()))
}

struct Faults(Vec<Fault>);

impl Faults {
    fn add(&mut self, key: impl Into<String>, text: impl Into<String>, help: &str) {
        let help = (!help.is_empty()).then(|| help.to_owned());
        self.0.push(Fault { key: key.into(), text: text.into(), help });
    }
}

fn gateway(config: &Config, faults: &mut Faults) {
    let gateway = &config.gateway;
    for host in gateway.allowed_hosts.iter().filter(|host| !is_host(host)) {
        let text = format!("`{host}` is no host name or IP address");
        faults.add("gateway.allowed_hosts", text, "a name alone, such as hub.example, without scheme, port and path");
    }
    for origin in gateway.allowed_origins.iter().filter(|origin| !is_origin(origin)) {
        let text = format!("`{origin}` is no origin");
        faults.add("gateway.allowed_origins", text, "scheme://host[:port] without a path, in lower case, or null");
    }
    let is_contact = |contact: &str| {
        let is_known = ["mailto:", "https://", "tel:"]
            .iter()
            .any(|scheme| contact.len() > scheme.len() && contact.starts_with(scheme));
        is_known && contact.bytes().all(|byte| byte.is_ascii_graphic())
    };
    if gateway.security_contact.as_deref().is_some_and(|contact| !is_contact(contact)) {
        let text = "this is no address of RFC 9116";
        faults.add(
            "gateway.security_contact",
            text,
            "for example mailto:security@hub.example or https://hub.example/security",
        );
    }
    for (key, value) in [
        ("gateway.max_connections", gateway.max_connections),
        ("gateway.max_connections_per_address", gateway.max_connections_per_address),
    ] {
        if value == 0 {
            faults.add(key, "with 0 nobody could connect", "");
        }
    }
}

fn update(config: &Config, faults: &mut Faults) {
    let help = "for example https://example.com/hearth.bundle";
    match &config.update.url {
        Some(url) => {
            if let Err(text) = http_url(url) {
                faults.add("update.url", text, help);
            }
        }
        None if config.update.check != UpdateCheck::Off => {
            faults.add("update.check", "there is no update.url to look at", help);
        }
        None => {}
    }
}

fn providers(config: &Config, faults: &mut Faults) {
    let providers = &config.providers;
    let mut seen = BTreeSet::new();
    for name in providers.fallback.iter().filter(|name| !seen.insert(**name)) {
        faults.add("providers.fallback", format!("`{}` stands in it twice", name.as_str()), "");
    }
    for (name, row) in providers.rows() {
        provider(name.as_str(), row, faults);
    }
    for (key, seconds) in
        [("providers.inter_token_s", providers.inter_token_s), ("providers.total_s", providers.total_s)]
    {
        deadline(key, seconds, faults);
    }
    if providers.retries > RETRIES_MAX {
        faults.add("providers.retries", format!("it must be from 0 to {RETRIES_MAX}"), "");
    }
    if providers.hedge_after_ms == Some(0) {
        faults.add("providers.hedge_after_ms", "with 0 every question would be asked twice", "null for never");
    }
    let seed = &config.model_profile;
    if seed.temperature.is_some_and(|temperature| !(0.0..=2.0).contains(&temperature)) {
        faults.add("model_profile.temperature", "it must be from 0 to 2", "");
    }
    if seed.max_tokens == Some(0) {
        faults.add(
            "model_profile.max_tokens",
            "an answer of 0 tokens is none",
            "leave it out for the provider's own limit",
        );
    }
}

fn provider(name: &str, row: &Provider, faults: &mut Faults) {
    let key = |key: &str| format!("providers.{name}.{key}");
    if row.model.trim().is_empty() {
        faults.add(key("model"), "it is empty", "the provider's own name of a model");
    }
    if let Err(text) = http_url(&row.base_url) {
        faults.add(key("base_url"), text, "for example https://api.openai.com/v1 or http://127.0.0.1:8080/v1");
    }
    // The text may be the key itself, put into the wrong place: it is not shown.
    if row.api_key_env.as_ref().is_some_and(|env| !is_env_name(env)) {
        faults.add(
            key("api_key_env"),
            "this is no name of an environment variable",
            "it names the variable that holds the key, such as OPENAI_API_KEY; the key itself does not belong here",
        );
    }
    if row.api.is_some() && !matches!(name, "openai" | "local") {
        faults.add(
            key("api"),
            "this provider has one interface only",
            "leave it out; `openai` and `local` have a choice",
        );
    }
    if row.image_model.as_ref().is_some_and(|model| model.trim().is_empty()) {
        faults.add(key("image_model"), "it is empty", "the provider's own name of a model, or null for none");
    }
    if let Some(seconds) = row.first_token_s {
        deadline(&key("first_token_s"), seconds, faults);
    }
}

fn deadline(key: &str, seconds: u64, faults: &mut Faults) {
    if !(1..=DEADLINE_S_MAX).contains(&seconds) {
        faults.add(key, format!("it must be from 1 to {DEADLINE_S_MAX} seconds"), "");
    }
}

fn speech_and_budget(config: &Config, faults: &mut Faults) {
    let speech = &config.speech;
    for (key, value) in [
        ("speech.openai.model", &speech.openai.model),
        ("speech.openai.voice", &speech.openai.voice),
        ("speech.gemini.model", &speech.gemini.model),
        ("speech.gemini.voice", &speech.gemini.voice),
        ("speech.espeak.command", &speech.espeak.command),
        ("speech.espeak.voice", &speech.espeak.voice),
    ] {
        if value.trim().is_empty() {
            faults.add(key, "it is empty", "");
        }
    }
    if !(80..=450).contains(&speech.espeak.words_per_minute) {
        faults.add("speech.espeak.words_per_minute", "it must be from 80 to 450", "");
    }
    let address = speech.wyoming.url.strip_prefix("tcp://");
    if !address.is_some_and(|address| has_host_and_port(address, true)) {
        faults.add("speech.wyoming.url", "this is no address of a speech server", "tcp://host:port");
    }
    let is_amount = |usd: f64| usd.is_finite() && usd >= 0.0;
    for (key, usd) in [("budget.day_usd", config.budget.day_usd), ("budget.month_usd", config.budget.month_usd)] {
        if usd.is_some_and(|usd| !is_amount(usd)) {
            faults.add(key, "it must be 0 or more dollars", "null for no limit");
        }
    }
    for (model, price) in &config.budget.prices {
        if ![price.input, price.output, price.cached.unwrap_or(0.0)].into_iter().all(is_amount) {
            faults.add(format!("budget.prices.{model}"), "a price must be 0 or more dollars", "");
        }
    }
}

fn devices(config: &Config, faults: &mut Faults) {
    let port = config.zigbee.port.as_str();
    let is_tcp = port.strip_prefix("tcp://").is_some_and(|address| has_host_and_port(address, true));
    if !(port == "auto" || port.starts_with('/') || is_tcp) {
        faults.add("zigbee.port", "this is no port", "auto, a path such as /dev/ttyUSB0, or tcp://host:port");
    }
    let channel = config.zigbee.channel.as_str();
    if channel != "auto" && !channel.parse().is_ok_and(|number: u8| (11..=26).contains(&number)) {
        faults.add("zigbee.channel", "there is no such channel", "auto, or a number from 11 to 26");
    }
    let address = config.mqtt.url.strip_prefix("mqtt://").or_else(|| config.mqtt.url.strip_prefix("mqtts://"));
    if !address.is_some_and(|address| has_host_and_port(address.trim_end_matches('/'), false)) {
        faults.add("mqtt.url", "this is no MQTT address", "mqtt://host[:port] or mqtts://host[:port]");
    }
    let topic = config.mqtt.base_topic.as_str();
    if topic.is_empty() || topic.contains(['+', '#', '\0']) || topic.starts_with('/') || topic.ends_with('/') {
        faults.add("mqtt.base_topic", "this is no topic that can be written to", "for example zigbee2mqtt");
    }
    if config.mqtt.password_env.as_ref().is_some_and(|env| !is_env_name(env)) {
        faults.add(
            "mqtt.password_env",
            "this is no name of an environment variable",
            "it names the variable that holds the password, such as MQTT_PASSWORD; the password itself does not belong here",
        );
    }
    if config.mqtt.ca_file.as_ref().is_some_and(|file| file.is_dir()) {
        faults.add(
            "mqtt.ca_file",
            "this is a folder",
            "a file of certificates (PEM), or null for the public authorities",
        );
    }
    if config.mqtt.qos > 2 {
        faults.add("mqtt.qos", "there is no such quality of service", "0, 1 or 2");
    }
    if config.zigbee.ota_folder.as_ref().is_some_and(|folder| folder.is_file()) {
        faults.add("zigbee.ota_folder", "this is a file", "a folder with firmware images, or null for none");
    }
}

fn mcp_server(name: &str, server: &McpServer, faults: &mut Faults) {
    let row = format!("mcp.servers.{name}");
    if !is_server_name(name) {
        faults.add(
            row.clone(),
            "the name cannot be part of a tool's name",
            "1 to 24 of A-Z a-z 0-9 _ -, with no two underscores in a row and none at the end",
        );
    }
    for fault in server.faults() {
        let key = if fault.key.is_empty() { row.clone() } else { format!("{row}.{}", fault.key) };
        faults.add(key, fault.text, fault.help);
    }
}

fn snapshots(snapshots: &Snapshots, faults: &mut Faults) {
    if snapshots.folder.as_ref().is_some_and(|folder| folder.as_os_str().is_empty() || folder.is_file()) {
        faults.add("store.snapshots.folder", "this is no folder", "null is the folder snapshots beside the store");
    }
    if !(2..=100).contains(&snapshots.newest) {
        faults.add("store.snapshots.newest", "2 to 100 snapshots", "6 is the default");
    }
    if snapshots.days > 366 {
        faults.add("store.snapshots.days", "0 to 366 days", "7 is the default");
    }
    if !(16..=1_048_576).contains(&snapshots.max_mb) {
        faults.add("store.snapshots.max_mb", "16 to 1048576 MiB", "512 is the default");
    }
}

fn mcp(mcp: &Mcp, faults: &mut Faults) {
    if !(1..=1024).contains(&mcp.max_processes) {
        faults.add("mcp.max_processes", "1 to 1024 programs at once", "32 is the default");
    }
    if !(5..=86_400).contains(&mcp.idle_s) {
        faults.add("mcp.idle_s", "5 to 86400 seconds", "300 is the default");
    }
    if !(1..=512).contains(&mcp.tools_shown) {
        faults.add("mcp.tools_shown", "1 to 512 tools", "64 is the default");
    }
    if !(1..=64).contains(&mcp.tool_rounds) {
        faults.add("mcp.tool_rounds", "1 to 64 rounds", "12 is the default");
    }
    if !(5..=600).contains(&mcp.confirm_s) {
        faults.add("mcp.confirm_s", "5 to 600 seconds", "60 is the default");
    }
}

/// `http://` or `https://`, a host, and nothing that a request's path cannot be put behind.
pub(super) fn http_url(url: &str) -> Result<(), &'static str> {
    let parsed: hyper::Uri = url.parse().map_err(|_| "this is no URL")?;
    if !matches!(parsed.scheme_str(), Some("http" | "https")) {
        return Err("the URL must begin with http:// or https://");
    }
    let authority = parsed.authority().ok_or("the URL names no host")?;
    if authority.as_str().contains('@') {
        return Err("the URL must not hold a name or password");
    }
    if authority.host().is_empty() {
        return Err("the URL names no host");
    }
    // hyper takes `host:` and `host:70000` for a name without a port.
    let after_host = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
    if !after_host.is_empty() && authority.port_u16().is_none_or(|port| port == 0) {
        return Err("the port is no number from 1 to 65535");
    }
    if parsed.query().is_some() || url.contains('#') {
        return Err("the URL must end with its path, without ? and #");
    }
    Ok(())
}

/// A name of letters, digits, `-` and `.`, or an IP address; without port.
fn is_host(host: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let unbracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    unbracketed.parse::<IpAddr>().is_ok()
        || (host.len() <= 253 && host.strip_suffix('.').unwrap_or(host).split('.').all(is_label))
}

/// `host`, `host:port`, `[v6]:port`.
fn has_host_and_port(address: &str, port_needed: bool) -> bool {
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port != 0);
    match address.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            is_host(host) && is_port(port) && (!host.contains(':') || host.starts_with('['))
        }
        _ => !port_needed && is_host(address),
    }
}

/// As browsers send it: `null`, or scheme, host and port in lower case without a path.
fn is_origin(origin: &str) -> bool {
    let is_scheme_char = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.');
    origin == "null"
        || origin.split_once("://").is_some_and(|(scheme, address)| {
            scheme.starts_with(|c: char| c.is_ascii_lowercase())
                && scheme.bytes().all(is_scheme_char)
                && !address.bytes().any(|b| b.is_ascii_uppercase())
                && has_host_and_port(address, false)
        })
}

pub(super) fn is_env_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !name.starts_with("sk_")
}
