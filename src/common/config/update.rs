//! `update`: where a card finds its updates. Read by `hearth update`; the hub itself never looks.

use serde::{Deserialize, Serialize};

/// See the module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Update {
    /// `http://` or `https://`. None: nowhere.
    pub url: Option<String>,
    pub check: UpdateCheck,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UpdateCheck {
    Off,
    /// What is newer is installed at night.
    Daily,
}

impl Default for Update {
    fn default() -> Update {
        Update { url: None, check: UpdateCheck::Off }
    }
}
