//! An image as the specification has it, and a device that fetches it.

use std::sync::Arc;
use std::time::Instant;

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::zigbee::ncp::{NcpCommand, NetworkInfo, SendStatus};
use crate::zigbee::network::WallClock;
use crate::zigbee::network::device::Device;
use crate::zigbee::network::event::Event;
use crate::zigbee::network::tests::kinds::Kinds;
use crate::zigbee::types::{Channel, Nwk};

const MAKER: u16 = 0x1002;

fn image(version: u32, hardware: Option<(u16, u16)>) -> Vec<u8> {
    let mut bytes = 0x0bee_f11eu32.to_le_bytes().to_vec();
    bytes.extend(0x0100u16.to_le_bytes());
    bytes.extend((if hardware.is_some() { 60u16 } else { 56 }).to_le_bytes());
    bytes.extend((if hardware.is_some() { 4u16 } else { 0 }).to_le_bytes());
    bytes.extend(MAKER.to_le_bytes());
    bytes.extend(0x0211u16.to_le_bytes());
    bytes.extend(version.to_le_bytes());
    bytes.extend(2u16.to_le_bytes());
    bytes.extend([b'x'; 32]);
    bytes.extend(200u32.to_le_bytes());
    if let Some((least, greatest)) = hardware {
        bytes.extend(least.to_le_bytes());
        bytes.extend(greatest.to_le_bytes());
    }
    let from = bytes.len() as u8;
    bytes.extend(from..200);
    bytes
}

/// One image in memory.
struct One(Vec<u8>);

impl Images for One {
    fn headers(&mut self) -> Vec<Header> {
        Header::find(&self.0, self.0.len() as u64).map(|(_, header)| header).into_iter().collect()
    }

    fn block(&mut self, _: &Header, offset: u32, len: u8) -> Option<Vec<u8>> {
        let rest = self.0.get(offset as usize..)?;
        Some(rest[..rest.len().min(usize::from(len))].to_vec())
    }
}

struct Bench {
    core: Core,
    ota: Ota,
    now: Instant,
    lamp: Ieee,
}

impl Bench {
    fn new(image: Vec<u8>) -> Bench {
        #[expect(clippy::disallowed_methods, reason = "somewhere a made time has to begin")]
        let now = Instant::now();
        let mut core = Core::new(Arc::new(Kinds), WallClock { at: now, unix_ms: 1_700_000_000_000, offset_s: 0 });
        let lamp = Ieee(0xaa);
        core.table.insert(Device::new(lamp, Nwk(0x1234), &Kinds));
        core.queue.up(16);
        core.info = Some(NetworkInfo {
            channel: Channel(15),
            pan_id: 1,
            extended_pan_id: Ieee(1),
            coordinator: Ieee(1),
            firmware: "".into(),
            in_flight_max: 16,
            is_new: false,
        });
        let mut ota = Ota::default();
        ota.set_images(Box::new(One(image)));
        Bench { core, ota, now, lamp }
    }

    /// A person wishes it: what the lamp is told.
    fn offer(&mut self) -> Vec<u8> {
        self.ota.offer(&mut self.core, self.now, 1, (self.lamp, Endpoint(1)));
        let (table, mut out) = (&self.core.table, std::collections::VecDeque::new());
        self.core.queue.pump(self.now, |ieee| table.whereabouts(ieee), &mut out);
        let Some(NcpCommand::Send { tag, message }) = out.pop_front() else { panic!("a message") };
        self.core.queue.sent(self.now, tag, SendStatus::Delivered, |ieee| table.whereabouts(ieee));
        message.payload
    }

    fn answer(&self) -> Option<Result<Reply, ErrorCode>> {
        self.core.events.iter().rev().find_map(|event| match event {
            Event::Answer { id: 1, answer } => Some(answer.clone().map_err(|error| error.code)),
            _ => None,
        })
    }

    /// What the hub answers: the command and what is behind the header.
    fn ask(&mut self, command: u8, payload: &[u8]) -> Option<(u8, Vec<u8>)> {
        let header = ZclHeader::cluster(9, Direction::ToServer, command);
        let frame = Frame { endpoint: Endpoint(1), cluster: OTA, header, payload, general: None };
        assert!(self.ota.handle(&mut self.core, self.now, self.lamp, &frame));
        let (table, mut out) = (&self.core.table, std::collections::VecDeque::new());
        self.core.queue.pump(self.now, |ieee| table.whereabouts(ieee), &mut out);
        let NcpCommand::Send { tag, message } = out.pop_front()? else { panic!("a message") };
        self.core.queue.sent(self.now, tag, SendStatus::Delivered, |ieee| table.whereabouts(ieee));
        assert_eq!((message.payload[0], message.payload[1]), (0x19, 9), "to the client, with its number");
        Some((message.payload[2], message.payload[3..].to_vec()))
    }

    fn query(&mut self, version: u32, hardware: Option<u16>) -> Vec<u8> {
        let mut payload = vec![u8::from(hardware.is_some())];
        About { maker: MakerCode(MAKER), image_type: 0x0211, version }.put(&mut payload);
        payload.extend(hardware.into_iter().flat_map(u16::to_le_bytes));
        let (command, payload) = self.ask(QUERY_NEXT_IMAGE, &payload).expect("an answer");
        assert_eq!(command, QUERY_NEXT_IMAGE_RSP);
        payload
    }

    fn update(&self) -> Value {
        let states = self.core.events.iter().rev().find_map(|event| match event {
            Event::State { changes, .. } => Some(changes["update"].clone()),
            _ => None,
        });
        states.expect("the house was told")
    }
}

#[test]
fn a_device_gets_the_whole_image_and_only_when_it_was_wished() {
    let bytes = image(7, None);
    let mut bench = Bench::new(bytes.clone());
    assert_eq!(bench.query(6, None), [Status::NO_IMAGE_AVAILABLE.0], "nobody wished it");
    assert_eq!(bench.update()["state"], "available");
    let notify = bench.offer();
    assert_eq!((notify[0], &notify[2..]), (0x19, &[IMAGE_NOTIFY, 0, 100][..]), "to the client");
    let answer = bench.query(6, None);
    assert_eq!(answer[0], 0);
    assert_eq!(answer[9..], 200u32.to_le_bytes());
    let mut got: Vec<u8> = Vec::new();
    while got.len() < 200 {
        let mut payload = vec![0];
        About { maker: MakerCode(MAKER), image_type: 0x0211, version: 7 }.put(&mut payload);
        payload.extend((got.len() as u32).to_le_bytes());
        payload.push(64);
        let (_, answer) = bench.ask(IMAGE_BLOCK, &payload).expect("a block");
        assert_eq!((answer[0], usize::from(answer[13])), (0, answer.len() - 14));
        assert!(answer[13] <= BLOCK_MAX);
        got.extend(&answer[14..]);
    }
    assert_eq!(got, bytes);
    assert_eq!(bench.update()["progress"], 75, "where the last block began");
    let mut payload = vec![0];
    About { maker: MakerCode(MAKER), image_type: 0x0211, version: 7 }.put(&mut payload);
    let (command, answer) = bench.ask(UPGRADE_END, &payload).expect("go on");
    assert_eq!((command, &answer[8..12], answer.len()), (UPGRADE_END_RSP, &answer[12..16], 16));
    assert_eq!((&bench.update()["state"], bench.answer()), (&"updating".into(), None), "it does not run it yet");
    assert_eq!(bench.query(6, None), [Status::NO_IMAGE_AVAILABLE.0], "it has not started anew yet");
    assert_eq!(bench.answer(), None);
    assert_eq!(bench.query(7, None), [Status::NO_IMAGE_AVAILABLE.0]);
    assert_eq!((&bench.update()["state"], &bench.update()["installed_version"]), (&"idle".into(), &7.into()));
    assert_eq!(bench.answer(), Some(Ok(Reply::Firmware { is_new: true, version: 7 })));
}

#[test]
fn nothing_is_offered_that_is_not_newer_or_not_for_this_hardware() {
    let mut bench = Bench::new(image(7, Some((2, 4))));
    for (version, hardware, is_offered) in
        [(7, Some(3), false), (8, Some(3), false), (6, Some(5), false), (6, None, false), (6, Some(3), true)]
    {
        bench.offer();
        let answer = bench.query(version, hardware);
        assert_eq!(answer[0] == 0, is_offered, "{version} {hardware:?}");
    }
}

#[test]
fn an_end_that_is_none_is_told() {
    let mut bench = Bench::new(image(7, None));
    bench.offer();
    let mut payload = vec![Status::INVALID_IMAGE.0];
    About { maker: MakerCode(MAKER), image_type: 0x0211, version: 7 }.put(&mut payload);
    assert_eq!(bench.ask(UPGRADE_END, &payload), None);
    assert_eq!(bench.update()["state"], "failed");
    assert_eq!(bench.answer(), Some(Err(ErrorCode::DeviceRejected)));
}

#[test]
fn one_that_runs_the_old_firmware_after_all_or_says_nothing_is_no_success() {
    for (said, code) in [(Some(6), ErrorCode::DeviceRejected), (None, ErrorCode::Timeout)] {
        let mut bench = Bench::new(image(7, None));
        bench.offer();
        bench.query(6, None);
        let mut payload = vec![0];
        About { maker: MakerCode(MAKER), image_type: 0x0211, version: 7 }.put(&mut payload);
        bench.ask(UPGRADE_END, &payload).expect("go on");
        if let Some(version) = said {
            bench.query(version, None);
        }
        bench.now += RESTART;
        bench.ota.handle_timeout(&mut bench.core, bench.now);
        assert_eq!(bench.answer(), Some(Err(code)));
        assert_eq!(bench.ota.poll_timeout(), None, "nothing is left of it");
    }
}

#[test]
fn an_image_is_found_behind_what_its_maker_put_before_it() {
    let mut bytes = vec![1, 2, 3];
    bytes.extend(image(7, None));
    let (start, header) = Header::find(&bytes, bytes.len() as u64).expect("it is there");
    assert_eq!((start, header.version, header.size), (3, 7, 200));
    assert_eq!(Header::find(&bytes, 202), Err(HeaderError::Size(200)), "it is cut off");
    assert_eq!(Header::find(&[0; 100], 100), Err(HeaderError::Magic));
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80), command in 0u8..12) {
        let mut with_magic = 0x0bee_f11eu32.to_le_bytes().to_vec();
        with_magic.extend(&bytes);
        let _ = Header::find(&with_magic, 1 << 20);
        let mut bench = Bench::new(image(7, None));
        bench.offer();
        let header = ZclHeader::cluster(9, Direction::ToServer, command);
        let frame = Frame { endpoint: Endpoint(1), cluster: OTA, header, payload: &bytes, general: None };
        bench.ota.handle(&mut bench.core, bench.now, bench.lamp, &frame);
    }
}
