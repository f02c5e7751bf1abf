//! YAML as it is written.

use serde_json::json;

use super::render;

#[test]
fn writes_blocks_with_sorted_keys() {
    let value = json!({
        "b": [{"y": 1, "x": [1, [2, 3]]}, "plain", "needs: quotes", {}, []],
        "a": {"empty": {}, "none": [], "yes": "no", "number": "1", "path": ".spec.x", "half": ".5", "flag": true, "": null},
    });
    let text = "\
a:
  \"\": null
  empty: {}
  flag: true
  half: \".5\"
  none: []
  number: \"1\"
  path: .spec.x
  \"yes\": \"no\"
b:
- x:
  - 1
  - - 2
    - 3
  \"y\": 1
- plain
- \"needs: quotes\"
- {}
- []
";
    assert_eq!(render(&value), text);
}
