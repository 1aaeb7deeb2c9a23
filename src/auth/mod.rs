//! Who may come in and who may do what: roles, grants, tokens, the first claim. Policy over the store's records. Knows no
//! HTTP and no WebSocket; each door shows what it was given and gets a [`crate::common::who::Principal`] or a refusal.

mod claim;
pub mod code_file;
mod directory;
mod gate;
mod login_name;
pub mod password;
mod people;
mod permission;
mod refused;
mod throttle;
mod tickets;
pub mod token;

pub use claim::{chance as claim_chance, spelled as claim_code};
pub use gate::{Clock, Gate, Moment, Pass};
pub use people::{Change, Created, LOGIN_DAYS, NewUser, TOKENS_OF_USER_MAX};
pub use permission::{Denied, matches, may_call};
pub use refused::Refused;
pub use tickets::TICKET_LIFE;
