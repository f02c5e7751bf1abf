//! The page of a release that waits for an approval, letter for letter.
use super::*;

const PLAIN: Look = Look {
    output: Output::Table,
    colour: false,
    width: None,
};

fn waiting() -> Release {
    let target = |cluster: &str, state: &str, step, message: &str| Target {
        cluster: cluster.to_owned(),
        state: state.to_owned(),
        message: message.to_owned(),
        step,
        steps: 4,
        connected: true,
        ..Target::default()
    };
    let reason = Reason {
        code: "WaitingForApproval".to_owned(),
        message: "1 approval of sre is missing".to_owned(),
        next: "groundswell approve checkout#2 --wave europe --comment TEXT".to_owned(),
    };
    let canary = Wave {
        name: "canary".to_owned(),
        number: 1,
        phase: "Passed".to_owned(),
        targets: vec![target("staging", "Succeeded", 4, "served")],
        ..Wave::default()
    };
    let europe = Wave {
        name: "europe".to_owned(),
        number: 2,
        phase: "WaitingForApproval".to_owned(),
        targets: vec![target("prod-eu", "Held", 0, "")],
        reasons: vec![reason],
        approvals_required: 1,
        approval_groups: vec!["sre".to_owned()],
        images: vec!["proxy:eu".to_owned(), "shop:v2".to_owned()],
        stage: "Before".to_owned(),
        ..Wave::default()
    };
    Release {
        name: "checkout#2".to_owned(),
        phase: "Progressing".to_owned(),
        plan_digest: "v1:0123456789abcdef".to_owned(),
        images: vec!["shop:v2".to_owned()],
        opened_at: Some(prost_types::Timestamp {
            seconds: 0,
            nanos: 0,
        }),
        waves: vec![canary, europe],
        ..Release::default()
    }
}

#[test]
fn the_page_says_what_waits_for_what_and_what_to_do() {
    let expected = "\
checkout#2  Progressing
  revision  unknown
  images    shop:v2
  and       proxy:eu in wave europe
  plan      v1:0123456789ab
  opened    1970-01-01T00:00:00Z

WAVE  NAME    PHASE               CLUSTER  STATE      STEP  LINK  WAITS FOR
1     canary  Passed              staging  Succeeded  4/4   yes   served
2     europe  WaitingForApproval  prod-eu  Held       -     yes   1 approval of sre is missing

next:
  groundswell approve checkout#2 --wave europe --comment TEXT
";
    assert_eq!(page(PLAIN, &waiting()), expected);
}

#[test]
fn the_exit_status_tells_failure_from_waiting() {
    assert_eq!(code(&waiting()), NEEDS_APPROVAL);
    assert_eq!(
        code(&Release {
            phase: "RolledBack".to_owned(),
            ..waiting()
        }),
        DEGRADED
    );
    assert_eq!(
        code(&Release {
            phase: "Succeeded".to_owned(),
            waves: Vec::new(),
            ..waiting()
        }),
        0
    );
}
