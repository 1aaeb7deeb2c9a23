//! The ledger of tools that are in each other's way: the same name with another schema, the same tool at several servers, two that
//! say nearly the same. Pure, and bounded whatever servers write.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use crate::mcp::definition::{Definition, Origin};

/// Conflicts told of.
pub const CONFLICTS_MAX: usize = 500;

/// Words of a description that are compared.
const WORDS_MAX: usize = 64;

/// Tools that are compared because they share a rare word; a word that more have is not rare.
const RARE_MAX: usize = 48;

/// Of a tool's rarest words, how many it is compared by.
const RAREST: usize = 6;

/// Pairs compared at most: some 100 ms.
const PAIRS_MAX: usize = 200_000;

/// Words in common among all words of two tools, from which on they are near duplicates.
const NEAR: f64 = 0.75;

/// A group of tools that are in each other's way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Conflict {
    pub kind: ConflictKind,
    /// The names by which they are listed.
    pub tools: Vec<String>,
    /// What an owner can do about it.
    pub hint: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConflictKind {
    /// Several servers call a tool the same, and its arguments differ.
    SameName,
    /// The same tool at several servers.
    Mirror,
    /// Names and descriptions are nearly the same.
    NearDuplicate,
    /// An overlay that has no effect, or not all of it.
    Overlay,
}

/// How a server is, for choosing among mirrors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fitness {
    pub is_broken: bool,
    pub is_up: bool,
    pub call_takes: Option<Duration>,
}

/// All conflicts among tools of other servers.
pub fn conflicts(tools: &[Arc<Definition>]) -> Vec<Conflict> {
    let mut found = same_names(tools);
    let mirrors = mirror_groups(tools);
    let mirrored: BTreeSet<(&str, &str)> = mirrors
        .iter()
        .flat_map(|group| group.iter().flat_map(|a| group.iter().map(|b| (&*a.name, &*b.name))))
        .collect();
    found.extend(mirrors.iter().map(|group| Conflict {
        kind: ConflictKind::Mirror,
        tools: group.iter().map(|tool| tool.name.to_string()).collect(),
        hint: "merge them (tool_overlays.set with merged_into): the one that works and is quickest answers".into(),
    }));
    let near = near_duplicates(tools).into_iter();
    found.extend(near.filter(|(a, b)| !mirrored.contains(&(&*a.name, &*b.name))).map(|(a, b)| Conflict {
        kind: ConflictKind::NearDuplicate,
        tools: vec![a.name.to_string(), b.name.to_string()],
        hint: "hide one of them, or give them descriptions that tell them apart".into(),
    }));
    found.truncate(CONFLICTS_MAX);
    found
}

/// Tools of one own name and the same schemas at several servers, the first of each group the first by name.
pub fn mirror_groups(tools: &[Arc<Definition>]) -> Vec<Vec<&Arc<Definition>>> {
    let mut groups = Vec::new();
    for namesakes in by_own_name(tools).into_values() {
        let mut rest = namesakes;
        while let Some(first) = rest.first().copied() {
            let is_same = |tool: &&Arc<Definition>| tool.input == first.input && tool.output == first.output;
            let (same, others): (Vec<_>, Vec<_>) = rest.into_iter().partition(is_same);
            if slugs(&same).len() > 1 {
                groups.push(same);
            }
            rest = others;
        }
    }
    groups
}

/// The order in which mirrors are tried: what works before what does not, what is up before what has to be started, then the quicker one;
/// where nothing is known, the first. An advantage below a fifth is none, so that calls do not jump to and fro.
pub fn order(fitness: &[Fitness]) -> Vec<usize> {
    let rank = |fit: &Fitness| (fit.is_broken, !fit.is_up);
    let mut order: Vec<usize> = (0..fitness.len()).collect();
    order.sort_by_key(|at| rank(&fitness[*at]));
    // Only among those that are as fit as the first.
    let equals = order.iter().take_while(|at| rank(&fitness[**at]) == rank(&fitness[order[0]])).count();
    let quickest =
        order[..equals].iter().copied().enumerate().filter_map(|(place, at)| Some((fitness[at].call_takes?, place)));
    if let (Some((best, place)), Some(first)) = (quickest.min(), order.first().and_then(|at| fitness[*at].call_takes))
        && best.mul_f64(1.2) < first
    {
        order[..=place].rotate_right(1);
    }
    order
}

fn same_names(tools: &[Arc<Definition>]) -> Vec<Conflict> {
    let namesakes = by_own_name(tools).into_values();
    let differ = |group: &Vec<&Arc<Definition>>| {
        slugs(group).len() > 1
            && group.iter().any(|tool| tool.input != group[0].input || tool.output != group[0].output)
    };
    namesakes
        .filter(differ)
        .map(|group| Conflict {
            kind: ConflictKind::SameName,
            tools: group.iter().map(|tool| tool.name.to_string()).collect(),
            hint: "rename them, or describe what each is for, so that a model takes the right one".into(),
        })
        .collect()
}

fn by_own_name(tools: &[Arc<Definition>]) -> BTreeMap<&str, Vec<&Arc<Definition>>> {
    let mut by_name: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for tool in tools {
        if let Origin::Server { tool: own, .. } = &tool.origin {
            by_name.entry(own).or_default().push(tool);
        }
    }
    by_name
}

fn slugs<'a>(group: &[&'a Arc<Definition>]) -> BTreeSet<&'a str> {
    group.iter().filter_map(|tool| slug(tool)).collect()
}

/// Whose a tool is; `None`: the hub's.
pub fn slug(tool: &Definition) -> Option<&str> {
    match &tool.origin {
        Origin::Server { slug, .. } => Some(slug),
        Origin::Hub => None,
    }
}

/// Pairs at different servers whose words are nearly the same.
fn near_duplicates(tools: &[Arc<Definition>]) -> Vec<(&Arc<Definition>, &Arc<Definition>)> {
    let words: Vec<BTreeSet<String>> = tools.iter().map(|tool| words_of(tool)).collect();
    let mut having: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (at, words) in words.iter().enumerate() {
        for word in words {
            having.entry(word).or_default().push(at);
        }
    }
    let (mut found, mut seen, mut pairs) = (Vec::new(), BTreeSet::new(), 0);
    for (at, mine) in words.iter().enumerate() {
        let mut rare: Vec<&Vec<usize>> = mine.iter().map(|word| &having[word.as_str()]).collect();
        rare.sort_by_key(|tools| tools.len());
        let candidates = rare.into_iter().take(RAREST).filter(|tools| tools.len() <= RARE_MAX).flatten().copied();
        for other in candidates.filter(|other| *other > at) {
            if slug(&tools[at]) == slug(&tools[other]) || !seen.insert((at, other)) {
                continue;
            }
            pairs += 1;
            if pairs > PAIRS_MAX || found.len() >= CONFLICTS_MAX {
                return found;
            }
            if likeness(mine, &words[other]) >= NEAR {
                found.push((&tools[at], &tools[other]));
            }
        }
    }
    found
}

/// The words of a tool's own name and description, in lower case.
fn words_of(tool: &Definition) -> BTreeSet<String> {
    let own = match &tool.origin {
        Origin::Server { tool, .. } => tool,
        Origin::Hub => &tool.name,
    };
    let text = own.chars().chain([' ']).chain(tool.description.chars());
    let text: String = text.take(WORDS_MAX * 16).flat_map(char::to_lowercase).collect();
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| word.chars().count() > 1);
    words.take(WORDS_MAX).map(Into::into).collect()
}

/// Jaccard's index. A tool without words is like no other.
fn likeness(a: &BTreeSet<String>, b: &BTreeSet<String>) -> f64 {
    let common = a.intersection(b).count();
    let all = a.len() + b.len() - common;
    if common < 3 { 0.0 } else { common as f64 / all as f64 }
}

#[cfg(test)]
#[path = "conflicts_tests.rs"]
mod tests;
