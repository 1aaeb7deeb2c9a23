//! A bundle from the network, into a file on the data partition. Only so much is read of one that is not wanted as tells that; what was
//! cut off goes on where it was, if it is still the same. What comes is believed no more than a file: the signature counts.
//! Waits with deadlines, so it is a driver.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ureq::http::header::{CONTENT_RANGE, ETAG, IF_RANGE, RANGE};

use super::bundle::{BUNDLE_BYTES_MAX, HEAD_BYTES_MAX, Manifest};
use super::machine::{put, small, take_away};
use super::minisign::PublicKey;
use super::{UpdateError, io_at};
use crate::common::files::{folder_of, free_bytes};

/// Times that it is asked for, where a connection breaks.
const ATTEMPTS: u32 = 8;

/// Before the second time; doubled each time.
const PAUSE: Duration = Duration::from_secs(2);

const CONNECT_DEADLINE: Duration = Duration::from_secs(30);

/// For one connection: a system over a slow line.
const ATTEMPT_DEADLINE: Duration = Duration::from_secs(60 * 60);

/// What stays free on the data partition, bytes: the house goes on meanwhile.
const FREE_BYTES_MIN: u64 = 64 * 1024 * 1024;

/// Written at once, bytes.
const CHUNK_BYTES: usize = 64 * 1024;

/// Where it is put.
pub struct Download<'a> {
    /// The file; that of its ETag is beside it.
    pub to: &'a Path,
    pub keys: &'a [PublicKey],
    /// Says of the manifest, before the rest comes, why it is not wanted.
    pub wanted: &'a dyn Fn(&Manifest) -> Result<(), UpdateError>,
}

/// Why one attempt ended.
enum Broken {
    /// It may go better another time.
    Once(String),
    Final(UpdateError),
}

impl From<UpdateError> for Broken {
    fn from(error: UpdateError) -> Broken {
        Broken::Final(error)
    }
}

impl Download<'_> {
    /// All of it, from an `http://` or `https://` address.
    pub fn fetch(&self, url: &str) -> Result<File, UpdateError> {
        let config = ureq::Agent::config_builder()
            .timeout_connect(Some(CONNECT_DEADLINE))
            .timeout_global(Some(ATTEMPT_DEADLINE))
            .http_status_as_error(false);
        let agent: ureq::Agent = config.build().into();
        let mut pause = PAUSE;
        for attempt in 1.. {
            match self.attempt(&agent, url) {
                Ok(file) => return Ok(file),
                Err(Broken::Final(error)) => return Err(error),
                Err(Broken::Once(why)) if attempt == ATTEMPTS => {
                    return Err(UpdateError::Machine(format!("{url}: {why}; what came is kept for the next time")));
                }
                Err(Broken::Once(_)) => std::thread::sleep(pause),
            }
            pause *= 2;
        }
        unreachable!("the last attempt returns")
    }

    /// What was fetched is not needed any more.
    pub fn forget(&self) -> Result<(), UpdateError> {
        take_away(self.to)?;
        take_away(&self.etag())
    }

    fn etag(&self) -> PathBuf {
        self.to.with_extension("etag")
    }

    fn attempt(&self, agent: &ureq::Agent, url: &str) -> Result<File, Broken> {
        let at = || io_at(self.to.display().to_string());
        let etag = small(&self.etag()).ok().filter(|etag| !etag.is_empty());
        let have = self.to.metadata().map_or(0, |file| file.len());
        let mut request = agent.get(url);
        if let Some(etag) = etag.as_ref().filter(|_| have > 0) {
            request = request.header(RANGE, format!("bytes={have}-")).header(IF_RANGE, etag);
        }
        let answer = request.call().map_err(|error| Broken::Once(error.to_string()))?;
        let field = |name| answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let goes_on = field(CONTENT_RANGE).is_some_and(|range| range.starts_with(&format!("bytes {have}-")));
        let (status, new_etag) = (answer.status().as_u16(), field(ETAG));
        let mut body = answer.into_body().into_with_config().limit(BUNDLE_BYTES_MAX).reader();
        match status {
            206 if goes_on => {
                let file = OpenOptions::new().read(true).append(true).open(self.to).map_err(at())?;
                self.rest(&mut body, file)
            }
            // All of it is there, it seems; whether it is whole is seen when it is opened.
            416 if have > 0 => Ok(File::open(self.to).map_err(at())?),
            200 => {
                self.forget()?;
                let head = self.head(&mut body)?;
                // A weak one does not promise the same bytes.
                if let Some(etag) = new_etag.filter(|etag| !etag.starts_with("W/")) {
                    put(&self.etag(), etag.as_bytes())?;
                }
                let mut file = File::create_new(self.to).map_err(at())?;
                file.write_all(&head).map_err(at())?;
                self.rest(&mut body, file)
            }
            408 | 429 | 500..=599 => Err(Broken::Once(format!("HTTP {status}"))),
            _ => Err(Broken::Final(UpdateError::Machine(format!(
                "{url}: HTTP {status}: is the address (update.url) right?"
            )))),
        }
    }

    /// Reads until the manifest is there, and asks whether it is wanted.
    fn head(&self, body: &mut impl Read) -> Result<Vec<u8>, Broken> {
        let (mut head, mut chunk) = (Vec::new(), [0; 4096]);
        loop {
            let read = body.read(&mut chunk).map_err(|error| Broken::Once(error.to_string()))?;
            head.extend_from_slice(&chunk[..read]);
            if let Some((manifest, _)) = Manifest::of_head(&head, self.keys)? {
                (self.wanted)(&manifest)?;
                let bytes: u64 = manifest.members.iter().map(|member| member.bytes).sum();
                self.room_for(bytes)?;
                return Ok(head);
            }
            if read == 0 || head.len() > HEAD_BYTES_MAX {
                return Err(Broken::Final(UpdateError::Bundle("what comes from there is no bundle".into())));
            }
        }
    }

    fn room_for(&self, bytes: u64) -> Result<(), UpdateError> {
        let folder = folder_of(self.to);
        let free = free_bytes(folder).map_err(io_at(folder.display().to_string()))?;
        match free >= bytes.saturating_add(FREE_BYTES_MIN) {
            true => Ok(()),
            false => Err(UpdateError::Machine(format!(
                "the bundle has {bytes} bytes and {} has {free} free: make room, or bring it on a USB stick",
                folder.display()
            ))),
        }
    }

    fn rest(&self, body: &mut impl Read, mut file: File) -> Result<File, Broken> {
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let read = match body.read(&mut chunk) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    let _ = file.sync_all();
                    return Err(Broken::Once(error.to_string()));
                }
            };
            file.write_all(&chunk[..read]).map_err(io_at(self.to.display().to_string()))?;
        }
        file.sync_all().map_err(io_at(self.to.display().to_string()))?;
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::net::TcpListener;

    use super::super::bundle::testing::{manifest, packed};
    use super::super::bundle::{Bundle, Kind, PROGRAM};
    use super::super::minisign::testing::Signer;
    use super::*;

    /// A server that knows ranges and breaks off after so many bytes of each answer; says what it was asked for.
    fn serve(bytes: Vec<u8>, breaks_after: usize, answers: usize) -> (String, std::thread::JoinHandle<Vec<usize>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hearth.bundle", listener.local_addr().unwrap());
        let serving = std::thread::spawn(move || {
            let mut starts = Vec::new();
            for stream in listener.incoming().take(answers) {
                let mut stream = stream.unwrap();
                let lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let lines: Vec<String> = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
                let from = lines.iter().find_map(|line| {
                    line.to_lowercase().strip_prefix("range: bytes=")?.strip_suffix('-')?.parse().ok()
                });
                let from: usize = from.unwrap_or(0);
                starts.push(from);
                let line = if from > 0 { "206 Partial Content" } else { "200 OK" };
                let range = if from > 0 {
                    format!("Content-Range: bytes {from}-{}/{}\r\n", bytes.len() - 1, bytes.len())
                } else {
                    String::new()
                };
                let head = format!(
                    "HTTP/1.1 {line}\r\nETag: \"1\"\r\n{range}Content-Length: {}\r\nConnection: close\r\n\r\n",
                    bytes.len() - from
                );
                let _ = stream.write_all(head.as_bytes());
                let _ = stream.write_all(&bytes[from..bytes.len().min(from + breaks_after)]);
            }
            starts
        });
        (url, serving)
    }

    fn bundle() -> Vec<u8> {
        let program = vec![7; 300_000];
        let members = [(PROGRAM, program.as_slice())];
        packed(&Signer::new(1), &manifest(Kind::App, "9.9.9", &members, b""), &members)
    }

    #[test]
    fn what_breaks_off_goes_on_where_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let (bytes, keys, to) = (bundle(), [Signer::new(1).key()], folder.path().join("download"));
        let (url, serving) = serve(bytes.clone(), 200_000, 2);
        let download = Download { to: &to, keys: &keys, wanted: &|_| Ok(()) };
        let file = download.fetch(&url).unwrap();
        Bundle::open(file, &keys).unwrap().verify().unwrap();
        assert_eq!(std::fs::read(&to).unwrap(), bytes);
        assert_eq!(serving.join().unwrap(), [0, 200_000]);
        download.forget().unwrap();
        assert_eq!(folder.path().read_dir().unwrap().count(), 0);
    }

    #[test]
    fn what_is_not_wanted_is_not_fetched() {
        let folder = tempfile::tempdir().unwrap();
        let (keys, to) = ([Signer::new(1).key()], folder.path().join("download"));
        let (url, serving) = serve(bundle(), usize::MAX, 1);
        let wanted = |manifest: &Manifest| Err(UpdateError::NotNewer(manifest.version.to_string()));
        let error = Download { to: &to, keys: &keys, wanted: &wanted }.fetch(&url).unwrap_err();
        assert!(matches!(error, UpdateError::NotNewer(version) if version == "9.9.9"));
        assert!(!to.exists());
        serving.join().unwrap();
        let (url, serving) = serve(bundle(), usize::MAX, 1);
        let error = Download { to: &to, keys: &[Signer::new(2).key()], wanted: &|_| Ok(()) }.fetch(&url).unwrap_err();
        assert!(error.to_string().contains("does not trust"), "{error}");
        assert!(!to.exists());
        serving.join().unwrap();
    }
}
