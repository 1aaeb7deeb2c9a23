//! What a provider's headers say of how much may be asked yet: `x-ratelimit-{remaining,reset}-{requests,tokens}` (OpenAI,
//! Azure, Groq, xAI), `x-ratelimit-remaining-{req,tokens}-minute` (Mistral), `anthropic-ratelimit-{requests,tokens,input-tokens,output-tokens}-{remaining,reset}`. Reads no clock.

use std::time::Duration;

use hyper::HeaderMap;
use hyper::header::DATE;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;

use crate::common::chat::{Allowance, RateLimits};

/// `None` where no header says anything.
pub fn rate_limits(headers: &HeaderMap) -> Option<RateLimits> {
    let openai = |what: &str| {
        let (remaining, reset) = (format!("x-ratelimit-remaining-{what}"), format!("x-ratelimit-reset-{what}"));
        allowance(headers, &remaining, &reset, duration)
    };
    let answered_at = text(headers, DATE.as_str()).and_then(|date| DateTimeParser::new().parse_timestamp(date).ok());
    let until = |reset: &str| until(answered_at?, reset);
    let anthropic = |what: &str| {
        let (remaining, reset) =
            (format!("anthropic-ratelimit-{what}-remaining"), format!("anthropic-ratelimit-{what}-reset"));
        allowance(headers, &remaining, &reset, until)
    };
    let mistral = |what: &str| a_minute(headers, &format!("x-ratelimit-remaining-{what}-minute"));
    let requests = openai("requests").or_else(|| anthropic("requests")).or_else(|| mistral("req"));
    // Anthropic's `tokens` is the most restrictive limit in force, which need not be one of the two kinds.
    let kinds = || ["tokens", "input-tokens", "output-tokens"].into_iter().filter_map(anthropic);
    let tokens = openai("tokens").or_else(|| kinds().min_by_key(|kind| kind.remaining)).or_else(|| mistral("tokens"));
    (requests.is_some() || tokens.is_some()).then_some(RateLimits { requests, tokens })
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim)
}

fn allowance(
    headers: &HeaderMap,
    remaining: &str,
    reset: &str,
    wait: impl Fn(&str) -> Option<Duration>,
) -> Option<Allowance> {
    Some(Allowance { remaining: text(headers, remaining)?.parse().ok()?, reset: text(headers, reset).and_then(wait) })
}

/// From the answer's own `date` to a time of RFC 3339, which may have passed.
fn until(answered_at: Timestamp, reset: &str) -> Option<Duration> {
    let reset: Timestamp = reset.parse().ok()?;
    let wait_ms = reset.as_millisecond() - answered_at.as_millisecond();
    Some(Duration::from_millis(u64::try_from(wait_ms).unwrap_or(0)))
}

/// Mistral does not say when the minute is over: after one it surely is.
fn a_minute(headers: &HeaderMap, remaining: &str) -> Option<Allowance> {
    let left = allowance(headers, remaining, "", duration)?;
    Some(Allowance { reset: Some(Duration::from_secs(60)), ..left })
}

/// `1s`, `6m0s`, `20ms`, `1.5`: as Go writes a duration, or seconds.
fn duration(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let (mut rest, mut seconds) = (text, 0.0);
    while !rest.is_empty() {
        let figures = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, unit) = rest.split_at(figures);
        let letters = unit.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(unit.len());
        let scale = match &unit[..letters] {
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return None,
        };
        seconds += number.parse::<f64>().ok()? * scale;
        rest = &unit[letters..];
    }
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_openai_are_read() {
        let header = |name: &'static str, value: &'static str| (name.parse().unwrap(), value.parse().unwrap());
        let headers: HeaderMap = [
            header("x-ratelimit-remaining-requests", "0"),
            header("x-ratelimit-reset-requests", "6m1.5s"),
            header("x-ratelimit-remaining-tokens", "149984"),
            header("x-ratelimit-reset-tokens", "20ms"),
        ]
        .into_iter()
        .collect();
        let limits = rate_limits(&headers).expect("limits");
        let reset = Some(Duration::from_millis(361_500));
        assert_eq!(limits.requests, Some(Allowance { remaining: 0, reset }));
        assert_eq!(limits.tokens.and_then(|tokens| tokens.reset), Some(Duration::from_millis(20)));
        assert_eq!(rate_limits(&HeaderMap::new()), None);
    }

    #[test]
    fn headers_of_mistral_are_read() {
        let header = |name: &'static str, value: &'static str| (name.parse().unwrap(), value.parse().unwrap());
        let minute = Some(Duration::from_secs(60));
        let headers =
            [header("x-ratelimit-remaining-req-minute", "59"), header("x-ratelimit-remaining-tokens-minute", "47196")];
        let limits = rate_limits(&headers.into_iter().collect()).expect("limits");
        assert_eq!(limits.requests, Some(Allowance { remaining: 59, reset: minute }));
        assert_eq!(limits.tokens, Some(Allowance { remaining: 47_196, reset: minute }));
    }

    #[test]
    fn headers_of_anthropic_are_read() {
        let read = |headers: &[(&'static str, &'static str)]| {
            let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
            rate_limits(&headers)
        };
        let sent = [
            ("anthropic-ratelimit-requests-limit", "50"),
            ("anthropic-ratelimit-requests-remaining", "49"),
            ("anthropic-ratelimit-requests-reset", "2026-07-15T10:36:01Z"),
            ("anthropic-ratelimit-tokens-remaining", "12000"),
            ("anthropic-ratelimit-tokens-reset", "2026-07-15T10:36:07.5Z"),
            ("anthropic-ratelimit-input-tokens-remaining", "40000"),
            ("anthropic-ratelimit-output-tokens-remaining", "8000"),
            ("anthropic-ratelimit-output-tokens-reset", "2026-07-15T10:35:00Z"),
        ];
        let limits = read(&[&sent[..], &[("date", "Wed, 15 Jul 2026 10:36:00 GMT")]].concat()).expect("limits");
        assert_eq!(limits.requests, Some(Allowance { remaining: 49, reset: Some(Duration::from_secs(1)) }));
        assert_eq!(limits.tokens, Some(Allowance { remaining: 8000, reset: Some(Duration::ZERO) }), "the scarcest");
        let undated = read(&sent).expect("limits");
        assert_eq!(undated.requests, Some(Allowance { remaining: 49, reset: None }), "a time alone is no wait");
        assert_eq!(read(&[("anthropic-ratelimit-requests-remaining", "many")]), None);
    }

    #[test]
    fn what_is_no_duration_is_none() {
        for odd in ["soon", "5 parsecs", "-1", "1h?", "."] {
            assert_eq!(duration(odd), None, "{odd}");
        }
    }
}
