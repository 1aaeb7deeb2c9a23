//! How well tools are found: those of real servers among a thousand made-up ones, and questions in people's words with the tools
//! that do it. One part of the questions never was what the search was tuned by; a figure is held for each, so
//! that a change of the search that makes it worse is seen.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use hearth::common::who::{Door, Principal, Role};
use hearth::mcp::search::Finder;
use hearth::mcp::{Annotations, Call, Definition, Fault, Method, Origin, Outcome, Reach, Service, Source};
use serde_json::{Map, Value, json};

const SERVICES: &str = include_str!("services.txt");
const REAL: &str = include_str!("real.jsonl");
const SAME: &str = include_str!("same.txt");

/// Part by part, with the least share of the questions whose tool is to be among the first five: a bit below what is reached.
/// What may be expected of new questions says the last lot, for which no words were added, and less so the held-out part and the fifth,
/// which were asked more than once.
const QUESTIONS: [(&str, &str, f64); 9] = [
    ("tuned by", include_str!("questions.tsv"), 0.975),
    ("held out", include_str!("held_out.tsv"), 0.95),
    ("fresh", include_str!("fresh.tsv"), 0.96),
    ("drawn by lot", include_str!("sampled.tsv"), 0.975),
    ("drawn again", include_str!("unseen.tsv"), 0.89),
    ("first lot", include_str!("lot_one.tsv"), 0.91),
    ("second lot", include_str!("lot_two.tsv"), 0.82),
    ("third lot", include_str!("lot_three.tsv"), 0.69),
    ("fourth lot", include_str!("lot_four.tsv"), 0.74),
];

/// Ways to say it in which the words of the tool occur, in other forms and with slips too; and the least share of such questions, over
/// all lots. The other ways have to be guessed from what a table of words knows of the world.
const PLAIN: [&str; 4] = ["keywords", "sentence", "forms", "slips"];
const PLAIN_RECALL_MIN: f64 = 0.96;

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

/// The tools of the real servers, which `NOTICE.md` names, and of the made-up ones.
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
                let arguments = json!({ format!("{noun}_id"): { "type": "string" } });
                tools.push(Arc::new(tool(slug, &format!("{verb}_{noun}"), None, &description, arguments)));
            }
        }
    }
    tools.extend(REAL.lines().map(|line| Arc::new(real(line))));
    tools.sort_by(|a, b| a.name.cmp(&b.name));
    tools
}

/// A tool as its server lists it, with what of its schema is words.
fn real(line: &str) -> Definition {
    let said: Value = serde_json::from_str(line).expect("a line of JSON");
    let text = |field: &str| said[field].as_str().expect("a text");
    let arguments = said["arguments"].as_object().expect("names and what is said of them").iter();
    let arguments = arguments.map(|(name, words)| (name.clone(), json!({ "description": words }))).collect();
    let title = said["title"].as_str().map(Into::into);
    tool(text("server"), text("name"), title, text("description"), Value::Object(arguments))
}

fn tool(slug: &str, name: &str, title: Option<String>, description: &str, arguments: Value) -> Definition {
    Definition {
        name: format!("{slug}__{name}").into(),
        title,
        description: description.into(),
        input: json!({ "type": "object", "properties": arguments }).into(),
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
    let groups: Vec<Vec<&str>> =
        SAME.lines().filter(|line| !line.starts_with('#')).map(|line| line.split(' ').collect()).collect();
    groups.iter().flatten().for_each(|name| assert!(names.contains_key(*name), "there is no tool {name}"));
    let (house, mut short, mut all) = (Principal::house(Door::Mcp), Vec::new(), 0);
    let mut manners = BTreeMap::<&str, (u32, u32)>::new();
    for (half, questions, recall_min) in QUESTIONS {
        let (mut asked, mut first, mut missed) = (0, 0, Vec::new());
        for line in questions.lines().filter(|line| !line.starts_with('#')) {
            let mut columns = line.split('\t');
            let (question, wanted) = columns.next().zip(columns.next()).expect("a question, a tab, tools");
            let mut wanted: Vec<_> = wanted.split(' ').collect();
            wanted.iter().for_each(|name| assert!(names.contains_key(*name), "there is no tool {name}"));
            let same = groups.iter().filter(|group| group.iter().any(|name| wanted.contains(name)));
            let same: Vec<&str> = same.flatten().copied().collect();
            wanted.extend(same);
            let found = finder.search(question, &house, 5);
            asked += 1;
            first += usize::from(found.first().is_some_and(|(tool, _)| wanted.contains(&&*tool.name)));
            let is_found = found.iter().any(|(tool, _)| wanted.contains(&&*tool.name));
            let (found_so, asked_so) = manners.entry(columns.next().unwrap_or_default()).or_default();
            (*found_so, *asked_so) = (*found_so + u32::from(is_found), *asked_so + 1);
            if !is_found {
                let found: Vec<_> = found.iter().map(|(tool, score)| format!("{} {score:.1}", tool.name)).collect();
                missed.push(format!("{question}: {} instead of {}", found.join(", "), wanted.join(" or ")));
            }
        }
        let recall = 1.0 - missed.len() as f64 / asked as f64;
        println!(
            "{half}: {asked} questions, {recall:.3} among the first five, {:.3} the first\n{}",
            first as f64 / asked as f64,
            missed.join("\n")
        );
        all += asked;
        if recall < recall_min {
            short.push(format!("{half}: {recall:.3}"));
        }
    }
    assert!(all >= 150 && short.is_empty(), "{short:?} of {all}: see above");
    println!("{manners:?}");
    let plain = PLAIN.map(|manner| manners[manner]);
    let (found, asked) = plain.iter().fold((0, 0), |all, (found, asked)| (all.0 + found, all.1 + asked));
    let recall = f64::from(found) / f64::from(asked);
    assert!(asked >= 150 && recall >= PLAIN_RECALL_MIN, "{recall:.3} of {asked} plain questions");
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

/// The names of what is found for a question.
fn found(finder: &Finder, question: &str) -> Vec<String> {
    let hits = finder.search(question, &Principal::house(Door::Mcp), 5).into_iter();
    hits.inspect(|(_, score)| assert!(score.is_finite())).map(|(tool, _)| tool.name.to_string()).collect()
}

#[test]
fn slips_compounds_and_other_spellings_are_forgiven() {
    let (finder, _service) = finder(corpus());
    for (question, wanted) in [
        ("weather forcast", "weather__get_forecast"),
        ("transalte this text", "translate__translate_text"),
        ("playlst: make a new one", "music__create_playlist"),
        ("trun the lapm on", "lights__turn_on_lamp"),
        ("find custmer by emial adress", "shop__search_customer"),
        ("latest messages of #general", "chat__list_message"),
        ("show the charge of Mr Lee", "payments__get_charge"),
        ("color of the lamp", "lights__color_lamp"),
        ("colour of the lamp", "lights__color_lamp"),
        ("tire pressure of the car", "cars__get_tyre_pressure"),
        ("shoppinglist", "kitchen__show_shopping_list"),
        ("merge PDFs", "pdfs__merge_pdf"),
        ("turn the lamp on", "lights__turn_on_lamp"),
        ("could you please get rid of that voice recording", "media_room__delete_recording"),
    ] {
        let found = found(&finder, question);
        assert!(found.iter().any(|name| name == wanted), "{question}: {found:?} without {wanted}");
    }
}

#[test]
fn a_tool_that_praises_itself_pushes_no_other_aside_and_nothing_breaks_the_search() {
    let mut tools = corpus();
    let praise = "weather forecast rain delete file email lamp ".repeat(20_000);
    let odd = "\u{0}\u{202e}💥ßẞİ﷽日本語 ".repeat(2_000);
    tools.push(Arc::new(tool(
        "zz",
        "best",
        None,
        &praise,
        json!({ "x": { "description": praise, "enum": [1, null, "y"] } }),
    )));
    tools.push(Arc::new(tool("zz", "odd", Some(odd.clone()), &odd, json!({ &odd: true }))));
    let (finder, _service) = finder(tools);
    for (question, wanted) in
        [("weather forecast", "weather__get_forecast"), ("turn on the lamp", "lights__turn_on_lamp")]
    {
        assert_eq!(found(&finder, question)[0], wanted);
    }
    for question in ["", " ", "💥", &odd, &praise, "the of and", "aaaaaaaa ".repeat(400).as_str(), "-1 % $ €", "İ ﷽ ß"]
    {
        assert_eq!(found(&finder, question), found(&finder, question), "the same question, the same answer");
    }
}
