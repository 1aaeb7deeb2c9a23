//! The table: against the list of layouts, and there and back again.

use std::collections::BTreeSet;
use std::path::PathBuf;

use proptest::collection::vec;
use proptest::prelude::*;

use super::commands::*;
use super::*;

#[test]
fn rows_are_apart() {
    let keys: BTreeSet<_> = COMMANDS.iter().map(|row| (row.subsystem as u8, row.id, row.is_answered)).collect();
    assert_eq!(keys.len(), COMMANDS.len());
    let names: BTreeSet<_> = COMMANDS.iter().map(|row| (row.subsystem as u8, row.name)).collect();
    assert_eq!(names.len(), COMMANDS.len());
    for row in COMMANDS {
        for fields in [row.request, row.response] {
            let names: BTreeSet<_> = fields.iter().map(|field| field.name).collect();
            assert_eq!(names.len(), fields.len(), "{}", row.name);
            let rest = fields.iter().position(|field| field.kind == Kind::Rest);
            assert!(rest.is_none_or(|at| at + 1 == fields.len()), "{}: what is left comes last", row.name);
        }
    }
}

/// Every command of the list has a row with the very layout, except where the list gives none (ZDO's own) or a wrong one.
#[test]
fn rows_are_those_of_the_list() {
    let shared = std::env::var_os("HEARTH_SHARED")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared")), PathBuf::from);
    let Ok(list) = std::fs::read_to_string(shared.join("zigbee/znp-commands.txt")) else {
        eprintln!("skipped: no zigbee/znp-commands.txt in {}", shared.display());
        return;
    };
    let mut rows = 0;
    for line in list.lines() {
        let (head, layout) = line.split_once(" (").expect("name (layout)");
        let [subsystem, id, kind, name] = head.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let id = u8::from_str_radix(id, 16).expect("an id");
        let row = COMMANDS.iter().find(|row| {
            subsystem_name(row.subsystem) == subsystem && row.id == id && row.is_answered == (kind == "SREQ")
        });
        let row = row.unwrap_or_else(|| panic!("no row for {line}"));
        assert_eq!(row.name, name);
        rows += 1;
        // The description of an associated device is as long as the alignment of the firmware's structs makes it.
        if line.contains(" zdo=") || name == "assocFindDevice" {
            continue;
        }
        let (request, response) = layout.split_once(") -> (").unwrap_or((layout, ""));
        assert_eq!(list_layout(request), flat(row.request), "{line}");
        assert_eq!(list_layout(response), flat(row.response), "{line}");
    }
    assert_eq!(rows, 204);
}

fn subsystem_name(subsystem: Subsystem) -> &'static str {
    match subsystem {
        Subsystem::RpcError => "",
        Subsystem::Sys => "SYS",
        Subsystem::Af => "AF",
        Subsystem::Zdo => "ZDO",
        Subsystem::Sapi => "SAPI",
        Subsystem::Util => "UTIL",
        Subsystem::AppCnf => "APP_CNF",
        Subsystem::Gp => "GP",
    }
}

fn list_layout(text: &str) -> Vec<String> {
    let text = text.split(')').next().unwrap_or("");
    let fields = text.split(',').filter_map(|field| field.trim().split_once(':'));
    fields
        .map(|(name, kind)| match (kind, name) {
            // Keys are 16 bytes, which the list does not say everywhere.
            ("BUFFER", "linkkey" | "preconfigkey" | "key") => "BUFFER16".to_owned(),
            ("LIST_NETWORK", _) => "BUFFER".to_owned(),
            _ => kind.to_owned(),
        })
        .collect()
}

fn flat(fields: &[Field]) -> Vec<String> {
    let mut flat = Vec::new();
    for field in fields {
        match field.kind {
            Kind::U8 => flat.push("UINT8".to_owned()),
            Kind::I8 => flat.push("INT8".to_owned()),
            Kind::U16 => flat.push("UINT16".to_owned()),
            Kind::U32 => flat.push("UINT32".to_owned()),
            Kind::Ieee => flat.push("IEEEADDR".to_owned()),
            Kind::Bytes => flat.extend(["UINT8".to_owned(), "BUFFER".to_owned()]),
            Kind::Bytes16 => flat.extend(["UINT16".to_owned(), "BUFFER".to_owned()]),
            Kind::Words => flat.extend(["UINT8".to_owned(), "LIST_UINT16".to_owned()]),
            Kind::Records(len) => flat.extend(["UINT8".to_owned(), format!("RECORDS{len}")]),
            Kind::Fixed(len) => flat.push(format!("BUFFER{len}")),
            Kind::Rest => flat.push("BUFFER".to_owned()),
        }
    }
    flat
}

/// Frames of real sticks.
#[test]
fn recorded() {
    let frame = |kind, subsystem, id, data: &[u8]| Frame { kind, subsystem, id, data: data.to_vec() };
    let version = frame(unpi::Kind::Srsp, 1, 2, &[2, 1, 2, 7, 1, 0xd7, 0x65, 0x34, 0x01]);
    let version = decode(&version).expect("a version");
    assert_eq!((version.u8("product"), version.u8("maintrel"), version.u32("revision")), (1, 1, 20_211_159));

    // A temperature report with the three bytes that no manual has.
    let data =
        [0, 0, 2, 4, 0x34, 0x12, 1, 1, 0, 0x78, 0, 1, 2, 3, 4, 0, 7, 0x18, 5, 0x0a, 0, 0, 0x29, 0x0a, 0x34, 0x12, 0x1d];
    let report = decode(&frame(unpi::Kind::Areq, 4, 0x81, &data)).expect("a message");
    assert!(report.is(&AF_INCOMING_MSG));
    assert_eq!((report.u16("clusterid"), report.u16("srcaddr"), report.u8("linkquality")), (0x0402, 0x1234, 0x78));
    assert_eq!(report.bytes("data"), [0x18, 5, 0x0a, 0, 0, 0x29, 0x0a]);
    assert_eq!(report.trailing, [0x34, 0x12, 0x1d]);

    // A failure is short.
    let failed = decode(&frame(unpi::Kind::Areq, 5, 0x85, &[0x34, 0x12, 0x80])).expect("an answer");
    assert_eq!(failed.status(), Some(0x80));
    let short = decode(&frame(unpi::Kind::Areq, 5, 0x85, &[0x34, 0x12, 0x00]));
    assert_eq!(short, Err(DecodeError::Short("activeEpRsp")));
    assert_eq!(decode(&frame(unpi::Kind::Sreq, 1, 0x99, &[])), Err(DecodeError::Unknown(1, 0x99)));
}

#[test]
fn what_does_not_fit_is_told() {
    let said = AF_DATA_REQUEST.request().with("data", vec![0u8; 256]).frame();
    assert_eq!(said, Err(DoesNotFit { command: "dataRequest", field: "data" }));
    let said = AF_DATA_REQUEST.request().with("data", vec![0u8; 245]).frame();
    assert_eq!(said, Err(DoesNotFit { command: "dataRequest", field: "data" }));
    let said = AF_DATA_REQUEST.request().with("radius", 0x1eu16).with("dstaddr", 0x1_0000u32).frame();
    assert_eq!(said, Err(DoesNotFit { command: "dataRequest", field: "dstaddr" }));
    let said = UTIL_SET_PRECFGKEY.request().with("preconfigkey", [0u8; 15]).frame();
    assert_eq!(said, Err(DoesNotFit { command: "setPrecfgkey", field: "preconfigkey" }));
}

#[test]
fn an_rpc_error_names_the_request() {
    let request = SYS_NV_READ.request().frame().expect("it fits");
    let error = rpc_error(RPC_UNKNOWN_COMMAND, &request);
    assert_eq!(error.data, [2, 0x21, 0x33]);
    assert_eq!(as_rpc_error(&error), Some(RpcError { code: 2, command: 0x21, id: 0x33 }));
    assert_eq!(as_rpc_error(&request), None);
}

fn any_value(kind: Kind) -> BoxedStrategy<Value> {
    let number = |max: u64| (0..=max).prop_map(Value::Number).boxed();
    match kind {
        Kind::U8 | Kind::I8 => number(u8::MAX.into()),
        Kind::U16 => number(u16::MAX.into()),
        Kind::U32 => number(u32::MAX.into()),
        Kind::Ieee => number(u64::MAX),
        Kind::Bytes | Kind::Bytes16 | Kind::Rest => vec(any::<u8>(), 0..60).prop_map(Value::Bytes).boxed(),
        Kind::Words => vec(any::<u16>(), 0..30).prop_map(Value::Words).boxed(),
        Kind::Records(len) => (0usize..5)
            .prop_flat_map(move |count| vec(any::<u8>(), count * usize::from(len)))
            .prop_map(Value::Bytes)
            .boxed(),
        Kind::Fixed(len) => vec(any::<u8>(), usize::from(len)).prop_map(Value::Bytes).boxed(),
    }
}

fn any_message() -> impl Strategy<Value = Message> {
    (0..COMMANDS.len(), any::<bool>()).prop_flat_map(|(row, is_response)| {
        let row = COMMANDS[row];
        let message = if is_response && row.is_answered { row.response() } else { row.request() };
        let values: Vec<_> = message.fields.iter().map(|field| any_value(field.kind)).collect();
        values.prop_map(move |values| Message { values, ..message.clone() })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn there_and_back(message in any_message()) {
        let frame = message.frame().expect("short enough");
        prop_assert_eq!(decode(&frame), Ok(message));
        prop_assert!(frame.encode().is_some());
    }

    #[test]
    fn any_frame(
        row in 0..COMMANDS.len(), kind in prop_oneof![Just(unpi::Kind::Sreq), Just(unpi::Kind::Areq), Just(unpi::Kind::Srsp)],
        data in vec(any::<u8>(), 0..unpi::DATA_LEN_MAX),
    ) {
        let frame = Frame { kind, subsystem: COMMANDS[row].subsystem as u8, id: COMMANDS[row].id, data };
        if let Ok(message) = decode(&frame) && message.status().is_none_or(|status| status == 0) {
            prop_assert_eq!(message.frame(), Ok(frame));
        }
        as_rpc_error(&Frame { kind, subsystem: 0, id: 0, data: vec![] });
    }
}

/// Each row once, and not only those that chance picks.
#[test]
fn every_row_with_nothing_in_it() {
    for row in COMMANDS {
        let request = row.request();
        assert_eq!(decode(&request.frame().expect("nothing fits")), Ok(request));
        if row.is_answered {
            let response = row.response();
            assert_eq!(decode(&response.frame().expect("nothing fits")), Ok(response));
        }
    }
}
