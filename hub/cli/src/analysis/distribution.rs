//! How values are spread, and where thresholds lie among them. In: numbers, a condition. Out: quantiles and shares. It must not
//! judge.

/// How values are spread; NaN is counted and left out.
#[derive(Debug, Clone, PartialEq)]
pub struct Distribution {
    sorted: Vec<f64>,
    /// Values that are no numbers.
    pub not_a_number: usize,
}

/// The quantiles that are shown.
pub const SHOWN: [(&str, f64); 5] = [
    ("min", 0.0),
    ("p50", 0.5),
    ("p90", 0.9),
    ("p99", 0.99),
    ("max", 1.0),
];

impl Distribution {
    /// Of these.
    pub fn new(numbers: impl Iterator<Item = f64>) -> Self {
        let (mut sorted, nan): (Vec<f64>, Vec<f64>) = numbers.partition(|number| !number.is_nan());
        sorted.sort_by(f64::total_cmp);
        Self {
            sorted,
            not_a_number: nan.len(),
        }
    }

    /// How many numbers there are.
    pub fn count(&self) -> usize {
        self.sorted.len()
    }

    /// The smallest value that at least this share of all is not above.
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss
    )]
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let rank = (share * self.sorted.len() as f64).ceil() as usize;
        self.sorted.get(rank.saturating_sub(1)).copied()
    }

    /// Which share of all is below this.
    #[allow(clippy::cast_precision_loss)]
    pub fn below(&self, limit: f64) -> Option<f64> {
        if self.sorted.is_empty() {
            return None;
        }
        let below = self.sorted.partition_point(|number| *number < limit);
        Some(below as f64 / self.sorted.len() as f64)
    }
}

/// Functions that only read the value as a number.
const READS: [&str; 4] = ["", "asFloat", "asInt", "default"];

/// Whether a condition's text ends with the value itself, or an element of it: not with its length or a sum.
fn ends_with_value(text: &str) -> bool {
    let text = text.trim_end();
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '#';
    let (before, last) = match text.char_indices().next_back() {
        Some((_, ']')) => (text.rfind('['), ']'),
        Some((_, ')')) => (opening(text), ')'),
        Some(_) => (Some(text.len()), ' '),
        None => return false,
    };
    let Some(head) = before.and_then(|at| text.get(..at)) else {
        return false;
    };
    let start = head.trim_end_matches(is_word).len();
    let word = head.get(start..).unwrap_or_default();
    if last != ')' {
        return word == "result" || word == "#";
    }
    let inner = text.get(head.len()..).unwrap_or_default();
    let inner = inner.trim_start_matches('(').trim_end_matches(')');
    let first = inner.split(',').next().unwrap_or_default();
    READS.contains(&word) && ends_with_value(first)
}

/// Where the bracket begins that a text ends with.
fn opening(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices().rev() {
        match c {
            ')' => depth = depth.saturating_add(1),
            '(' => depth = depth.saturating_sub(1),
            _ => continue,
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

/// Numbers that a condition compares the value with: those right after `<`, `<=`, `>` or `>=`, each once.
pub fn thresholds(condition: &str) -> Vec<f64> {
    let mut found = Vec::new();
    for (at, _) in condition.match_indices(['<', '>']) {
        let (left, rest) = condition.split_at_checked(at).unwrap_or_default();
        if !ends_with_value(left) {
            continue;
        }
        let rest = rest.trim_start_matches(['<', '>', '=']).trim_start();
        let end = rest
            .find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '-' | 'e' | '_')))
            .unwrap_or(rest.len());
        let number = rest.get(..end).unwrap_or_default().replace('_', "");
        if let Ok(number) = number.parse::<f64>()
            && !found.contains(&number)
        {
            found.push(number);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_and_shares() {
        let values = Distribution::new((1..=100).rev().map(f64::from).chain([f64::NAN]));
        assert_eq!((values.count(), values.not_a_number), (100, 1));
        let shown = SHOWN.map(|(_, share)| values.quantile(share).unwrap());
        assert_eq!(shown, [1.0, 50.0, 90.0, 99.0, 100.0]);
        assert_eq!(values.below(90.5), Some(0.9));
        assert_eq!(
            (values.below(0.0), values.below(1e9)),
            (Some(0.0), Some(1.0))
        );
        let empty = Distribution::new([f64::NAN].into_iter());
        assert_eq!((empty.quantile(0.5), empty.below(1.0)), (None, None));
    }

    #[test]
    fn numbers_in_conditions() {
        for (condition, found) in [
            ("result[0] < 0.3", vec![0.3]),
            ("result[0]>=-1e-3 and len(result) > 0", vec![-0.001]),
            ("len(result) > 0 && result[0] < 0.95", vec![0.95]),
            (
                "max(result) > 3 or sum(result) > 4 or len(result)>1",
                vec![],
            ),
            (
                "asFloat(result.p) < 2 and default(result[0], 0) > 1",
                vec![1.0],
            ),
            ("result > 7", vec![7.0]),
            ("all(result, # <= 1_000) || result[0] <= 1000", vec![1000.0]),
            ("result[0] == 5", vec![]),
            ("result[0] > result[1]", vec![]),
        ] {
            assert_eq!(thresholds(condition), found, "{condition}");
        }
    }
}
