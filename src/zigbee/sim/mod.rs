//! A Z-Stack stick and a house of devices that are a program: bytes of the serial line in, bytes out; time and chance come as
//! arguments. For tests with time of their own, for `hearth demo`, and behind `hearth simulate` for hosts of others. Shares no
//! codec with the host stack, whose double it is: a mistake made on both sides would go unseen. Never touches a port or a clock.

mod air;
mod bytes;
mod chance;
mod device;
mod orders;
mod stick;
mod unpi;
mod world;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use self::chance::Chance;
pub use self::device::models::{MODELS, Model};
pub use self::device::{Device, Membership, Parent, Quirks};
pub use self::orders::{ORDERS, OrderError};
pub use self::stick::Generation;
use self::stick::Stick;
pub use self::stick::nv::Nv;
use self::world::World;
pub use self::world::{AirFaults, News};
use crate::zigbee::types::Ieee;

/// Devices whose rows a stick has room for, at least.
const TABLES_LEN: usize = 60;

/// Address in the silicon of the first stick; each swap counts on.
const HARDWARE: Ieee = Ieee(0x0012_4b00_2a00_0001);

/// What goes wrong on the serial line, as shares of 1 of the frames in each direction.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct LineFaults {
    /// A bit is another.
    pub garbled: f64,
    pub lost: f64,
    pub duplicated: f64,
    /// The stick starts anew by itself, just before it would act on a frame.
    pub resets: f64,
}

#[derive(Debug, Clone)]
pub struct SimConfig {
    pub generation: Generation,
    /// Of one hop through the air, one way.
    pub latency: Duration,
    /// By the names of [`MODELS`]; the same several times where several are wanted.
    pub devices: Vec<&'static Model>,
    /// Still in their boxes: they come out one after the other when the house is opened once more, or by an order.
    pub boxed: Vec<&'static Model>,
    /// Unpaired devices join by themselves when they may.
    pub auto_join: bool,
    /// What the stick remembers; `None`: fresh from the shop.
    pub nv: Option<Nv>,
    pub line: LineFaults,
    pub air: AirFaults,
}

impl Default for SimConfig {
    fn default() -> SimConfig {
        SimConfig {
            generation: Generation::V3x0,
            latency: Duration::from_millis(5),
            devices: MODELS.iter().collect(),
            boxed: Vec::new(),
            auto_join: true,
            nv: None,
            line: LineFaults::default(),
            air: AirFaults::default(),
        }
    }
}

pub struct Simulator {
    stick: Stick,
    world: World,
    pub line: LineFaults,
    chance: Chance,
    seed: u64,
    out: VecDeque<Vec<u8>>,
    /// The latest time that it was told.
    now: Instant,
    /// Sticks that it has had.
    sticks: u64,
    tables_len: usize,
}

impl Simulator {
    /// A house with its stick, at the time `now`. The same seed brings the same house.
    pub fn new(config: SimConfig, seed: u64, now: Instant) -> Simulator {
        let mut world = World::new(now, config.latency, seed);
        world.auto_join = config.auto_join;
        world.faults = config.air;
        for model in &config.devices {
            world.place(model);
        }
        for model in &config.boxed {
            world.keep_boxed(model);
        }
        let tables_len = TABLES_LEN.max(world.devices.len() + 10);
        Simulator {
            stick: Stick::new(config.generation, HARDWARE, config.nv, tables_len, seed ^ 0x51),
            world,
            line: config.line,
            chance: Chance::new(seed ^ 0x1e),
            seed,
            out: VecDeque::new(),
            now,
            sticks: 1,
            tables_len,
        }
    }

    /// Bytes of the host.
    pub fn handle_bytes(&mut self, now: Instant, bytes: &[u8]) {
        self.handle_timeout(now);
        if self.chance.happens(self.line.resets) {
            self.stick.reset(now, &mut self.world);
            return;
        }
        for bytes in self.through_line(bytes.to_vec()) {
            self.stick.handle_bytes(now, &bytes, &mut self.world);
        }
        self.settle();
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = self.now.max(now);
        loop {
            let stick = self.stick.poll_timeout().filter(|at| *at <= now);
            let world = self.world.poll_timeout().filter(|at| *at <= now);
            match (stick, world) {
                (Some(at), world) if world.is_none_or(|world| at <= world) => {
                    self.stick.handle_timeout(at, &mut self.world);
                }
                (_, Some(_)) => {
                    let at = self.world.step(now).unwrap_or(now);
                    while let Some(arrival) = self.world.poll_arrival() {
                        self.stick.arrive(at, arrival, &mut self.world);
                    }
                }
                (_, None) => break,
            }
        }
        self.settle();
    }

    /// Bytes for the host.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.out.pop_front()
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        [self.stick.poll_timeout(), self.world.poll_timeout()].into_iter().flatten().min()
    }

    /// What happened, for people.
    pub fn poll_news(&mut self) -> Option<News> {
        self.world.poll_news()
    }

    /// The host has gone away or come: what was on the line is lost. The stick and its network live on.
    pub fn handle_closed(&mut self, now: Instant) {
        self.handle_timeout(now);
        while self.stick.poll_transmit().is_some() {}
        self.out.clear();
        self.stick.forget_line();
    }

    /// The device called so, as it really is: for those who count what was wrongly reported as done.
    pub fn device(&self, name: &str) -> Option<&Device> {
        self.world.device(name)
    }

    pub fn devices(&self) -> &[Device] {
        &self.world.devices
    }

    /// Sets what is wrong with a device.
    pub fn set_quirks(&mut self, name: &str, quirks: Quirks) {
        if let Some(device) = self.world.device_mut(name) {
            device.quirks = quirks;
        }
    }

    pub fn set_install_code(&mut self, name: &str, code: [u8; 18]) {
        if let Some(device) = self.world.device_mut(name) {
            device.install_code = Some(code);
        }
    }

    pub fn set_air_faults(&mut self, faults: AirFaults) {
        self.world.faults = faults;
    }

    /// An attribute of a device, as it stands now.
    pub fn truth(&self, name: &str, cluster: u16, attribute: u16) -> Option<i64> {
        self.world.device(name)?.attribute_at(self.now, cluster, attribute)
    }

    /// Something in the world changes an attribute: it gets warmer.
    pub fn happen(&mut self, now: Instant, name: &str, cluster: u16, attribute: u16, value: i64) {
        if let Some(device) = self.world.find(name) {
            self.world.touch(now, device, |it, out| it.happen(now, cluster, attribute, value, out));
        }
        self.handle_timeout(now);
    }

    /// A person makes a device join, whether it was in a network or not.
    pub fn pair(&mut self, now: Instant, name: &str) {
        if let Some(device) = self.world.find(name) {
            self.world.pair(now, device);
        }
    }

    /// Moves a device below another parent (`None`: the coordinator). `tells`: it announces itself; if not, nobody knows.
    pub fn move_to(&mut self, now: Instant, name: &str, router: Option<&str>, tells: bool) {
        let parent = router.and_then(|router| self.world.find(router)).map_or(Parent::Coordinator, Parent::Device);
        if let Some(device) = self.world.find(name) {
            self.world.move_to(now, device, parent, tells);
        }
    }

    /// Leaves and comes back with a new network address.
    pub fn rejoin(&mut self, now: Instant, name: &str) {
        if let Some(device) = self.world.find(name)
            && let Some(membership) = self.world.devices[device].membership
        {
            self.world.rejoin(now, device, membership.parent);
        }
    }

    /// The stick forgets the way to a device until it looks for one.
    pub fn lose_route(&mut self, name: &str) {
        if let Some(nwk) = self.world.device(name).and_then(Device::nwk) {
            self.world.lose_route(nwk);
        }
    }

    /// The stick starts anew by itself.
    pub fn reset_stick(&mut self, now: Instant) {
        self.stick.reset(now, &mut self.world);
        self.out.clear();
    }

    /// It hears nothing and says nothing until it is let go, which starts it anew.
    pub fn hang_stick(&mut self, now: Instant, is_hung: bool) {
        if self.stick.is_hung && !is_hung {
            self.stick.reset(now, &mut self.world);
        }
        self.stick.is_hung = is_hung;
    }

    /// Another stick in its place, with an address of its own and this memory (`None`: fresh). The house stays.
    pub fn swap_stick(&mut self, now: Instant, generation: Generation, nv: Option<Nv>) {
        self.world.set_coordinator(None);
        let hardware = Ieee(HARDWARE.0 + self.sticks);
        self.sticks += 1;
        self.stick = Stick::new(generation, hardware, nv, self.tables_len, self.seed ^ self.sticks << 8);
        self.out.clear();
        self.world.tell(now, "stick", "is another one");
    }

    /// What the stick remembers.
    pub fn nv(&self) -> &Nv {
        &self.stick.nv
    }

    pub fn ieee(&self) -> Ieee {
        self.stick.ieee()
    }

    /// Whether the stick runs a network.
    pub fn is_up(&self) -> bool {
        self.stick.is_up()
    }

    /// Channel and PAN id of the network that it runs.
    pub fn network(&self) -> Option<(u8, u16)> {
        self.stick.network().map(|network| (network.channel.0, network.pan_id))
    }

    pub fn frame_counter(&self) -> u32 {
        self.stick.frame_counter()
    }

    /// Whether the stick and a device agree on the device's own key; `None`: the device has none.
    pub fn own_key_holds(&self, name: &str) -> Option<bool> {
        let device = self.world.device(name)?;
        device.link_key.map(|key| self.stick.own_key_of(device.ieee) == Some(key))
    }

    /// How often the host broke a rule of the serial line or of Zigbee.
    pub fn violations(&self) -> u64 {
        self.world.violations()
    }

    /// Commands that this firmware does not have.
    pub fn unknown_commands(&self) -> u64 {
        self.stick.unknown_commands
    }

    /// Requests that the host has made.
    pub fn requests(&self) -> u64 {
        self.stick.requests
    }

    /// Fetches what the stick has to say, through the line.
    fn settle(&mut self) {
        while let Some(bytes) = self.stick.poll_transmit() {
            let passed = self.through_line(bytes);
            self.out.extend(passed);
        }
    }

    /// What comes out of the line at its other end.
    fn through_line(&mut self, mut bytes: Vec<u8>) -> Vec<Vec<u8>> {
        if bytes.is_empty() || self.chance.happens(self.line.lost) {
            return Vec::new();
        }
        if self.chance.happens(self.line.garbled) {
            let at = self.chance.below(bytes.len() as u64) as usize;
            bytes[at] ^= 1 << self.chance.below(8);
        }
        match self.chance.happens(self.line.duplicated) {
            true => vec![bytes.clone(), bytes],
            false => vec![bytes],
        }
    }
}

#[cfg(test)]
#[path = "tests/mod.rs"]
mod tests;
