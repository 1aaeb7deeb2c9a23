//! Holds a value against a schema: the assertions and applicators of JSON Schema 2020-12 and what older drafts called
//! otherwise. `format` is no assertion (2020-12 validation §7.2.1). Mends nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::equal::{canonical, compare, equal, is_multiple, is_whole};
use super::faults::{At, Faults};
use super::schema::{Draft, Index, branches, places};
use super::words::{cut, kind, nearest, one_of, shown, wanted};

/// Pairs of schema and value that are looked at for one call, mending included; letters that patterns look at count too.
pub const STEPS_MAX: u32 = 200_000;

/// Schemas within schemas, references included. A reference that leads back to itself ends here.
pub const DEPTH_MAX: usize = 160;

/// The longest text that is held against a pattern, bytes; a longer one is taken to fit.
const PATTERN_TEXT_BYTES_MAX: usize = 8 * 1024;

/// One check: a schema, and what is left of its bounds.
pub struct Check<'s> {
    pub(super) root: &'s Value,
    pub(super) index: &'s Index,
    steps_left: u32,
    pub(super) depth: usize,
    /// `1.0` is no integer: what a program with typed integers thinks of it.
    strict: bool,
    /// That has made a difference.
    met_float: std::cell::Cell<bool>,
    gave_up: Option<&'static str>,
    /// How often something was taken to fit because nobody could know.
    guesses: u32,
}

/// What the keywords beside `unevaluated…` have looked at.
#[derive(Default)]
struct Seen {
    fields: BTreeSet<String>,
    all_fields: bool,
    items: BTreeSet<usize>,
    all_items: bool,
}

impl<'s> Check<'s> {
    pub fn new(root: &'s Value, index: &'s Index) -> Check<'s> {
        Check {
            root,
            index,
            steps_left: STEPS_MAX,
            depth: 0,
            strict: false,
            met_float: false.into(),
            gave_up: index.unfit,
            guesses: 0,
        }
    }

    /// Why nothing can be said, if so.
    pub fn gave_up(&self) -> Option<&'static str> {
        self.gave_up
    }

    /// What is wrong with a value; of no worth where the check gave up.
    pub fn faults(&mut self, value: &Value) -> Vec<String> {
        let mut faults = Faults { count: 0, lines: Some(Vec::new()) };
        self.strict = false;
        self.node(self.root, value, At::Root, &mut faults, &mut Seen::default());
        faults.lines.unwrap_or_default()
    }

    pub fn fits(&mut self, node: &'s Value, value: &Value) -> bool {
        self.strict = false;
        self.is_fit(node, value, &mut Seen::default())
    }

    /// The same, and every integer is written as one.
    pub fn fits_strictly(&mut self, node: &'s Value, value: &Value) -> bool {
        self.strict = true;
        self.met_float.set(false);
        let fits = self.is_fit(node, value, &mut Seen::default());
        self.strict = false;
        // Beside `not` and `oneOf` a `1.0` that is no integer may fit where one that is does not.
        fits && (!self.met_float.get() || self.fits(node, value))
    }

    fn is_fit(&mut self, node: &'s Value, value: &Value, seen: &mut Seen) -> bool {
        let mut faults = Faults { count: 0, lines: None };
        self.node(node, value, At::Root, &mut faults, seen);
        faults.count == 0
    }

    /// Takes steps; false when there are none left.
    pub(super) fn step(&mut self, steps: usize) -> bool {
        let steps = u32::try_from(steps).unwrap_or(u32::MAX);
        match self.steps_left.checked_sub(steps) {
            Some(left) => self.steps_left = left,
            None => {
                self.steps_left = 0;
                self.gave_up = Some("the check takes too long");
            }
        }
        self.gave_up.is_none()
    }

    /// Where a schema's own reference leads; `None`: there is none, or nobody knows where to.
    pub(super) fn referred(&mut self, node: &'s Map<String, Value>) -> Option<&'s Value> {
        let reference = ["$ref", "$dynamicRef", "$recursiveRef"].iter().find_map(|key| node.get(*key)?.as_str())?;
        let found = self.index.resolve(self.root, reference);
        if found.is_none() {
            self.guesses += 1;
        }
        found
    }

    fn node(&mut self, node: &'s Value, value: &Value, at: At<'_>, faults: &mut Faults, seen: &mut Seen) {
        if !self.step(1) || faults.is_full() {
            return;
        }
        let fields = match node {
            Value::Object(fields) => fields,
            Value::Bool(false) => {
                return faults.add(at, || format!("is not wanted, leave it out, got {}", shown(value)));
            }
            _ => return,
        };
        if self.depth >= DEPTH_MAX {
            self.gave_up = Some("the schema refers to itself without end");
            return;
        }
        self.depth += 1;
        // A schema sees what its own keywords have looked at, and not what others beside it have.
        let mut own = Seen::default();
        self.keywords(fields, value, at, faults, &mut own);
        seen.take(own);
        self.depth -= 1;
    }

    fn keywords(
        &mut self,
        fields: &'s Map<String, Value>,
        value: &Value,
        at: At<'_>,
        faults: &mut Faults,
        seen: &mut Seen,
    ) {
        let has_ref = ["$ref", "$dynamicRef", "$recursiveRef"].iter().any(|key| fields.contains_key(*key));
        if has_ref && let Some(referred) = self.referred(fields) {
            self.node(referred, value, at, faults, seen);
        }
        if has_ref && self.index.draft == Draft::Old {
            return;
        }
        // OpenAPI 3.0, which servers write too.
        if value.is_null() && fields.get("nullable") == Some(&Value::Bool(true)) {
            return;
        }
        if !self.is_of_type(fields, value) {
            // What follows would only say the same once more.
            return faults.add(at, || {
                let wanted = wanted(&Value::Object(of_type(fields)));
                format!("is {}, {wanted} is wanted, got {}", kind(value), shown(value))
            });
        }
        self.values(fields, value, at, faults);
        match value {
            Value::Number(_) => self.number(fields, value, at, faults),
            Value::String(text) => self.text(fields, text, at, faults),
            Value::Array(items) => self.array(fields, items, at, faults, seen),
            Value::Object(members) => self.object(fields, members, at, faults, seen),
            Value::Null | Value::Bool(_) => {}
        }
        self.combined(fields, value, at, faults, seen);
        match value {
            Value::Object(members) => self.unevaluated_fields(fields, members, at, faults, seen),
            Value::Array(items) => self.unevaluated_items(fields, items, at, faults, seen),
            _ => {}
        }
    }

    fn is_of_type(&self, fields: &Map<String, Value>, value: &Value) -> bool {
        let is = |word: &str| match (word, value) {
            ("integer", Value::Number(number)) => match self.strict {
                true => {
                    self.met_float.set(self.met_float.get() || (number.is_f64() && is_whole(number)));
                    number.is_i64() || number.is_u64()
                }
                false => is_whole(number),
            },
            ("number", Value::Number(_)) => true,
            ("null", Value::Null) | ("boolean", Value::Bool(_)) | ("string", Value::String(_)) => true,
            ("array", Value::Array(_)) | ("object", Value::Object(_)) => true,
            ("null" | "boolean" | "string" | "array" | "object" | "number" | "integer", _) => false,
            // A type that nobody knows (draft 3's `any`) asserts nothing.
            _ => true,
        };
        match fields.get("type") {
            Some(Value::String(word)) => is(word),
            Some(Value::Array(words)) => words.iter().any(|word| word.as_str().is_none_or(is)),
            _ => true,
        }
    }

    fn values(&mut self, fields: &Map<String, Value>, value: &Value, at: At<'_>, faults: &mut Faults) {
        if let Some(Value::Array(allowed)) = fields.get("enum")
            && self.step(allowed.len())
            && !allowed.iter().any(|one| equal(one, value))
        {
            faults.add(at, || {
                let near = value.as_str().and_then(|text| nearest(text, allowed.iter().filter_map(Value::as_str)));
                let near = near.map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default();
                let allowed: Vec<_> = allowed.iter().map(shown).collect();
                format!("is none of the allowed values, {} is wanted{near}, got {}", one_of(&allowed), shown(value))
            });
        }
        if let Some(only) = fields.get("const")
            && !equal(only, value)
        {
            faults.add(at, || format!("is another value, {} is wanted, got {}", shown(only), shown(value)));
        }
    }

    fn number(&mut self, fields: &Map<String, Value>, value: &Value, at: At<'_>, faults: &mut Faults) {
        use std::cmp::Ordering::{Equal, Greater, Less};
        let Value::Number(number) = value else { return };
        let limit = |key: &str| match fields.get(key) {
            Some(Value::Number(limit)) => Some(limit),
            _ => None,
        };
        // Draft 4 says with a boolean that the limit itself is excluded.
        let excludes = |key: &str| fields.get(key) == Some(&Value::Bool(true));
        for (key, exclusive, beyond, words) in [
            ("minimum", "exclusiveMinimum", Less, ("small", "at least", "more than")),
            ("maximum", "exclusiveMaximum", Greater, ("large", "at most", "less than")),
        ] {
            if let Some(limit) = limit(key) {
                let order = compare(number, limit);
                let is_out = order == Some(beyond) || order == Some(Equal) && excludes(exclusive);
                if is_out {
                    let bound = if excludes(exclusive) { words.2 } else { words.1 };
                    faults.add(at, || format!("is too {}, {bound} {limit} is wanted, got {number}", words.0));
                }
            }
            if let Some(limit) = limit(exclusive)
                && matches!(compare(number, limit), Some(order) if order == beyond || order == Equal)
            {
                faults.add(at, || format!("is too {}, {} {limit} is wanted, got {number}", words.0, words.2));
            }
        }
        if let Some(of) = limit("multipleOf").or_else(|| limit("divisibleBy"))
            && !is_multiple(number, of)
        {
            faults.add(at, || format!("is between two steps, a multiple of {of} is wanted, got {number}"));
        }
    }

    fn text(&mut self, fields: &Map<String, Value>, text: &str, at: At<'_>, faults: &mut Faults) {
        let (min, max) = (limit(fields, "minLength"), limit(fields, "maxLength"));
        if min.is_some() || max.is_some() {
            let len = text.chars().count() as u64;
            size(len, min, max, "characters", at, faults);
        }
        if let Some(Value::String(pattern)) = fields.get("pattern")
            && self.matches(pattern, text) == Some(false)
        {
            let got = Value::from(text);
            faults.add(at, || {
                format!("has another form, text like the pattern {} is wanted, got {}", cut(pattern), shown(&got))
            });
        }
    }

    fn matches(&mut self, pattern: &str, text: &str) -> Option<bool> {
        let known = match text.len() <= PATTERN_TEXT_BYTES_MAX && self.step(text.len()) {
            true => self.index.matches(pattern, text),
            false => None,
        };
        if known.is_none() {
            self.guesses += 1;
        }
        known
    }

    fn array(
        &mut self,
        fields: &'s Map<String, Value>,
        items: &[Value],
        at: At<'_>,
        faults: &mut Faults,
        seen: &mut Seen,
    ) {
        size(items.len() as u64, limit(fields, "minItems"), limit(fields, "maxItems"), "items", at, faults);
        if fields.get("uniqueItems") == Some(&Value::Bool(true)) && items.len() > 1 && self.step(items.len()) {
            let mut met = BTreeMap::new();
            for (number, item) in items.iter().enumerate() {
                if let Some(first) = met.insert(canonical(item), number) {
                    faults.add(At::Item(&at, number), || {
                        format!("is the same as item {first}, different items are wanted, got {}", shown(item))
                    });
                    break;
                }
            }
        }
        let (first, rest) = places(fields);
        for (number, item) in items.iter().enumerate() {
            let Some(schema) = first.get(number).or(rest) else { break };
            self.node(schema, item, At::Item(&at, number), faults, &mut Seen::default());
        }
        if self.index.has_unevaluated {
            seen.items.extend(0..first.len().min(items.len()));
            seen.all_items |= rest.is_some();
        }
        if let Some(schema) = fields.get("contains") {
            self.contains(fields, schema, items, at, faults, seen);
        }
    }

    fn contains(
        &mut self,
        fields: &Map<String, Value>,
        schema: &'s Value,
        items: &[Value],
        at: At<'_>,
        faults: &mut Faults,
        seen: &mut Seen,
    ) {
        let before = self.guesses;
        let fitting: Vec<usize> =
            (0..items.len()).filter(|&number| self.is_fit(schema, &items[number], &mut Seen::default())).collect();
        let count = fitting.len() as u64;
        let (min, max) = (limit(fields, "minContains").unwrap_or(1), limit(fields, "maxContains"));
        seen.items.extend(fitting);
        if self.guesses == before && (count < min || max.is_some_and(|max| count > max)) {
            let most = max.map(|max| format!(" and at most {max}")).unwrap_or_default();
            let what = wanted(schema);
            faults.add(at, || format!("has {count} items that are {what}, at least {min}{most} are wanted"));
        }
    }

    fn object(
        &mut self,
        fields: &'s Map<String, Value>,
        members: &Map<String, Value>,
        at: At<'_>,
        faults: &mut Faults,
        seen: &mut Seen,
    ) {
        let (min, max) = (limit(fields, "minProperties"), limit(fields, "maxProperties"));
        size(members.len() as u64, min, max, "fields", at, faults);
        let known = fields.get("properties").and_then(Value::as_object);
        if let Some(Value::Array(required)) = fields.get("required") {
            for name in required.iter().filter_map(Value::as_str).filter(|name| !members.contains_key(*name)) {
                let of = known.and_then(|known| known.get(name));
                faults.add(At::Field(&at, name), || match of {
                    Some(schema) => format!("is missing, {} is wanted", wanted(schema)),
                    None => "is missing and wanted".into(),
                });
            }
        }
        let patterns = fields.get("patternProperties").and_then(Value::as_object);
        let others = fields.get("additionalProperties");
        for (name, member) in members {
            let (inner, mut is_known) = (At::Field(&at, name), false);
            if let Some(schema) = known.and_then(|known| known.get(name)) {
                is_known = true;
                self.node(schema, member, inner, faults, &mut Seen::default());
            }
            for (pattern, schema) in patterns.into_iter().flatten() {
                match self.matches(pattern, name) {
                    Some(true) => {
                        is_known = true;
                        self.node(schema, member, inner, faults, &mut Seen::default());
                    }
                    Some(false) => {}
                    // It may be one of these, and so is none of the others for certain.
                    None => is_known = true,
                }
            }
            match others {
                Some(Value::Bool(false)) if !is_known => self.stranger(known, name, inner, faults),
                Some(schema) if !is_known => self.node(schema, member, inner, faults, &mut Seen::default()),
                _ => {}
            }
            if self.index.has_unevaluated && (is_known || others.is_some()) {
                seen.fields.insert(name.clone());
            }
            if let Some(schema) = fields.get("propertyNames")
                && !self.is_fit(schema, &Value::from(name.as_str()), &mut Seen::default())
            {
                faults.add(inner, || "is no allowed name of a field, another name is wanted".into());
            }
        }
        self.dependent(fields, members, at, faults, seen);
    }

    fn stranger(&mut self, known: Option<&Map<String, Value>>, name: &str, at: At<'_>, faults: &mut Faults) {
        faults.add(at, || {
            let known: Vec<&str> = known.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
            match (nearest(name, known.iter().copied()), known.is_empty()) {
                (_, true) => "is no field of this, an object without fields is wanted".into(),
                (Some(near), _) => format!("is no field of this, did you mean {near}? {} are known", known.join(", ")),
                (None, _) => format!("is no field of this, leave it out; known are {}", one_of(&known)),
            }
        });
    }

    /// `dependentRequired`, `dependentSchemas`, and `dependencies`, which was both before 2019-09.
    fn dependent(
        &mut self,
        fields: &'s Map<String, Value>,
        members: &Map<String, Value>,
        at: At<'_>,
        faults: &mut Faults,
        seen: &mut Seen,
    ) {
        for key in ["dependentRequired", "dependentSchemas", "dependencies"] {
            let Some(Value::Object(rules)) = fields.get(key) else { continue };
            for (name, rule) in rules.iter().filter(|(name, _)| members.contains_key(*name)) {
                match rule {
                    Value::Array(required) => {
                        for other in required.iter().filter_map(Value::as_str) {
                            if !members.contains_key(other) {
                                faults.add(At::Field(&at, other), || {
                                    format!("is missing and wanted where {name} is given")
                                });
                            }
                        }
                    }
                    schema => {
                        let whole = Value::Object(members.clone());
                        if self.step(members.len()) {
                            self.node(schema, &whole, at, faults, seen);
                        }
                    }
                }
            }
        }
    }

    /// `allOf`, `anyOf`, `oneOf`, `not`, `if`.
    fn combined(
        &mut self,
        fields: &'s Map<String, Value>,
        value: &Value,
        at: At<'_>,
        faults: &mut Faults,
        seen: &mut Seen,
    ) {
        for schema in branches(fields, "allOf") {
            self.node(schema, value, at, faults, seen);
        }
        for key in ["anyOf", "oneOf"] {
            let branches = branches(fields, key);
            if branches.is_empty() {
                continue;
            }
            let before = self.guesses;
            let mut fitting = 0;
            for schema in branches {
                let mut of_branch = Seen::default();
                if self.is_fit(schema, value, &mut of_branch) {
                    fitting += 1;
                    seen.take(of_branch);
                    if key == "anyOf" && !self.index.has_unevaluated {
                        break;
                    }
                }
            }
            if fitting == 0 {
                self.none_of(branches, value, at, faults);
            } else if key == "oneOf" && fitting > 1 && self.guesses == before {
                faults.add(at, || {
                    format!("fits {fitting} of the allowed forms, exactly one is wanted, got {}", shown(value))
                });
            }
        }
        if let Some(schema) = fields.get("not") {
            let before = self.guesses;
            if self.is_fit(schema, value, &mut Seen::default()) && self.guesses == before {
                let not = wanted(schema);
                faults
                    .add(at, || format!("is what it must not be, anything but {not} is wanted, got {}", shown(value)));
            }
        }
        if let Some(schema) = fields.get("if") {
            let (before, mut of_if) = (self.guesses, Seen::default());
            let fits = self.is_fit(schema, value, &mut of_if);
            if fits {
                seen.take(of_if);
            }
            let next = fields.get(if fits { "then" } else { "else" });
            if let Some(next) = next.filter(|_| self.guesses == before) {
                self.node(next, value, at, faults, seen);
            }
        }
    }

    /// The faults of the branch that was most likely meant, or that it fits none.
    fn none_of(&mut self, branches: &'s [Value], value: &Value, at: At<'_>, faults: &mut Faults) {
        if faults.lines.is_none() {
            return faults.add(at, String::new);
        }
        let mut best: Option<(usize, Vec<String>)> = None;
        let mut alike = 0;
        for schema in branches {
            let mut of_branch = Faults { count: 0, lines: Some(Vec::new()) };
            self.node(schema, value, at, &mut of_branch, &mut Seen::default());
            let lines = of_branch.lines.unwrap_or_default();
            // A branch for another kind of value was not meant.
            let is_other = schema.as_object().is_some_and(|fields| !self.is_of_type(fields, value));
            if is_other || lines.is_empty() {
                continue;
            }
            match &best {
                Some((count, _)) if *count < of_branch.count => {}
                Some((count, _)) if *count == of_branch.count => alike += 1,
                _ => (best, alike) = (Some((of_branch.count, lines)), 1),
            }
        }
        match best.filter(|_| alike == 1) {
            Some((_, lines)) => lines.into_iter().for_each(|line| faults.add_line(line)),
            None => {
                let mut forms: Vec<_> = branches.iter().map(wanted).collect();
                forms.dedup();
                faults.add(at, || {
                    format!("is none of the allowed forms, {} is wanted, got {}", one_of(&forms), shown(value))
                });
            }
        }
    }

    fn unevaluated_fields(
        &mut self,
        fields: &'s Map<String, Value>,
        members: &Map<String, Value>,
        at: At<'_>,
        faults: &mut Faults,
        seen: &mut Seen,
    ) {
        let Some(schema) = fields.get("unevaluatedProperties") else { return };
        if !seen.all_fields {
            for (name, member) in members.iter().filter(|(name, _)| !seen.fields.contains(*name)) {
                match schema {
                    Value::Bool(false) => self.stranger(None, name, At::Field(&at, name), faults),
                    schema => self.node(schema, member, At::Field(&at, name), faults, &mut Seen::default()),
                }
            }
        }
        seen.all_fields = true;
    }

    fn unevaluated_items(
        &mut self,
        fields: &'s Map<String, Value>,
        items: &[Value],
        at: At<'_>,
        faults: &mut Faults,
        seen: &mut Seen,
    ) {
        let Some(schema) = fields.get("unevaluatedItems") else { return };
        if !seen.all_items {
            for (number, item) in items.iter().enumerate().filter(|(number, _)| !seen.items.contains(number)) {
                self.node(schema, item, At::Item(&at, number), faults, &mut Seen::default());
            }
        }
        seen.all_items = true;
    }
}

/// A limit that is a whole number, also where it is written as `3.0`.
fn limit(fields: &Map<String, Value>, key: &str) -> Option<u64> {
    let Value::Number(limit) = fields.get(key)? else { return None };
    super::equal::whole(limit).and_then(|limit| u64::try_from(limit).ok())
}

fn size(len: u64, min: Option<u64>, max: Option<u64>, what: &str, at: At<'_>, faults: &mut Faults) {
    if let Some(min) = min.filter(|min| len < *min) {
        faults.add(at, || format!("has too few {what}, at least {min} are wanted, got {len}"));
    }
    if let Some(max) = max.filter(|max| len > *max) {
        faults.add(at, || format!("has too many {what}, at most {max} are wanted, got {len}"));
    }
}

/// What the words for a type are made of.
fn of_type(fields: &Map<String, Value>) -> Map<String, Value> {
    let keys = ["type", "enum", "const", "description"];
    keys.iter().filter_map(|key| Some(((*key).to_owned(), fields.get(*key)?.clone()))).collect()
}

impl Seen {
    fn take(&mut self, other: Seen) {
        self.fields.extend(other.fields);
        self.items.extend(other.items);
        self.all_fields |= other.all_fields;
        self.all_items |= other.all_items;
    }
}
