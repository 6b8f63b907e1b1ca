"""Verifies Email-Link-Assertion in Python with jwcrypto. Copy verify() into your app; the rest is the test's."""

import json
import sys

from jwcrypto import jwe, jwk, jws

MAX_INPUT = 8192
MAX_LIFETIME = 300


class Refused(Exception):
    pass


def strict_json(data):
    """Reads JSON in which no member stands twice."""

    def members(pairs):
        if len({name for name, _ in pairs}) != len(pairs):
            raise Refused("duplicate member")
        return dict(pairs)

    return json.loads(data.decode("utf-8"), object_pairs_hook=members)


def verify(token, *, format, algorithm, key, keys, issuer, audience, type, leeway, now):
    """Returns the claims of an assertion, or raises.

    key is the audience's key (caddy email-link keys audience <name>) or a private key for ECDH-ES+A256KW; keys is the
    JWKSet of https://app.example.com/email-link/jwks.json.
    """
    if len(token) > MAX_INPUT:
        raise Refused("too large")
    signed = token
    if format == "jwe":
        if token.count(".") != 4:
            raise Refused("form")
        outer = jwe.JWE(algs=[algorithm, "A256GCM"])
        outer.deserialize(token)
        header = outer.jose_header
        if set(header) - {"alg", "enc", "typ", "cty", "kid", "epk"}:  # before decrypting: no zip
            raise Refused("header")
        if header.get("typ") != type or header.get("cty") != "JWT":
            raise Refused("typ")
        outer.decrypt(key)
        signed = outer.payload.decode("ascii")
    if signed.count(".") != 2:
        raise Refused("form")
    inner = jws.JWS()
    inner.allowed_algs = ["EdDSA"]
    inner.deserialize(signed)
    header = inner.jose_header
    if set(header) - {"alg", "typ", "kid"} or header.get("typ") != type:
        raise Refused("header")
    public = keys.get_key(header.get("kid")) if header.get("kid") else None
    if public is None:
        raise Refused("unknown key")
    inner.verify(public)

    claims = strict_json(inner.payload)
    for name in ("iat", "nbf", "exp"):
        if not isinstance(claims.get(name), int) or isinstance(claims[name], bool):
            raise Refused(name)
    for name in ("iss", "aud", "sub", "jti"):
        if not isinstance(claims.get(name), str) or not claims[name]:
            raise Refused(name)
    if claims["iss"] != issuer or claims["aud"] != audience:
        raise Refused("iss or aud")
    first = min(claims["iat"], claims["nbf"])
    if claims["exp"] <= max(claims["iat"], claims["nbf"]) or claims["exp"] - first > MAX_LIFETIME:
        raise Refused("lifetime")
    if now >= claims["exp"] + leeway or now + leeway < max(claims["iat"], claims["nbf"]):
        raise Refused("expired or not yet valid")
    return claims


def main():
    data = json.load(sys.stdin)
    secret = jwk.JWK(kty="oct", k=data["key"])
    keys = jwk.JWKSet.from_json(json.dumps(data["jwks"]))
    results = []
    for case in data["cases"]:
        result = {"name": case["name"], "ok": True}
        try:
            result["claims"] = verify(
                case["token"],
                format=case["format"],
                algorithm=case["algorithm"],
                key=secret if case["algorithm"] == "A256KW" else jwk.JWK(**data["private_key"]),
                keys=keys,
                issuer=data["iss"],
                audience=data["aud"],
                type=data["typ"],
                leeway=data["leeway"],
                now=data["now"],
            )
        except Exception as e:  # whatever a library raises is a refusal
            result["ok"] = False
            result["error"] = f"{type(e).__name__}: {e}"
        results.append(result)
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
