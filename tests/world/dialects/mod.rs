//! The languages of providers as scripts of a fake one: for each, how an answer begins, goes on, ends and fails. A newcomer
//! adds one file and, for the contract, one row of `ALL`.

pub mod anthropic;
pub mod gemini;
pub mod images;
pub mod ollama;
pub mod openai;
pub mod openrouter;
pub mod responses;

use hearth::common::config::{Api, Config, Provider, ProviderName, Providers};

use super::provider::{FakeProvider, Script};

/// A language. Its answers are of [`super::provider::MODEL`], count 7 tokens in and 3 out, and end with `stop`.
pub struct Dialect {
    pub name: &'static str,
    /// The rows of the config that speak it.
    pub rows: &'static [ProviderName],
    /// What a row's `base_url` ends in.
    pub path: &'static str,
    /// Of rows that have a choice.
    pub api: Option<Api>,
    pub begin: fn() -> Script,
    pub word: fn(Script, &str) -> Script,
    /// A call of `lamp` with `{"on":true}`, in pieces where the language has them.
    pub call: fn(Script) -> Script,
    /// All that ends an answer.
    pub end: fn(Script) -> Script,
    /// An error of the provider's own in the midst of an answer, whose connection stays.
    pub broken: fn(Script, &str) -> Script,
    pub error: fn(u16, &str) -> Script,
    pub models: fn(&[&str]) -> Script,
}

pub const ALL: &[Dialect] =
    &[openai::DIALECT, responses::DIALECT, anthropic::DIALECT, gemini::DIALECT, openrouter::DIALECT, ollama::DIALECT];

impl Dialect {
    /// A row that speaks it to this provider, without a key.
    pub fn row(&self, name: ProviderName, world: &FakeProvider) -> Provider {
        let (root, providers) = (world.root(), Providers::default());
        let row = providers.row(name).expect("the assistant speaks to nobody").clone();
        Provider { base_url: format!("{root}{}", self.path), api_key_env: None, api: self.api, ..row }
    }

    /// A whole answer in these words.
    pub fn answer(&self, words: &[&str]) -> Script {
        (self.end)(words.iter().fold((self.begin)(), |script, word| (self.word)(script, word)))
    }
}

/// The language that a row speaks by itself.
pub fn of(name: ProviderName) -> &'static Dialect {
    ALL.iter().find(|dialect| dialect.rows.contains(&name)).expect("every row with an adapter has one")
}

/// The row of this name, to be changed.
pub fn row_mut(config: &mut Config, name: ProviderName) -> &mut Provider {
    let providers = &mut config.providers;
    match name {
        ProviderName::Openai => &mut providers.openai,
        ProviderName::Anthropic => &mut providers.anthropic,
        ProviderName::Gemini => &mut providers.gemini,
        ProviderName::Openrouter => &mut providers.openrouter,
        ProviderName::Ollama => &mut providers.ollama,
        ProviderName::Local => &mut providers.local,
        ProviderName::Assistant => panic!("the assistant has no row"),
    }
}
