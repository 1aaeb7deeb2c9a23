//! The house: devices, rooms, groups, scenes, and what is wished of them against what they say. Knows no radio: those who do
//! are [`DeviceSource`]s. `house` and all it is made of is pure, time comes in as an argument; `run` drives it, and [`Keeper`] is
//! the handle that everybody else has.

mod bindings;
mod device;
mod edits;
mod groupcast;
mod history;
mod house;
mod keeper;
mod kept_scenes;
mod kinds;
mod lanes;
mod names;
mod news;
mod owner;
mod plan;
mod recorder;
mod run;
mod saving;
mod scenes;
mod shared;
pub mod source;
#[cfg(test)]
pub mod testing;
mod told;
mod values;
mod wish;

pub use bindings::{Bind, HUB};
pub use device::{Device, DeviceEdit};
pub use edits::{GroupEdit, RoomEdit, SceneEdit, SceneWish};
pub use history::{HistoryAnswer, HistoryPoint, HistoryQuery, POINTS_MAX, Resolution};
pub use house::DEVICES_HERE_MAX;
pub use keeper::{Keeper, PAIRING_SECONDS_MAX, Radio};
pub use kept_scenes::MemberSaid;
pub use news::{Change, Heard, Listener, NEWS_LEN, News};
pub use source::{
    Backend, BindEnd, BindTarget, BindWish, Bound, DeviceId, DeviceInfo, DeviceSource, Firmware, KeptScene,
    KeptSceneWish, MemberEnd, Membership, NetworkQuery, PairingNews, PairingWish, Power, RadioStatus, SetDone,
    SourceEvent,
};
pub use wish::{PROPERTIES_MAX, Selection, SetResult, TARGETS_MAX, Targets, Wish};
