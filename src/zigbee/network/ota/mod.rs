//! Firmware for devices (ZCL r8 §11): the hub is the server, and a device fetches an image block by block. Nothing is offered that a
//! person has not asked for, and nothing that is not newer. Knows no folder: images come from [`Images`].

mod image;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Map, json};

pub use self::image::{Header, HeaderError, Images, NoImages};

use crate::zigbee::bytes::{Reader, Short};
use crate::zigbee::network::answering::ZCL_EPOCH_S;
use crate::zigbee::network::core::Core;
use crate::zigbee::network::exchange::{Frame, Zcl};
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

    /// A person wants it to have new firmware: what tells it that there may be some.
    pub fn offer(&mut self, now: Instant, ieee: Ieee, endpoint: Endpoint) -> Zcl {
        self.wished.insert(ieee, Wish { until: now + WISH, percent: None });
        let header =
            ZclHeader { disable_default_response: true, ..ZclHeader::cluster(0, Direction::ToClient, IMAGE_NOTIFY) };
        // Query jitter alone, and the largest: it asks in any case.
        let payload = vec![0, 100];
        Zcl { endpoint, profile: ProfileId::HOME_AUTOMATION, cluster: OTA, header, payload }
    }

    pub fn forget(&mut self, ieee: Ieee) {
        self.wished.remove(&ieee);
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
        self.wished.retain(|_, wish| wish.until > now);
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
        core.zcl(now, ieee, zcl, Priority::Answer, Owner::Nobody);
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
            self.wished.remove(&ieee);
            return Ok(vec![Status::NO_IMAGE_AVAILABLE.0]);
        };
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
        wish.until = now + WISH;
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
        let was_wished = self.wished.remove(&ieee).is_some();
        if !status.is_success() || !was_wished {
            tracing::warn!(%ieee, %status, "a device did not take its new firmware");
            tell(core, now, ieee, json!({"state": "failed", "why": status.to_string()}));
            // §11.13.9: no answer but a default response, which is a success whatever it says.
            return Ok(Vec::new());
        }
        tracing::info!(%ieee, version = about.version, "a device has new firmware");
        tell(core, now, ieee, json!({"state": "idle", "installed_version": about.version}));
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

fn tell(core: &mut Core, now: Instant, ieee: Ieee, update: serde_json::Value) {
    core.changed(now, ieee, Map::from_iter([("update".to_owned(), update)]));
}
