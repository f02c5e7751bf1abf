//! Templates as data. In: a template. Out: what it finds in one document, or the words of its error.

use super::*;

const DOCUMENT: &str = r#"{
  "kind": "List",
  "ok": true, "none": null, "rate": 0.95, "empty": [],
  "items": [
    {"name": "a", "size": 1, "labels": {"example.com/zone": "x", "b c": 1}, "on": true},
    {"name": "b", "size": 2.5, "tags": ["t1", "t2"]},
    {"name": "c", "size": 3, "on": false}
  ]
}"#;

/// `Ok` is the list of values as JSON, `Err` a part of the message.
fn check(path: &str, expected: Result<&str, &str>) {
    let document: Value = serde_json::from_str(DOCUMENT).unwrap();
    let parsed = JsonPath::parse(path);
    let found = parsed.as_ref().map_err(Clone::clone).and_then(|path| {
        let found = path.find(&document)?;
        Ok(serde_json::to_string(&found).unwrap())
    });
    match (found, expected) {
        (Ok(found), Ok(values)) => assert_eq!(found, format!("[{values}]"), "{path}"),
        (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{path}: {error}"),
        (found, expected) => panic!("{path}: {found:?}, not {expected:?}"),
    }
}

#[test]
fn paths() {
    for path in [
        "{$.kind}",
        "{.kind}",
        "{ .kind }",
        "{@.kind}",
        "{['kind']}",
        "{$['kind']}",
        "{$.['kind']}",
        "{[\"kind\"]}",
    ] {
        check(path, Ok("\"List\""));
    }
    check("{$.rate}", Ok("0.95"));
    check("{$.ok}", Ok("true"));
    check("{$.none}", Ok("null"));
    check("{$.items[0].name}", Ok("\"a\""));
    check("{.items[-1].name}", Ok("\"c\""));
    check("{.items[*].name}", Ok("\"a\",\"b\",\"c\""));
    check("{.items[:].name}", Ok("\"a\",\"b\",\"c\""));
    check("{.items[0:2].name}", Ok("\"a\",\"b\""));
    check("{.items[1:].name}", Ok("\"b\",\"c\""));
    check("{.items[:-1].name}", Ok("\"a\",\"b\""));
    check("{.items[-2:].name}", Ok("\"b\",\"c\""));
    check("{.items[0:3:2].name}", Ok("\"a\",\"c\""));
    check("{.items[0,2].name}", Ok("\"a\",\"c\""));
    check("{.items[1]['name', 'size']}", Ok("\"b\",2.5"));
    check("{.items[1].tags.*}", Ok("\"t1\",\"t2\""));
    check(r"{.items[0].labels.example\.com/zone}", Ok("\"x\""));
    check(r"{.items[0].labels['example\.com/zone']}", Ok("\"x\""));
    check("{.empty[*]}", Ok(""));
    check("{.empty[*].x}", Ok(""));
    check("{.items[*].tags}", Ok("[\"t1\",\"t2\"]"));
    check("{.none[0]}", Ok(""));
}

#[test]
fn recursion_and_ranges() {
    check("{..name}", Ok("\"a\",\"b\",\"c\""));
    check("{$..tags[0]}", Ok("\"t1\""));
    check("{.items[*]..on}", Ok("true,false"));
    check("{range .items[*]}{.name}{end}", Ok("\"a\",\"b\",\"c\""));
    check(
        "{range .items[*]}{.name}{\"\\n\"}{end}{.ok}",
        Ok("\"a\",\"\\n\",\"b\",\"\\n\",\"c\",\"\\n\",true"),
    );
    check(
        "{range .items[1]}{range .tags[*]}[{@}]{end}{end}",
        Ok("\"[\",\"t1\",\"]\",\"[\",\"t2\",\"]\""),
    );
    check("{range .empty[*]}{.x}{end}", Ok(""));
    check("n={.ok}", Ok("\"n=\",true"));
}

#[test]
fn filters() {
    check("{.items[?(@.name=='b')].size}", Ok("2.5"));
    check("{.items[?(@.name == \"b\")].size}", Ok("2.5"));
    check("{.items[?(@.name=='a)]b')].size}", Ok(""));
    check("{.items[?(@.size>1)].name}", Ok("\"b\",\"c\""));
    check("{.items[?(@.size>=2.5)].name}", Ok("\"b\",\"c\""));
    check("{.items[?(@.size<2)].name}", Ok("\"a\""));
    check("{.items[?(@.size<=1)].name}", Ok("\"a\""));
    check("{.items[?(@.name!='b')].name}", Ok("\"a\",\"c\""));
    check("{.items[?(@.on)].name}", Ok("\"a\",\"c\""));
    check("{.items[?(@.tags[0])].name}", Ok("\"b\""));
    check("{.items[0:1][?(@.on==true)].name}", Err("needs a list"));
    check("{.items[?(@.on==true)].name}", Err("\"on\" is not found"));
    check("{.items[?(@.size==-1)].name}", Ok(""));
    check(
        "{.items[?(@.name==1)].name}",
        Err("cannot compare a text with a number"),
    );
    check("{.kind[?(@.x)]}", Err("needs a list"));
}

#[test]
fn what_is_not_there() {
    check("{.nothing}", Err("\"nothing\" is not found"));
    check("{.kind.x}", Err("\"x\" is not found"));
    check("{.none.x}", Err("\"x\" is not found"));
    check("{..nothing}", Err("\"nothing\" is not found"));
    check(
        "{.items[3]}",
        Err("index 3 is out of bounds: the list in the answer has 3"),
    );
    check("{.items[-4]}", Err("index -4 is out of bounds"));
    check("{.empty[0]}", Err("out of bounds"));
    check("{.items[0:4]}", Err("out of bounds"));
    check("{.items[2:1]}", Err("forward"));
    check("{.items[0:2:0]}", Err("forward"));
    check("{.kind[0]}", Err("a text where"));
}

#[test]
fn what_cannot_be_read() {
    for path in [
        "",
        "$.a",
        "{",
        "{.a",
        "{.a[}",
        "{.a[0}",
        "{.a[x]}",
        "{.a[]}",
        "{.a[1:2:3:4]}",
        "{.}",
        "{...a}",
        "{....}",
        "{.a[?(@.b==1]}",
        "{.a[?(@.b==1)}",
        "{.a[?(@.b=1)]}",
        "{.a[?(==1)]}",
        "{.a[?(@.b==)]}",
        "{word}",
        "{.a['b]}",
        "{end}",
        "{range .a[*]}",
        "{range .a[*]}{end",
        "{'x}",
        "{.a\\",
        "{*}",
        "{-}",
    ] {
        check(path, Err("cannot be read"));
    }
    check(&format!("{{{}}}", ".a".repeat(3000)), Err("too long"));
    check(&"{range .a}".repeat(40), Err("too deep"));
}

#[test]
fn work_is_bounded() {
    let wide: Value =
        serde_json::from_str(&format!("[{}]", vec!["[[1]]"; 2000].join(","))).unwrap();
    let path = JsonPath::parse("{..[*]..[*]..[*]..[*]..[*]}").unwrap();
    let found = path.find(&wide);
    assert!(found.is_ok() || found == Err(Error::TooMany), "{found:?}");
    let deep: Value =
        serde_json::from_str(&format!("{}1{}", "[".repeat(100), "]".repeat(100))).unwrap();
    let path = JsonPath::parse("{..[*]..[*]..[*]..[*]..[*]..[*]}").unwrap();
    assert_eq!(path.find(&deep), Err(Error::TooMany));
}
