//! What a device answers a request with (ZCL r8 §2.6.3, table 2-12). Knows no command.

use std::fmt;

/// A status as on the air; those without a name are kept as their number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Status(pub u8);

/// Numbers, the specification's names, and words for the owner of the house.
const NAMES: [(Status, &str); 28] = [
    (Status::SUCCESS, "success"),
    (Status::FAILURE, "failure"),
    (Status::NOT_AUTHORIZED, "not authorized"),
    (Status::RESERVED_FIELD_NOT_ZERO, "reserved field not zero"),
    (Status::MALFORMED_COMMAND, "malformed command"),
    (Status::UNSUP_COMMAND, "unsupported command"),
    (Status(0x82), "unsupported general command"),
    (Status(0x83), "unsupported manufacturer cluster command"),
    (Status(0x84), "unsupported manufacturer general command"),
    (Status::INVALID_FIELD, "invalid field"),
    (Status::UNSUPPORTED_ATTRIBUTE, "unsupported attribute"),
    (Status::INVALID_VALUE, "invalid value"),
    (Status::READ_ONLY, "read only"),
    (Status::INSUFFICIENT_SPACE, "insufficient space"),
    (Status::DUPLICATE_EXISTS, "duplicate exists"),
    (Status::NOT_FOUND, "not found"),
    (Status::UNREPORTABLE_ATTRIBUTE, "unreportable attribute"),
    (Status::INVALID_DATA_TYPE, "invalid data type"),
    (Status::INVALID_SELECTOR, "invalid selector"),
    (Status(0x8f), "write only"),
    (Status(0x93), "inconsistent"),
    (Status::TIMEOUT, "timeout"),
    (Status::ABORT, "abort"),
    (Status::INVALID_IMAGE, "invalid image"),
    (Status::WAIT_FOR_DATA, "wait for data"),
    (Status::NO_IMAGE_AVAILABLE, "no image available"),
    (Status::REQUIRE_MORE_IMAGE, "require more image"),
    (Status::UNSUPPORTED_CLUSTER, "unsupported cluster"),
];

impl Status {
    pub const SUCCESS: Status = Status(0x00);
    pub const FAILURE: Status = Status(0x01);
    pub const NOT_AUTHORIZED: Status = Status(0x7e);
    pub const RESERVED_FIELD_NOT_ZERO: Status = Status(0x7f);
    pub const MALFORMED_COMMAND: Status = Status(0x80);
    pub const UNSUP_COMMAND: Status = Status(0x81);
    pub const INVALID_FIELD: Status = Status(0x85);
    pub const UNSUPPORTED_ATTRIBUTE: Status = Status(0x86);
    pub const INVALID_VALUE: Status = Status(0x87);
    pub const READ_ONLY: Status = Status(0x88);
    pub const INSUFFICIENT_SPACE: Status = Status(0x89);
    pub const DUPLICATE_EXISTS: Status = Status(0x8a);
    pub const NOT_FOUND: Status = Status(0x8b);
    pub const UNREPORTABLE_ATTRIBUTE: Status = Status(0x8c);
    pub const INVALID_DATA_TYPE: Status = Status(0x8d);
    pub const INVALID_SELECTOR: Status = Status(0x8e);
    pub const TIMEOUT: Status = Status(0x94);
    pub const ABORT: Status = Status(0x95);
    pub const INVALID_IMAGE: Status = Status(0x96);
    pub const WAIT_FOR_DATA: Status = Status(0x97);
    pub const NO_IMAGE_AVAILABLE: Status = Status(0x98);
    pub const REQUIRE_MORE_IMAGE: Status = Status(0x99);
    pub const UNSUPPORTED_CLUSTER: Status = Status(0xc3);

    pub fn is_success(self) -> bool {
        self == Status::SUCCESS
    }

    /// The device does not know the command, and would not know it tomorrow.
    pub fn is_unsupported(self) -> bool {
        matches!(self.0, 0x81..=0x84 | 0x86 | 0x8c | 0xc3)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(status, _)| status == self) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "status {:#04x}", self.0),
        }
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Status({self})")
    }
}
