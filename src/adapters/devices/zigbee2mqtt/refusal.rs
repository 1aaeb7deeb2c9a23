//! What Zigbee2MQTT says when something failed, sorted by what the hub's clients can do about it. Its words are shown as they
//! are; only the code is made out from them. A command that fails is answered nowhere but in `bridge/logging`, as
//! "Publish 'set' 'state' to 'plug' failed: '…'".

use crate::common::error::{ErrorBody, ErrorCode};

/// Bytes of Zigbee2MQTT's words that are passed on.
const WORDS_BYTES_MAX: usize = 300;

/// Said where a device did not answer, or the radio found no way to it (words of herdsman, Z-Stack and Ember).
const UNREACHABLE: [&str; 10] = [
    "Data request failed",
    "Delivery failed",
    "Timeout after",
    "(Timeout",
    "timed out",
    "AREQ - ",
    "NO_ACK",
    "NO_ROUTE",
    "NO_NETWORK_ROUTE",
    "TRANSACTION_EXPIRED",
];

/// Said where the stick itself fails.
const RADIO: [&str; 3] = ["SRSP - ", "SREQ", "Adapter"];

/// What a line of the log says of a command.
#[derive(Debug, PartialEq)]
pub struct Failed<'a> {
    /// The device's or the group's name, or the address by which it was asked for.
    pub name: &'a str,
    /// A question failed and not a command.
    pub is_get: bool,
    pub why: ErrorBody,
}

/// `None`: the line tells of something else.
pub fn failed(line: &str) -> Option<Failed<'_>> {
    if let Some(rest) = after(line, "Publish '") {
        let (kind, rest) = rest.split_once("' '")?;
        let (key, rest) = rest.split_once("' to '")?;
        let (name, words) = rest.split_once("' failed: '")?;
        let words = words.strip_suffix('\'').unwrap_or(words);
        let why = body(code(words, ErrorCode::DeviceRejected), format!("{name}: `{key}` failed: {}", shortened(words)));
        return Some(Failed { name, is_get: kind == "get", why });
    }
    let other = |name, code, text: String| Some(Failed { name, is_get: false, why: body(code, text) });
    if let Some(rest) = after(line, "No converter available for '") {
        let (key, rest) = rest.split_once("' on '")?;
        let (name, _) = rest.split_once("': (")?;
        return other(name, ErrorCode::Unsupported, format!("{name} takes no `{}`", shortened(key)));
    }
    if let Some(rest) = after(line, "Cannot publish to unsupported device '") {
        let name = rest.strip_suffix('\'')?;
        return other(name, ErrorCode::Unsupported, format!("Zigbee2MQTT does not know what {name} is"));
    }
    if let Some(rest) = after(line, "Entity '") {
        let name = rest.strip_suffix("' is unknown")?;
        return other(name, ErrorCode::NotFound, format!("Zigbee2MQTT has no {name}"));
    }
    None
}

/// The error for a `bridge/response/…` of status `error`.
pub fn refused(words: &str) -> ErrorBody {
    let code = if words.contains("does not exist") || words.contains("is unknown") {
        ErrorCode::NotFound
    } else {
        code(words, ErrorCode::BadRequest)
    };
    body(code, format!("Zigbee2MQTT: {}", shortened(words)))
}

/// An error of this adapter's own. Those that time may heal are retryable.
pub fn body(code: ErrorCode, message: impl Into<String>) -> ErrorBody {
    let retryable = matches!(code, ErrorCode::DeviceUnreachable | ErrorCode::RadioDown | ErrorCode::Timeout);
    ErrorBody { retryable, ..ErrorBody::new(code, message) }
}

/// A status that the device gave is a refusal, even within words that also name a delivery.
fn code(words: &str, other: ErrorCode) -> ErrorCode {
    let says = |list: &[&str]| list.iter().any(|word| words.contains(word));
    if words.contains("(Status '") {
        ErrorCode::DeviceRejected
    } else if says(&UNREACHABLE) {
        ErrorCode::DeviceUnreachable
    } else if says(&RADIO) {
        ErrorCode::RadioDown
    } else {
        other
    }
}

/// What follows `start`, which stands at the beginning or behind the name of a log's space, such as `z2m: `.
fn after<'a>(line: &'a str, start: &str) -> Option<&'a str> {
    line.strip_prefix(start).or_else(|| line.split_once(": ")?.1.strip_prefix(start))
}

/// Without the frame's options, which herdsman writes out in JSON, and not too long.
fn shortened(words: &str) -> String {
    let text = match (words.find('{'), words.rfind('}')) {
        (Some(from), Some(to)) if from < to => format!("{}…{}", &words[..from], &words[to + 1..]),
        _ => words.to_owned(),
    };
    text[..text.floor_char_boundary(WORDS_BYTES_MAX)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_command_that_found_no_device() {
        let line = "z2m: Publish 'set' 'state' to 'hall/plug' failed: 'Error: ZCL command 0x04cd150000000e04/1 genOnOff.on({}, \
                    {\"timeout\":10000,\"disableResponse\":false}) failed (Data request failed with error: 'MAC_NO_ACK' (0xe9))'";
        let found = failed(line).unwrap();
        assert_eq!((found.name, found.is_get, found.why.code), ("hall/plug", false, ErrorCode::DeviceUnreachable));
        assert!(found.why.retryable && !found.why.message.contains("timeout\""), "{}", found.why.message);
        assert!(found.why.message.contains("MAC_NO_ACK"), "{}", found.why.message);
    }

    #[test]
    fn the_codes_go_by_the_words() {
        let code = |words: &str| failed(&format!("Publish 'get' 'x' to 'd' failed: '{words}'")).unwrap().why.code;
        assert_eq!(
            code("Error: ZCL command … failed (Timeout after 10000ms [address=4097 endpoint=1])"),
            ErrorCode::DeviceUnreachable
        );
        assert_eq!(code("Error: Read … failed (Status 'UNSUPPORTED_ATTRIBUTE')"), ErrorCode::DeviceRejected);
        assert_eq!(code("Error: Invalid value for color"), ErrorCode::DeviceRejected);
        assert_eq!(code("Error: SRSP - AF - dataRequest after 6000ms"), ErrorCode::RadioDown);
        assert_eq!(refused("Device 'nosuch' does not exist").code, ErrorCode::NotFound);
        assert_eq!(refused("friendly_name 'x' is already in use").code, ErrorCode::BadRequest);
        assert_eq!(
            refused("Failed to remove device 'x' (Error: ZDO … failed (AREQ - ZDO - mgmtLeaveRsp after 10000ms))").code,
            ErrorCode::DeviceUnreachable
        );
    }

    #[test]
    fn the_other_lines_that_end_a_command() {
        let found = failed("No converter available for 'wings' on 'plug': (\"ON\")").unwrap();
        assert_eq!((found.name, found.why.code), ("plug", ErrorCode::Unsupported));
        let found = failed("z2m: Cannot publish to unsupported device 'it's new'").unwrap();
        assert_eq!((found.name, found.why.code), ("it's new", ErrorCode::Unsupported));
        let found = failed("z2m: Entity '0x00158d0000000b01' is unknown").unwrap();
        assert_eq!((found.name, found.why.code), ("0x00158d0000000b01", ErrorCode::NotFound));
        assert_eq!(failed("z2m: Device 'tuya' left the network"), None);
        assert_eq!(failed("No converter available for 'get' 'x' (1)"), None);
    }

    proptest! {
        #[test]
        fn no_line_panics(line in "(z2m: )?(Publish '|Entity '|No converter available for ')?[a-z'{}: é]{0,60}") {
            let _ = failed(&line);
            let _ = refused(&line);
        }
    }
}
