//! What the hub may do about tools without asking: the setting `tools.policy`. Without it, nothing.

use serde::Deserialize;
use serde_json::Value;

/// Under which key of the settings it stands.
pub const POLICY_KEY: &str = "tools.policy";

/// The setting's value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// Proposals wait for an owner, and tools that do the same at several servers are all listed.
    #[default]
    Owner,
    /// Proposals are applied at once, as overlays. Of tools that do the same one is listed, and the one that works and is quickest
    /// answers.
    Auto,
}

impl Policy {
    /// Of the setting; the error says why it cannot be used.
    pub fn read(value: Option<&Value>) -> Result<Policy, String> {
        let Some(value) = value else { return Ok(Policy::default()) };
        Policy::deserialize(value).map_err(|error| format!("{POLICY_KEY}: {error}"))
    }

    pub fn merges_mirrors(self) -> bool {
        self == Policy::Auto
    }

    pub fn applies_proposals(self) -> bool {
        self == Policy::Auto
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn without_the_setting_nothing_is_done_without_asking() {
        assert_eq!(Policy::read(None), Ok(Policy::Owner));
        assert!(Policy::read(Some(&json!("auto"))).is_ok_and(|policy| policy.merges_mirrors()));
        for bad in [json!("always"), json!({}), json!(true)] {
            assert!(Policy::read(Some(&bad)).is_err(), "{bad}");
        }
    }
}
