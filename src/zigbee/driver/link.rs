//! An open port and the thread that reads from it. Knows no frame.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serialport::{FlowControl, SerialPort, TTYPort};

use crate::zigbee::driver::{Address, Flow};

/// How long a read of a serial port waits before it looks whether the link is still wanted. Bytes end it at once.
const READ_LOOK_EVERY: Duration = Duration::from_millis(100);

/// How long a write may take: 256 bytes take 22 ms at 115,200 baud. A stick that holds the line longer than this is stuck.
const WRITE_PATIENCE: Duration = Duration::from_secs(2);

const CONNECT_PATIENCE: Duration = Duration::from_secs(3);

/// More than any burst of a stick between two reads.
const READ_LEN: usize = 4_096;

pub struct Link {
    port: Port,
    is_over: Arc<AtomicBool>,
    reader: Option<JoinHandle<()>>,
}

enum Port {
    Serial(TTYPort),
    Tcp(TcpStream),
}

impl Link {
    /// Opens the port and reads from it until the link is dropped. `take` gets what was read, or, once, why nothing will be read any
    /// more; when it gives false, nobody wants more.
    pub fn open(
        address: &Address,
        take: impl FnMut(Result<Vec<u8>, Box<str>>) -> bool + Send + 'static,
    ) -> io::Result<Link> {
        let is_over = Arc::new(AtomicBool::new(false));
        let is_wanted = {
            let is_over = Arc::clone(&is_over);
            move || !is_over.load(Ordering::Relaxed)
        };
        let (port, reader) = match address {
            Address::Serial { path, baud, flow } => {
                let port = open_serial(path, *baud, *flow)?;
                let mut read = port.try_clone_native()?;
                read.set_timeout(READ_LOOK_EVERY)?;
                (Port::Serial(port), reader(move || run(read, is_wanted, take))?)
            }
            Address::Tcp { host, port } => {
                let stream = connect(host, *port)?;
                let read = stream.try_clone()?;
                (Port::Tcp(stream), reader(move || run(read, is_wanted, take))?)
            }
        };
        Ok(Link { port, is_over, reader: Some(reader) })
    }

    /// Hands bytes to the kernel, which sends them at once. A serial port is not drained: some adapters' drivers take milliseconds
    /// to say that they have sent what they have sent.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.port {
            Port::Serial(port) => port.write_all(bytes),
            Port::Tcp(stream) => stream.write_all(bytes),
        }
    }

    /// Sets the modem lines, where there are some: pseudo terminals and sockets have none, and some adapters do not wire them.
    pub fn set_lines(&mut self, dtr: bool, rts: bool) {
        if let Port::Serial(port) = &mut self.port {
            let set = port.write_data_terminal_ready(dtr).and_then(|()| port.write_request_to_send(rts));
            if let Err(error) = set {
                tracing::debug!(%error, "the port has no modem lines");
            }
        }
    }
}

impl Drop for Link {
    /// Waits for the reader: as long as it holds the port, nobody can open it again.
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Port::Tcp(stream) = &self.port {
            // Ends the read at once; where the other end is gone, that is no news.
            let _ = stream.shutdown(Shutdown::Both);
        }
        if let Some(reader) = self.reader.take() {
            // One that waits for room to hand over what it read is let go: it ends with what it has read.
            let until_it_looks = READ_LOOK_EVERY.as_millis() / 5;
            for _ in 0..2 * until_it_looks {
                if reader.is_finished() {
                    break;
                }
                thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

fn open_serial(path: &str, baud: u32, flow: Flow) -> io::Result<TTYPort> {
    let flow = match flow {
        Flow::None => FlowControl::None,
        Flow::RtsCts => FlowControl::Hardware,
        Flow::XonXoff => FlowControl::Software,
    };
    let port = serialport::new(path, baud).flow_control(flow).timeout(WRITE_PATIENCE).open_native()?;
    hurry(path);
    Ok(port)
}

/// Chips of FTDI hold bytes back for 16 ms to make one piece of them. Where the hub may, it has them hold back 1 ms; it is no fault
/// where there is no such chip, or no right.
fn hurry(path: &str) {
    let tty = std::fs::canonicalize(path).ok();
    if let Some(tty) = tty.as_deref().and_then(Path::file_name) {
        let timer = Path::new("/sys/bus/usb-serial/devices").join(tty).join("latency_timer");
        let _ = std::fs::write(timer, "1");
    }
}

fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut error = io::Error::new(ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT_PATIENCE) {
            Ok(stream) => {
                // A request is a few bytes, and the answer to it is waited for.
                stream.set_nodelay(true)?;
                stream.set_write_timeout(Some(WRITE_PATIENCE))?;
                return Ok(stream);
            }
            Err(this) => error = this,
        }
    }
    Err(error)
}

fn reader(run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name("zigbee-read".to_owned()).spawn(run)
}

fn run(mut port: impl Read, is_wanted: impl Fn() -> bool, mut take: impl FnMut(Result<Vec<u8>, Box<str>>) -> bool) {
    let mut bytes = vec![0; READ_LEN];
    while is_wanted() {
        let why = match port.read(&mut bytes) {
            Ok(0) => "the other end has closed the connection".into(),
            Ok(len) => {
                if take(Ok(bytes[..len].to_vec())) {
                    continue;
                }
                return;
            }
            Err(error)
                if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                continue;
            }
            Err(error) => format!("the stick was pulled out, or its port has failed: {error}").into(),
        };
        if is_wanted() {
            take(Err(why));
        }
        return;
    }
}

/// For the owner: why a port cannot be opened, and what to do.
pub fn explain(address: &Address, error: &io::Error) -> Box<str> {
    let what_to_do = match (address, error.kind()) {
        (Address::Serial { .. }, ErrorKind::PermissionDenied) => {
            "the hub's user may not use it (is it in the group `dialout`?)".to_owned()
        }
        (Address::Serial { .. }, ErrorKind::ResourceBusy) => busy(),
        (Address::Serial { .. }, _) if error.to_string().contains("lock") => busy(),
        (Address::Tcp { .. }, ErrorKind::ConnectionRefused) => {
            "nothing listens there, or it is in use by another program".to_owned()
        }
        (Address::Tcp { .. }, ErrorKind::TimedOut) => "it does not answer".to_owned(),
        _ => error.to_string(),
    };
    format!("{address} cannot be opened: {what_to_do}").into()
}

fn busy() -> String {
    "another program uses it (Zigbee2MQTT, ZHA, a modem manager?)".to_owned()
}
