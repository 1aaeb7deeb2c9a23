//! A small bar plot in letters: one bar a day, or for several days where there are more than columns. Pure.

/// Lines of the highest bar.
const HEIGHT: u64 = 6;

/// A bar's top, in eighths of a line.
const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Columns of a bar that has room.
const BAR_COLUMNS_MAX: usize = 3;

/// Numbers day by day, and what stands beside them.
pub struct Plot<'a> {
    pub values: &'a [u64],
    /// What they are, in the plural.
    pub what: &'a str,
    /// How a number is written at the axis.
    pub label: &'a dyn Fn(u64) -> String,
}

impl Plot<'_> {
    /// Lines, each with its end, none wider than `columns`. Without `blocks` in ASCII alone.
    pub fn draw(&self, columns: usize, blocks: bool) -> String {
        let axis = if blocks { '│' } else { '|' };
        let room = |labels: usize| columns.saturating_sub(labels + 2).max(1);
        // The label's width depends on the bars and the bars on its width: a day's number is at most as wide as their sum's.
        let sum = self.values.iter().fold(0u64, |sum, value| sum.saturating_add(*value));
        let label_columns = (self.label)(sum).chars().count();
        let days_a_bar = self.values.len().div_ceil(room(label_columns)).max(1);
        let bars = gathered(self.values, days_a_bar);
        let highest = bars.iter().copied().max().unwrap_or(0);
        let bar_columns = (room(label_columns) / bars.len().max(1)).clamp(1, BAR_COLUMNS_MAX);
        let mut drawn = match days_a_bar {
            1 => format!("{} a day\n", self.what),
            days => format!("{} in {days} days each\n", self.what),
        };
        for line in (0..HEIGHT).rev() {
            let label = if line == HEIGHT - 1 { (self.label)(highest) } else { String::new() };
            let bars = bars.iter().map(|bar| bar_at(*bar, highest, line, blocks, bar_columns)).collect::<String>();
            let text = format!("{label:>label_columns$} {axis}{bars}");
            drawn.push_str(text.trim_end());
            drawn.push('\n');
        }
        drawn
    }
}

/// Bars, each the sum of as many days as the others (the last one of fewer).
fn gathered(values: &[u64], days_a_bar: usize) -> Vec<u64> {
    let sum = |days: &[u64]| days.iter().fold(0u64, |sum, value| sum.saturating_add(*value));
    values.chunks(days_a_bar).map(sum).collect()
}

/// What a bar has on one line, counted from below. Whatever is not nothing is seen.
fn bar_at(bar: u64, highest: u64, line: u64, blocks: bool, bar_columns: usize) -> String {
    let steps = if blocks { 8 } else { 1 };
    let full = u128::from(HEIGHT * steps);
    let (bar, highest) = (u128::from(bar), u128::from(highest.max(1)));
    let top = ((2 * bar * full + highest) / (2 * highest)).max(u128::from(bar > 0));
    let here = top.saturating_sub(u128::from(line * steps)).min(u128::from(steps)) as usize;
    let letter = match (blocks, here) {
        (true, eighths) => EIGHTHS[eighths],
        (false, 0) => ' ',
        (false, _) => '#',
    };
    // Bars that have room stand apart.
    let gap = usize::from(bar_columns > 1);
    letter.to_string().repeat(bar_columns - gap) + &" ".repeat(gap)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn drawn(values: &[u64], columns: usize, blocks: bool) -> String {
        let label = |value: u64| value.to_string();
        Plot { values, what: "requests", label: &label }.draw(columns, blocks)
    }

    #[test]
    fn bars_are_as_high_as_their_numbers() {
        insta::assert_snapshot!(drawn(&[0, 1, 10, 20, 47, 48, 24, 0, 12], 60, true), @r"
        requests a day
         48 │            ▇▇ ██
            │            ██ ██
            │            ██ ██
            │         ▄▄ ██ ██ ██
            │      ▂▂ ██ ██ ██ ██    ▄▄
            │   ▁▁ ██ ██ ██ ██ ██    ██
        ");
        insta::assert_snapshot!(drawn(&[0, 1, 10, 20, 47, 48, 24, 0, 12], 60, false), @r"
        requests a day
         48 |            ## ##
            |            ## ##
            |            ## ##
            |         ## ## ## ##
            |         ## ## ## ##    ##
            |   ## ## ## ## ## ##    ##
        ");
    }

    #[test]
    fn many_days_share_a_bar() {
        assert_eq!(gathered(&[1; 10], 3), [3, 3, 3, 1]);
        assert_eq!(gathered(&[1; 4], 1), [1; 4]);
        assert!(drawn(&[1; 100], 55, false).starts_with("requests in 2 days each\n"));
        assert_eq!(gathered(&[], 4), [0; 0]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn whatever_the_numbers_it_fits(
            values in proptest::collection::vec(any::<u64>(), 0..800),
            columns in 30..200usize,
            blocks in any::<bool>(),
        ) {
            let plot = drawn(&values, columns, blocks);
            prop_assert!(plot.lines().all(|line| line.chars().count() <= columns), "{plot}");
            prop_assert!(plot.lines().all(|line| !line.ends_with(' ')), "{plot:?}");
            prop_assert!(blocks || plot.is_ascii(), "{plot}");
        }

        #[test]
        fn what_is_not_nothing_is_seen(small in 1..5u64, large in 1_000_000..u64::MAX) {
            let lowest = drawn(&[small, 0, large], 60, true).lines().nth(HEIGHT as usize).map(str::to_owned);
            let lowest = lowest.expect("the lowest line");
            prop_assert!(lowest.contains("│▁▁ ") && lowest.ends_with('█'), "{lowest}");
        }
    }
}
