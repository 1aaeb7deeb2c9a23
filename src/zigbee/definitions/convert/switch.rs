//! On and off (ZCL r8 §3.8): what is switched, for how long, and what it does when power comes back.

use serde_json::Value as Json;

use super::*;

pub const ON_OFF_ATTRIBUTE: u16 = 0x0000;

/// `state` of what can be switched.
pub struct State;

impl Convert for State {
    fn access(&self, name: &str) -> u8 {
        if name == "state" { STATE } else { 0 }
    }

    fn decode(&self, context: &Context<'_>, heard: &Heard<'_>, _memory: &mut Memory, out: &mut Decoded) {
        if let Some(is_on) = attribute(heard, ON_OFF, ON_OFF_ATTRIBUTE).and_then(Value::as_bool) {
            out.changes.insert(context.property("state", heard.endpoint), Json::from(word(is_on)));
        }
    }
}

pub fn word(is_on: bool) -> &'static str {
    if is_on { "ON" } else { "OFF" }
}

/// Sets `state`; `on_time` and `off_wait_time` (seconds) with `ON` switch it off again.
pub struct Switch;

impl Convert for Switch {
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
        let Some(state) = request.take("state") else { return Ok(()) };
        switch(context, request, &state, plan)
    }

    fn reads(&self, context: &Context<'_>, name: &str, endpoint: Option<&str>) -> Vec<Read> {
        if name == "state" { context.read(endpoint, ON_OFF, &[ON_OFF_ATTRIBUTE]) } else { Vec::new() }
    }
}

/// Switches, and says how it is known to have happened.
pub fn switch(context: &Context<'_>, request: &mut Request, state: &Json, plan: &mut Plan) -> Result<(), Refusal> {
    let endpoint = context.endpoint(request.endpoint(), ON_OFF);
    let property = context.full("state", request.endpoint());
    let word = as_word("state", state)?;
    let seconds =
        |request: &mut Request, name: &str| request.take(name).map(|value| as_number(name, &value)).transpose();
    let (on_s, wait_s) = (seconds(request, "on_time")?, seconds(request, "off_wait_time")?);
    let tenths = |seconds: f64| Value::Unsigned((seconds * 10.0).round().clamp(0.0, 65_534.0) as u64);
    plan.commands.push(match (&*word, on_s) {
        ("on", Some(on_s)) => {
            let given =
                [("ctrlbits", 0u8.into()), ("ontime", tenths(on_s)), ("offwaittime", tenths(wait_s.unwrap_or(0.0)))];
            command(endpoint, ON_OFF, "onWithTimedOff", &given)?
        }
        ("on" | "off" | "toggle", _) => command(endpoint, ON_OFF, &word, &[])?,
        _ => return Err(refusal("state", "it takes ON, OFF or TOGGLE")),
    });
    match &*word {
        "toggle" => expect_any(plan, property),
        word => expect(plan, property, Json::from(word.to_uppercase()), 0.0),
    }
    plan.reads.extend(context.read(request.endpoint(), ON_OFF, &[ON_OFF_ATTRIBUTE]));
    Ok(())
}

/// What it does when power comes back.
pub fn power_on_behavior() -> Mapped {
    let words = [("off", 0), ("on", 1), ("toggle", 2), ("previous", 255)];
    Mapped::words("power_on_behavior", ON_OFF.0, 0x4003, &words).with_access(STATE | SET | GET)
}

const ON_TIME: u16 = 0x4001;
/// Twelve hours.
const COUNTDOWN_S_MAX: f64 = 43_200.0;

/// Tuya's `countdown`, seconds until it toggles: the command of a lamp's off time, counted in seconds.
pub struct Countdown;

impl Convert for Countdown {
    fn access(&self, name: &str) -> u8 {
        match name {
            "state" => SET | GET,
            "countdown" => STATE | SET | GET,
            _ => 0,
        }
    }

    fn decode(&self, context: &Context<'_>, heard: &Heard<'_>, _memory: &mut Memory, out: &mut Decoded) {
        let seconds = attribute(heard, ON_OFF, ON_TIME).and_then(Value::as_u64);
        out.changes.extend(seconds.map(|seconds| (context.property("countdown", heard.endpoint), seconds.into())));
    }

    fn encode(
        &self,
        context: &Context<'_>,
        request: &mut Request,
        _memory: &Memory,
        plan: &mut Plan,
    ) -> Result<(), Refusal> {
        // Switching ends a countdown, so that it comes first.
        if let Some(state) = request.take("state") {
            switch(context, request, &state, plan)?;
        }
        let Some(value) = request.take("countdown") else { return Ok(()) };
        let seconds = as_number("countdown", &value)?;
        if !(0.0..=COUNTDOWN_S_MAX).contains(&seconds) {
            return Err(refusal("countdown", "it takes 0 to 43200"));
        }
        let time = Value::Unsigned(seconds.round() as u64);
        let given = [("ctrlbits", 0u8.into()), ("ontime", time.clone()), ("offwaittime", time)];
        plan.commands.push(command(context.endpoint(request.endpoint(), ON_OFF), ON_OFF, "onWithTimedOff", &given)?);
        expect_taken(plan, context.full("countdown", request.endpoint()), number(seconds.round()));
        Ok(())
    }

    fn reads(&self, context: &Context<'_>, name: &str, endpoint: Option<&str>) -> Vec<Read> {
        match name {
            "state" => context.read(endpoint, ON_OFF, &[ON_OFF_ATTRIBUTE]),
            "countdown" => context.read(endpoint, ON_OFF, &[ON_TIME]),
            _ => Vec::new(),
        }
    }
}
