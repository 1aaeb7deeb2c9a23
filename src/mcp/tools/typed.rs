//! A tool made of a function with typed arguments and a typed result: the schemas are those of the types, so that they cannot
//! say anything else. Knows no family.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Tool;
use crate::common::error::{ErrorBody, ErrorCode};
use crate::common::who::{Principal, Role};
use crate::mcp::call::{Call, Fault, Note, Outcome, ToolOutput};
use crate::mcp::definition::{Annotations, Definition};
use crate::store::{ReadError, WriteError};

/// The arguments of a tool that has none.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// What stands in a definition beside the schemas.
pub struct About {
    pub name: &'static str,
    pub title: &'static str,
    pub description: &'static str,
    pub annotations: Annotations,
    pub access: Role,
}

struct Typed<S, F> {
    definition: Arc<Definition>,
    state: Arc<S>,
    run: F,
}

/// A tool of `run`, which gets `state`, the arguments and who calls.
pub fn tool<S, I, O, F, R>(state: &Arc<S>, about: About, run: F) -> Arc<dyn Tool>
where
    S: Send + Sync + 'static,
    I: DeserializeOwned + JsonSchema + Send + 'static,
    O: Serialize + JsonSchema + 'static,
    F: Fn(Arc<S>, I, Arc<Principal>) -> R + Copy + Send + Sync + 'static,
    R: Future<Output = Result<O, Fault>> + Send + 'static,
{
    tool_in_steps(state, about, move |state, input, who, _| run(state, input, who))
}

/// The same, in steps, for one that a model sees among the first.
pub fn pinned_tool<S, I, O, F, R>(state: &Arc<S>, about: About, run: F) -> Arc<dyn Tool>
where
    S: Send + Sync + 'static,
    I: DeserializeOwned + JsonSchema + Send + 'static,
    O: Serialize + JsonSchema + 'static,
    F: Fn(Arc<S>, I, Arc<Principal>, Steps) -> R + Copy + Send + Sync + 'static,
    R: Future<Output = Result<O, Fault>> + Send + 'static,
{
    let About { name, title, description, annotations, access } = about;
    let definition = Definition::native::<I, O>(name, title, description, annotations, access);
    tool_of(state, Definition { pinned: true, ..definition }, run)
}

/// The same for what takes its time: `run` also gets whom to tell of its steps.
pub fn tool_in_steps<S, I, O, F, R>(state: &Arc<S>, about: About, run: F) -> Arc<dyn Tool>
where
    S: Send + Sync + 'static,
    I: DeserializeOwned + JsonSchema + Send + 'static,
    O: Serialize + JsonSchema + 'static,
    F: Fn(Arc<S>, I, Arc<Principal>, Steps) -> R + Copy + Send + Sync + 'static,
    R: Future<Output = Result<O, Fault>> + Send + 'static,
{
    let About { name, title, description, annotations, access } = about;
    tool_of(state, Definition::native::<I, O>(name, title, description, annotations, access), run)
}

/// The same for a definition that says more.
pub fn tool_of<S, I, O, F, R>(state: &Arc<S>, definition: Definition, run: F) -> Arc<dyn Tool>
where
    S: Send + Sync + 'static,
    I: DeserializeOwned + Send + 'static,
    O: Serialize + 'static,
    F: Fn(Arc<S>, I, Arc<Principal>, Steps) -> R + Copy + Send + Sync + 'static,
    R: Future<Output = Result<O, Fault>> + Send + 'static,
{
    let definition = Arc::new(definition);
    let answer = move |state: Arc<S>, call: Call| -> BoxFuture<'static, Result<Outcome, Fault>> {
        Box::pin(async move {
            let output = run(state, read(call.arguments)?, call.who, Steps(call.reach.progress)).await?;
            let output = serde_json::to_value(&output)
                .map_err(|error| Fault::new(ErrorCode::Internal, format!("the result cannot be written: {error}")))?;
            // A result with an error in it is a failure that has something to show.
            let is_error = output.get("error").is_some_and(|error| !error.is_null());
            Ok(Outcome::Done(ToolOutput { is_error, ..ToolOutput::structured(output) }))
        })
    };
    Arc::new(Typed { definition, state: state.clone(), run: answer })
}

/// Arguments in their own type. They have been held against its schema.
pub fn read<T: DeserializeOwned>(arguments: Map<String, Value>) -> Result<T, Fault> {
    serde_json::from_value(Value::Object(arguments)).map_err(|error| bad_request(format!("arguments: {error}")))
}

/// Tells whoever called how far it is; nobody, where nobody wants to know.
#[derive(Clone)]
pub struct Steps(Option<Arc<dyn Fn(Note) + Send + Sync>>);

impl Steps {
    /// `done` rises from call to call.
    pub fn tell(&self, done: f64, total: Option<f64>, message: impl Into<String>) {
        if let Some(tell) = &self.0 {
            tell(Note { progress: done, total, message: Some(message.into()) });
        }
    }
}

impl<S, F> Tool for Typed<S, F>
where
    S: Send + Sync,
    F: Fn(Arc<S>, Call) -> BoxFuture<'static, Result<Outcome, Fault>> + Send + Sync,
{
    fn definition(&self) -> Arc<Definition> {
        self.definition.clone()
    }

    fn call(&self, call: Call) -> BoxFuture<'static, Result<Outcome, Fault>> {
        (self.run)(self.state.clone(), call)
    }
}

/// What a tool that deletes a record says.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
pub struct Deleted {
    /// False: there was none.
    pub deleted: bool,
}

/// A record to be deleted, or read, by its key in another field.
pub fn not_found(what: &str) -> Fault {
    Fault::new(ErrorCode::NotFound, format!("there is no {what}"))
}

/// Of the ends of a whole, each whether nothing came of it and why: where nothing came of any, the whole is a failure, for the first reason.
pub fn failure_of_all<'a>(ends: impl Iterator<Item = (bool, Option<&'a ErrorBody>)> + Clone) -> Option<ErrorBody> {
    let is_nothing_done = ends.clone().all(|(failed, _)| failed);
    ends.filter_map(|(_, why)| why).next().filter(|_| is_nothing_done).cloned()
}

pub fn bad_request(why: impl Into<String>) -> Fault {
    Fault::new(ErrorCode::BadRequest, why)
}

/// The store could not be read.
pub fn not_read(error: ReadError) -> Fault {
    let body = ErrorBody::new(ErrorCode::Internal, format!("the store could not be read: {error}"));
    Fault::from(ErrorBody { retryable: matches!(error, ReadError::Disk(_)), ..body })
}

/// The store did not take a write.
pub fn not_written(error: WriteError) -> Fault {
    Fault::from(error.to_body())
}
