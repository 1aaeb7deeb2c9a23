//! What is wrong with a value, and where: collected up to a bound, or only counted. Decides nothing.

use super::words::cut;

/// Faults that are collected.
const FAULTS_MAX: usize = super::FAULTS_MAX + 1;

/// Where in the arguments something is.
#[derive(Debug, Clone, Copy)]
pub enum At<'a> {
    Root,
    Field(&'a At<'a>, &'a str),
    Item(&'a At<'a>, usize),
}

/// What is wrong so far; without words where only whether it fits is asked.
pub struct Faults {
    pub count: usize,
    pub lines: Option<Vec<String>>,
}

impl Faults {
    pub fn is_full(&self) -> bool {
        match &self.lines {
            // One is enough to know.
            None => self.count > 0,
            Some(lines) => lines.len() >= FAULTS_MAX,
        }
    }

    pub fn add(&mut self, at: At<'_>, words: impl FnOnce() -> String) {
        match self.lines.is_some() {
            true => self.add_line(format!("{}: {}", at.path(), words())),
            false => self.count += 1,
        }
    }

    pub fn add_line(&mut self, line: String) {
        self.count += 1;
        if let Some(lines) = &mut self.lines
            && lines.len() < FAULTS_MAX
            && !lines.contains(&line)
        {
            lines.push(line);
        }
    }
}

impl At<'_> {
    /// `lights[0].brightness`; the whole is `arguments`.
    pub fn path(&self) -> String {
        match self {
            At::Root => "arguments".into(),
            At::Field(At::Root, name) => cut(name),
            At::Field(of, name) => format!("{}.{}", of.path(), cut(name)),
            At::Item(of, number) => format!("{}[{number}]", of.path()),
        }
    }
}
