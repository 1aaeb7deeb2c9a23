//! The bytes of the history: what was reported, and what happened in each step of time, as few bytes as may be. A sensor's
//! numbers have few decimals and differ little from one to the next, so they are whole numbers of a decimal place and their
//! differences. Pure; bytes that are damaged are an error and never a panic.

use serde_json::{Number, Value};

/// Decimals that a number may have to be kept as a whole one.
const DECIMALS_MAX: u8 = 6;

/// Whole numbers up to this are exact as `f64`.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// Decimals of a mean beyond those of its numbers.
const MEAN_DECIMALS: u8 = 2;

/// First byte of a chunk: numbers with this many decimals (0 to 6), numbers as they are, words, words and numbers.
const FLOATS: u8 = 0x10;
const WORDS: u8 = 0x11;
const MIXED: u8 = 0x12;

/// A value that is kept: a number, or anything else as JSON.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Reading {
    Number(f64),
    Word(Box<str>),
}

/// A report: when, in ticks since its block began, and what.
pub(super) type Report = (u32, Reading);

/// What happened in one step of time.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Step {
    /// Which step of its block.
    pub index: u32,
    /// Reports in it.
    pub count: u32,
    pub last: Reading,
    /// Least, mean and greatest, where all were numbers.
    pub range: Option<(f64, f64, f64)>,
}

/// These bytes are not what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Damaged;

impl Reading {
    /// `None`: it has no history.
    pub fn of(value: &Value) -> Option<Reading> {
        match value {
            Value::Number(number) => number.as_f64().filter(|number| number.is_finite()).map(Reading::Number),
            Value::Bool(_) | Value::String(_) => Some(Reading::Word(value.to_string().into())),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }

    pub fn to_value(&self) -> Value {
        match self {
            Reading::Number(number) if number.fract() == 0.0 && number.abs() < WHOLE_MAX => {
                Value::Number(Number::from(*number as i64))
            }
            Reading::Number(number) => Number::from_f64(*number).map_or(Value::Null, Value::Number),
            Reading::Word(json) => serde_json::from_str(json).unwrap_or(Value::Null),
        }
    }

    fn number(&self) -> Option<f64> {
        match self {
            Reading::Number(number) => Some(*number),
            Reading::Word(_) => None,
        }
    }

    /// The reverse of [`Reading::word`]. Strings have quotes: what reads as a number was one.
    fn of_word(word: &str) -> Reading {
        word.parse().map_or_else(|_| Reading::Word(word.into()), Reading::Number)
    }

    /// As JSON, for a chunk of words among which there are numbers.
    fn word(&self) -> Box<str> {
        match self {
            Reading::Number(_) => self.to_value().to_string().into(),
            Reading::Word(json) => json.clone(),
        }
    }
}

/// The decimals that a number needs; `None`: more than are kept, or it is too large.
fn decimals(number: f64) -> Option<u8> {
    (0..=DECIMALS_MAX).find(|decimals| {
        let scale = scale(*decimals);
        let whole = (number * scale).round();
        // Minus nought would come back as nought, which is the same number.
        whole.abs() < WHOLE_MAX && whole / scale == number
    })
}

fn scale(decimals: u8) -> f64 {
    10_f64.powi(i32::from(decimals))
}

fn whole(number: f64, decimals: u8) -> i64 {
    (number * scale(decimals)).round() as i64
}

/// The form in which all of these numbers are exact: decimals, or [`FLOATS`].
fn form(numbers: impl Iterator<Item = f64>) -> u8 {
    let mut most = 0;
    for number in numbers {
        match decimals(number) {
            Some(decimals) => most = most.max(decimals),
            None => return FLOATS,
        }
    }
    // A number without decimals may be too large with those of another.
    most
}

fn fits(numbers: impl Iterator<Item = f64>, form: u8) -> bool {
    form == FLOATS || numbers.into_iter().all(|number| (number * scale(form)).abs() < WHOLE_MAX)
}

fn form_of(numbers: &[f64]) -> u8 {
    let form = form(numbers.iter().copied());
    if fits(numbers.iter().copied(), form) { form } else { FLOATS }
}

/// Reports of one property, by time.
pub(super) fn encode_reports(reports: &[Report]) -> Vec<u8> {
    let mut out = Vec::new();
    let numbers: Option<Vec<f64>> = reports.iter().map(|(_, reading)| reading.number()).collect();
    let Some(numbers) = numbers else {
        let words = Words::of(reports.iter().map(|(_, reading)| reading));
        words.encode(&mut out);
        let mut before = 0;
        for (ticks, reading) in reports {
            put(&mut out, u64::from(ticks.wrapping_sub(before)));
            put(&mut out, words.place(reading));
            before = *ticks;
        }
        return out;
    };
    let form = form_of(&numbers);
    out.push(form);
    let (mut before, mut level) = (0, 0);
    for ((ticks, _), number) in reports.iter().zip(numbers) {
        put(&mut out, u64::from(ticks.wrapping_sub(before)));
        put_number(&mut out, form, number, &mut level);
        before = *ticks;
    }
    out
}

/// The reverse of [`encode_reports`].
pub(super) fn decode_reports(bytes: &[u8]) -> Result<Vec<Report>, Damaged> {
    let mut input = Input(bytes);
    let (form, words) = input.head()?;
    let (mut reports, mut ticks, mut level) = (Vec::new(), 0_u32, 0);
    while !input.0.is_empty() {
        ticks = ticks.checked_add(input.small()?).ok_or(Damaged)?;
        let reading = match form {
            WORDS => Reading::of_word(words.get(input.small()? as usize).ok_or(Damaged)?),
            form => Reading::Number(input.number(form, &mut level)?),
        };
        reports.push((ticks, reading));
    }
    Ok(reports)
}

/// Steps of one property, by time.
pub(super) fn encode_steps(steps: &[Step]) -> Vec<u8> {
    let mut out = Vec::new();
    let numbers: Option<Vec<f64>> = steps.iter().map(|step| step.range.and(step.last.number())).collect();
    let mut before = 0;
    if numbers.is_none() {
        let words = Words::of(steps.iter().map(|step| &step.last));
        words.encode(&mut out);
        let is_mixed = steps.iter().any(|step| step.range.is_some());
        if is_mixed {
            out[0] = MIXED;
        }
        for step in steps {
            put(&mut out, u64::from(step.index - before));
            put(&mut out, u64::from(step.count));
            put(&mut out, words.place(&step.last));
            before = step.index;
            if is_mixed {
                out.push(step.range.is_some().into());
                let range = step.range.map(|(min, mean, max)| [min, mean, max]);
                range.into_iter().flatten().for_each(|number| out.extend(number.to_le_bytes()));
            }
        }
        return out;
    }
    let all: Vec<f64> = steps
        .iter()
        .flat_map(|step| {
            let (min, _, max) = step.range.unwrap_or_default();
            [min, max, step.last.number().unwrap_or_default()]
        })
        .collect();
    let form = match form_of(&all) {
        // The mean has decimals of its own, which must have room.
        form if form != FLOATS && fits(all.iter().copied(), form + MEAN_DECIMALS) => form,
        _ => FLOATS,
    };
    out.push(form);
    let mut level = 0;
    for step in steps {
        put(&mut out, u64::from(step.index - before));
        put(&mut out, u64::from(step.count));
        before = step.index;
        let (last, (min, mean, max)) = (step.last.number().unwrap_or_default(), step.range.unwrap_or_default());
        put_number(&mut out, form, last, &mut level);
        if step.count <= 1 {
            continue;
        }
        if form == FLOATS {
            [min, mean, max].iter().for_each(|number| out.extend(number.to_le_bytes()));
            continue;
        }
        let [last, min, max] = [last, min, max].map(|number| whole(number, form));
        put(&mut out, (last - min).unsigned_abs());
        put(&mut out, (max - last).unsigned_abs());
        let fine = form + MEAN_DECIMALS;
        put(&mut out, (whole(mean, fine) - min * 10_i64.pow(MEAN_DECIMALS.into())).unsigned_abs());
    }
    out
}

/// The reverse of [`encode_steps`]; means have two decimals more than their numbers.
pub(super) fn decode_steps(bytes: &[u8]) -> Result<Vec<Step>, Damaged> {
    let mut input = Input(bytes);
    let (form, words) = input.head()?;
    let (mut steps, mut index, mut level) = (Vec::new(), 0_u32, 0);
    while !input.0.is_empty() {
        index = index.checked_add(input.small()?).ok_or(Damaged)?;
        let count = input.small()?;
        if form == WORDS || form == MIXED {
            let last = Reading::of_word(words.get(input.small()? as usize).ok_or(Damaged)?);
            let range = match form == MIXED && input.byte()? == 1 {
                true => Some((input.float()?, input.float()?, input.float()?)),
                false => None,
            };
            steps.push(Step { index, count, last, range });
            continue;
        }
        let number = input.number(form, &mut level)?;
        let range = match (count, form) {
            (0 | 1, _) => (number, number, number),
            (_, FLOATS) => (input.float()?, input.float()?, input.float()?),
            _ => {
                let offset = |part: u64| i64::try_from(part).map_err(|_| Damaged);
                let min = level.checked_sub(offset(input.varint()?)?).ok_or(Damaged)?;
                let max = level.checked_add(offset(input.varint()?)?).ok_or(Damaged)?;
                let fine = min.checked_mul(10_i64.pow(MEAN_DECIMALS.into())).ok_or(Damaged)?;
                let mean = fine.checked_add(offset(input.varint()?)?).ok_or(Damaged)?;
                let number = |whole: i64, decimals: u8| whole as f64 / scale(decimals);
                (number(min, form), number(mean, form + MEAN_DECIMALS), number(max, form))
            }
        };
        steps.push(Step { index, count, last: Reading::Number(number), range: Some(range) });
    }
    Ok(steps)
}

/// One report in the log, by itself.
pub(super) fn put_report(out: &mut Vec<u8>, ticks: u32, reading: &Reading) {
    put(out, u64::from(ticks));
    match reading {
        Reading::Number(number) => {
            let form = form_of(&[*number]);
            out.push(form);
            put_number(out, form, *number, &mut 0);
        }
        Reading::Word(word) => {
            out.push(WORDS);
            put(out, word.len() as u64);
            out.extend(word.as_bytes());
        }
    }
}

/// A number as the difference to the one before.
fn put_number(out: &mut Vec<u8>, form: u8, number: f64, level: &mut i64) {
    if form == FLOATS {
        out.extend(number.to_le_bytes());
        return;
    }
    let whole = whole(number, form);
    let step = whole - *level;
    put(out, ((step << 1) ^ (step >> 63)) as u64);
    *level = whole;
}

/// LEB128.
pub(super) fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// The words of a chunk, each once.
struct Words(Vec<Box<str>>);

impl Words {
    fn of<'a>(readings: impl Iterator<Item = &'a Reading>) -> Words {
        let mut words = Vec::new();
        for word in readings.map(Reading::word) {
            if !words.contains(&word) {
                words.push(word);
            }
        }
        Words(words)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(WORDS);
        put(out, self.0.len() as u64);
        for word in &self.0 {
            put(out, word.len() as u64);
            out.extend(word.as_bytes());
        }
    }

    fn place(&self, reading: &Reading) -> u64 {
        let word = reading.word();
        self.0.iter().position(|one| *one == word).expect("all words were taken in") as u64
    }
}

/// Bytes that are read.
pub(super) struct Input<'a>(pub &'a [u8]);

impl Input<'_> {
    pub fn varint(&mut self) -> Result<u64, Damaged> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Damaged)
    }

    pub fn small(&mut self) -> Result<u32, Damaged> {
        u32::try_from(self.varint()?).map_err(|_| Damaged)
    }

    /// A report of the log.
    pub fn report(&mut self) -> Result<Report, Damaged> {
        let ticks = self.small()?;
        let reading = match self.byte()? {
            WORDS => Reading::Word(self.text()?),
            form => Reading::Number(self.number(form, &mut 0)?),
        };
        Ok((ticks, reading))
    }

    fn byte(&mut self) -> Result<u8, Damaged> {
        let (byte, rest) = self.0.split_first().ok_or(Damaged)?;
        self.0 = rest;
        Ok(*byte)
    }

    fn float(&mut self) -> Result<f64, Damaged> {
        let (bytes, rest) = self.0.split_first_chunk::<8>().ok_or(Damaged)?;
        self.0 = rest;
        Ok(f64::from_le_bytes(*bytes))
    }

    fn text(&mut self) -> Result<Box<str>, Damaged> {
        let length = usize::try_from(self.varint()?).map_err(|_| Damaged)?;
        let (text, rest) = self.0.split_at_checked(length).ok_or(Damaged)?;
        self.0 = rest;
        std::str::from_utf8(text).map(Into::into).map_err(|_| Damaged)
    }

    fn number(&mut self, form: u8, level: &mut i64) -> Result<f64, Damaged> {
        match form {
            FLOATS => self.float(),
            0..=DECIMALS_MAX => {
                let zigzag = self.varint()?;
                let step = (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64);
                *level = level.checked_add(step).ok_or(Damaged)?;
                Ok(*level as f64 / scale(form))
            }
            _ => Err(Damaged),
        }
    }

    /// The form of a chunk, and its words.
    fn head(&mut self) -> Result<(u8, Vec<Box<str>>), Damaged> {
        let form = self.byte()?;
        let mut words = Vec::new();
        if form == WORDS || form == MIXED {
            for _ in 0..self.varint()? {
                words.push(self.text()?);
            }
        }
        Ok((form, words))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn reading() -> impl Strategy<Value = Reading> {
        prop_oneof![
            (-400_000_i32..400_000, 0_u8..8)
                .prop_map(|(whole, decimals)| Reading::Number(f64::from(whole) / scale(decimals))),
            prop::num::f64::NORMAL.prop_map(Reading::Number),
            "[a-z]{0,9}".prop_map(|word| Reading::Word(json!(word).to_string().into())),
        ]
    }

    fn reports(one: impl Strategy<Value = Reading>) -> impl Strategy<Value = Vec<Report>> {
        let report = (0_u32..36_000, one);
        prop::collection::vec(report, 0..60).prop_map(|mut reports| {
            reports.sort_by_key(|(ticks, _)| *ticks);
            reports
        })
    }

    fn decimal() -> impl Strategy<Value = Reading> {
        (-400_000_i32..400_000).prop_map(|whole| Reading::Number(f64::from(whole) / 100.0))
    }

    proptest! {
        #[test]
        fn reports_come_back(mixed in reports(reading()), numbers in reports(decimal())) {
            for reports in [mixed, numbers] {
                let read = decode_reports(&encode_reports(&reports)).expect("whole");
                let told = |reports: &[Report]| -> Vec<_> { reports.iter().map(|(at, reading)| (*at, reading.to_value())).collect() };
                let (read, reports) = (told(&read), told(&reports));
                prop_assert_eq!(read, reports);
            }
        }

        #[test]
        fn a_report_of_the_log_comes_back(ticks in any::<u32>(), reading in reading()) {
            let mut out = Vec::new();
            put_report(&mut out, ticks, &reading);
            let mut input = Input(&out);
            prop_assert_eq!(input.report(), Ok((ticks, reading)));
            prop_assert!(input.0.is_empty());
        }

        #[test]
        fn steps_come_back(all in reports(prop_oneof![decimal(), reading()]), floats in any::<bool>()) {
            let mut steps = crate::store::history::steps::steps(&all, 3_000);
            if !floats {
                steps.retain(|step| step.range.is_some());
            }
            let read = decode_steps(&encode_steps(&steps)).expect("whole");
            prop_assert_eq!(read.len(), steps.len());
            for (read, step) in read.iter().zip(&steps) {
                prop_assert_eq!((read.index, read.count, read.last.to_value()), (step.index, step.count, step.last.to_value()));
                if let (Some(read), Some(wrote)) = (read.range, step.range) {
                    prop_assert_eq!((read.0, read.2), (wrote.0, wrote.2));
                    prop_assert!((read.1 - wrote.1).abs() <= 0.01 || (read.1 - wrote.1).abs() <= wrote.1.abs() * 1e-9, "{} {}", read.1, wrote.1);
                }
            }
        }

        #[test]
        fn damaged_bytes_are_an_error(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = decode_reports(&bytes);
            let _ = decode_steps(&bytes);
            let _ = Input(&bytes).report();
        }
    }

    #[test]
    fn a_sensors_hour_is_few_bytes() {
        // Half a degree up and down, every half minute.
        let reports: Vec<Report> =
            (0..120).map(|n| (n * 300, Reading::Number(21.0 + f64::from(n % 10) / 20.0))).collect();
        let bytes = encode_reports(&reports);
        assert!(bytes.len() <= 120 * 3 + 2, "{} bytes", bytes.len());
        let words: Vec<Report> =
            (0..120).map(|n| (n * 300, Reading::Word(if n % 2 == 0 { "\"ON\"" } else { "\"OFF\"" }.into()))).collect();
        assert!(encode_reports(&words).len() <= 120 * 3 + 12);
    }

    #[test]
    fn every_kind_of_value_is_told_as_it_was() {
        for value in [json!(21), json!(21.5), json!(-0.25), json!(true), json!("ON"), json!(1e300), json!(0)] {
            assert_eq!(Reading::of(&value).expect("it has a history").to_value(), value);
        }
        for value in [json!(null), json!([1]), json!({"x": 1})] {
            assert_eq!(Reading::of(&value), None);
        }
    }
}
