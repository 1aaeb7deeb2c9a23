//! The house: devices, rooms, groups, scenes, and what is wished of them against what they say. Knows no radio: those who do
//! are [`DeviceSource`]s. Everything but `run` is pure: time and chance come in as arguments.

mod device;
mod history;
mod keeper;
mod news;
pub mod source;
mod wish;

pub use device::{Device, DeviceEdit};
pub use history::{HistoryAnswer, HistoryPoint, HistoryQuery, POINTS_MAX, Resolution};
pub use keeper::{GroupEdit, Keeper, Radio, RoomEdit, SceneEdit, SceneWish};
pub use news::{Change, Heard, Listener, NEWS_LEN, News};
pub use source::{
    Backend, DeviceId, DeviceInfo, DeviceSource, Membership, NetworkQuery, PairingNews, PairingWish, Power,
    RadioStatus, SetDone, SourceEvent,
};
pub use wish::{PROPERTIES_MAX, Selection, SetResult, TARGETS_MAX, Targets, Wish};
