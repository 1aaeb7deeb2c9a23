//! Why the links of a chain gave no answer, or not all of one, and how that is told. Pure.

use crate::common::error::{ErrorBody, ProviderError};
use crate::router::choose::Link;

/// One entry for each link, the newest last.
#[derive(Default)]
pub struct Failures(Vec<Failed>);

struct Failed {
    /// A place in the chain.
    link: usize,
    error: ProviderError,
    /// It had begun to answer.
    begun: bool,
    /// The user has read of it.
    told: bool,
}

impl Failures {
    /// Takes down why this link gives no answer. What was known of it before is forgotten.
    pub fn note(&mut self, link: usize, error: ProviderError, begun: bool) {
        self.forget(link);
        self.0.push(Failed { link, error, begun, told: false });
    }

    /// It gets its chance after all.
    pub fn forget(&mut self, link: usize) {
        self.0.retain(|failed| failed.link != link);
    }

    /// Says, once for each failure, for whom this link stands in.
    pub fn own_up(&mut self, chain: &[Link], here: usize) -> Option<String> {
        let goes_on = self.0.iter().any(|failed| failed.begun);
        let new: Vec<String> = self.0.iter().filter(|failed| !failed.told).map(|failed| failed.reason(chain)).collect();
        // Where it is the first choice, it is nobody's concern that others failed meanwhile.
        if new.is_empty() || (here == 0 && !goes_on) {
            return None;
        }
        self.0.iter_mut().for_each(|failed| failed.told = true);
        let (name, reasons) = (chain[here].name.as_str(), new.join("; "));
        Some(match goes_on {
            true => format!("{name} goes on where another one broke off ({reasons})"),
            false => format!("{name} answers instead of the first choice ({reasons})"),
        })
    }

    /// What the client gets where nobody answers, and the link that it is about. There is one failure at least.
    pub fn body(&self, chain: &[Link]) -> (ErrorBody, usize) {
        // The owner chose the first provider: its failure is the one to mend. Once content has come, the one that broke
        // off is what the user saw fail.
        let begun = self.0.iter().rposition(|failed| failed.begun);
        let of_first_choice = || (0..self.0.len()).min_by_key(|at| self.0[*at].link);
        let shown = begun.or_else(of_first_choice).expect("a turn fails when a link has");
        let Failed { link, error, .. } = &self.0[shown];
        let mut body = error.to_body(chain[*link].name.as_str());
        for other in self.0[begun.unwrap_or(0)..].iter().filter(|other| other.link != *link) {
            body.message.push_str(&format!("; then {}", other.reason(chain)));
        }
        (body, *link)
    }
}

impl Failed {
    fn reason(&self, chain: &[Link]) -> String {
        format!("{}: {}", chain[self.link].name.as_str(), self.error)
    }
}
