//! Comparison of two samples by the Mann-Whitney U test.
//!
//! In: what was measured of the baseline and of the canary. Out: how often the canary is above the baseline, and how
//! probable that is without a difference. It must not decide: limits on both numbers are the condition's.
//!
//! The method is the textbook's: ranks with mid-ranks for ties; the exact distribution of U for small samples without
//! ties, else the normal approximation with tie and continuity correction.

/// Largest product of the two sizes for which the distribution is counted out: the table has one number for each value
/// of U. Above, with no sample below [`FEW`] points, the approximation is good to the third digit.
pub const MAX_EXACT: usize = 400;
/// A sample that is so small is counted out whatever the size of the other one, up to [`MAX_EXACT_FEW`].
const FEW: usize = 8;
/// Largest product of the sizes when one sample is small.
const MAX_EXACT_FEW: usize = 8_000;

/// Which difference is looked for, seen from the canary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alternative {
    /// The canary tends to larger values.
    Greater,
    /// The canary tends to smaller values.
    Less,
    /// Either.
    TwoSided,
}

impl Alternative {
    /// The words of conditions.
    pub const WORDS: [&'static str; 3] = ["greater", "less", "two-sided"];

    /// Reads a word of [`Self::WORDS`].
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        match word {
            "greater" => Some(Self::Greater),
            "less" => Some(Self::Less),
            "two-sided" => Some(Self::TwoSided),
            _ => None,
        }
    }
}

/// What came out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Comparison {
    /// Pairs of a canary's and a baseline's value in which the canary's is larger; ties count half.
    pub u: f64,
    /// Probability of a difference at least so large when there is none, from 0 to 1.
    pub p: f64,
    /// Cliff's delta, also called rank-biserial correlation: share of pairs in which the canary is larger less the share
    /// in which it is smaller, from -1 to 1.
    pub delta: f64,
    /// Share of pairs in which the canary is larger, ties counting half: the common-language effect, from 0 to 1.
    pub probability: f64,
    /// Delta in the direction that was asked for: its negative for `Less`, its size for `TwoSided`.
    pub effect: f64,
    /// Whether `p` was counted out and not approximated.
    pub exact: bool,
}

/// Why two samples cannot be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// One has nothing in it.
    #[error("the {0} sample is empty")]
    Empty(Sample),
    /// One has a value that has no rank.
    #[error("the {0} sample has a NaN in it: leave such points out of the query")]
    NotANumber(Sample),
}

/// One of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sample {
    /// What it is compared with.
    Baseline,
    /// What is judged.
    Canary,
}

impl std::fmt::Display for Sample {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Baseline => "baseline",
            Self::Canary => "canary",
        })
    }
}

/// Compares two samples.
pub fn compare(
    baseline: &[f64],
    canary: &[f64],
    alternative: Alternative,
) -> Result<Comparison, Error> {
    for (sample, values) in [(Sample::Baseline, baseline), (Sample::Canary, canary)] {
        if values.is_empty() {
            return Err(Error::Empty(sample));
        }
        if values.iter().any(|value| value.is_nan()) {
            return Err(Error::NotANumber(sample));
        }
    }
    let ranked = rank(baseline, canary);
    let pairs = count(baseline.len()) * count(canary.len());
    let probability = ranked.u / pairs;
    let delta = 2.0 * probability - 1.0;
    let exact = ranked.ties == 0.0 && is_small(baseline.len(), canary.len());
    let upper = |u: f64| {
        if exact {
            counted(u, baseline.len(), canary.len())
        } else {
            approximated(u, baseline.len(), canary.len(), ranked.ties)
        }
    };
    let (other, p) = (pairs - ranked.u, alternative);
    let p = match p {
        Alternative::Greater => upper(ranked.u),
        Alternative::Less => upper(other),
        Alternative::TwoSided => 2.0 * upper(ranked.u.max(other)),
    };
    let effect = match alternative {
        Alternative::Greater => delta,
        Alternative::Less => -delta,
        Alternative::TwoSided => delta.abs(),
    };
    Ok(Comparison {
        u: ranked.u,
        p: p.clamp(0.0, 1.0),
        delta,
        probability,
        effect,
        exact,
    })
}

/// Sizes are far below 2^53, so nothing is lost.
#[allow(clippy::cast_precision_loss)]
fn count(size: usize) -> f64 {
    size as f64
}

fn is_small(baseline: usize, canary: usize) -> bool {
    let pairs = baseline.saturating_mul(canary);
    pairs <= MAX_EXACT || (baseline.min(canary) <= FEW && pairs <= MAX_EXACT_FEW)
}

struct Ranked {
    /// U of the canary.
    u: f64,
    /// Sum of t³ - t over groups of t equal values.
    ties: f64,
}

fn rank(baseline: &[f64], canary: &[f64]) -> Ranked {
    let mut all: Vec<(f64, bool)> = baseline.iter().map(|value| (*value, false)).collect();
    all.extend(canary.iter().map(|value| (*value, true)));
    // Zero has one rank, whatever its sign.
    all.sort_by(|(one, _), (other, _)| (one + 0.0).total_cmp(&(other + 0.0)));
    let (mut sum, mut ties, mut before) = (0.0, 0.0, 0.0);
    for group in all.chunk_by(|(one, _), (other, _)| one == other) {
        let size = count(group.len());
        let own = count(group.iter().filter(|(_, canary)| *canary).count());
        // The mean of the ranks before + 1 to before + size.
        sum += own * (before + (size + 1.0) / 2.0);
        ties += size * size * size - size;
        before += size;
    }
    let own = count(canary.len());
    Ranked {
        u: sum - own * (own + 1.0) / 2.0,
        ties,
    }
}

/// Probability of at least `u` without ties and without a difference, from the number of orders that have each U: the
/// coefficients of the Gaussian binomial of the sizes.
fn counted(u: f64, baseline: usize, canary: usize) -> f64 {
    let (few, many) = (baseline.min(canary), baseline.max(canary));
    let top = few.saturating_mul(many);
    let mut orders = vec![0.0; top.saturating_add(1)];
    if let Some(first) = orders.first_mut() {
        *first = 1.0;
    }
    // Each of the smaller sample's values adds up to `many` to U: multiply by (1 - x^(many+k)) / (1 - x^k). Dividing by
    // the number of orders so far keeps every number a probability.
    for k in 1..=few {
        let far = many.saturating_add(k);
        for at in (far..=top).rev() {
            let less = orders.get(at.saturating_sub(far)).copied().unwrap_or(0.0);
            if let Some(slot) = orders.get_mut(at) {
                *slot -= less;
            }
        }
        for at in k..=top {
            let more = orders.get(at.saturating_sub(k)).copied().unwrap_or(0.0);
            if let Some(slot) = orders.get_mut(at) {
                *slot += more;
            }
        }
        let share = count(k) / count(far);
        orders.iter_mut().for_each(|slot| *slot *= share);
    }
    // The distribution is symmetric: the shorter tail has the smaller sum of errors.
    let total = count(top);
    let tail = |least: f64| -> f64 {
        let reached = orders.iter().enumerate();
        reached
            .filter(|(at, _)| count(*at) <= total - least)
            .map(|(_, share)| *share)
            .sum()
    };
    if u * 2.0 > total {
        tail(u)
    } else {
        1.0 - tail(total - u + 1.0)
    }
}

/// The same by the normal distribution.
fn approximated(u: f64, baseline: usize, canary: usize, ties: f64) -> f64 {
    let (few, many) = (count(baseline), count(canary));
    let all = few + many;
    let variance = few * many / 12.0 * (all + 1.0 - ties / (all * (all - 1.0)));
    if variance <= 0.0 {
        // All values are equal: there is no evidence of anything.
        return 1.0;
    }
    let z = (u - few * many / 2.0 - 0.5) / variance.sqrt();
    0.5 * libm::erfc(z / std::f64::consts::SQRT_2)
}

#[cfg(test)]
mod tests;
