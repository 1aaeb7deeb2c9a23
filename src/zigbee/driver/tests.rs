//! The driver with a machine that echoes, over real sockets and pseudo terminals.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::TcpListener;

use serialport::{SerialPort, TTYPort};

use super::*;

/// Says what it is told to, and tells what it hears.
#[derive(Default)]
struct Parrot {
    transmits: VecDeque<Transmit>,
    events: VecDeque<Event>,
    timeout: Option<Instant>,
    is_open: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Event {
    Open,
    Closed,
    Heard(Vec<u8>),
    Timeout,
    Unsaid,
}

enum Command {
    Say(Vec<u8>),
    Reopen,
    WakeIn(Duration),
}

impl Machine for Parrot {
    type Command = Command;
    type Event = Event;

    fn handle_open(&mut self, _: Instant) {
        self.is_open = true;
        self.events.push_back(Event::Open);
    }

    fn handle_closed(&mut self, _: Instant) {
        self.is_open = false;
        self.events.push_back(Event::Closed);
    }

    fn handle_bytes(&mut self, _: Instant, bytes: &[u8]) {
        self.events.push_back(Event::Heard(bytes.to_vec()));
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.timeout.take_if(|at| *at <= now).is_some() {
            self.events.push_back(Event::Timeout);
        }
    }

    fn handle_command(&mut self, now: Instant, command: Command) {
        match command {
            Command::Say(bytes) if self.is_open => self.transmits.push_back(Transmit::Bytes(bytes)),
            Command::Say(_) => self.events.push_back(Event::Unsaid),
            Command::Reopen => self.transmits.push_back(Transmit::Reopen { why: "it was told to".into() }),
            Command::WakeIn(duration) => self.timeout = Some(now + duration),
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.timeout
    }

    fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }
}

type Newsletter = tokio::sync::mpsc::Receiver<News<Event>>;

fn start(address: Address) -> (Driver<Command>, Newsletter) {
    spawn(Parrot::default(), Box::new(move || Ok(address.clone()))).expect("threads can be started")
}

/// The next news; panics when none comes.
fn next(news: &mut Newsletter) -> News<Event> {
    let until = now() + Duration::from_secs(10);
    loop {
        match news.try_recv() {
            Ok(news) => return news,
            Err(error) => assert!(now() < until, "no news: {error}"),
        }
        thread::sleep(Duration::from_micros(100));
    }
}

fn next_event(news: &mut Newsletter) -> Event {
    loop {
        if let News::Event(event) = next(news) {
            return event;
        }
    }
}

fn next_closed(news: &mut Newsletter) -> String {
    loop {
        if let News::Closed(why) = next(news) {
            return why.into();
        }
    }
}

fn tcp(listener: &TcpListener) -> Address {
    format!("tcp://{}", listener.local_addr().expect("it is bound")).parse().expect("an address")
}

#[test]
fn addresses_are_read_as_they_are_shown() {
    for text in [
        "/dev/serial/by-id/usb-Texas_Instruments-if00",
        "tcp://192.168.1.7:6638",
        "tcp://[::1]:80",
        "tcp://stick.local:1",
    ] {
        assert_eq!(text.parse::<Address>().expect(text).to_string(), text);
    }
    for text in ["", "ttyUSB0", "tcp://", "tcp://host", "tcp://host:0", "tcp://:1", "tcp://host:99999", "tcp://a/b:1"] {
        assert_eq!(text.parse::<Address>(), Err(NotAddress), "{text}");
    }
}

#[test]
fn over_tcp() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let (driver, mut news) = start(tcp(&listener));
    let (mut stick, _) = listener.accept().expect("it connects");
    assert!(matches!(next(&mut news), News::Opened(Address::Tcp { .. })));
    assert_eq!(next_event(&mut news), Event::Open);
    driver.command(Command::Say(b"hello".to_vec())).expect("there is room");
    let mut heard = [0; 5];
    stick.read_exact(&mut heard).expect("it comes");
    assert_eq!(&heard, b"hello");
    stick.write_all(b"you").expect("it goes");
    assert_eq!(next_event(&mut news), Event::Heard(b"you".to_vec()));
    driver.command(Command::WakeIn(Duration::from_millis(20))).expect("there is room");
    assert_eq!(next_event(&mut news), Event::Timeout);

    // The other end goes and comes back.
    drop(stick);
    assert_eq!(next_event(&mut news), Event::Closed);
    let (_stick, _) = listener.accept().expect("it connects again");
    assert_eq!(next_event(&mut news), Event::Open);

    // The machine wants it opened anew.
    driver.command(Command::Reopen).expect("there is room");
    assert_eq!(next_event(&mut news), Event::Closed);
    let (mut stick, _) = listener.accept().expect("it connects again");
    assert_eq!(next_event(&mut news), Event::Open);
    driver.stop();
    assert_eq!(stick.read(&mut heard).expect("it is closed"), 0);
}

#[test]
fn a_port_where_nothing_is_is_told_once_and_commands_are_answered_meanwhile() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = tcp(&listener);
    drop(listener);
    let (driver, mut news) = start(address);
    let why = next_closed(&mut news);
    assert!(why.contains("nothing listens there"), "{why}");
    driver.command(Command::Say(b"hello".to_vec())).expect("there is room");
    assert!(matches!(next(&mut news), News::Event(Event::Unsaid)));
    thread::sleep(3 * LOOK_EVERY);
    assert!(news.try_recv().is_err(), "told once");

    let (_driver, mut news) = start("/dev/there/is/no/such".parse().expect("an address"));
    assert!(next_closed(&mut news).contains("is the stick plugged in?"));
}

/// The stick that another program has open is not fought for.
#[test]
fn a_port_in_use_is_told() {
    let (_master, slave) = TTYPort::pair().expect("pseudo terminals");
    let path = slave.name().expect("it has one");
    drop(slave);
    let _taken = serialport::new(&path, BAUD_BY_DEFAULT).open_native().expect("it is free");
    let (_driver, mut news) = start(path.parse().expect("an address"));
    let why = next_closed(&mut news);
    assert!(why.contains("another program uses it"), "{why}");
}

/// Pulled out and plugged in again, under the same name.
#[test]
fn a_stick_that_comes_back_is_open_again_in_a_moment() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("stick");
    let plug = || {
        let (master, slave) = TTYPort::pair().expect("pseudo terminals");
        std::os::unix::fs::symlink(slave.name().expect("it has one"), &path).expect("a link");
        (master, slave)
    };
    let (mut master, slave) = plug();
    drop(slave);
    let (driver, mut news) = start(path.to_str().expect("a path in UTF-8").parse().expect("an address"));
    assert_eq!(next_event(&mut news), Event::Open);
    master.write_all(b"one").expect("it goes");
    assert_eq!(next_event(&mut news), Event::Heard(b"one".to_vec()));
    driver.command(Command::Say(b"two".to_vec())).expect("there is room");
    let mut heard = [0; 3];
    master.set_timeout(Duration::from_secs(5)).expect("a timeout");
    master.read_exact(&mut heard).expect("it comes");
    assert_eq!(&heard, b"two");

    std::fs::remove_file(&path).expect("it is there");
    drop(master);
    assert_eq!(next_event(&mut news), Event::Closed);
    thread::sleep(3 * LOOK_EVERY);
    let plugged_at = now();
    let (mut master, slave) = plug();
    drop(slave);
    assert_eq!(next_event(&mut news), Event::Open);
    assert!(now() - plugged_at < Duration::from_secs(2), "{:?}", now() - plugged_at);
    master.write_all(b"three").expect("it goes");
    assert_eq!(next_event(&mut news), Event::Heard(b"three".to_vec()));
}

/// What was commanded is done before the end, and timeouts are not forgotten while bytes never end.
#[test]
fn the_last_command_is_carried_out() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let (driver, mut news) = start(tcp(&listener));
    let (mut stick, _) = listener.accept().expect("it connects");
    assert_eq!(next_event(&mut news), Event::Open);
    let mut flood = stick.try_clone().expect("a socket");
    let is_dry = Arc::new(AtomicBool::new(false));
    let flooder = {
        let is_dry = Arc::clone(&is_dry);
        thread::spawn(move || {
            let mut sent = 0;
            while !is_dry.load(Ordering::Relaxed) {
                flood.write_all(&[0; 64]).expect("it goes");
                sent += 64;
            }
            sent
        })
    };
    driver.command(Command::WakeIn(Duration::from_millis(20))).expect("there is room");
    let (mut heard, mut was_timeout, mut sent) = (0, false, None);
    // A port that is closed with bytes unread takes back what it has sent, so all of the flood has to be through.
    let mut flooder = Some(flooder);
    while sent != Some(heard) {
        match next_event(&mut news) {
            Event::Heard(bytes) => heard += bytes.len(),
            Event::Timeout => was_timeout = true,
            other => panic!("{other:?}"),
        }
        if was_timeout && let Some(flooder) = flooder.take() {
            is_dry.store(true, Ordering::Relaxed);
            // It may wait for room in the line.
            while !flooder.is_finished() {
                if let Ok(News::Event(Event::Heard(bytes))) = news.try_recv() {
                    heard += bytes.len();
                }
            }
            sent = Some(flooder.join().expect("it has stopped"));
        }
    }
    let reader = thread::spawn(move || {
        let mut heard = Vec::<u8>::new();
        let mut bytes = [0; 64];
        while let Ok(len @ 1..) = stick.read(&mut bytes) {
            heard.extend(&bytes[..len]);
        }
        heard
    });
    let fetcher = thread::spawn(move || while news.blocking_recv().is_some() {});
    for at in 0..100 {
        driver.command(Command::Say(vec![at])).expect("there is room");
    }
    driver.stop();
    assert_eq!(reader.join().expect("it has read"), (0..100).collect::<Vec<u8>>());
    fetcher.join().expect("the news end");
}

/// There and back again costs no more than the line itself.
#[test]
fn nothing_waits() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let (driver, mut news) = start(tcp(&listener));
    let (mut stick, _) = listener.accept().expect("it connects");
    stick.set_nodelay(true).expect("a socket");
    assert_eq!(next_event(&mut news), Event::Open);
    thread::spawn(move || {
        let mut bytes = [0; 64];
        while let Ok(len @ 1..) = stick.read(&mut bytes) {
            if stick.write_all(&bytes[..len]).is_err() {
                return;
            }
        }
    });
    let mut times: Vec<Duration> = (0..200u8)
        .map(|at| {
            let begin = now();
            driver.command(Command::Say(vec![at; 16])).expect("there is room");
            assert_eq!(next_event(&mut news), Event::Heard(vec![at; 16]));
            now() - begin
        })
        .collect();
    times.sort();
    // A tenth of a millisecond on a machine with nothing else to do; a wait anywhere would be ten at least.
    assert!(times[100] < Duration::from_millis(8), "the median is {:?}", times[100]);
}

#[test]
fn what_nobody_fetches_holds_the_stick_up_and_loses_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let (_driver, mut news) = start(tcp(&listener));
    let (mut stick, _) = listener.accept().expect("it connects");
    let sent = 3 * 1_024 * 1_024;
    let writer = thread::spawn(move || {
        for at in 0..sent / 1_024 {
            stick.write_all(&[at as u8; 1_024]).expect("it goes");
        }
    });
    let mut heard = 0;
    while heard < sent {
        if let Event::Heard(bytes) = next_event(&mut news) {
            heard += bytes.len();
        }
    }
    writer.join().expect("it has written all");
}
