"""Independent writer of digests.json: run it by hand when the form changes, never to make a test pass."""
import hashlib
import json
import os

HASH_LABEL = "rollouts-pod-template-hash"
ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


def drop(value):
    if isinstance(value, dict):
        kept = {key: drop(item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item is not None and item != {} and item != []}
    if isinstance(value, list):
        return [drop(item) for item in value]
    return value


def canonical(value):
    return json.dumps(drop(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(value):
    return "v1:" + hashlib.sha256(canonical(value).encode()).hexdigest()


def fnv(text):
    state = 0x811C9DC5
    for byte in text.encode():
        state = ((state ^ byte) * 0x01000193) % 2**32
    return "".join(ALPHABET[ord(letter) % len(ALPHABET)] for letter in str(state))


def without_label(template):
    template = json.loads(json.dumps(template))
    (template.get("metadata", {}).get("labels") or {}).pop(HASH_LABEL, None)
    return template


small = {"metadata": {"labels": {"app": "shop"}}, "spec": {"containers": [{"name": "main", "image": "shop:v1"}]}}
blank = {
    "metadata": {"creationTimestamp": None, "labels": {"app": "shop"}, "annotations": {}},
    "spec": {"containers": [{"image": "shop:v1", "name": "main", "resources": {}, "env": []}], "volumes": []},
}
hashed = {
    "metadata": {"labels": {"app": "shop", HASH_LABEL: "abcd"}},
    "spec": {"containers": [{"name": "main", "image": "shop:v1"}]},
}
unknown = {
    "metadata": {"labels": {"app": "shop"}},
    "spec": {"containers": [{"name": "main", "image": "shop:v1", "ports": [{"containerPort": 80, "new": {"a": [1, None, {}]}}]}]},
}
text = {
    "metadata": {"labels": {"app": "shöp"}, "annotations": {"note": "a \"quote\", a \\ and a / slash"}},
    "spec": {"containers": [{"name": "main", "image": "shop:v1", "args": ["--x=1", "", "ünï"]}], "terminationGracePeriodSeconds": 0, "hostNetwork": False},
}
contents = [("small", small), ("blank fields", blank), ("hash label", hashed), ("unknown field", unknown), ("text", text)]
steps = {"canary": {"steps": [{"setWeight": 20}, {"pause": {}}, {"analysis": {"templates": [{"templateName": "rate"}]}}]}}
rate = {"metrics": [{"name": "rate", "interval": "5s", "count": 3, "provider": {"prometheus": {"query": "up"}}}]}
other = {"metrics": [{"name": "other", "provider": {"prometheus": {"query": "down"}}}]}
deliveries = [("steps", steps, []), ("steps and template", steps, [["rate", rate]]), ("two templates", steps, [["rate", rate], ["other", other]])]

vectors = {
    "content": [
        {
            "name": name,
            "template": template,
            "digest": digest(without_label(template)),
            "podHash": fnv(canonical(without_label(template))),
            "podHashAfterCollision": fnv(canonical(without_label(template)) + "1"),
        }
        for name, template in contents
    ],
    "delivery": [
        {"name": name, "strategy": strategy, "templates": templates, "digest": digest({"strategy": strategy, "templates": dict(templates)})}
        for name, strategy, templates in deliveries
    ],
}
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "digests.json"), "w") as file:
    json.dump(vectors, file, indent=1, ensure_ascii=False)
    file.write("\n")
