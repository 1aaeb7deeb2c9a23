//! Door locks (ZCL r8 §7.3): locked or not, by whom, PIN codes, and what they do by themselves.

use serde_json::{Map, Value as Json, json};

use super::*;
use crate::zigbee::zcl::Reader;
use crate::zigbee::zcl::data_type::DataType;

pub const LOCK: ClusterId = ClusterId(0x0101);
const LOCK_STATE: u16 = 0x0000;
const RELOCK: u16 = 0x0023;
const VOLUME: u16 = 0x0024;
const VOLUMES: [&str; 3] = ["silent_mode", "low_volume", "high_volume"];

/// What attributes and notifications tell.
pub struct Told;

const SOURCES: [&str; 4] = ["keypad", "rf", "manual", "rfid"];
/// Operation events (§7.3.2.18.3.2).
const OPERATIONS: [&str; 15] = [
    "unknown",
    "lock",
    "unlock",
    "lock_failure_invalid_pin_or_id",
    "lock_failure_invalid_schedule",
    "unlock_failure_invalid_pin_or_id",
    "unlock_failure_invalid_schedule",
    "one_touch_lock",
    "key_lock",
    "key_unlock",
    "auto_lock",
    "schedule_lock",
    "schedule_unlock",
    "manual_lock",
    "manual_unlock",
];
const PROGRAMMING: [&str; 5] =
    ["unknown", "master_code_changed", "pin_code_added", "pin_code_deleted", "pin_code_changed"];

impl Convert for Told {
    fn access(&self, name: &str) -> u8 {
        match name {
            "state" | "lock_state" | "auto_relock_time" | "sound_volume" | "action" | "action_user"
            | "action_source" | "action_source_name" | "pin_code" | "users" => STATE,
            _ => 0,
        }
    }

    fn decode(&self, context: &Context<'_>, heard: &Heard<'_>, memory: &mut Memory, out: &mut Decoded) {
        if let Some(state) = attribute(heard, LOCK, LOCK_STATE).and_then(Value::as_u64) {
            let word = match state {
                0 => "not_fully_locked",
                1 => "locked",
                2 => "unlocked",
                _ => return,
            };
            out.changes
                .insert(context.property("state", heard.endpoint), if state == 1 { "LOCK" } else { "UNLOCK" }.into());
            out.changes.insert(context.property("lock_state", heard.endpoint), word.into());
        }
        if let Some(seconds) = attribute(heard, LOCK, RELOCK).and_then(Value::as_u64) {
            out.changes.insert(context.property("auto_relock_time", heard.endpoint), seconds.into());
        }
        if let Some(volume) = attribute(heard, LOCK, VOLUME).and_then(Value::as_u64) {
            let word = usize::try_from(volume).ok().and_then(|at| VOLUMES.get(at));
            out.changes.extend(word.map(|word| (context.property("sound_volume", heard.endpoint), Json::from(*word))));
        }
        let What::Command { header, payload } = heard.what else { return };
        if heard.cluster != LOCK || header.direction != Direction::ToClient {
            return;
        }
        let Some(row) = clusters::command(LOCK, header.maker, Direction::ToClient, header.command) else { return };
        let Ok(fields) = command::decode(row, &mut Reader::new(payload)) else { return };
        let number_of = |name: &str| fields.u64(name);
        match row.name {
            "operationEventNotification" | "programmingEventNotification" => {
                let words: &[&str] = if row.name.starts_with("op") { &OPERATIONS } else { &PROGRAMMING };
                let at = |name: &str, words: &[&'static str]| {
                    usize::try_from(number_of(name)?).ok().and_then(|at| words.get(at).copied())
                };
                let word =
                    if row.name.starts_with("op") { at("opereventcode", words) } else { at("programeventcode", words) };
                let source = if row.name.starts_with("op") { "opereventsrc" } else { "programeventsrc" };
                out.changes.insert("action".into(), word.unwrap_or("unknown").into());
                out.changes.extend(number_of("userid").map(|user| ("action_user".into(), user.into())));
                out.changes.extend(number_of(source).map(|source| ("action_source".into(), source.into())));
                let name = at(source, &SOURCES);
                out.changes.extend(name.map(|name| ("action_source_name".into(), name.into())));
            }
            // That a code is set is told; the code is nobody's business.
            "getPinCodeRsp" => {
                let Some(user) = number_of("userid") else { return };
                let status = match number_of("userstatus") {
                    Some(1) => "enabled",
                    Some(3) => "disabled",
                    _ => "available",
                };
                let mut users: Map<String, Json> =
                    memory.state.get("users").and_then(Json::as_object).cloned().unwrap_or_default();
                users.insert(user.to_string(), json!({ "status": status }));
                out.changes.insert("users".into(), users.into());
            }
            _ => {}
        }
    }
}

/// Locks and unlocks, with a PIN code where `state` is `{state, code}`.
pub struct Lock;

impl Convert for Lock {
    fn access(&self, name: &str) -> u8 {
        if name == "state" { SET | GET } else { 0 }
    }

    fn encode(
        &self,
        context: &Context<'_>,
        request: &mut Request,
        _memory: &Memory,
        plan: &mut Plan,
    ) -> Result<(), Refusal> {
        let Some(value) = request.take("state") else { return Ok(()) };
        let word = as_word("state", value.get("state").unwrap_or(&value))?;
        let code = value.get("code").and_then(Json::as_str).unwrap_or_default();
        let (name, expected) = match &*word {
            "lock" => ("lockDoor", Some("LOCK")),
            "unlock" => ("unlockDoor", Some("UNLOCK")),
            "toggle" => ("toggleDoor", None),
            _ => return Err(refusal("state", "it takes LOCK or UNLOCK")),
        };
        let endpoint = context.endpoint(request.endpoint(), LOCK);
        plan.commands.push(command(endpoint, LOCK, name, &[("pincodevalue", code.as_bytes().into())])?);
        let property = context.full("state", request.endpoint());
        match expected {
            Some(word) => expect(plan, property, word.into(), 0.0),
            None => expect_any(plan, property),
        }
        plan.reads.extend(context.read(request.endpoint(), LOCK, &[LOCK_STATE]));
        Ok(())
    }

    fn reads(&self, context: &Context<'_>, name: &str, endpoint: Option<&str>) -> Vec<Read> {
        if name == "state" { context.read(endpoint, LOCK, &[LOCK_STATE]) } else { Vec::new() }
    }
}

/// `pin_code`: `{user, user_type, user_enabled, pin_code}`; without a code the user's is deleted.
pub struct PinCode;

impl Convert for PinCode {
    fn access(&self, name: &str) -> u8 {
        if name == "pin_code" { SET | GET } else { 0 }
    }

    fn encode(
        &self,
        context: &Context<'_>,
        request: &mut Request,
        _memory: &Memory,
        plan: &mut Plan,
    ) -> Result<(), Refusal> {
        let Some(value) = request.take("pin_code") else { return Ok(()) };
        let user = value.get("user").map(|user| as_number("pin_code", user)).transpose()?;
        let user = user.filter(|user| user.fract() == 0.0 && (0.0..65_535.0).contains(user));
        let user = Value::Unsigned(user.ok_or_else(|| refusal("pin_code", "it takes a user"))? as u64);
        let endpoint = context.endpoint(request.endpoint(), LOCK);
        let code = value.get("pin_code").map(|code| code.as_str().map_or_else(|| code.to_string(), str::to_owned));
        plan.commands.push(match code.filter(|code| !code.is_empty() && code != "null") {
            None => command(endpoint, LOCK, "clearPinCode", &[("userid", user)])?,
            Some(code) => {
                let kind = match value.get("user_type").and_then(Json::as_str) {
                    None | Some("unrestricted") => 0u8,
                    Some("year_day_schedule") => 1,
                    Some("week_day_schedule") => 2,
                    Some("master") => 3,
                    Some("non_access") => 4,
                    Some(_) => return Err(refusal("pin_code", "it knows no such user_type")),
                };
                let status: u8 = if value.get("user_enabled") == Some(&Json::Bool(false)) { 3 } else { 1 };
                let given = [
                    ("userid", user),
                    ("userstatus", status.into()),
                    ("usertype", kind.into()),
                    ("pincodevalue", code.as_bytes().into()),
                ];
                command(endpoint, LOCK, "setPinCode", &given)?
            }
        });
        // The code is not told back.
        expect_taken(plan, "pin_code".into(), Json::Null);
        Ok(())
    }
}

/// Names of what locks can be told to do by themselves, each an attribute.
pub fn volume() -> Mapped {
    let words = [("silent_mode", 0), ("low_volume", 1), ("high_volume", 2)];
    Mapped::words("sound_volume", LOCK.0, VOLUME, &words).with_access(SET | GET).with_type(DataType::U8)
}

pub fn relock() -> Mapped {
    Mapped::number("auto_relock_time", LOCK.0, RELOCK, 1.0).with_access(SET | GET)
}
