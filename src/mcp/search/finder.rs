//! The search over a service's tools as they are now: builds an index when it is first asked and again when tools have
//! changed, and shows nobody what they may not call.

use std::sync::{Arc, Mutex, PoisonError};

use super::index::Index;
use crate::auth;
use crate::common::who::Principal;
use crate::mcp::definition::Definition;
use crate::mcp::service::{Service, WeakService};

/// The longest question, bytes; the rest of it is not read.
pub const QUESTION_BYTES_MAX: usize = 4096;

/// See the module.
pub struct Finder {
    /// Its own tools search it, so that it is not kept alive from here.
    service: WeakService,
    built: Mutex<Option<Arc<Built>>>,
}

struct Built {
    /// What the sources showed when it was built: while they show the same, it holds.
    of: Vec<Arc<[Arc<Definition>]>>,
    tools: Box<[Arc<Definition>]>,
    index: Index,
}

impl Finder {
    pub fn new(service: &Service) -> Finder {
        Finder { service: service.downgrade(), built: Mutex::default() }
    }

    /// The tools that `who` may call and that fit best, the best first, each with its score.
    pub fn search(&self, question: &str, who: &Principal, limit: usize) -> Vec<(Arc<Definition>, f32)> {
        let question = &question[..question.floor_char_boundary(QUESTION_BYTES_MAX)];
        let built = self.built();
        let hits = built.index.search(question, built.tools.len()).into_iter();
        let hits = hits.map(|(at, score)| (&built.tools[at], score));
        let hits = hits.filter(|(tool, _)| auth::may_call(who, &tool.name, tool.access).is_ok());
        hits.take(limit).map(|(tool, score)| (tool.clone(), score)).collect()
    }

    /// The service that is searched, while it is there.
    pub fn service(&self) -> Option<Service> {
        self.service.upgrade()
    }

    fn built(&self) -> Arc<Built> {
        let of = self.service.upgrade().map(|service| service.snapshots()).unwrap_or_default();
        let mut kept = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(built) = kept.as_ref().filter(|built| is_same(&built.of, &of)) {
            return built.clone();
        }
        let tools: Box<[_]> = of.iter().flat_map(|tools| tools.iter().cloned()).collect();
        let index = Index::build(tools.iter().map(|tool| &**tool));
        kept.insert(Arc::new(Built { of, tools, index })).clone()
    }
}

fn is_same(a: &[Arc<[Arc<Definition>]>], b: &[Arc<[Arc<Definition>]>]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| Arc::ptr_eq(a, b))
}
