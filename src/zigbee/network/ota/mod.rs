//! Firmware for devices (ZCL r8 §11): the hub is the server, and a device fetches an image block by block. Nothing is offered that a
//! person has not asked for, and nothing that is not newer. Knows no folder: images come from [`Images`].

mod image;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Map, json};

pub use self::image::{Header, HeaderError, Images, NoImages};

use crate::common::error::{ErrorBody, ErrorCode};
use crate::zigbee::bytes::{Reader, Short};
use crate::zigbee::network::answering::ZCL_EPOCH_S;
use crate::zigbee::network::core::{Core, trouble};
use crate::zigbee::network::event::{Reply, RequestId};
use crate::zigbee::network::exchange::{Answer, Failure, Frame, Zcl};
use crate::zigbee::network::job::Owner;
use crate::zigbee::network::queue::Priority;
use crate::zigbee::types::{ClusterId, Endpoint, Ieee, MakerCode, ProfileId};
use crate::zigbee::zcl::frame::{Direction, FrameKind, Header as ZclHeader};
use crate::zigbee::zcl::status::Status;

pub const OTA: ClusterId = ClusterId(0x0019);

/// Commands (§11.13.2).
const IMAGE_NOTIFY: u8 = 0x00;
const QUERY_NEXT_IMAGE: u8 = 0x01;
const QUERY_NEXT_IMAGE_RSP: u8 = 0x02;
const IMAGE_BLOCK: u8 = 0x03;
const IMAGE_BLOCK_RSP: u8 = 0x05;
const UPGRADE_END: u8 = 0x06;
const UPGRADE_END_RSP: u8 = 0x07;

/// Octets in one answer: what is left of a frame on a route of some hops.
const BLOCK_MAX: u8 = 50;

/// A person's wish holds for so long without a word of the device about it.
const WISH: Duration = Duration::from_secs(24 * 3600);

/// A device that is to fetch an image has not said a word about it for so long: whoever waits is told so. It may go on all the same.
const QUIET: Duration = Duration::from_secs(180);

/// It has the whole image, and now writes it, starts anew and comes back: minutes of large lamps.
const RESTART: Duration = Duration::from_secs(300);

/// After its end it is asked so often which version it runs, also where it has not told that it is back.
const ASK_AGAIN: Duration = Duration::from_secs(30);

/// Field control of a query: a hardware version follows.
const HAS_HARDWARE: u8 = 0x01;

pub struct Ota {
    images: Box<dyn Images>,
    /// Devices that a person wants to have new firmware.
    wished: BTreeMap<Ieee, Wish>,
}

struct Wish {
    until: Instant,
    /// Hundredths of the image that the house has been told of.
    percent: Option<u32>,
    endpoint: Endpoint,
    /// Who is to be told what came of it, and until when the device has to say something.
    waits: Option<(RequestId, Instant)>,
    /// It has asked for an image since it was told to.
    has_asked: bool,
    restart: Option<Restart>,
}

/// It has the whole image, and has not said yet that it runs it.
struct Restart {
    version: u32,
    /// What it says that it runs.
    said: Option<u32>,
    ask_at: Instant,
}

impl Default for Ota {
    fn default() -> Ota {
        Ota { images: Box::new(NoImages), wished: BTreeMap::new() }
    }
}

/// The image that a message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct About {
    maker: MakerCode,
    image_type: u16,
    version: u32,
}

impl About {
    fn read(reader: &mut Reader<'_>) -> Result<About, Short> {
        Ok(About { maker: MakerCode(reader.u16()?), image_type: reader.u16()?, version: reader.u32()? })
    }

    fn put(self, out: &mut Vec<u8>) {
        out.extend(self.maker.0.to_le_bytes());
        out.extend(self.image_type.to_le_bytes());
        out.extend(self.version.to_le_bytes());
    }
}

impl Ota {
    pub fn set_images(&mut self, images: Box<dyn Images>) {
        self.images = images;
    }

    /// A person wants it to have new firmware: it is told that there may be some. Answered when it runs it, or does not.
    pub fn offer(&mut self, core: &mut Core, now: Instant, id: RequestId, (ieee, endpoint): (Ieee, Endpoint)) {
        if self.wished.get(&ieee).is_some_and(|wish| wish.waits.is_some()) {
            core.answer(id, Err(ErrorBody::new(ErrorCode::Conflict, "it is taking new firmware already")));
            return;
        }
        let waits = Some((id, now + QUIET));
        let wish = Wish { until: now + WISH, percent: None, endpoint, waits, has_asked: false, restart: None };
        self.wished.insert(ieee, wish);
        core.zcl(now, ieee, notify(endpoint), Priority::Person, Owner::Firmware { ieee });
    }

    /// Whether it could be told.
    pub fn ended(&mut self, core: &mut Core, ieee: Ieee, end: &Result<Answer, Failure>) {
        let Err(failure) = end else { return };
        if self.wished.get(&ieee).is_some_and(|wish| !wish.has_asked && wish.waits.is_some()) {
            self.close(core, ieee, Err(trouble(failure)));
        }
    }

    /// It is back on the network: does it run what it was given?
    pub fn announced(&mut self, core: &mut Core, now: Instant, ieee: Ieee) {
        let Some(wish) = self.wished.get_mut(&ieee) else { return };
        let Some(restart) = &mut wish.restart else { return };
        restart.ask_at = now + ASK_AGAIN;
        core.zcl(now, ieee, notify(wish.endpoint), Priority::Housekeeping, Owner::Nobody);
    }

    pub fn handle_timeout(&mut self, core: &mut Core, now: Instant) {
        let is_due = |restart: &Restart| restart.ask_at <= now;
        let asked: Vec<Ieee> = self
            .wished
            .iter()
            .filter(|(_, wish)| wish.restart.as_ref().is_some_and(is_due))
            .map(|(ieee, _)| *ieee)
            .collect();
        asked.into_iter().for_each(|ieee| self.announced(core, now, ieee));
        self.forget_old(now);
        let is_late = |wish: &Wish| wish.waits.is_some_and(|(_, until)| until <= now);
        let late: Vec<Ieee> = self.wished.iter().filter(|(_, wish)| is_late(wish)).map(|(ieee, _)| *ieee).collect();
        for ieee in late {
            let Some(wish) = self.wished.get_mut(&ieee) else { continue };
            let timeout = |why: String| ErrorBody { retryable: true, ..ErrorBody::new(ErrorCode::Timeout, why) };
            match (&wish.restart, wish.percent) {
                (Some(Restart { version, said: Some(said), .. }), _) => {
                    let why = format!("it took firmware {version} and runs {said} all the same");
                    self.close(core, ieee, Err(ErrorBody::new(ErrorCode::DeviceRejected, why)));
                }
                (Some(Restart { version, .. }), _) => {
                    let why = format!("it took firmware {version}, and has not said since which one it runs");
                    self.close(core, ieee, Err(timeout(why)));
                }
                // The wish stands: it goes on where it was when it can be reached again.
                (None, percent) => {
                    let why = match percent {
                        Some(percent) => {
                            format!("it stopped at {percent} % of its new firmware; it goes on when it asks for more")
                        }
                        None => "it was told that there may be new firmware, and has not asked for it".to_owned(),
                    };
                    if let Some((id, _)) = wish.waits.take() {
                        core.answer(id, Err(timeout(why)));
                    }
                }
            }
        }
    }

    /// A wish that somebody waits for ends by itself.
    fn forget_old(&mut self, now: Instant) {
        self.wished.retain(|_, wish| wish.until > now || wish.waits.is_some());
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        let of = |wish: &Wish| {
            let asks = wish.restart.as_ref().map(|restart| restart.ask_at);
            [wish.waits.map(|(_, until)| until), asks].into_iter().flatten().min()
        };
        self.wished.values().filter_map(of).min()
    }

    pub fn forget(&mut self, core: &mut Core, ieee: Ieee) {
        self.close(core, ieee, Err(ErrorBody::new(ErrorCode::NotFound, "it left the network")));
    }

    /// It is over, one way or the other.
    fn close(&mut self, core: &mut Core, ieee: Ieee, answer: Result<Reply, ErrorBody>) {
        if let Some((id, _)) = self.wished.remove(&ieee).and_then(|wish| wish.waits) {
            core.answer(id, answer);
        }
    }

    /// `true`: it was a message of this cluster's clients, and has been answered.
    pub fn handle(&mut self, core: &mut Core, now: Instant, ieee: Ieee, frame: &Frame<'_>) -> bool {
        let header = &frame.header;
        let is_request = frame.cluster == OTA
            && header.kind == FrameKind::Cluster
            && header.direction == Direction::ToServer
            && matches!(header.command, QUERY_NEXT_IMAGE | IMAGE_BLOCK | UPGRADE_END);
        if !is_request {
            return false;
        }
        self.forget_old(now);
        let reader = &mut Reader::new(frame.payload);
        let answer = match header.command {
            QUERY_NEXT_IMAGE => self.query(core, now, ieee, reader).map(|payload| (QUERY_NEXT_IMAGE_RSP, payload)),
            IMAGE_BLOCK => self.block(core, now, ieee, reader).map(|payload| (IMAGE_BLOCK_RSP, payload)),
            _ => self.end(core, now, ieee, reader).map(|payload| (UPGRADE_END_RSP, payload)),
        };
        let (command, payload) = match answer {
            Ok((UPGRADE_END_RSP, payload)) if payload.is_empty() => return true,
            Ok(answer) => answer,
            // A default response says so; the rest of the stack sends it.
            Err(Short) => return false,
        };
        let header = header.answer(FrameKind::Cluster, command);
        let (endpoint, cluster) = (frame.endpoint, frame.cluster);
        let zcl = Zcl { endpoint, profile: ProfileId::HOME_AUTOMATION, cluster, header, payload };
        core.reply(now, ieee, zcl);
        true
    }

    fn query(&mut self, core: &mut Core, now: Instant, ieee: Ieee, reader: &mut Reader<'_>) -> Result<Vec<u8>, Short> {
        let control = reader.u8()?;
        let about = About::read(reader)?;
        let hardware = if control & HAS_HARDWARE != 0 { Some(reader.u16()?) } else { None };
        let fits = |image: &Header| {
            (image.maker, image.image_type) == (about.maker, about.image_type)
                && image.version > about.version
                && image.fits_hardware(hardware)
        };
        let newest = self.images.headers().into_iter().filter(fits).max_by_key(|image| image.version);
        if let Some(wish) = self.wished.get_mut(&ieee)
            && let Some(restart) = &mut wish.restart
        {
            restart.said = Some(about.version);
            if restart.version == about.version {
                tracing::info!(%ieee, version = about.version, "a device has new firmware");
                self.close(core, ieee, Ok(Reply::Firmware { is_new: true, version: about.version }));
            } else {
                // It may not have started anew yet.
                return Ok(vec![Status::NO_IMAGE_AVAILABLE.0]);
            }
        }
        let is_wished = self.wished.contains_key(&ieee);
        let state = match (&newest, is_wished) {
            (Some(_), true) => "updating",
            (Some(_), false) => "available",
            (None, _) => "idle",
        };
        let versions = newest.as_ref().map_or(about.version, |image| image.version);
        let told = json!({"state": state, "installed_version": about.version, "latest_version": versions});
        tell(core, now, ieee, told);
        let Some(image) = newest.filter(|_| is_wished) else {
            self.close(core, ieee, Ok(Reply::Firmware { is_new: false, version: about.version }));
            return Ok(vec![Status::NO_IMAGE_AVAILABLE.0]);
        };
        if let Some(wish) = self.wished.get_mut(&ieee) {
            wish.heard(now);
        }
        let mut out = vec![Status::SUCCESS.0];
        About { version: image.version, ..about }.put(&mut out);
        out.extend(image.size.to_le_bytes());
        Ok(out)
    }

    fn block(&mut self, core: &mut Core, now: Instant, ieee: Ieee, reader: &mut Reader<'_>) -> Result<Vec<u8>, Short> {
        let _control = reader.u8()?;
        let about = About::read(reader)?;
        let (offset, wanted) = (reader.u32()?, reader.u8()?);
        let is_it = |image: &Header| {
            (image.maker, image.image_type, image.version) == (about.maker, about.image_type, about.version)
        };
        let Some(wish) = self.wished.get_mut(&ieee) else { return Ok(vec![Status::ABORT.0]) };
        let Some(image) = self.images.headers().into_iter().find(is_it) else { return Ok(vec![Status::ABORT.0]) };
        if offset >= image.size {
            return Ok(vec![Status::MALFORMED_COMMAND.0]);
        }
        let Some(bytes) = self.images.block(&image, offset, wanted.min(BLOCK_MAX)).filter(|bytes| !bytes.is_empty())
        else {
            // The file is gone, or another one.
            return Ok(vec![Status::ABORT.0]);
        };
        wish.heard(now);
        let percent = u32::try_from(u64::from(offset) * 100 / u64::from(image.size)).unwrap_or(0);
        if wish.percent != Some(percent) {
            wish.percent = Some(percent);
            tell(core, now, ieee, json!({"state": "updating", "progress": percent, "latest_version": image.version}));
        }
        let mut out = vec![Status::SUCCESS.0];
        about.put(&mut out);
        out.extend(offset.to_le_bytes());
        out.push(u8::try_from(bytes.len()).unwrap_or(u8::MAX));
        out.extend(bytes);
        Ok(out)
    }

    fn end(&mut self, core: &mut Core, now: Instant, ieee: Ieee, reader: &mut Reader<'_>) -> Result<Vec<u8>, Short> {
        let status = Status(reader.u8()?);
        let about = About::read(reader)?;
        let wish = self.wished.get_mut(&ieee).filter(|_| status.is_success());
        let Some(wish) = wish else {
            tracing::warn!(%ieee, %status, "a device did not take its new firmware");
            tell(core, now, ieee, json!({"state": "failed", "why": status.to_string()}));
            let why = format!("it did not take its new firmware: {status}");
            self.close(core, ieee, Err(ErrorBody::new(ErrorCode::DeviceRejected, why)));
            // §11.13.9: no answer but a default response, which is a success whatever it says.
            return Ok(Vec::new());
        };
        // Done is it when the device says that it runs it.
        wish.restart = Some(Restart { version: about.version, said: None, ask_at: now + ASK_AGAIN });
        wish.until = now + RESTART;
        // Where nobody waits for it any more it is over all the same.
        wish.waits = wish.waits.map(|(id, _)| (id, now + RESTART));
        tell(core, now, ieee, json!({"state": "updating", "progress": 100, "latest_version": about.version}));
        let utc_s = (core.clock.unix_ms(now) / 1000).saturating_sub(ZCL_EPOCH_S);
        let utc_s = u32::try_from(utc_s).unwrap_or(0);
        let mut out = Vec::new();
        about.put(&mut out);
        // Now, and at once.
        out.extend(utc_s.to_le_bytes());
        out.extend(utc_s.to_le_bytes());
        Ok(out)
    }
}

impl Wish {
    /// The device said something about it.
    fn heard(&mut self, now: Instant) {
        self.has_asked = true;
        self.until = now + WISH;
        self.waits = self.waits.map(|(id, _)| (id, now + QUIET));
    }
}

/// That there may be new firmware.
fn notify(endpoint: Endpoint) -> Zcl {
    let header =
        ZclHeader { disable_default_response: true, ..ZclHeader::cluster(0, Direction::ToClient, IMAGE_NOTIFY) };
    // Query jitter alone, and the largest: it asks in any case.
    Zcl { endpoint, profile: ProfileId::HOME_AUTOMATION, cluster: OTA, header, payload: vec![0, 100] }
}

fn tell(core: &mut Core, now: Instant, ieee: Ieee, update: serde_json::Value) {
    core.changed(now, ieee, Map::from_iter([("update".to_owned(), update)]));
}
