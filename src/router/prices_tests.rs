//! The table itself, and sums that were worked out by hand.

use proptest::prelude::*;

use super::*;

const NONE: BTreeMap<String, Price> = BTreeMap::new();

fn bought<'a>(provider: &'a str, model: &'a str, usage: Usage) -> Bought<'a> {
    Bought { provider, model, usage, images: 0, speech_characters: 0, day: day("2026-11-22") }
}

fn day(text: &str) -> Date {
    text.parse().expect("a day")
}

fn tokens(input_tokens: u64, output_tokens: u64) -> Usage {
    Usage { input_tokens, output_tokens, ..Usage::default() }
}

fn cost(provider: &str, model: &str, usage: Usage) -> Cost {
    table().cost(&NONE, &bought(provider, model, usage))
}

#[test]
fn the_table_is_whole_and_plausible() {
    let table = table();
    assert!(day(table.as_of()) >= day("2026-11-01"));
    let sold: Vec<ProviderName> = table.providers.keys().copied().collect();
    assert_eq!(sold, [ProviderName::Openai, ProviderName::Anthropic, ProviderName::Gemini]);
    let mut count = 0;
    for (name, row) in table.providers.values().flatten() {
        count += 1;
        assert!(row.input.is_some() == row.output.is_some(), "{name}");
        assert!(row.input.or(row.image).or(row.characters).is_some(), "{name} costs something");
        for usd in [row.input, row.output, row.cached, row.cache_write, row.image_output].into_iter().flatten() {
            assert!((0.001..=1000.0).contains(&usd), "{name}: {usd}");
            let pico = usd * 1e6;
            assert!((pico - pico.round()).abs() < 1e-6, "{name}: {usd} has more than six decimals");
        }
        assert!(row.cached <= row.input && row.cache_write.is_none_or(|write| Some(write) >= row.input), "{name}");
        if let Some(over) = &row.over {
            assert!(over.tokens >= 100_000 && Some(over.input) > row.input && Some(over.output) > row.output, "{name}");
        }
        if let Some(next) = &row.next {
            assert!(day(&next.from) > day(table.as_of()), "{name}");
        }
    }
    assert!(count > 100, "{count}");
}

#[test]
fn every_model_of_the_config_has_a_price() {
    let providers = crate::common::config::Providers::default();
    for (name, row) in providers.rows() {
        for model in [Some(&row.model), row.image_model.as_ref()].into_iter().flatten() {
            let cost = cost(name.as_str(), model, tokens(1_000_000, 1_000_000));
            assert!(
                matches!(cost, Cost::Known(nano) if (nano > 0) != name.is_local()),
                "{} {model}: {cost:?}",
                name.as_str()
            );
        }
    }
    let speech = crate::common::config::Speech::default();
    let spoken = |provider, model| {
        table().cost(&NONE, &Bought { speech_characters: 1000, ..bought(provider, model, Usage::default()) })
    };
    assert_eq!(spoken("openai", &speech.openai.model), Cost::Guessed(16_400_000));
    assert!(matches!(cost("gemini", &speech.gemini.model, tokens(10, 100)), Cost::Known(1_005_000)));
    assert_eq!(spoken("openai", "tts-1"), Cost::Known(15_000_000));
    assert_eq!(spoken("espeak", ""), Cost::Known(0));
    // Tokens are told with the end, which a sentence that was stopped does not have: 1700 of sound and 250 of text.
    assert_eq!(spoken("gemini", &speech.gemini.model), Cost::Guessed(17_125_000));
}

#[test]
fn sums_are_exact() {
    // 9 × 0.15 and 30 × 0.60 dollars a million.
    assert_eq!(cost("openai", "gpt-4o-mini", tokens(9, 30)), Cost::Known(19_350));
    // 700 plain, 200 cached, 100 written, 50 said: 0.7 + 0.02 + 0.125 + 0.25 thousandths of a dollar.
    let usage = Usage {
        cached_tokens: Some(200),
        cache_write_tokens: Some(100),
        reasoning_tokens: Some(20),
        ..tokens(1000, 50)
    };
    assert_eq!(cost("anthropic", "claude-haiku-4-5", usage), Cost::Known(1_095_000));
    // A cache larger than what was read is not believed.
    let odd = Usage { cached_tokens: Some(5000), cache_write_tokens: Some(5000), ..tokens(1000, 0) };
    assert_eq!(cost("anthropic", "claude-haiku-4-5", odd), Cost::Known(100_000));
    // Half a billionth is rounded up: 1 × 0.0375 for a thousand is 37.5.
    let own = BTreeMap::from([("tiny".to_owned(), Price { input: 0.0375, output: 0.0, cached: None })]);
    assert_eq!(table().cost(&own, &bought("openai", "tiny", tokens(1, 0))), Cost::Known(38));
    assert_eq!(table().cost(&own, &bought("openai", "tiny", tokens(2, 0))), Cost::Known(75));
    assert!(matches!(cost("openai", "gpt-4o-mini", tokens(u64::MAX, u64::MAX)), Cost::Known(u64::MAX)));
}

#[test]
fn long_questions_and_later_days_have_their_own_price() {
    assert_eq!(cost("gemini", "gemini-2.5-pro", tokens(200_000, 1000)), Cost::Known(260_000_000));
    assert_eq!(cost("gemini", "gemini-2.5-pro", tokens(200_001, 1000)), Cost::Known(515_002_500));
    let on = |at| table().cost(&NONE, &Bought { day: day(at), ..bought("gemini", "gemini-4-argon", tokens(1000, 0)) });
    assert_eq!((on("2026-11-30"), on("2026-12-01")), (Cost::Known(2_000_000), Cost::Known(4_000_000)));
}

#[test]
fn pictures_are_paid_by_token_or_by_the_piece() {
    let of = |provider, model, usage, images| table().cost(&NONE, &Bought { images, ..bought(provider, model, usage) });
    let thought = Usage { reasoning_tokens: Some(1000), ..tokens(100, 2290) };
    // 100 × 0.3, 1000 × 2.5, 1290 × 30.
    assert_eq!(of("gemini", "gemini-2.5-flash-image", thought, 1), Cost::Known(41_230_000));
    assert_eq!(of("gemini", "gemini-2.5-flash-image", tokens(100, 100), 0), Cost::Known(280_000), "words only");
    assert_eq!(of("openai", "dall-e-3", Usage::default(), 2), Cost::Known(80_000_000));
    assert_eq!(of("openai", "gpt-image-1", tokens(50, 1056), 1), Cost::Known(42_490_000));
    assert_eq!(of("openai", "gpt-image-1", Usage::default(), 1), Cost::Unknown);
}

#[test]
fn a_dated_name_is_the_same_model_and_a_longer_one_is_not() {
    let same = |provider: &str, name: &str, model: &str| {
        assert_eq!(cost(provider, name, tokens(1000, 1000)), cost(provider, model, tokens(1000, 1000)), "{name}");
        assert!(matches!(cost(provider, name, tokens(1000, 1000)), Cost::Known(1..)), "{name}");
    };
    same("openai", "gpt-4o-mini-2024-07-18", "gpt-4o-mini");
    same("openai", "gpt-5-chat-latest", "gpt-5");
    same("openai", "gpt-6-sol-2026-10-01", "gpt-6-sol");
    same("anthropic", "claude-haiku-4-5-20251001", "claude-haiku-4-5");
    same("anthropic", "claude-opus-4-20250514", "claude-opus-4");
    same("anthropic", "claude-sonnet-4-5@20250929", "claude-sonnet-4-5");
    same("anthropic", "claude-3-5-haiku-latest", "claude-3-5-haiku");
    same("gemini", "gemini-2.5-flash-preview-09-2025", "gemini-2.5-flash");
    same("gemini", "gemini-2.0-flash-001", "gemini-2.0-flash");
    same("gemini", "gemini-3-pro-preview", "gemini-3-pro");
    same("openrouter", "openai/gpt-4o-mini", "openai/gpt-4o-mini-2024-07-18");
    for (provider, model) in [
        ("openai", "gpt-4o-mini-super"),
        ("openai", "gpt-4o-mini-5"),
        ("openai", "gpt-4o-minimal"),
        ("openai", "claude-haiku-4-5"),
        ("openai", "deepseek-chat"),
        ("anthropic", "claude-opus-4-9"),
        ("gemini", "gemini-2.5-flash-ultra"),
        ("openrouter", "meta-llama/llama-4"),
        ("openrouter", "gpt-4o-mini"),
        ("nobody", "gpt-4o-mini"),
    ] {
        assert_eq!(cost(provider, model, tokens(1, 1)), Cost::Unknown, "{provider} {model}");
        assert_eq!(cost(provider, model, Usage::default()), Cost::Known(0), "nothing costs nothing");
    }
    // Specific before general.
    assert_ne!(cost("openai", "gpt-4o-2024-05-13", tokens(1, 1)), cost("openai", "gpt-4o-2024-08-06", tokens(1, 1)));
}

#[test]
fn openrouter_sells_the_models_of_others() {
    for (model, provider, at_home) in [
        ("openai/gpt-4o-mini", "openai", "gpt-4o-mini"),
        ("anthropic/claude-haiku-4.5", "anthropic", "claude-haiku-4-5"),
        ("google/gemini-2.5-flash-image", "gemini", "gemini-2.5-flash-image"),
    ] {
        assert_eq!(cost("openrouter", model, tokens(7, 9)), cost(provider, at_home, tokens(7, 9)), "{model}");
    }
    assert_eq!(cost("openrouter", "meta-llama/llama-4:free", tokens(7, 9)), Cost::Known(0));
}

#[test]
fn the_owner_knows_better_and_the_house_costs_nothing() {
    let price = |input| Price { input, output: 2.0 * input, cached: Some(0.5 * input) };
    let own = BTreeMap::from([
        ("gpt-4o-mini".to_owned(), price(1.0)),
        ("deepseek-chat".to_owned(), price(2.0)),
        ("meta-llama/llama-4".to_owned(), price(3.0)),
    ]);
    let cost = |provider, model| table().cost(&own, &bought(provider, model, tokens(1000, 1000)));
    assert_eq!(cost("openai", "gpt-4o-mini-2024-07-18"), Cost::Known(3_000_000));
    assert_eq!(cost("openai", "deepseek-chat"), Cost::Known(6_000_000));
    assert_eq!(cost("openrouter", "deepseek/deepseek-chat"), Cost::Known(6_000_000));
    assert_eq!(cost("openrouter", "meta-llama/llama-4"), Cost::Known(9_000_000));
    let usage = Usage { cached_tokens: Some(1000), ..tokens(1000, 0) };
    assert_eq!(table().cost(&own, &bought("openai", "deepseek-chat", usage)), Cost::Known(1_000_000));
    for provider in ["ollama", "local", "assistant", "espeak", "wyoming"] {
        assert_eq!(cost(provider, "deepseek-chat"), Cost::Known(0), "{provider}");
        assert!(is_local(provider));
    }
    assert!(!is_local("openai") && !is_local(""));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    /// Whatever a provider counts: no panic, and more never costs less.
    #[test]
    fn more_never_costs_less(
        numbers in proptest::array::uniform5(0..1_000_000_000u64),
        more in 0..1_000_000u64,
        model in "[a-z/:.@0-9-]{0,24}|gpt-4o-mini|gpt-6-sol",
    ) {
        let [input_tokens, output_tokens, cached, written, thought] = numbers;
        let usage = Usage {
            input_tokens,
            output_tokens,
            cached_tokens: Some(cached),
            cache_write_tokens: Some(written),
            reasoning_tokens: Some(thought),
            cost_usd: None,
        };
        let of = |usage| cost("openai", &model, usage);
        let longer = Usage { output_tokens: output_tokens + more, ..usage };
        if let (Cost::Known(less), Cost::Known(more)) = (of(usage), of(longer)) {
            prop_assert!(less <= more);
        }
    }
}
