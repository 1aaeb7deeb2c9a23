//! What a hub says of itself where no browser is: on its screen, and in a file on its card. The text is pure; it is written only
//! where something in it has changed, since a card wears out. Asks nobody: who calls it has looked.

use std::fmt::Write;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::appliance::qr::{self, Ink};
use crate::common::files::{put, read};
use crate::common::hex::hex;

/// Its name on the card.
pub const FILE_NAME: &str = "hearth-report.txt";

/// What the last report said, without what changes by itself. On the card's data.
const SEEN: &str = "var/lib/hearth-setup/report";

/// The longest of the kernel's tables that is read, bytes.
const BYTES_MAX: u64 = 256 * 1024;

/// Addresses that are shown.
const ADDRESSES_MAX: usize = 8;

/// Who may come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Door {
    /// The hub does not answer.
    Silent,
    /// It asks for nothing, or somebody owns it.
    Settled,
    /// Nobody owns it; with the code, where the machine has one of its own.
    Claimable { code: Option<String> },
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    pub what: String,
    pub mark: &'static str,
    pub text: String,
    pub is_well: bool,
}

/// All that is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub version: &'static str,
    /// `hearth.local`, as it is announced. `None`: it is not.
    pub name: Option<String>,
    pub addresses: Vec<IpAddr>,
    pub port: u16,
    pub door: Door,
    /// Of the owner's files.
    pub problems: Vec<String>,
    pub looks: Vec<Look>,
    /// As the clock says, which may be wrong.
    pub written_at: String,
}

impl Report {
    /// The file on the card.
    pub fn file(&self) -> String {
        let mut text = self.head(Ink::Dark);
        if !self.looks.is_empty() {
            text.push_str("\nHow it is\n\n");
            for Look { what, mark, text: found, .. } in &self.looks {
                let found = found.replace('\n', "\n                       ");
                writeln!(text, "  {mark:<4}  {what:<15}  {found}").expect("a String takes any text");
            }
        }
        write!(
            text,
            "\nHearth {}, {}.\nWritten when something here changes; what you write here is lost.\n",
            self.version, self.written_at
        )
        .expect("a String takes any text");
        text
    }

    /// The screen: the same, and of what was looked at what is not well.
    pub fn screen(&self) -> String {
        let mut text = self.head(Ink::Light);
        for Look { what, text: found, .. } in self.looks.iter().filter(|look| !look.is_well) {
            writeln!(text, "{what}: {found}").expect("a String takes any text");
        }
        text
    }

    fn head(&self, ink: Ink) -> String {
        let mut text = String::from("Hearth\n\n");
        let urls = self.urls();
        match &urls[..] {
            [] => text.push_str("No network yet: plug in a cable, or write the Wi-Fi into hearth.yaml on the card.\n"),
            urls => {
                text.push_str("This hub is found at\n\n");
                urls.iter().for_each(|url| writeln!(text, "  {url}/").expect("a String takes any text"));
            }
        }
        match &self.door {
            Door::Silent => text.push_str("\nThe hub itself does not answer yet.\n"),
            Door::Settled => {}
            Door::Claimable { code: None } => {
                text.push_str("\nNobody owns it yet. Its log shows a code: journalctl -t hearth\n");
            }
            Door::Claimable { code: Some(code) } => {
                text.push_str("\nNobody owns it yet. Whoever opens it and types this code does:\n\n");
                writeln!(text, "  {code}").expect("a String takes any text");
                let url = urls.first().map(|url| format!("{url}/claim#{code}"));
                if let Some(lines) = url.and_then(|url| qr::lines(&url, ink)) {
                    writeln!(text, "\n{}", lines.join("\n")).expect("a String takes any text");
                }
            }
        }
        if !self.problems.is_empty() {
            text.push_str("\nWhat the hub could not understand\n\n");
            self.problems.iter().for_each(|problem| {
                writeln!(text, "  {}", problem.replace('\n', "\n  ")).expect("a String takes any text");
            });
        }
        text
    }

    /// The name first: it stays when the address changes.
    fn urls(&self) -> Vec<String> {
        let port = if self.port == 80 { String::new() } else { format!(":{}", self.port) };
        let address = |address: &IpAddr| match address {
            IpAddr::V4(v4) => v4.to_string(),
            IpAddr::V6(v6) => format!("[{v6}]"),
        };
        // Without an address there is nobody who could hear the name.
        let name = self.name.clone().filter(|_| !self.addresses.is_empty());
        name.into_iter().chain(self.addresses.iter().map(address)).map(|host| format!("http://{host}{port}")).collect()
    }

    /// What has to change before the card is written anew.
    fn mark(&self) -> String {
        let looks: Vec<_> = self.looks.iter().map(|look| format!("{} {}", look.what, look.mark)).collect();
        let said = format!("{}\n{}\n{}", self.version, self.head(Ink::Dark), looks.join("\n"));
        hex(&Sha256::digest(said.as_bytes()))
    }
}

/// Writes the file where it says something else than the last time. True: it was written.
pub fn write(report: &Report, boot: &Path, root: &Path) -> io::Result<bool> {
    let (path, seen) = (boot.join(FILE_NAME), root.join(SEEN));
    let mark = report.mark();
    if path.exists() && read(&seen, BYTES_MAX)?.is_some_and(|before| before.trim() == mark) {
        return Ok(false);
    }
    put(&path, report.file().as_bytes(), 0o644)?;
    put(&seen, format!("{mark}\n").as_bytes(), 0o600)?;
    Ok(true)
}

/// The addresses of this machine at which others reach it, IPv4 first: from `/proc/net/fib_trie` and `/proc/net/if_inet6`.
pub fn addresses(root: &Path) -> Vec<IpAddr> {
    let table = |name: &str| read(&root.join("proc/net").join(name), BYTES_MAX).ok().flatten().unwrap_or_default();
    let mut found: Vec<IpAddr> = Vec::new();
    let trie = table("fib_trie");
    let mut leaf = None;
    for line in trie.lines().map(str::trim_start) {
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = address.parse::<Ipv4Addr>().ok();
        } else if line.starts_with("/32 host LOCAL") {
            found.extend(leaf.filter(|v4| !v4.is_loopback() && !v4.is_link_local()).map(IpAddr::V4));
        }
    }
    for line in table("if_inet6").lines() {
        // Address, interface, prefix, scope (0: the world), flags, name.
        let words: Vec<&str> = line.split_whitespace().collect();
        if let [address, _, _, "00", ..] = words[..]
            && let Ok(bits) = u128::from_str_radix(address, 16)
        {
            found.push(IpAddr::V6(Ipv6Addr::from_bits(bits)));
        }
    }
    let mut seen = Vec::new();
    found.retain(|address| {
        !seen.contains(address) && {
            seen.push(*address);
            true
        }
    });
    found.truncate(ADDRESSES_MAX);
    found
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn report() -> Report {
        Report {
            version: "9.9.9",
            name: Some("hearth-2.local".into()),
            addresses: vec!["192.168.1.20".parse().unwrap(), "fd00::20".parse().unwrap()],
            port: 80,
            door: Door::Claimable { code: Some("K7QM-2XWP".into()) },
            problems: vec!["hearth.yaml:1:11: `hostname`: bad\n  1 | hostname: a b".into()],
            looks: vec![
                Look { what: "temperature".into(), mark: "ok", text: "51 °C".into(), is_well: true },
                Look { what: "power".into(), mark: "look", text: "under-voltage".into(), is_well: false },
            ],
            written_at: "2026-11-30 15:00 UTC".into(),
        }
    }

    #[test]
    fn everything_stands_in_it() {
        let said = report().file();
        insta::assert_snapshot!(said.lines().filter(|line| !line.contains(['█', '▀', '▄'])).collect::<Vec<_>>().join("\n"), @r"
        Hearth

        This hub is found at

          http://hearth-2.local/
          http://192.168.1.20/
          http://[fd00::20]/

        Nobody owns it yet. Whoever opens it and types this code does:

          K7QM-2XWP






        What the hub could not understand

          hearth.yaml:1:11: `hostname`: bad
            1 | hostname: a b

        How it is

          ok    temperature      51 °C
          look  power            under-voltage

        Hearth 9.9.9, 2026-11-30 15:00 UTC.
        Written when something here changes; what you write here is lost.
        ");
        assert_eq!(said.lines().filter(|line| line.contains(['█', '▀', '▄'])).count(), 15, "{said}");
        let screen = report().screen();
        assert!(screen.contains("power: under-voltage") && !screen.contains("51 °C"), "{screen}");
        assert!(screen.lines().count() < 40, "{screen}");
        let owned = Report { door: Door::Settled, problems: Vec::new(), ..report() };
        assert!(!owned.file().contains("code") && !owned.screen().contains('█'), "{}", owned.file());
        let alone = Report { addresses: Vec::new(), ..report() };
        assert!(
            alone.screen().contains("No network yet") && alone.screen().contains("K7QM-2XWP"),
            "{}",
            alone.screen()
        );
        let other = Report { port: 8000, name: None, ..report() };
        assert!(other.file().contains("  http://192.168.1.20:8000/\n  http://[fd00::20]:8000/\n"), "{}", other.file());
    }

    #[test]
    fn the_card_is_written_when_something_changes_and_not_for_a_degree() {
        let card = tempfile::tempdir().unwrap();
        let (boot, root) = (card.path().join("boot"), card.path().join("root"));
        fs::create_dir(&boot).unwrap();
        let mut said = report();
        assert!(write(&said, &boot, &root).unwrap());
        said.looks[0].text = "52 °C".into();
        said.written_at = "later".into();
        assert!(!write(&said, &boot, &root).unwrap());
        for change in [
            |said: &mut Report| said.looks[0].mark = "look",
            |said: &mut Report| said.door = Door::Settled,
            |said: &mut Report| said.addresses.truncate(1),
            |said: &mut Report| said.problems.clear(),
            |said: &mut Report| said.name = None,
        ] {
            change(&mut said);
            assert!(write(&said, &boot, &root).unwrap() && !write(&said, &boot, &root).unwrap(), "{said:?}");
        }
        fs::remove_file(boot.join(FILE_NAME)).unwrap();
        assert!(write(&said, &boot, &root).unwrap(), "somebody took it away");
    }

    #[test]
    fn addresses_are_those_of_others_networks() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("proc/net");
        fs::create_dir_all(&folder).unwrap();
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     +-- 127.0.0.0/8 2 0 2\n        \
                    |-- 127.0.0.1\n           /32 host LOCAL\n     +-- 192.168.1.0/24 2 0 2\n        |-- 192.168.1.0\n           \
                    /24 link UNICAST\n        |-- 192.168.1.20\n           /32 host LOCAL\n        |-- 192.168.1.255\n           \
                    /32 link BROADCAST\n     |-- 169.254.7.7\n        /32 host LOCAL\n";
        fs::write(folder.join("fib_trie"), format!("{trie}{}", trie.replace("Main", "Local"))).unwrap();
        fs::write(
            folder.join("if_inet6"),
            "00000000000000000000000000000001 01 80 10 80       lo\nfd000000000000000000000000000020 02 40 00 80     \
             eth0\nfe80000000000000000000000000abcd 02 40 20 80     eth0\n",
        )
        .unwrap();
        let expected: [IpAddr; 2] = ["192.168.1.20".parse().unwrap(), "fd00::20".parse().unwrap()];
        assert_eq!(addresses(root.path()), expected);
        assert_eq!(addresses(&root.path().join("nowhere")), [] as [IpAddr; 0]);
    }
}
