//! Samples in, a Markdown table out. A figure that is no figure must never be printed.

/// What one load measured: a list of samples per contestant, the same round at the same place.
pub struct Row {
    pub load: String,
    pub samples: Vec<Vec<f64>>,
}

/// A table of medians, each with its ratio to the contestant at `against`; and, last, of the ratio `extra.1` / `extra.2`
/// under the heading `extra.0`.
pub fn render(names: &[&str], against: usize, extra: Option<(&str, usize, usize)>, rows: &[Row]) -> String {
    let mut cells = vec![vec!["requests/s".to_string()]];
    let others = || (0..names.len()).filter(|index| *index != against);
    cells[0].push(names[against].into());
    cells[0].extend(others().flat_map(|index| [names[index].into(), "ratio".into()]));
    cells[0].extend(extra.map(|(heading, ..)| heading.to_string()));
    for row in rows {
        let mut line = vec![row.load.clone(), thousands(median(&row.samples[against]))];
        let compared = |one: usize, other: usize| ratio(&row.samples[one], &row.samples[other]);
        line.extend(others().flat_map(|index| [thousands(median(&row.samples[index])), compared(index, against)]));
        line.extend(extra.map(|(_, one, other)| compared(one, other)));
        assert_eq!(line.len(), cells[0].len(), "a column is missing: {line:?}");
        cells.push(line);
    }
    let rule =
        std::iter::once("---").chain(std::iter::repeat_n("---:", cells[0].len() - 1)).map(String::from).collect();
    cells.insert(1, rule);
    cells.iter().map(|line| format!("| {} |\n", line.join(" | "))).collect()
}

pub fn median(samples: &[f64]) -> f64 {
    assert!(!samples.is_empty() && samples.iter().all(|sample| sample.is_finite() && *sample > 0.0), "{samples:?}");
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    (sorted[(sorted.len() - 1) / 2] + sorted[sorted.len() / 2]) / 2.0
}

/// The median of the ratios within each round, and between which bounds they lie.
fn ratio(one: &[f64], other: &[f64]) -> String {
    assert_eq!(one.len(), other.len(), "every round measures everybody");
    let ratios: Vec<f64> = one.iter().zip(other).map(|(one, other)| one / other).collect();
    let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
    let most = ratios.iter().copied().fold(0.0, f64::max);
    format!("**{:.2}** ({least:.2}–{most:.2})", median(&ratios))
}

/// `123,456`
pub fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).expect("digits")).collect();
    groups.join(",")
}
