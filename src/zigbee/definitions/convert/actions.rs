//! Remotes and buttons: what they send to lamps and covers is an `action` to the house.

use serde_json::{Value as Json, json};

use super::*;
use crate::zigbee::definitions::table::bytes;
use crate::zigbee::zcl::Reader;
use crate::zigbee::zcl::frame::FrameKind;

/// A command that comes again with its number within this time is the same press, seconds.
const AGAIN_S: u64 = 3;
/// Presses whose numbers are kept, of each endpoint.
const NUMBERS_MAX: usize = 5;

/// Commands that are actions, by the names of their cluster, of their converter, and of themselves.
struct Row {
    converter: &'static str,
    cluster: u16,
    commands: &'static [&'static str],
    /// `{}` is filled in: a direction, a number.
    action: &'static str,
}

const fn r(converter: &'static str, cluster: u16, commands: &'static [&'static str], action: &'static str) -> Row {
    Row { converter, cluster, commands, action }
}

const ROWS: [Row; 41] = [
    r("command_on", 0x0006, &["on"], "on"),
    r("command_off", 0x0006, &["off"], "off"),
    r("command_off_with_effect", 0x0006, &["offWithEffect"], "off"),
    r("command_toggle", 0x0006, &["toggle"], "toggle"),
    r("command_on_with_timed_off", 0x0006, &["onWithTimedOff"], "on"),
    r("command_on_with_recall_global_scene", 0x0006, &["onWithRecallGlobalScene"], "recall_global_scene"),
    r("commandsOnOff", 0x0006, &["on"], "on"),
    r("commandsOnOff", 0x0006, &["off", "offWithEffect"], "off"),
    r("commandsOnOff", 0x0006, &["toggle"], "toggle"),
    r("command_move_to_level", 0x0008, &["moveToLevel", "moveToLevelWithOnOff"], "brightness_move_to_level"),
    r("command_move", 0x0008, &["move", "moveWithOnOff"], "brightness_move_{movemode}"),
    r("command_step", 0x0008, &["step", "stepWithOnOff"], "brightness_step_{stepmode}"),
    r("command_stop", 0x0008, &["stop", "stopWithOnOff"], "brightness_stop"),
    r("command_recall", 0x0005, &["recall"], "recall_{sceneid}"),
    r("command_store", 0x0005, &["store"], "store_{sceneid}"),
    r("command_add", 0x0005, &["add"], "add"),
    r("command_remove", 0x0005, &["remove"], "remove"),
    r("commandsScenes", 0x0005, &["recall"], "recall_{sceneid}"),
    r("commandsScenes", 0x0005, &["store"], "store_{sceneid}"),
    r("commandsScenes", 0x0005, &["add"], "add"),
    r("commandsScenes", 0x0005, &["remove"], "remove"),
    r("commandsScenes", 0x0005, &["removeAll"], "remove_all"),
    r("command_move_to_color_temp", 0x0300, &["moveToColorTemp"], "color_temperature_move"),
    r("command_move_color_temperature", 0x0300, &["moveColorTemp"], "color_temperature_move_{movemode3}"),
    r("command_step_color_temperature", 0x0300, &["stepColorTemp"], "color_temperature_step_{stepmode1}"),
    r("command_move_to_color", 0x0300, &["moveToColor"], "color_move"),
    r(
        "command_enhanced_move_to_hue_and_saturation",
        0x0300,
        &["enhancedMoveToHueAndSaturation"],
        "enhanced_move_to_hue_and_saturation",
    ),
    r("command_move_to_hue_and_saturation", 0x0300, &["moveToHueAndSaturation"], "move_to_hue_and_saturation"),
    r("command_step_hue", 0x0300, &["stepHue"], "color_hue_step_{stepmode1}"),
    r("command_step_saturation", 0x0300, &["stepSaturation"], "color_saturation_step_{stepmode1}"),
    r("command_color_loop_set", 0x0300, &["colorLoopSet"], "color_loop_set"),
    r("command_move_hue", 0x0300, &["moveHue"], "hue_{movemodehue}"),
    r("command_move_to_saturation", 0x0300, &["moveToSaturation"], "move_to_saturation"),
    r("command_move_to_hue", 0x0300, &["moveToHue"], "move_to_hue"),
    r("command_stop_move_step", 0x0300, &["stopMoveStep"], "stop_move_step"),
    r("command_cover_open", 0x0102, &["upOpen"], "open"),
    r("command_cover_close", 0x0102, &["downClose"], "close"),
    r("command_cover_stop", 0x0102, &["stop"], "stop"),
    r("commandsWindowCovering", 0x0102, &["upOpen"], "open"),
    r("commandsWindowCovering", 0x0102, &["downClose"], "close"),
    r("commandsWindowCovering", 0x0102, &["stop"], "stop"),
];

const ACE_ROWS: [Row; 4] = [
    r("command_emergency", 0x0501, &["emergency"], "emergency"),
    r("command_panic", 0x0501, &["panic"], "panic"),
    r("command_arm", 0x0501, &["arm"], "{armmode}"),
    r("command_arm_with_transaction", 0x0501, &["arm"], "{armmode}"),
];

const ARM_MODES: [&str; 4] = ["disarm", "arm_day_zones", "arm_night_zones", "arm_all_zones"];

/// What goes with an action: its property, the parameter, and by what the parameter is divided.
const DETAILS: [(&str, &str, f64); 9] = [
    ("action_level", "level", 1.0),
    ("action_rate", "rate", 1.0),
    ("action_step_size", "stepsize", 1.0),
    ("action_transition_time", "transtime", 10.0),
    ("action_color_temperature", "colortemp", 1.0),
    ("action_hue", "hue", 1.0),
    ("action_saturation", "saturation", 1.0),
    ("action_enhanced_hue", "enhancehue", 1.0),
    ("action_zone", "zoneid", 1.0),
];

/// One converter's commands.
pub struct Commands(&'static str);

impl Commands {
    pub fn of(converter: &str) -> Option<Commands> {
        let row = ROWS.iter().chain(&ACE_ROWS).find(|row| row.converter == converter)?;
        Some(Commands(row.converter))
    }
}

impl Convert for Commands {
    fn access(&self, name: &str) -> u8 {
        let is_detail = name.starts_with("action_");
        if name == "action" || is_detail { STATE } else { 0 }
    }

    fn decode(&self, context: &Context<'_>, heard: &Heard<'_>, memory: &mut Memory, out: &mut Decoded) {
        let What::Command { header, payload } = heard.what else { return };
        if header.kind != FrameKind::Cluster || header.direction != Direction::ToServer {
            return;
        }
        let Some(command) = clusters::command(heard.cluster, None, Direction::ToServer, header.command) else { return };
        let mut rows = ROWS.iter().chain(&ACE_ROWS);
        let row = rows.find(|row| {
            row.converter == self.0 && row.cluster == heard.cluster.0 && row.commands.contains(&command.name)
        });
        let Some(row) = row else { return };
        let Ok(fields) = command::decode(command, &mut Reader::new(payload)) else { return };
        if is_again(heard, header.seq, memory) {
            return;
        }
        let Some(action) = filled(row.action, &fields) else { return };
        out.changes.insert("action".into(), context.property(&action, heard.endpoint).into());
        for (property, field, per) in DETAILS {
            // Of colours it is told in tenths, as it came.
            let per =
                if heard.cluster == COLOR && !row.action.contains("step") && field == "transtime" { 1.0 } else { per };
            let value = fields.get(field).and_then(Value::as_f64).map(|value| number(value / per));
            out.changes.extend(value.map(|value| (property.into(), value)));
        }
        if let (Some(x), Some(y)) =
            (fields.get("colorx").and_then(Value::as_f64), fields.get("colory").and_then(Value::as_f64))
        {
            let color = json!({ "x": rounded(x / 65_535.0, 3), "y": rounded(y / 65_535.0, 3) });
            out.changes.insert("action_color".into(), color);
        }
        if row.converter == "command_arm_with_transaction" {
            out.changes.insert("action_transaction".into(), header.seq.into());
        }
        if row.converter.starts_with("command_arm")
            && let Some(code) = fields.get("code").and_then(Value::as_str)
        {
            out.changes.insert("action_code".into(), code.into());
        }
        if let Some(group) = heard.group.filter(|_| !context.traits.meta.get("disableActionGroup").is_true()) {
            out.changes.insert("action_group".into(), group.0.into());
        }
    }
}

/// The same number has just come from the endpoint: a remote says it to several, or a router again.
fn is_again(heard: &Heard<'_>, seq: u8, memory: &mut Memory) -> bool {
    let key = format!("seq.{}", heard.endpoint.0);
    let before = memory.notes.get(&key).and_then(Json::as_array).cloned().unwrap_or_default();
    let is_recent = |pair: &Json| pair[1].as_u64().is_some_and(|at| heard.utc_s.saturating_sub(at) <= AGAIN_S);
    let mut recent: Vec<Json> = before.into_iter().filter(is_recent).collect();
    let is_again = recent.iter().any(|pair| pair[0].as_u64() == Some(u64::from(seq)));
    if !is_again {
        recent.push(json!([seq, heard.utc_s]));
        let over = recent.len().saturating_sub(NUMBERS_MAX);
        recent.drain(..over);
        memory.notes.insert(key, recent.into());
    }
    is_again
}

/// The action's word, with its parameter said.
fn filled(action: &str, fields: &command::Fields) -> Option<String> {
    let Some((before, rest)) = action.split_once('{') else { return Some(action.to_owned()) };
    let field = rest.trim_end_matches('}');
    let word = match field {
        "movemode" | "stepmode" => if fields.u64(field)? == 1 { "down" } else { "up" }.to_owned(),
        "stepmode1" => if fields.u64("stepmode")? == 1 { "up" } else { "down" }.to_owned(),
        "movemode3" => match fields.u64("movemode")? {
            0 => "stop",
            1 => "up",
            3 => "down",
            _ => return None,
        }
        .to_owned(),
        "movemodehue" => match fields.u64("movemode")? {
            1 => "move",
            3 => "down",
            _ => "stop",
        }
        .to_owned(),
        "armmode" => (*ARM_MODES.get(usize::try_from(fields.u64("armmode")?).ok()?)?).to_owned(),
        field => fields.u64(field)?.to_string(),
    };
    Some(format!("{before}{word}"))
}

/// Actions that are values of an attribute, such as a button's multistate input.
pub struct Lookup {
    cluster: ClusterId,
    attribute: u16,
    words: Vec<(&'static str, Fact)>,
    has_endpoints: bool,
    buttons: Vec<(&'static str, Fact)>,
}

impl Lookup {
    pub fn of_row(args: &Fact) -> Option<Lookup> {
        Some(Lookup {
            cluster: ClusterId(args.get("c").int()?),
            attribute: args.get("a").int()?,
            words: args.get("l").map().to_vec(),
            has_endpoints: !args.get("ep").is_null(),
            buttons: args.get("b").map().to_vec(),
        })
    }
}

impl Convert for Lookup {
    fn access(&self, name: &str) -> u8 {
        if name == "action" { STATE } else { 0 }
    }

    fn decode(&self, context: &Context<'_>, heard: &Heard<'_>, _memory: &mut Memory, out: &mut Decoded) {
        let Some(raw) = attribute(heard, self.cluster, self.attribute).and_then(Value::as_f64) else { return };
        let word = self.words.iter().find(|(_, value)| value.number() == Some(raw));
        let Some((word, _)) = word else { return };
        let button = self.buttons.iter().find(|(_, value)| value.number() == Some(f64::from(heard.endpoint.0)));
        let action = match button {
            Some((button, _)) => format!("{word}_{button}"),
            None if self.has_endpoints => context.property(word, heard.endpoint),
            None => (*word).to_owned(),
        };
        out.changes.insert("action".into(), action.into());
    }
}

/// A command that is one action, whatever is in it.
pub struct Pressed {
    cluster: ClusterId,
    maker: Option<MakerCode>,
    command: u8,
    only: Option<Endpoint>,
    action: &'static str,
}

impl Pressed {
    pub fn of_row(args: &Fact) -> Option<Pressed> {
        Some(Pressed {
            cluster: ClusterId(args.get("c").int()?),
            maker: args.get("m").int().map(MakerCode),
            command: args.get("i").int()?,
            only: args.get("e").int().map(Endpoint),
            action: args.get("a").text()?,
        })
    }
}

impl Convert for Pressed {
    fn access(&self, name: &str) -> u8 {
        if name == "action" { STATE } else { 0 }
    }

    fn decode(&self, context: &Context<'_>, heard: &Heard<'_>, memory: &mut Memory, out: &mut Decoded) {
        let What::Command { header, .. } = heard.what else { return };
        let is_ours = heard.cluster == self.cluster
            && header.kind == FrameKind::Cluster
            && header.command == self.command
            && (self.maker.is_none() || header.maker == self.maker)
            && self.only.is_none_or(|only| only == heard.endpoint);
        if !is_ours || is_again(heard, header.seq, memory) {
            return;
        }
        out.changes.insert("action".into(), self.action.into());
        if let Some(group) = heard.group.filter(|_| !context.traits.meta.get("disableActionGroup").is_true()) {
            out.changes.insert("action_group".into(), group.0.into());
        }
    }
}

/// A property that is a command for each of its words.
pub struct Sent {
    name: &'static str,
    cluster: ClusterId,
    maker: Option<MakerCode>,
    at: Option<Endpoint>,
    /// What is shown, the command's number and its payload.
    words: Vec<(Json, u8, Vec<u8>)>,
}

impl Sent {
    pub fn of_row(args: &Fact) -> Option<Sent> {
        let are_flags = args.get("y").is_true();
        let words = args.get("l").map().iter().map(|(word, sent)| {
            let shown = if are_flags { Json::from(*word == "true") } else { Json::from(*word) };
            let payload = bytes(sent.at(1).text().unwrap_or_default())?;
            Some((shown, sent.at(0).int()?, payload))
        });
        Some(Sent {
            name: args.get("n").text()?,
            cluster: ClusterId(args.get("c").int()?),
            maker: args.get("m").int().map(MakerCode),
            at: args.get("ed").int().map(Endpoint),
            words: words.collect::<Option<_>>()?,
        })
    }
}

impl Convert for Sent {
    fn access(&self, name: &str) -> u8 {
        if name == self.name { SET } else { 0 }
    }

    fn encode(
        &self,
        context: &Context<'_>,
        request: &mut Request,
        _memory: &Memory,
        plan: &mut Plan,
    ) -> Result<(), Refusal> {
        let Some(value) = request.take(self.name) else { return Ok(()) };
        let found = self.words.iter().find(|(word, ..)| *word == value);
        let (_, id, payload) = found.ok_or_else(|| refusal(self.name, "the device does not take that"))?;
        let at = self.at.filter(|_| request.endpoint().is_none());
        let endpoint = at.unwrap_or_else(|| context.endpoint(request.endpoint(), self.cluster));
        let body = Body::Cluster { command: *id, payload: payload.clone() };
        plan.commands.push(Command { endpoint, cluster: self.cluster, maker: self.maker, body, is_answered: true });
        expect_taken(plan, context.full(self.name, request.endpoint()), value);
        Ok(())
    }
}

/// A zone's status that is a button's press.
pub struct ZoneButton;

impl Convert for ZoneButton {
    fn access(&self, name: &str) -> u8 {
        if name == "action" { STATE } else { 0 }
    }

    fn decode(&self, _context: &Context<'_>, heard: &Heard<'_>, _memory: &mut Memory, out: &mut Decoded) {
        let What::Command { header, payload } = heard.what else { return };
        if heard.cluster != ClusterId(0x0500) || header.command != 0 || payload.len() < 2 {
            return;
        }
        let words = ["off", "single", "double", "hold"];
        let word = words.get(usize::from(u16::from_le_bytes([payload[0], payload[1]])));
        out.changes.extend(word.map(|word| ("action".into(), Json::from(*word))));
    }
}
