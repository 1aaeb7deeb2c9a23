//! The clusters as tables: attributes with number, type and access, commands with their parameters both ways, the
//! specification's and the makers'. Names are those of zigbee-herdsman, which definitions use, too. Data and nothing else: it is
//! read by [`crate::zigbee::zcl::command`].

mod additions;
mod energy;
mod general;
mod house;
mod makers;
mod measurement;
mod scale;
mod security;

pub use scale::{Scale, scale};

use crate::zigbee::types::{AttributeId, ClusterId, MakerCode};
use crate::zigbee::zcl::data_type::DataType;
use crate::zigbee::zcl::frame::Direction;

/// The tables; of one number the specification's cluster comes before what makers make of it.
static TABLES: [&[Cluster]; 7] = [
    general::CLUSTERS,
    house::CLUSTERS,
    measurement::CLUSTERS,
    security::CLUSTERS,
    energy::CLUSTERS,
    additions::CLUSTERS,
    makers::CLUSTERS,
];

#[derive(Debug)]
pub struct Cluster {
    pub id: ClusterId,
    pub name: &'static str,
    /// Who made it; 0: the specification, or nobody says.
    pub maker: u16,
    pub attributes: &'static [Attribute],
    /// To the server.
    pub commands: &'static [Command],
    /// To the client.
    pub answers: &'static [Command],
}

#[derive(Debug)]
pub struct Attribute {
    pub id: u16,
    pub name: &'static str,
    pub data_type: DataType,
    /// [`READ`], [`WRITE`], [`REPORT`].
    pub access: u8,
    /// Goes into the header of whoever reads or writes it; 0: nothing does.
    pub maker: u16,
}

pub const READ: u8 = 1;
pub const WRITE: u8 = 2;
/// The specification asks devices to report it; others may do so, too.
pub const REPORT: u8 = 4;

#[derive(Debug)]
pub struct Command {
    pub id: u8,
    pub name: &'static str,
    /// The command that answers it; `None`: a default response.
    pub answer: Option<u8>,
    pub fields: &'static [Field],
}

/// A parameter of a command.
#[derive(Debug)]
pub struct Field {
    pub name: &'static str,
    pub kind: Kind,
    /// It is there only if all of these hold.
    pub when: &'static [When],
}

/// What a parameter is made of. Where it is `counted`, the parameter before it says how many there are; else they go on to the
/// end of the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Value(DataType),
    /// Unsigned numbers of `width` bytes.
    List {
        width: u8,
        counted: bool,
    },
    Bytes {
        counted: bool,
    },
    /// Rows of zone (8 bit) and its status (16 bit), counted.
    ZoneInfo,
    /// Rows of a cluster (16 bit) and the bytes that a scene keeps of it, behind their length (8 bit).
    ExtensionSets,
    /// Rows of minutes since midnight (16 bit) and set points in 0.01 °C: heat where bit 0 of `mode` is set, cool where bit 1 is.
    Transitions,
    /// Rows of data point (8 bit), its type (8 bit) and its bytes behind their length (16 bit, big-endian).
    TuyaPoints,
    /// Rows of group (16 bit) and zone (8 bit) behind their count (8 bit).
    MiboxerZones,
    /// The one number in ZCL with its high byte first.
    BigEndian24,
}

/// What must hold for a parameter to be there. `field` is the index of one before it; one that is not there itself holds nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// At least so many bytes are left; whoever writes may leave it out.
    Left(u8),
    Is {
        field: u8,
        value: u8,
    },
    IsNot {
        field: u8,
        value: u8,
    },
    Above {
        field: u8,
        value: u8,
    },
    AllBits {
        field: u8,
        mask: u32,
    },
    NotAllBits {
        field: u8,
        mask: u32,
    },
    Part {
        field: u8,
        shift: u8,
        mask: u8,
        is: u8,
    },
}

// Rows of the tables.

const fn cluster(id: u16, name: &'static str, maker: u16) -> Cluster {
    Cluster { id: ClusterId(id), name, maker, attributes: &[], commands: &[], answers: &[] }
}

const fn a(id: u16, name: &'static str, data_type: DataType, access: u8, maker: u16) -> Attribute {
    Attribute { id, name, data_type, access, maker }
}

const fn c(id: u8, name: &'static str, answer: Option<u8>) -> Command {
    Command { id, name, answer, fields: &[] }
}

const fn f(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, when: &[] }
}

const fn v(name: &'static str, data_type: DataType) -> Field {
    f(name, Kind::Value(data_type))
}

impl Cluster {
    const fn attributes(self, attributes: &'static [Attribute]) -> Cluster {
        Cluster { attributes, ..self }
    }

    const fn commands(self, commands: &'static [Command]) -> Cluster {
        Cluster { commands, ..self }
    }

    const fn answers(self, answers: &'static [Command]) -> Cluster {
        Cluster { answers, ..self }
    }
}

impl Command {
    const fn with(self, fields: &'static [Field]) -> Command {
        Command { fields, ..self }
    }
}

impl Field {
    const fn when(self, when: &'static [When]) -> Field {
        Field { when, ..self }
    }
}

/// All clusters; several may have one number.
pub fn all() -> impl Iterator<Item = &'static Cluster> {
    TABLES.iter().flat_map(|table| table.iter())
}

fn with_id(id: ClusterId) -> impl Iterator<Item = &'static Cluster> {
    all().filter(move |cluster| cluster.id == id)
}

/// The specification's cluster of the number, or the first maker's.
pub fn by_id(id: ClusterId) -> Option<&'static Cluster> {
    with_id(id).next()
}

/// By the name of zigbee-herdsman, such as `genOnOff`.
pub fn by_name(name: &str) -> Option<&'static Cluster> {
    all().find(|cluster| cluster.name == name)
}

/// The attribute of the number as the maker has it; the specification's where the maker is `None` or has none of its own.
pub fn attribute(cluster: ClusterId, maker: Option<MakerCode>, id: AttributeId) -> Option<&'static Attribute> {
    let found = |maker: u16| {
        let mut attributes = with_id(cluster).flat_map(|cluster| cluster.attributes);
        attributes.find(|attribute| attribute.id == id.0 && attribute.maker == maker)
    };
    maker.and_then(|maker| found(maker.0)).or_else(|| found(0))
}

/// An attribute by its name; the specification's before the makers'.
pub fn attribute_named(cluster: ClusterId, name: &str) -> Option<&'static Attribute> {
    with_id(cluster).flat_map(|cluster| cluster.attributes).find(|attribute| attribute.name == name)
}

/// A command of the number; with a maker, that maker's.
pub fn command(cluster: ClusterId, maker: Option<MakerCode>, direction: Direction, id: u8) -> Option<&'static Command> {
    let maker = maker.map_or(0, |maker| maker.0);
    let found = |maker: u16| {
        let of_maker = with_id(cluster).filter(move |cluster| cluster.maker == maker);
        of_maker.flat_map(|cluster| cluster.commands_of(direction)).find(|command| command.id == id)
    };
    found(maker).or_else(|| if maker == 0 { None } else { found(0) })
}

pub fn command_named(cluster: ClusterId, direction: Direction, name: &str) -> Option<&'static Command> {
    with_id(cluster).flat_map(|cluster| cluster.commands_of(direction)).find(|command| command.name == name)
}

impl Cluster {
    pub fn commands_of(&self, direction: Direction) -> &'static [Command] {
        match direction {
            Direction::ToServer => self.commands,
            Direction::ToClient => self.answers,
        }
    }

    pub fn maker_code(&self) -> Option<MakerCode> {
        (self.maker != 0).then_some(MakerCode(self.maker))
    }
}

impl Attribute {
    pub fn maker_code(&self) -> Option<MakerCode> {
        (self.maker != 0).then_some(MakerCode(self.maker))
    }

    pub fn id(&self) -> AttributeId {
        AttributeId(self.id)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_clusters_of_most_houses_are_there() {
        let most = [
            0x0000..=0x0007,
            0x0008..=0x0009,
            0x000a..=0x000a,
            0x000c..=0x0016,
            0x0019..=0x001a,
            0x0020..=0x0021,
            0x0101..=0x0102,
            0x0201..=0x0204,
            0x0300..=0x0301,
            0x0400..=0x0406,
            0x0409..=0x040a,
            0x040c..=0x0415,
            0x042a..=0x042b,
            0x0500..=0x0502,
            0x0702..=0x0702,
            0x0704..=0x0704,
            0x0b01..=0x0b05,
            0x1000..=0x1000,
            0xe000..=0xe001,
            0xef00..=0xef00,
            0xfc00..=0xfc07,
            0xfc11..=0xfc11,
            0xfcc0..=0xfcc0,
        ];
        let missing: Vec<_> = most.into_iter().flatten().filter(|id| by_id(ClusterId(*id)).is_none()).collect();
        assert!(missing.is_empty(), "{missing:04x?}");
    }

    #[test]
    fn names_and_numbers_find_each_other() {
        for cluster in all() {
            assert!(by_name(cluster.name).is_some_and(|found| found.name == cluster.name));
            for direction in [Direction::ToServer, Direction::ToClient] {
                for one in cluster.commands_of(direction) {
                    assert!(command(cluster.id, cluster.maker_code(), direction, one.id).is_some());
                    assert!(command_named(cluster.id, direction, one.name).is_some());
                }
            }
            for one in cluster.attributes {
                let found = attribute(cluster.id, one.maker_code(), one.id()).expect("it is in the table");
                assert_eq!((found.id, found.maker), (one.id, one.maker));
                assert!(attribute_named(cluster.id, one.name).is_some());
            }
        }
        assert_eq!(by_id(ClusterId(0x0006)).map(|cluster| cluster.name), Some("genOnOff"));
        let lumi = attribute(ClusterId(0xfcc0), Some(MakerCode(0x115f)), AttributeId(0x0009)).expect("its mode");
        assert_eq!((lumi.name, lumi.data_type), ("mode", DataType::U8));
    }

    #[test]
    fn no_standard_cluster_has_a_number_twice() {
        for cluster in TABLES[..5].iter().copied().flatten() {
            let numbers: BTreeSet<_> = cluster.attributes.iter().map(|one| (one.id, one.maker)).collect();
            assert_eq!(numbers.len(), cluster.attributes.len(), "{}", cluster.name);
            for commands in [cluster.commands, cluster.answers] {
                let numbers: BTreeSet<_> = commands.iter().map(|one| one.id).collect();
                assert_eq!(numbers.len(), commands.len(), "{}", cluster.name);
            }
        }
    }
}
