//! Numbers and percentages.

use super::{Error, IntOrString};

#[test]
fn resolves_as_pods_are_counted() {
    // value, total, rounded up, rounded down
    let cases: [(&str, i32, i32, i32); 12] = [
        ("25%", 5, 2, 1),
        ("25%", 4, 1, 1),
        ("25%", 1, 1, 0),
        ("25%", 0, 0, 0),
        ("0%", 10, 0, 0),
        ("100%", 7, 7, 7),
        ("150%", 3, 5, 4),
        ("1%", 1000, 10, 10),
        ("33%", 100, 33, 33),
        ("3", 10, 3, 3),
        ("0", 10, 0, 0),
        ("100%", i32::MAX, i32::MAX, i32::MAX),
    ];
    for (text, total, up, down) in cases {
        let value = IntOrString::from(text);
        assert_eq!(
            (value.resolve_up(total), value.resolve_down(total)),
            (Ok(up), Ok(down)),
            "{text} of {total}"
        );
    }
}

#[test]
fn refuses_what_is_no_amount() {
    for text in ["", "%", "a%", "ten", "1.5", "25 %", "{{args.n}}"] {
        let value = IntOrString::from(text);
        assert_eq!(
            value.resolve_up(10),
            Err(Error::NotANumber(text.to_owned())),
            "{text:?}"
        );
    }
    assert_eq!(
        IntOrString::Int(-1).resolve_up(10),
        Err(Error::Negative("-1".to_owned()))
    );
    assert_eq!(
        IntOrString::from("-5%").resolve_up(10),
        Err(Error::Negative("-5%".to_owned()))
    );
}

#[test]
fn keeps_its_form_in_json() {
    for json in ["3", "\"3\"", "\"25%\"", "-1"] {
        let value: IntOrString = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&value).unwrap(), json);
    }
}
