//! What a firmware image says of itself (ZCL r8 §11.4.2), and where images come from. Reads no file.

use crate::zigbee::bytes::{Reader, Short};
use crate::zigbee::types::MakerCode;

/// The first four bytes of every image.
const MAGIC: u32 = 0x0bee_f11e;

/// Of the header's version; the only one there is.
const HEADER_VERSION: u16 = 0x0100;

/// Field control: what follows the fixed part.
const HAS_CREDENTIAL: u16 = 0x01;
const HAS_DESTINATION: u16 = 0x02;
const HAS_HARDWARE: u16 = 0x04;

/// The largest image that is served; those of bulbs have 200 to 500 KiB.
pub const SIZE_MAX: u32 = 8 * 1024 * 1024;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    pub maker: MakerCode,
    pub image_type: u16,
    pub version: u32,
    /// Octets of the whole image, this header among them.
    pub size: u32,
    /// Least and greatest hardware version that it is for.
    pub hardware: Option<(u16, u16)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    #[error("it is no firmware image")]
    Magic,
    #[error("its header has version {0:#06x}, which nobody knows")]
    Version(u16),
    #[error("it ends too early")]
    Short,
    #[error("it says that it has {0} octets, which cannot be")]
    Size(u32),
}

impl From<Short> for HeaderError {
    fn from(_: Short) -> HeaderError {
        HeaderError::Short
    }
}

impl Header {
    /// Reads the beginning of an image of `len` octets. Some makers put something of their own before it: where it begins is found.
    pub fn find(bytes: &[u8], len: u64) -> Result<(u64, Header), HeaderError> {
        let start = bytes.windows(4).position(|window| window == MAGIC.to_le_bytes()).ok_or(HeaderError::Magic)?;
        let header = Header::decode(&bytes[start..])?;
        let start = start as u64;
        if u64::from(header.size) + start > len || header.size > SIZE_MAX || header.size < 56 {
            return Err(HeaderError::Size(header.size));
        }
        Ok((start, header))
    }

    fn decode(bytes: &[u8]) -> Result<Header, HeaderError> {
        let reader = &mut Reader::new(bytes);
        if reader.u32()? != MAGIC {
            return Err(HeaderError::Magic);
        }
        let version = reader.u16()?;
        if version != HEADER_VERSION {
            return Err(HeaderError::Version(version));
        }
        let _header_len = reader.u16()?;
        let control = reader.u16()?;
        let (maker, image_type, version) = (MakerCode(reader.u16()?), reader.u16()?, reader.u32()?);
        let _stack_version = reader.u16()?;
        let _text = reader.take(32)?;
        let size = reader.u32()?;
        if control & HAS_CREDENTIAL != 0 {
            reader.u8()?;
        }
        if control & HAS_DESTINATION != 0 {
            reader.u64()?;
        }
        let hardware = if control & HAS_HARDWARE != 0 { Some((reader.u16()?, reader.u16()?)) } else { None };
        Ok(Header { maker, image_type, version, size, hardware })
    }

    /// A device that does not say its hardware version gets only what is for all.
    pub fn fits_hardware(&self, version: Option<u16>) -> bool {
        match (self.hardware, version) {
            (None, _) => true,
            (Some((least, greatest)), Some(version)) => (least..=greatest).contains(&version),
            (Some(_), None) => false,
        }
    }
}

/// Firmware images that are at hand.
pub trait Images: Send {
    fn headers(&mut self) -> Vec<Header>;
    /// At most `len` octets of the image with this header; `None`: it cannot be read any more.
    fn block(&mut self, image: &Header, offset: u32, len: u8) -> Option<Vec<u8>>;
}

/// None at all.
pub struct NoImages;

impl Images for NoImages {
    fn headers(&mut self) -> Vec<Header> {
        Vec::new()
    }

    fn block(&mut self, _: &Header, _: u32, _: u8) -> Option<Vec<u8>> {
        None
    }
}
