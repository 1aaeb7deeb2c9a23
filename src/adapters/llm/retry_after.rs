//! How long a provider wants to be left alone: `retry-after` (RFC 9110 §10.2.3), `retry-after-ms` (OpenAI, Azure) and
//! `x-ratelimit-reset` (OpenRouter and others); in Google's bodies `retryDelay`. Reads no clock:
//! dates are compared with the answer's own `date`.

use std::time::Duration;

use hyper::HeaderMap;
use hyper::header::{DATE, RETRY_AFTER};
use jiff::fmt::rfc2822::DateTimeParser;

/// No wait that is asked for is taken to be longer than a day.
const WAIT_MAX: Duration = Duration::from_secs(24 * 3600);

/// Figures of `x-ratelimit-reset` from here on are seconds since 1970 and not a wait; from a thousand times it,
/// milliseconds.
const EPOCH_FROM: f64 = 1e9;

/// The wait asked for, the most exact header first.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let number = |name: &str| text(name).and_then(|value| value.parse::<f64>().ok());
    let date = |name: &str| {
        let parsed = DateTimeParser::new().parse_timestamp(text(name)?).ok()?;
        Some(parsed.as_millisecond() as f64 / 1e3)
    };
    let answered_at_s = date(DATE.as_str());
    let until = |epoch_s: f64| answered_at_s.map(|answered_at_s| epoch_s - answered_at_s);

    let wait_s = number("retry-after-ms")
        .map(|wait_ms| wait_ms / 1e3)
        .or_else(|| number(RETRY_AFTER.as_str()))
        .or_else(|| date(RETRY_AFTER.as_str()).and_then(until))
        .or_else(|| match number("x-ratelimit-reset")? {
            epoch_ms if epoch_ms >= EPOCH_FROM * 1e3 => until(epoch_ms / 1e3),
            epoch_s if epoch_s >= EPOCH_FROM => until(epoch_s),
            wait_s => Some(wait_s),
        })?;
    let wait = Duration::try_from_secs_f64(wait_s.max(0.0)).unwrap_or(WAIT_MAX);
    Some(wait.min(WAIT_MAX))
}

/// A wait as protobuf writes a duration in JSON: seconds, with up to nine decimals and an `s` (`34.074824224s`).
pub fn retry_delay(text: &str) -> Option<Duration> {
    let wait_s: f64 = text.strip_suffix('s')?.parse().ok()?;
    Some(Duration::try_from_secs_f64(wait_s.max(0.0)).unwrap_or(WAIT_MAX).min(WAIT_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait_ms(headers: &[(&'static str, &'static str)]) -> Option<u128> {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        retry_after(&headers).map(|wait| wait.as_millis())
    }

    #[test]
    fn every_spelling_of_a_wait() {
        const DATE: (&str, &str) = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(wait_ms(&[("retry-after", "20")]), Some(20_000));
        assert_eq!(wait_ms(&[("retry-after", "1.5")]), Some(1_500));
        assert_eq!(wait_ms(&[("retry-after", "20"), ("retry-after-ms", "19250")]), Some(19_250));
        assert_eq!(wait_ms(&[("retry-after", "Sun, 06 Nov 1994 08:50:07 GMT"), DATE]), Some(30_000));
        assert_eq!(wait_ms(&[("x-ratelimit-reset", "7")]), Some(7_000));
        assert_eq!(wait_ms(&[("x-ratelimit-reset", "784111779"), DATE]), Some(86_400_000), "no epoch, and too long");
        assert_eq!(
            wait_ms(&[("x-ratelimit-reset", "1784111779000"), ("date", "Wed, 15 Jul 2026 10:36:00 GMT")]),
            Some(19_000)
        );
    }

    #[test]
    fn a_duration_of_protobuf_is_read() {
        let wait_ms = |text| retry_delay(text).map(|wait| wait.as_millis());
        assert_eq!((wait_ms("34.074824224s"), wait_ms("7s"), wait_ms("-1s")), (Some(34_074), Some(7_000), Some(0)));
        assert_eq!((wait_ms("1e30s"), wait_ms("7"), wait_ms("s"), wait_ms("")), (Some(86_400_000), None, None, None));
    }

    #[test]
    fn nonsense_is_no_wait() {
        assert_eq!(wait_ms(&[]), None);
        assert_eq!(wait_ms(&[("retry-after", "soon")]), None);
        assert_eq!(wait_ms(&[("retry-after", "Sun, 06 Nov 1994 08:50:07 GMT")]), None, "a date alone says nothing");
        assert_eq!(wait_ms(&[("retry-after", "-5")]), Some(0));
        assert_eq!(wait_ms(&[("retry-after", "NaN")]), Some(0));
        assert_eq!(wait_ms(&[("retry-after", "inf")]), Some(86_400_000));
        assert_eq!(wait_ms(&[("retry-after", "1e300")]), Some(86_400_000));
    }
}
