//! The broker's address, taken apart. Dials nobody.

/// The port of MQTT without TLS, and with it.
const PORT: u16 = 1883;
const PORT_TLS: u16 = 8883;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// A name or an IP address, of IPv6 in brackets.
    pub host: String,
    pub port: u16,
    pub is_tls: bool,
}

impl Address {
    /// Of `mqtt.url`.
    pub fn of(url: &str) -> Result<Address, &'static str> {
        let (address, is_tls) = match url.strip_prefix("mqtts://") {
            Some(address) => (address, true),
            None => (url.strip_prefix("mqtt://").unwrap_or(url), false),
        };
        let address = address.trim_end_matches('/');
        // The last colon is the port's, unless it stands within an IPv6 address in brackets.
        let (host, port) = match address.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => {
                (host, port.parse().map_err(|_| "`mqtt.url` has no port that is a number")?)
            }
            _ => (address, if is_tls { PORT_TLS } else { PORT }),
        };
        Ok(Address { host: host.to_owned(), port, is_tls })
    }

    /// As it is resolved, and as it stands in a certificate.
    pub fn bare_host(&self) -> &str {
        self.host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&self.host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_taken_apart() {
        for (url, host, port, is_tls) in [
            ("mqtt://127.0.0.1:1884", "127.0.0.1", 1884, false),
            ("mqtt://broker.lan", "broker.lan", 1883, false),
            ("mqtt://broker.lan/", "broker.lan", 1883, false),
            ("mqtt://[::1]:1885", "[::1]", 1885, false),
            ("mqtt://[fe80::1]", "[fe80::1]", 1883, false),
            ("mqtts://broker.lan", "broker.lan", 8883, true),
            ("mqtts://[::1]:1", "[::1]", 1, true),
        ] {
            let found = Address::of(url).unwrap();
            assert_eq!((&*found.host, found.port, found.is_tls), (host, port, is_tls), "{url}");
        }
        assert_eq!(Address::of("mqtts://[::1]").unwrap().bare_host(), "::1");
        assert!(Address::of("mqtt://broker.lan:many").is_err());
    }
}
