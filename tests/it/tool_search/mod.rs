//! How well tools are found: some thousand made-up tools, and questions in people's words with the tools that do it. A figure
//! is held, so that a change of the search that makes it worse is seen.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use hearth::common::who::{Door, Principal, Role};
use hearth::mcp::search::Finder;
use hearth::mcp::{Annotations, Call, Definition, Fault, Method, Origin, Outcome, Reach, Service, Source};
use serde_json::{Map, Value, json};

const SERVICES: &str = include_str!("services.txt");
const QUESTIONS: &str = include_str!("questions.tsv");

/// Of all questions, those whose tool is among the first five.
const RECALL_5_MIN: f64 = 0.95;

/// Ways to say the verb of a name, in turn: real servers do not agree on theirs.
const SAYINGS: [(&str, &str, &str); 3] =
    [("", " of", ""), ("Use this to ", " for", ". Returns JSON."), ("", " in", " and gives back the result.")];

struct Shelf(Arc<[Arc<Definition>]>);

impl Source for Shelf {
    fn tools(&self) -> Arc<[Arc<Definition>]> {
        self.0.clone()
    }

    fn call(&self, _: Call) -> BoxFuture<'static, Result<Outcome, Fault>> {
        unreachable!("a search calls nothing")
    }

    fn resources(&self, _: &Principal) -> BoxFuture<'static, Result<Vec<Value>, Fault>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn templates(&self, _: &Principal) -> Arc<[Value]> {
        Arc::default()
    }

    fn prompts(&self, _: &Principal) -> Arc<[Value]> {
        Arc::default()
    }

    fn owns_prompt(&self, _: &str) -> bool {
        false
    }

    fn owns_uri(&self, _: &str) -> bool {
        false
    }

    fn request(&self, _: Method, _: Value, _: Arc<Principal>, _: Reach) -> BoxFuture<'static, Result<Value, Fault>> {
        unreachable!("a search asks nothing")
    }
}

/// The tools of the made-up servers.
fn corpus() -> Vec<Arc<Definition>> {
    let mut tools = Vec::new();
    for line in SERVICES.lines().filter(|line| !line.starts_with('#')) {
        let mut columns = line.splitn(3, " | ");
        let (slug, server, entities) =
            (columns.next().expect("a slug"), columns.next().expect("what it is"), columns.next().expect("entities"));
        for entity in entities.split("; ") {
            let (noun, rest) = entity.split_once('=').expect("noun=what it is");
            let (what, verbs) = rest.rsplit_once(" (").expect("verbs in brackets");
            for verb in verbs.trim_end_matches(')').split(' ') {
                let (before, of, after) = SAYINGS[tools.len() % SAYINGS.len()];
                let said = verb.replace('_', " ");
                let description = format!("{before}{said} {what}{of} {server}{after}");
                tools.push(Arc::new(tool(slug, &format!("{verb}_{noun}"), noun, &description)));
            }
        }
    }
    tools.sort_by(|a, b| a.name.cmp(&b.name));
    tools
}

fn tool(slug: &str, name: &str, noun: &str, description: &str) -> Definition {
    Definition {
        name: format!("{slug}__{name}").into(),
        title: None,
        description: description.into(),
        input: json!({ "type": "object", "properties": { format!("{noun}_id"): { "type": "string" } } }),
        output: None,
        annotations: Annotations::default(),
        access: Role::Member,
        origin: Origin::Server { slug: slug.into(), tool: name.into() },
        pinned: false,
        extra: Map::new(),
    }
}

/// A finder, and the service that it searches.
fn finder(tools: Vec<Arc<Definition>>) -> (Finder, Service) {
    let source: Arc<dyn Source> = Arc::new(Shelf(tools.into()));
    let service = Service::new(vec![source], tokio::sync::broadcast::channel(1).0);
    (Finder::new(&service), service)
}

#[test]
fn the_tool_that_does_it_is_among_the_first_five() {
    let tools = corpus();
    let names: BTreeMap<_, _> = tools.iter().map(|tool| (tool.name.clone(), ())).collect();
    assert!(tools.len() >= 1000, "{} tools", tools.len());
    let (finder, _service) = finder(tools);
    let house = Principal::house(Door::Mcp);
    let (mut asked, mut first, mut missed) = (0, 0, Vec::new());
    for line in QUESTIONS.lines().filter(|line| !line.starts_with('#')) {
        let (question, wanted) = line.split_once('\t').expect("a question, a tab, tools");
        let wanted: Vec<_> = wanted.split(' ').collect();
        wanted.iter().for_each(|name| assert!(names.contains_key(*name), "there is no tool {name}"));
        let found = finder.search(question, &house, 5);
        asked += 1;
        first += usize::from(found.first().is_some_and(|(tool, _)| wanted.contains(&&*tool.name)));
        if !found.iter().any(|(tool, _)| wanted.contains(&&*tool.name)) {
            let found: Vec<_> = found.iter().map(|(tool, score)| format!("{} {score:.1}", tool.name)).collect();
            missed.push(format!("{question}: {} instead of {}", found.join(", "), wanted.join(" or ")));
        }
    }
    let recall = 1.0 - missed.len() as f64 / asked as f64;
    println!(
        "{asked} questions: {recall:.3} among the first five, {:.3} the first\n{}",
        first as f64 / asked as f64,
        missed.join("\n")
    );
    assert!(asked >= 150 && recall >= RECALL_5_MIN, "recall {recall:.3} of {asked}:\n{}", missed.join("\n"));
}

#[test]
fn nobody_finds_what_they_may_not_call() {
    let (finder, _service) = finder(corpus());
    let guest = Principal::new("ann", Role::Guest, Door::Mcp);
    assert!(finder.search("read a text file", &guest, 5).is_empty());
    let trusted = Principal { allow: ["files__read_*".into()].into(), ..guest };
    let found = finder.search("read a text file", &trusted, 5);
    assert!(!found.is_empty() && found.iter().all(|(tool, _)| tool.name.starts_with("files__read_")));
}
