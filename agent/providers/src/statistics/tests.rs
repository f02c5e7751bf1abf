//! The test against a table of known results, and what must hold for all samples. In: two samples. Out: U, p and effect.
//! The numbers of the table were computed by another implementation.

use proptest::prelude::*;

use super::*;

/// How far p may be off, in parts of itself.
const CLOSE: f64 = 1e-9;

/// U of the canary, and p for greater, less and two-sided.
fn check(baseline: &[f64], canary: &[f64], exact: bool, u: f64, p: [f64; 3]) {
    let all = [
        Alternative::Greater,
        Alternative::Less,
        Alternative::TwoSided,
    ];
    for (alternative, p) in all.into_iter().zip(p) {
        let found = compare(baseline, canary, alternative).unwrap();
        assert_eq!(found.u, u, "{baseline:?} {canary:?}");
        assert_eq!(found.exact, exact, "{baseline:?} {canary:?}");
        assert!(
            (found.p - p).abs() <= CLOSE * p,
            "{baseline:?} {canary:?} {alternative:?}: {} is not {p}",
            found.p
        );
        let pairs = (baseline.len() * canary.len()) as f64;
        assert!((found.probability - u / pairs).abs() < CLOSE);
        assert!((found.delta - (2.0 * u / pairs - 1.0)).abs() < CLOSE);
    }
}

#[test]
fn known_results() {
    let mut rows = 0;
    for line in include_str!("known.tsv").lines() {
        if line.starts_with('#') {
            continue;
        }
        let [baseline, canary, exact, u, greater, less, either] =
            line.split('\t').collect::<Vec<_>>()[..]
        else {
            panic!("{line}");
        };
        let p = [greater, less, either].map(|text| text.parse().unwrap());
        let (baseline, canary) = (numbers(baseline), numbers(canary));
        check(&baseline, &canary, exact == "true", u.parse().unwrap(), p);
        rows += 1;
    }
    assert!(rows >= 20, "only {rows}");
}

/// `1 2 3`, or `0.5+1.5*20` for 20 numbers from 0.5, 1.5 apart.
fn numbers(text: &str) -> Vec<f64> {
    let Some((from, rest)) = text.split_once('+') else {
        return text.split(' ').map(|one| one.parse().unwrap()).collect();
    };
    let (step, count) = rest.split_once('*').unwrap();
    let (from, step): (f64, f64) = (from.parse().unwrap(), step.parse().unwrap());
    (0..count.parse().unwrap())
        .map(|at: i32| from + step * f64::from(at))
        .collect()
}

#[test]
fn what_has_no_rank_is_refused() {
    let refused = |baseline: &[f64], canary: &[f64], error: Error| {
        assert_eq!(
            compare(baseline, canary, Alternative::Greater),
            Err(error),
            "{baseline:?} {canary:?}"
        );
    };
    refused(&[], &[1.0], Error::Empty(Sample::Baseline));
    refused(&[1.0], &[], Error::Empty(Sample::Canary));
    refused(&[f64::NAN], &[1.0], Error::NotANumber(Sample::Baseline));
    refused(&[1.0], &[1.0, f64::NAN], Error::NotANumber(Sample::Canary));
    let infinite = compare(&[1.0, 2.0], &[3.0, f64::INFINITY], Alternative::Greater).unwrap();
    assert_eq!(infinite.delta, 1.0);
    let zeros = compare(&[0.0], &[-0.0], Alternative::TwoSided).unwrap();
    assert_eq!((zeros.u, zeros.p), (0.5, 1.0));
}

/// Whole numbers give ties, others hardly any.
fn sample() -> impl Strategy<Value = Vec<f64>> {
    prop_oneof![
        prop::collection::vec((-20i32..20).prop_map(f64::from), 1..40),
        prop::collection::vec(-1e3..1e3, 1..40),
    ]
}

fn near(one: f64, other: f64) -> bool {
    (one - other).abs() <= CLOSE
}

proptest! {
    #[test]
    fn both_are_seen_from_either_side(a in sample(), b in sample()) {
        let forth = compare(&a, &b, Alternative::Greater).unwrap();
        let back = compare(&b, &a, Alternative::Less).unwrap();
        prop_assert!(near(forth.p, back.p) && near(forth.delta, -back.delta));
        prop_assert!(near(forth.effect, back.effect));
        let either = compare(&a, &b, Alternative::TwoSided).unwrap();
        let swapped = compare(&b, &a, Alternative::TwoSided).unwrap();
        prop_assert!(near(either.p, swapped.p) && near(either.effect, swapped.effect));
        let less = compare(&a, &b, Alternative::Less).unwrap();
        prop_assert!(near(either.p, (2.0 * forth.p.min(less.p)).min(1.0)));
    }

    #[test]
    fn only_the_order_counts(a in sample(), b in sample(), shift in -50i32..50) {
        let before = compare(&a, &b, Alternative::Greater).unwrap();
        let rise = |values: &[f64]| -> Vec<f64> {
            values.iter().map(|value| (value / 100.0).exp() * 8.0 + f64::from(shift)).collect()
        };
        let after = compare(&rise(&a), &rise(&b), Alternative::Greater).unwrap();
        prop_assert!(near(before.u, after.u) && near(before.p, after.p));
        let turn = |values: &[f64]| -> Vec<f64> { values.iter().map(|value| -value).collect() };
        let turned = compare(&turn(&a), &turn(&b), Alternative::Less).unwrap();
        prop_assert!(near(before.p, turned.p) && near(before.effect, turned.effect));
    }

    #[test]
    fn the_order_within_a_sample_does_not_count(a in sample(), b in sample()) {
        let before = compare(&a, &b, Alternative::TwoSided).unwrap();
        let (mut other, mut another) = (a.clone(), b.clone());
        other.reverse();
        another.rotate_left(b.len() / 2);
        prop_assert_eq!(before, compare(&other, &another, Alternative::TwoSided).unwrap());
    }

    #[test]
    fn u_counts_pairs_and_p_is_a_probability(a in sample(), b in sample()) {
        let found = compare(&a, &b, Alternative::Greater).unwrap();
        let mut pairs = 0.0;
        for x in &a {
            for y in &b {
                pairs += if y > x { 1.0 } else if y == x { 0.5 } else { 0.0 };
            }
        }
        prop_assert!(near(found.u, pairs));
        prop_assert!((0.0..=1.0).contains(&found.p) && (-1.0..=1.0).contains(&found.delta));
        let higher: Vec<f64> = b.iter().map(|value| value + 1.0).collect();
        let more = compare(&a, &higher, Alternative::Greater).unwrap();
        prop_assert!(more.exact != found.exact || more.p <= found.p + 0.05);
        prop_assert!(more.u >= found.u);
    }
}
