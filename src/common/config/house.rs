//! `house`: what the settings of the house are before anybody has set them. What people change afterwards lives in the store.

use serde::{Deserialize, Serialize};

/// What the settings of the house are at the first start.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct House {
    /// BCP 47, such as `fr-CH`: the setting `house.locale` where nobody has set it.
    pub locale: Option<String>,
}
