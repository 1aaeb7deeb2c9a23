//! The table of definitions in the binary: looked up in place, and never read as a whole. Its layout is in
//! `.ci/definitions/pack.cjs`, which writes it. Knows no device; a fault in the file is a fault of the build, and stops.

/// Bytes as the script wrote them.
static TABLE: &[u8] = include_bytes!("table.bin");

const VERSION: u32 = 1;
const TABLES_AT: usize = 8;
/// The tag of a map that is written out.
const MAP: u8 = 7;

/// What a definition says, borrowed from the table.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact {
    Null,
    Bool(bool),
    Number(f64),
    Text(&'static str),
    List(Vec<Fact>),
    Map(Vec<(&'static str, Fact)>),
}

/// Which of the five tables, in their order.
#[derive(Clone, Copy)]
enum Part {
    Strings = 0,
    Shared = 1,
    Definitions = 2,
    Keys = 3,
}

/// Number of definitions.
#[cfg(test)]
pub fn count() -> usize {
    part(Part::Definitions).1
}

/// Bytes of the table.
#[cfg(test)]
pub fn size_bytes() -> usize {
    TABLE.len()
}

/// A definition by its place.
pub fn definition(place: usize) -> Fact {
    let mut cursor = Cursor { at: entry(Part::Definitions, place).0 };
    cursor.composite()
}

/// Some fields of a definition: what is needed to choose among hundreds that share a model id.
pub fn fields(place: usize, names: &[&str]) -> Fact {
    let mut cursor = Cursor { at: entry(Part::Definitions, place).0 };
    if cursor.byte() != MAP {
        return Fact::Null;
    }
    let count = cursor.number();
    let mut found = Vec::with_capacity(names.len());
    for _ in 0..count {
        let name = text(cursor.number());
        if names.contains(&name) {
            found.push((name, cursor.composite()));
        } else {
            cursor.skip();
        }
    }
    Fact::Map(found)
}

/// Places of the definitions that may fit a model id (in lower case), in the order in which they are asked.
pub fn candidates(key: &str) -> Vec<usize> {
    let (start, count) = part(Part::Keys);
    let row = |row: usize| (u32_at(start + 8 * row), u32_at(start + 8 * row + 4));
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = (low + high) / 2;
        if text(row(middle).0).as_bytes() < key.as_bytes() { low = middle + 1 } else { high = middle }
    }
    if low == count || text(row(low).0) != key {
        return Vec::new();
    }
    let mut cursor = Cursor { at: start + 8 * count + row(low).1 };
    let found = cursor.number();
    (0..found).map(|_| cursor.number()).collect()
}

/// Where a table begins, and how many there are in it.
fn part(part: Part) -> (usize, usize) {
    assert!(
        TABLE.starts_with(b"HDEF") && u32_at(4) == VERSION as usize,
        "the table of definitions is of another version"
    );
    let at = TABLES_AT + 8 * part as usize;
    (u32_at(at), u32_at(at + 4))
}

/// Where an entry of a table with offsets begins and ends.
fn entry(of: Part, index: usize) -> (usize, usize) {
    let (start, count) = part(of);
    let bytes = start + 4 * (count + 1);
    (bytes + u32_at(start + 4 * index), bytes + u32_at(start + 4 * index + 4))
}

fn u32_at(at: usize) -> usize {
    let bytes = TABLE[at..at + 4].try_into().expect("four bytes are four");
    u32::from_le_bytes(bytes) as usize
}

fn text(index: usize) -> &'static str {
    let (start, end) = entry(Part::Strings, index);
    std::str::from_utf8(&TABLE[start..end]).expect("the script writes UTF-8")
}

struct Cursor {
    at: usize,
}

impl Cursor {
    fn byte(&mut self) -> u8 {
        let byte = TABLE[self.at];
        self.at += 1;
        byte
    }

    fn number(&mut self) -> usize {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = self.byte();
            value |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return value;
            }
        }
    }

    /// Passes over a value.
    fn skip(&mut self) {
        match self.byte() {
            3 | 5 | 8 => {
                self.number();
            }
            4 => self.at += 8,
            6 => {
                let count = self.number();
                (0..count).for_each(|_| self.skip());
            }
            MAP => {
                let count = self.number();
                for _ in 0..count {
                    self.number();
                    self.skip();
                }
            }
            _ => {}
        }
    }

    /// A value, whatever it is.
    fn composite(&mut self) -> Fact {
        let tag = self.byte();
        self.tagged(tag)
    }

    fn tagged(&mut self, tag: u8) -> Fact {
        match tag {
            0 => Fact::Null,
            1 => Fact::Bool(false),
            2 => Fact::Bool(true),
            3 => {
                // Zigzag; such as timestamps and keys that do not fit 32 bit on small machines.
                let (mut value, mut shift) = (0u64, 0);
                loop {
                    let byte = self.byte();
                    value |= u64::from(byte & 0x7f) << shift;
                    shift += 7;
                    if byte < 0x80 {
                        break;
                    }
                }
                let size = value.div_ceil(2) as f64;
                Fact::Number(if value % 2 == 1 { -size } else { size })
            }
            4 => {
                let bytes = TABLE[self.at..self.at + 8].try_into().expect("eight bytes are eight");
                self.at += 8;
                Fact::Number(f64::from_le_bytes(bytes))
            }
            5 => Fact::Text(text(self.number())),
            6 => {
                let count = self.number();
                Fact::List((0..count).map(|_| self.composite()).collect())
            }
            MAP => {
                let count = self.number();
                Fact::Map((0..count).map(|_| (text(self.number()), self.composite())).collect())
            }
            8 => {
                let at = part(Part::Shared).0 + self.number();
                Cursor { at }.composite()
            }
            16..144 => Fact::Number(f64::from(tag - 16)),
            144.. => Fact::Text(text(usize::from(tag - 144))),
            9..16 => unreachable!("the script writes no such tag"),
        }
    }
}

static NULL: Fact = Fact::Null;

impl Fact {
    /// What a map has under a name; [`Fact::Null`] where there is nothing.
    pub fn get(&self, name: &str) -> &Fact {
        let Fact::Map(entries) = self else { return &NULL };
        entries.iter().find(|(other, _)| *other == name).map_or(&NULL, |(_, fact)| fact)
    }

    /// What a list has at a place.
    pub fn at(&self, index: usize) -> &Fact {
        self.list().get(index).unwrap_or(&NULL)
    }

    pub fn list(&self) -> &[Fact] {
        if let Fact::List(list) = self { list } else { &[] }
    }

    pub fn map(&self) -> &[(&'static str, Fact)] {
        if let Fact::Map(map) = self { map } else { &[] }
    }

    pub fn text(&self) -> Option<&'static str> {
        if let Fact::Text(text) = self { Some(text) } else { None }
    }

    pub fn number(&self) -> Option<f64> {
        if let Fact::Number(number) = self { Some(*number) } else { None }
    }

    /// A whole number, such as an id; `None` where it does not fit.
    pub fn int<T: TryFrom<i64>>(&self) -> Option<T> {
        let number = self.number().filter(|number| number.fract() == 0.0 && number.abs() < 9e15)?;
        T::try_from(number as i64).ok()
    }

    pub fn is_true(&self) -> bool {
        matches!(self, Fact::Bool(true)) || self.number().is_some_and(|number| number != 0.0)
    }

    pub fn is_null(&self) -> bool {
        *self == Fact::Null
    }

    /// As it is shown to people.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Fact::Null => serde_json::Value::Null,
            Fact::Bool(value) => (*value).into(),
            Fact::Number(number) => json_number(*number),
            Fact::Text(text) => (*text).into(),
            Fact::List(list) => list.iter().map(Fact::to_json).collect(),
            Fact::Map(map) => map.iter().map(|(name, fact)| ((*name).to_owned(), fact.to_json())).collect(),
        }
    }
}

/// Bytes out of hexadecimal digits.
pub fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digits = hex.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

/// A number as JSON has it: whole ones without a point.
pub fn json_number(number: f64) -> serde_json::Value {
    if number.fract() == 0.0 && number.abs() < 9e15 { (number as i64).into() } else { number.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_definition_can_be_read() {
        for place in 0..count() {
            let fact = definition(place);
            let some = fields(place, &["v", "z"]);
            assert_eq!((some.get("v"), some.get("z"), some.get("m")), (fact.get("v"), fact.get("z"), &Fact::Null));
            assert!(fact.get("m").text().is_some() && fact.get("v").text().is_some(), "{place}");
        }
        assert!(count() > 4_400, "{}", count());
        assert!(size_bytes() < 2_000_000, "{} bytes", size_bytes());
    }

    #[test]
    fn every_key_leads_to_definitions() {
        let (start, count) = part(Part::Keys);
        let keys: Vec<_> = (0..count).map(|row| text(u32_at(start + 8 * row))).collect();
        assert!(keys.windows(2).all(|pair| pair[0].as_bytes() < pair[1].as_bytes()));
        for key in keys {
            let places = candidates(key);
            assert!(!places.is_empty() && places.iter().all(|place| *place < super::count()), "{key}");
        }
        assert!(candidates("no such device").is_empty());
        let bulb = definition(candidates("tradfri bulb e27 w opal 1000lm")[0]);
        assert_eq!(bulb.get("m").text(), Some("LED1623G12"));
    }
}
