//! Which of many tools a model is shown: all where there is room; else those by which it finds the others, the pinned ones and
//! the likely ones. Pure.

use super::FINDERS;

/// What there is room for.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    pub count: usize,
    pub bytes: usize,
}

/// A tool that could be shown.
#[derive(Debug, Clone)]
pub struct Candidate<'a> {
    pub name: &'a str,
    pub pinned: bool,
    pub bytes: usize,
}

/// For each candidate whether it is shown. They stand by name; `likely` are names, the likeliest first.
pub fn choose<'a>(candidates: &[Candidate<'_>], likely: impl Iterator<Item = &'a str>, budget: Budget) -> Vec<bool> {
    let is_finder = |one: &Candidate<'_>| FINDERS.contains(&one.name);
    let others = || candidates.iter().filter(|one| !is_finder(one));
    if others().count() <= budget.count && others().map(|one| one.bytes).sum::<usize>() <= budget.bytes {
        return candidates.iter().map(|one| !is_finder(one)).collect();
    }
    let place = |name: &str| candidates.binary_search_by(|one| one.name.cmp(name)).ok();
    let finders = FINDERS.iter().filter_map(|name| place(name));
    let pinned = candidates.iter().enumerate().filter(|(_, one)| one.pinned).map(|(at, _)| at);
    let order: Vec<usize> = finders.chain(pinned).chain(likely.filter_map(place)).collect();
    let mut chosen = vec![false; candidates.len()];
    let Budget { count: mut left, bytes: mut bytes_left } = budget;
    let mut take = |at: usize| {
        let bytes = candidates[at].bytes;
        if !chosen[at] && left > 0 && bytes <= bytes_left {
            (chosen[at], left, bytes_left) = (true, left - 1, bytes_left - bytes);
        }
    };
    order.into_iter().for_each(&mut take);
    // Nobody who could search: then rather some tools than none.
    if !candidates.iter().any(is_finder) {
        (0..candidates.len()).for_each(&mut take);
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates<'a>(all: &[(&'a str, bool, usize)]) -> Vec<Candidate<'a>> {
        all.iter().map(|&(name, pinned, bytes)| Candidate { name, pinned, bytes }).collect()
    }

    fn shown(all: &[(&str, bool, usize)], likely: &[&str], count: usize, bytes: usize) -> Vec<String> {
        let candidates = candidates(all);
        let chosen = choose(&candidates, likely.iter().copied(), Budget { count, bytes });
        candidates.iter().zip(chosen).filter(|(_, is)| *is).map(|(one, _)| one.name.to_string()).collect()
    }

    const ALL: [(&str, bool, usize); 7] = [
        ("a", false, 10),
        ("b", true, 10),
        ("c", false, 10),
        ("call_tool", false, 10),
        ("describe_tool", false, 10),
        ("large", false, 500),
        ("search_tools", false, 10),
    ];

    #[test]
    fn where_all_fit_nobody_has_to_search() {
        assert_eq!(shown(&ALL, &[], 4, 530), ["a", "b", "c", "large"]);
    }

    #[test]
    fn else_the_finders_come_first_then_the_pinned_then_the_likely() {
        assert_eq!(shown(&ALL, &["c", "a"], 5, 100), ["b", "c", "call_tool", "describe_tool", "search_tools"]);
        assert_eq!(
            shown(&ALL, &["large", "c", "gone"], 64, 50),
            ["b", "c", "call_tool", "describe_tool", "search_tools"]
        );
        assert_eq!(shown(&ALL, &["a"], 2, 1000), ["describe_tool", "search_tools"]);
    }

    #[test]
    fn without_a_search_the_first_ones_are_shown() {
        assert_eq!(shown(&[("a", false, 1), ("b", false, 1), ("c", false, 1)], &["c"], 2, 9), ["a", "c"]);
    }
}
