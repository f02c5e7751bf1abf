//! FleetRollouts that come after others. In: documents. Out: unknown names and circles. It must not look at releases: what
//! a release waits for is `reconcile`.

use std::collections::BTreeSet;

use crate::document::{FleetRollout, Problem};
use crate::name::FleetRolloutName;

/// What is wrong with `after` of one document beside all of them, itself included.
#[must_use]
pub fn problems(document: &FleetRollout, all: &[FleetRollout]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (index, name) in document.after.iter().enumerate() {
        let path = format!("spec.after[{index}]");
        let mut problem = |message: String| {
            problems.push(Problem {
                path: path.clone(),
                line: 0,
                message,
            });
        };
        if !all.iter().any(|other| &other.name == name) {
            problem(format!(
                "there is no FleetRollout {name}; apply it first, or in the same file"
            ));
        } else if let Some(circle) = circle(document, name, all) {
            let names: Vec<&str> = circle.iter().map(|name| name.as_str()).collect();
            problem(format!(
                "each would wait for the other: {}; leave one of them out",
                names.join(" after ")
            ));
        }
    }
    problems
}

/// The way from the document over `name` back to itself.
fn circle<'a>(
    document: &'a FleetRollout,
    name: &'a FleetRolloutName,
    all: &'a [FleetRollout],
) -> Option<Vec<&'a FleetRolloutName>> {
    let mut seen: BTreeSet<&FleetRolloutName> = BTreeSet::new();
    let mut ways = vec![vec![&document.name, name]];
    while let Some(way) = ways.pop() {
        let last = way.last().copied()?;
        if *last == document.name {
            return Some(way);
        }
        if !seen.insert(last) {
            continue;
        }
        let next = all.iter().filter(|other| other.name == *last);
        for after in next.flat_map(|other| &other.after) {
            let mut longer = way.clone();
            longer.push(after);
            ways.push(longer);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::problems;
    use crate::document::FleetRollout;

    fn all(text: &str) -> Vec<FleetRollout> {
        let one = |line: &str| {
            let (name, after) = line.split_once(':').unwrap();
            let text = format!(
                "apiVersion: fleet.groundswell.dev/v1alpha1\nkind: FleetRollout\nmetadata: {{name: {name}}}\nspec:\n  \
                 rollout: {{namespace: shop, name: {name}}}\n  enforcement: Enforce\n  after: [{after}]\n  waves: [{{name: all}}]\n"
            );
            crate::parse(&text).unwrap().remove(0).fleet_rollout
        };
        text.split_whitespace().map(one).collect()
    }

    #[test]
    fn circles_are_named_and_names_are_known() {
        let check = |text: &str, expected: &[&str]| {
            let all = all(text);
            let found: Vec<String> = problems(&all[0], &all)
                .into_iter()
                .map(|problem| format!("{}: {}", problem.path, problem.message))
                .collect();
            assert_eq!(found, expected, "{text}");
        };
        check("a:b b:", &[]);
        check("a:b,c b:d c:d d:", &[]);
        check(
            "a:x",
            &["spec.after[0]: there is no FleetRollout x; apply it first, or in the same file"],
        );
        check(
            "a:a",
            &["spec.after[0]: each would wait for the other: a after a; leave one of them out"],
        );
        check(
            "a:d,b b:c c:a d:",
            &[
                "spec.after[1]: each would wait for the other: a after b after c after a; leave one of them out",
            ],
        );
        // A circle that the document only looks at is the others' problem.
        check("a:b b:c c:b", &[]);
    }
}
