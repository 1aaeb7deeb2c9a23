//! Down-sampling: from reports to what happened in each step of time, and from steps to longer ones. Pure.

use super::codec::{Reading, Report, Step};

/// What happened in each step of `step_ticks` in which there was a report. Reports are by time.
pub(super) fn steps(reports: &[Report], step_ticks: u32) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for (ticks, reading) in reports {
        let range = match reading {
            Reading::Number(number) => Some((*number, *number, *number)),
            Reading::Word(_) => None,
        };
        join(&mut steps, Step { index: ticks / step_ticks, count: 1, last: reading.clone(), range });
    }
    steps
}

/// Adds a step behind the others, or to the last one if it is the same.
pub(super) fn join(steps: &mut Vec<Step>, step: Step) {
    let Some(last) = steps.last_mut().filter(|last| last.index == step.index) else {
        steps.push(step);
        return;
    };
    let count = last.count.saturating_add(step.count);
    last.range = match (last.range, step.range) {
        (Some((min, mean, max)), Some((also_min, also_mean, also_max))) => {
            // Without the sum, which might be too large for a number.
            let weight = f64::from(step.count) / f64::from(count.max(1));
            Some((min.min(also_min), mean * (1.0 - weight) + also_mean * weight, max.max(also_max)))
        }
        _ => None,
    };
    (last.count, last.last) = (count, step.last);
}
