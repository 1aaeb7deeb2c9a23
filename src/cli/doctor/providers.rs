//! Whether providers can be asked: each key, each address and each model, by the very adapters that the hub uses.

use std::path::Path;

use crate::adapters::llm::{self, Setup};
use crate::app;
use crate::cli::doctor::{Finding, Health, finding};
use crate::common::config::{self, ProviderName, Providers};
use crate::common::error::{Failure, ProviderError};
use crate::net::https::Https;

/// Names of other models that are shown where the configured one is not listed.
const SHOWN_MAX: usize = 5;

/// Where systemd puts what `systemd/hearth.service` loads.
const SERVICE_CREDENTIALS: &str = "/run/credentials/hearth.service";

/// Everybody in the chain, in its order, then whoever else has a key: the owner wants to know of each key.
pub fn examine(config: &Providers, findings: &mut Vec<Finding>) {
    let mut names = vec![config.active];
    names.extend(config.fallback.iter().filter(|name| **name != config.active));
    let chain_len = names.len();
    let rest = ProviderName::ALL.into_iter().filter(|name| !names.contains(name) && has_key(config, *name));
    names.extend(rest.collect::<Vec<_>>());
    let found = match app::runtime() {
        Ok(runtime) => runtime.block_on(ask_all(config, &names)),
        Err(error) => return findings.push(finding("providers", Health::Fail, error.to_string())),
    };
    let anybody = found.iter().take(chain_len).any(|finding| finding.health == Health::Ok);
    findings.extend(found);
    if !anybody {
        let text = "nobody can answer: mend one of the above, or add assistant to providers.fallback";
        findings.push(finding("providers", Health::Fail, text));
    }
}

/// All at once: a provider that does not answer takes its deadline, and there may be several.
async fn ask_all(config: &Providers, names: &[ProviderName]) -> Vec<Finding> {
    let client = Https::new();
    let mut asked = Vec::new();
    for &name in names {
        let (config, client) = (config.clone(), client.clone());
        asked.push((name, tokio::spawn(async move { ask(&config, name, client).await })));
    }
    let mut findings = Vec::new();
    for (name, asked) in asked {
        let (health, text) = asked.await.unwrap_or_else(|error| (Health::Fail, error.to_string()));
        findings.push(finding(format!("provider {}", name.as_str()), health, text));
    }
    findings
}

async fn ask(config: &Providers, name: ProviderName, client: Https) -> (Health, String) {
    let Some(row) = config.row(name) else { return (Health::Ok, "built in".into()) };
    let key = match row.api_key_env.as_deref().map(key) {
        None => None,
        Some(Ok(key)) => key,
        Some(Err(error)) => return (Health::Warn, error.to_string()),
    };
    let Some(provider) = llm::build(Setup { name, row, key, client }) else {
        return (Health::Warn, "has no adapter in this version and is passed over".into());
    };
    match provider.models().await {
        Ok(models) => listed(name, row, &models),
        Err(ProviderError { failure: Failure::Unsupported, .. }) => {
            (Health::Ok, format!("set up, model {} (it has no list to compare with)", row.model))
        }
        Err(error) => (Health::Warn, error.to_string()),
    }
}

/// A server was reached that takes the key: whether it has the models.
fn listed(name: ProviderName, row: &config::Provider, models: &[String]) -> (Health, String) {
    let has = |wanted: &str| {
        // Ollama lists `llama3.2:latest` and answers to `llama3.2`.
        models.is_empty() || models.iter().any(|model| model == wanted || model.split(':').next() == Some(wanted))
    };
    // llama.cpp and its like take any name for the one model that they have.
    if name == ProviderName::Local
        && let Some(first) = models.first()
    {
        return (Health::Ok, format!("answers at {}; its model is {first}", row.base_url));
    }
    for (key, wanted) in [("model", Some(&row.model)), ("image_model", row.image_model.as_ref())] {
        if let Some(wanted) = wanted.filter(|wanted| !has(wanted)) {
            let some: Vec<_> = models.iter().take(SHOWN_MAX).map(String::as_str).collect();
            let text = format!("answers, and does not list the {key} {wanted}; it has {}, …", some.join(", "));
            return (Health::Warn, text);
        }
    }
    (Health::Ok, format!("answers at {}, model {}", row.base_url, row.model))
}

fn has_key(config: &Providers, name: ProviderName) -> bool {
    let variable = config.row(name).and_then(|row| row.api_key_env.as_deref());
    variable.is_some_and(|variable| matches!(key(variable), Ok(Some(_))))
}

/// As the running service has it where this command was given none; root may look there.
fn key(variable: &str) -> Result<Option<crate::common::secret::Secret>, config::SecretError> {
    let of_the_service = || Path::new(SERVICE_CREDENTIALS).is_dir().then(|| SERVICE_CREDENTIALS.to_owned());
    config::api_key(variable, |name| match std::env::var(name) {
        Err(_) if name == "CREDENTIALS_DIRECTORY" => of_the_service(),
        value => value.ok(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_compared_as_their_servers_name_them() {
        let config = Providers::default();
        let models = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let health = |name, names: &[&str]| listed(name, config.row(name).expect("a row"), &models(names)).0;
        assert_eq!(health(ProviderName::Ollama, &["llama3.2:latest"]), Health::Ok);
        assert_eq!(health(ProviderName::Ollama, &["mistral:7b"]), Health::Warn);
        assert_eq!(health(ProviderName::Local, &["smollm2.gguf"]), Health::Ok);
        assert_eq!(health(ProviderName::Openai, &["gpt-4o-mini", "gpt-image-2.5-flare"]), Health::Ok);
        assert_eq!(health(ProviderName::Openai, &["gpt-4o-mini"]), Health::Warn, "its image model is gone");
        assert_eq!(health(ProviderName::Openai, &[]), Health::Ok, "a list of nothing says nothing");
    }
}
