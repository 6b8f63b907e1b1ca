"""Verifies Email-Link-Assertion in Python with jwcrypto (Debian: python3-jwcrypto). Copy this file into your app."""
import base64, contextlib, hashlib, json, re, threading, time, urllib.request
from jwcrypto import jwe, jwk
from jwcrypto.common import base64url_decode, base64url_encode
REQUIRED = {"iss": str, "aud": str, "sub": str, "jti": str, "iat": int, "nbf": int, "exp": int}
OPTIONAL = dict.fromkeys("sid email name scope purpose state".split(), str) | {"email_verified": bool, "auth_time": int, "amr": list, "roles": list}
class NoRedirect(urllib.request.HTTPRedirectHandler): redirect_request = lambda *_: None
def demand(value, what):
    if value: return value
    raise PermissionError("assertion refused: " + what)
def split(token, n):  # strict base64url: the decoder alone skips what does not belong there
    parts = [base64url_decode(p) for p in token.split(".")]
    return demand(len(parts) == n and ".".join(map(base64url_encode, parts)) == token and parts, "form")
def nesting(v): return isinstance(v, (dict, list)) and 1 + max(map(nesting, v.values() if isinstance(v, dict) else v), default=0)
def read(data):  # strict JSON: no member twice, whole numbers only, not nested too deep
    members = lambda pairs: demand(len(dict(pairs)) == len(pairs), "duplicate member") and dict(pairs)
    o = json.loads(data.decode(), object_pairs_hook=members, parse_float={}.pop, parse_constant={}.pop)
    return demand(isinstance(o, dict) and nesting(o) <= 8 and o, "JSON")
def opener(key):  # (kid, key) of a secret as base64, base64url or hex, or of a private JWK
    if isinstance(key, str):
        secret = bytes.fromhex(key) if len(key) == 64 else base64.b64decode(key.replace("-", "+").replace("_", "/") + "==")
        key, name = {"kty": "oct", "k": base64url_encode(secret)}, b"email-link audience key\0" + secret
    else:
        name = base64.b64decode("".join(jwk.JWK(**key).export_to_pem().decode().splitlines()[1:-1]))
    return base64url_encode(hashlib.sha256(name).digest())[:3], jwk.JWK(**key)
def load(jwks):  # from https, from this machine, else from a file
    url = re.match(r"https:|http://(localhost|127\.0\.0\.1|\[::1\])[:/]", jwks)
    with urllib.request.build_opener(NoRedirect).open(jwks, timeout=5) if url else open(jwks, "rb") as f:
        return {k["kid"]: jwk.JWK(**k) for k in json.load(f)["keys"] if k["crv"] == "Ed25519"}
# verifier returns a function that turns a token into its claims, or raises. issuer: the site's origin; audience: the app's name; typ: of the
# token; keys: the audience's, [] for format jws; jwks: URL or file, read again after five minutes, for a new kid after one. purposes: of the
# hand-overs that are accepted, and nothing else is; with none only sign-ins are: a hand-over is no sign-in.
def verifier(*, issuer, audience, typ, keys, jwks, purposes=(), leeway=10, now=time.time):
    openers, wanted, known, lock = dict(map(opener, keys)), set(purposes) or {""}, {"asked": float("-inf"), "keys": {}}, threading.Lock()
    def verify(token):
        demand(len(token) <= 8192, "size")
        if openers:
            header, _, nonce, _, _ = split(token, 5)
            h, sealed = read(header), jwe.JWE(algs=["A256KW", "ECDH-ES+A256KW", "A256GCM"])
            key = demand(openers.get(h.get("kid")), "kid")
            wrap = {"alg": "A256KW"} if key["kty"] == "oct" else {"alg": "ECDH-ES+A256KW", "epk": h.get("epk")}
            demand(h == wrap | {"enc": "A256GCM", "typ": typ, "cty": "JWT", "kid": h["kid"]} and len(nonce) == 12, "header")
            sealed.deserialize(token, key)
            token = sealed.payload.decode()
        header, payload, signature = split(token, 3)
        h = read(header)
        demand(set(h) == {"alg", "typ", "kid"} and h["typ"] == typ and h["alg"] in ("EdDSA", "Ed25519"), "header")
        with lock, contextlib.suppress(OSError, ValueError):  # the keys at hand stay good
            if abs(now() - known["asked"]) >= (300 if h["kid"] in known["keys"] else 60):
                known["asked"] = now()
                known["keys"] = load(jwks)
        demand(known["keys"].get(h["kid"]), "kid").get_op_key("verify").verify(signature, token.rpartition(".")[0].encode())
        c = read(payload)
        demand(all(type(c.get(n)) is t and c[n] for n, t in REQUIRED.items()), "claims")
        demand(all(n not in c or type(c[n]) is t for n, t in OPTIONAL.items()) and all(type(s) is str for s in c.get("amr", []) + c.get("roles", [])), "claims")
        demand(c["iss"] == issuer and c["aud"] == audience and c.get("purpose", "") in wanted, "iss, aud or purpose")
        first, last = sorted((c["iat"], c["nbf"]))
        demand(c["exp"] > last and c["exp"] - first <= 300 and last - leeway <= now() < c["exp"] + leeway, "times")
        return c
    return verify
