//! Why bytes are no ZCL frame. Reads none.

use crate::zigbee::bytes;

/// A frame that ends before what it began, or says what cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("the frame ends too early")]
    Short,
    #[error("there is no data type {0:#04x}")]
    UnknownType(u8),
    #[error("a value holds values that hold values, deeper than any device does")]
    TooDeep,
    #[error("frame type {0} is reserved")]
    FrameType(u8),
    #[error("the frame says {0:#04x} where that cannot be")]
    Invalid(u8),
}

impl From<bytes::Short> for DecodeError {
    fn from(_: bytes::Short) -> DecodeError {
        DecodeError::Short
    }
}
