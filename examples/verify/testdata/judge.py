"""For the tests: judges the tokens on standard input, one after the other, with the verifier of the example and the clock they say."""

import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "python"))
from verify import verifier  # noqa: E402

data = json.load(sys.stdin)
now = data["now"]


def make(case):
    own = {name: case[name] for name in ("keys", "purposes") if name in case}
    common = {"issuer": data["iss"], "audience": data["aud"], "typ": data["typ"], "leeway": data["leeway"], "jwks": data["jwks_at"]}
    return verifier(**{"keys": [data["key"]], **common, **own}, now=lambda: now)


ordinary = make({})
results = []
for case in data["cases"]:
    now = data["now"] + case.get("later", 0)
    verify = make(case) if "keys" in case or "purposes" in case else ordinary
    try:
        results.append({"name": case["name"], "ok": True, "claims": verify(case["token"])})
    except Exception as e:  # of the verifier or of a library: either way a refusal
        results.append({"name": case["name"], "ok": False, "error": f"{type(e).__name__}: {e}"})
json.dump(results, sys.stdout)
