//! What the local network is: the private ranges, and the prefixes that the hub's own interfaces are on. Reads two files of
//! the kernel's; opens no socket and decides about no caller.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

/// How long the prefixes read last are believed: a new network is seen this late, and a flood from outside costs no more
/// than one look.
const REREAD_AFTER: Duration = Duration::from_secs(10);

/// Shorter prefixes are a VPN's catch-all (`0.0.0.0/1`, a default route without gateway) and no home's network.
const ON_LINK_BITS_MIN_V4: u8 = 8;
const ON_LINK_BITS_MIN_V6: u8 = 32;

/// What of IPv6 an IPv4 prefix is: `::ffff:0:0/96` comes before it.
const V4_MAPPED_BITS: u8 = 96;

/// `/proc/net/route` flags (linux/route.h): in use, through a router, refused.
const RTF_UP: u16 = 0x0001;
const RTF_GATEWAY: u16 = 0x0002;
const RTF_REJECT: u16 = 0x0200;

/// The local network, as far as this machine can know it.
#[derive(Debug)]
pub struct Lan {
    on_link: Vec<Prefix>,
    read_at: Option<Instant>,
    read: fn() -> Vec<Prefix>,
}

impl Lan {
    /// The network around this machine.
    pub fn of_this_machine() -> Lan {
        Lan::reading(read_on_link)
    }

    /// With another source of on-link prefixes.
    pub fn reading(read: fn() -> Vec<Prefix>) -> Lan {
        Lan { on_link: Vec::new(), read_at: None, read }
    }

    /// Whether `address` is of the local network. Only an address outside the private ranges makes the prefixes be read.
    pub fn contains(&mut self, address: IpAddr, now: Instant) -> bool {
        is_private(address) || {
            if self.read_at.is_none_or(|at| now.saturating_duration_since(at) >= REREAD_AFTER) {
                self.on_link = (self.read)();
                self.read_at = Some(now);
            }
            self.on_link.iter().any(|prefix| prefix.contains(address))
        }
    }
}

/// Whether an address cannot come from the internet: loopback, link-local, RFC 1918, and RFC 4193 (`fc00::/7`).
pub fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// Whether an address is no place on the internet: private, or of no single machine (RFC 6890, RFC 6598).
pub fn is_reserved(address: IpAddr) -> bool {
    is_private(address)
        || match address.to_canonical() {
            IpAddr::V4(v4) => {
                let [first, second, ..] = v4.octets();
                first == 0 || first >= 224 || (first == 100 && second & 0xc0 == 64)
            }
            IpAddr::V6(v6) => v6.is_unspecified() || v6.is_multicast() || embedded(v6).is_some_and(is_private),
        }
}

/// The IPv4 address that stands for this one behind a translator (RFC 6052 §2.1) or in a tunnel (RFC 3056 §2).
fn embedded(address: Ipv6Addr) -> Option<IpAddr> {
    let bytes = address.octets();
    let at = match bytes {
        [0x00, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, ..] => 12,
        [0x20, 0x02, ..] => 2,
        _ => return None,
    };
    Some(IpAddr::from([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]))
}

/// A network: the first `bits` of `network`, IPv4 as its IPv6-mapped form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    network: u128,
    bits: u8,
}

impl Prefix {
    /// The network of an interface address; none for a prefix too wide to be a home's.
    pub fn on_link(address: IpAddr, bits: u8) -> Option<Prefix> {
        let (bits_min, bits_max, before) = match address {
            IpAddr::V4(_) => (ON_LINK_BITS_MIN_V4, Ipv4Addr::BITS as u8, V4_MAPPED_BITS),
            IpAddr::V6(_) => (ON_LINK_BITS_MIN_V6, Ipv6Addr::BITS as u8, 0),
        };
        (bits_min..=bits_max)
            .contains(&bits)
            .then(|| Prefix { network: mapped(address) & mask(before + bits), bits: before + bits })
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        mapped(address) & mask(self.bits) == self.network
    }
}

fn mapped(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

fn mask(bits: u8) -> u128 {
    assert!((1..=128).contains(&bits), "no prefix is empty or longer than an address");
    u128::MAX << (128 - bits)
}

/// What the kernel says now; a file that is not there (no IPv6) adds nothing. A service may see of `/proc` its own process alone.
fn read_on_link() -> Vec<Prefix> {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let mut prefixes = parse_if_inet6(&read("/proc/self/net/if_inet6"));
    prefixes.extend(parse_route(&read("/proc/self/net/route")));
    prefixes
}

/// `/proc/net/if_inet6`: one interface address a line, all in hex: address, index, prefix length, scope, flags, name.
fn parse_if_inet6(text: &str) -> Vec<Prefix> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            let address = u128::from_str_radix(words.next()?, 16).ok()?;
            let bits = u8::from_str_radix(words.nth(1)?, 16).ok()?;
            Prefix::on_link(Ipv6Addr::from_bits(address).into(), bits)
        })
        .collect()
}

/// `/proc/net/route`: one route a line after a heading: interface, destination, gateway, flags, …, mask as the 8th word.
/// Addresses are the network-order bytes printed as one number of the machine's own order.
fn parse_route(text: &str) -> Vec<Prefix> {
    let address = |word: &str| u32::from_str_radix(word, 16).ok().map(|bytes| Ipv4Addr::from(bytes.to_ne_bytes()));
    text.lines()
        .filter_map(|line| {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            let &[_, destination, _, flags, _, _, _, mask, ..] = words.as_slice() else { return None };
            let flags = u16::from_str_radix(flags, 16).ok()?;
            let is_on_link = flags & (RTF_UP | RTF_GATEWAY | RTF_REJECT) == RTF_UP;
            let bits = address(mask)?.to_bits().leading_ones() as u8;
            is_on_link.then(|| Prefix::on_link(address(destination)?.into(), bits)).flatten()
        })
        .collect()
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any instant will do as the start of a test's time")]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn what_is_no_place_on_the_internet_is_seen_in_every_form() {
        for reserved in [
            "192.168.0.1",
            "0.0.0.0",
            "100.64.0.1",
            "100.127.255.255",
            "224.0.0.251",
            "255.255.255.255",
            "::",
            "ff02::fb",
            "64:ff9b::c0a8:1",
            "2002:c0a8:1::",
            "::ffff:10.0.0.1",
        ] {
            assert!(is_reserved(ip(reserved)), "{reserved}");
        }
        for place in ["1.1.1.1", "100.63.255.255", "100.128.0.0", "2606:4700::1", "64:ff9b::101:101", "2002:101:101::"]
        {
            assert!(!is_reserved(ip(place)), "{place}");
        }
    }

    #[test]
    fn private_ranges_end_where_they_should() {
        for private in [
            "10.0.0.1",
            "10.255.255.255",
            "172.16.0.0",
            "172.31.255.255",
            "192.168.0.1",
            "169.254.1.1",
            "127.0.0.1",
            "127.9.9.9",
            "::1",
            "fe80::1",
            "febf::1",
            "fc00::1",
            "fdff::1",
            "::ffff:192.168.1.4",
            "::ffff:127.0.0.1",
        ] {
            assert!(is_private(ip(private)), "{private}");
        }
        for foreign in [
            "9.255.255.255",
            "11.0.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "192.169.0.0",
            "8.8.8.8",
            "100.64.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "::",
            "2001:db8::1",
            "fec0::1",
            "fe00::1",
            "::ffff:8.8.8.8",
            "::192.168.1.4",
            "64:ff9b::c0a8:104",
            "2002:c0a8:104::1",
        ] {
            assert!(!is_private(ip(foreign)), "{foreign}");
        }
    }

    #[test]
    fn interface_addresses_give_prefixes() {
        let prefixes = parse_if_inet6(concat!(
            "00000000000000000000000000000001 01 80 10 80       lo\n",
            "20010db8000100020000000000000010 02 40 00 80     eth0\n",
            "fe800000000000000000000000000010 02 40 20 80     eth0\n",
            "20010db8000000000000000000000001 03 00 00 80     tun0\n",
            "20010db8 garbage\n\nzz\n",
        ));
        assert_eq!(prefixes.len(), 3, "{prefixes:?}");
        let on_link = |text| prefixes.iter().any(|prefix| prefix.contains(ip(text)));
        assert!(on_link("2001:db8:1:2:ffff::9"));
        assert!(!on_link("2001:db8:1:3::9"));
        assert!(!on_link("8.8.8.8"));
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn routes_without_gateway_give_prefixes() {
        let prefixes = parse_route(concat!(
            "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n",
            "eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n", // default, through a router
            "tun0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0\n",   // default, straight into a tunnel
            "tun0\t00000000\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0\n",   // 0.0.0.0/1
            "eth0\t007100CB\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n", // 203.0.113.0/24
            "eth0\t0A0200C6\t0101A8C0\t0007\t0\t0\t100\tFFFFFFFF\t0\t0\t0\n", // a host behind a router
            "eth1\t006433C6\t00000000\t0201\t0\t0\t100\t00FFFFFF\t0\t0\t0\n", // refused
        ));
        assert_eq!(prefixes, [Prefix::on_link(ip("203.0.113.77"), 24).expect("a prefix")]);
        assert!(prefixes[0].contains(ip("203.0.113.255")) && prefixes[0].contains(ip("::ffff:203.0.113.1")));
        assert!(!prefixes[0].contains(ip("203.0.114.0")));
    }

    #[test]
    fn no_prefix_takes_in_the_internet() {
        for (address, bits) in [("1.2.3.4", 0), ("1.2.3.4", 7), ("1.2.3.4", 33), ("2001:db8::", 0), ("2001:db8::", 31)]
        {
            assert_eq!(Prefix::on_link(ip(address), bits), None, "{address}/{bits}");
        }
        assert!(Prefix::on_link(ip("1.2.3.4"), 32).expect("itself").contains(ip("1.2.3.4")));
    }

    #[test]
    fn prefixes_are_read_only_when_they_matter_and_not_often() {
        thread_local!(static READS: Cell<u8> = const { Cell::new(0) });
        let reads = || READS.with(Cell::get);
        let mut lan = Lan::reading(|| {
            READS.with(|reads| reads.set(reads.get() + 1));
            if READS.with(Cell::get) > 1 {
                Prefix::on_link(ip("203.0.113.1"), 24).into_iter().collect()
            } else {
                Vec::new()
            }
        });
        let start = Instant::now();
        assert!(lan.contains(ip("192.168.1.1"), start));
        assert_eq!(reads(), 0);
        assert!(!lan.contains(ip("203.0.113.9"), start));
        assert!(!lan.contains(ip("203.0.113.9"), start + REREAD_AFTER - Duration::from_millis(1)));
        assert_eq!(reads(), 1);
        assert!(lan.contains(ip("203.0.113.9"), start + REREAD_AFTER));
        assert_eq!(reads(), 2);
    }

    #[test]
    fn the_kernel_is_understood() {
        // Whatever machine this is: if it has an IPv6 loopback, the file names it.
        if std::fs::read_to_string("/proc/net/if_inet6").unwrap_or_default().contains(" lo") {
            assert!(read_on_link().iter().any(|prefix| prefix.contains(ip("::1"))));
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "[0-9A-Fa-f \t\nx]{0,300}") {
            parse_if_inet6(&text);
            parse_route(&text);
        }
    }
}
