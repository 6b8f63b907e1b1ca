// Verifies Email-Link-Assertion in Node with npm jose. Copy this file into your app.
import { compactDecrypt, compactVerify, importJWK } from "jose";
import { createHash, createPrivateKey, createPublicKey, createSecretKey, webcrypto } from "node:crypto";
import { readFile } from "node:fs/promises";
globalThis.crypto ??= webcrypto; // Node 18 has it, but not where jose looks
const demand = (value, what) => { if (value) return value; throw new Error(`assertion refused: ${what}`); };
const strict = (part) => Buffer.from(part, "base64url").toString("base64url") === part; // Buffer alone skips what does not belong there
const split = (token, n, parts = token.split(".")) => demand(parts.length === n && parts.every(strict) && parts, "form");
const date = Number.isInteger, text = (v) => typeof v === "string", texts = (v) => Array.isArray(v) && v.every(text);
const claims = Object.entries({ iss: text, aud: text, sub: text, jti: text, iat: date, nbf: date, exp: date, // these seven are required
  sid: text, email: text, email_verified: (v) => v === !!v, auth_time: date, amr: texts, name: text, roles: texts, scope: text, purpose: text, state: text });
function object(part) { // strict JSON: JSON.parse alone takes the last of two members of one name
  const json = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Buffer.from(part, "base64url"));
  const bare = json.replace(/"(?:[^"\\]|\\.)*"/g, '""'); // without what its strings say
  let members = -1; // the function is called for the whole as well
  const o = JSON.parse(json, function (_, v) { members += !Array.isArray(this); return v; });
  demand(bare[0] === "{" && members === (bare.match(/""\s*:/g) ?? []).length, "duplicate member");
  return demand(!/\d[.eE]|-|\d{13}|(?:[[{][^[\]{}]*){9}/.test(bare) && o, "number or nesting");
}
function opener(key) { // [kid, what opens it] of a secret as base64, base64url or hex, or of a private JWK
  const k = key.kty ? createPrivateKey({ key, format: "jwk" }) : createSecretKey(key, key.length === 64 ? "hex" : "base64");
  const id = key.kty ? createPublicKey(k).export({ format: "der", type: "spki" }) : Buffer.concat([Buffer.from("email-link audience key\0"), k.export()]);
  return [createHash("sha256").update(id).digest("base64url").slice(0, 3), { key: k, wrap: key.kty ? "ECDH-ES+A256KW" : "A256KW" }];
}
async function load(jwks) { // from https, from this machine, else from a file
  const url = /^https:|^http:\/\/(localhost|127\.0\.0\.1|\[::1\])[:/]/.test(jwks);
  const set = url ? await (await fetch(jwks, { redirect: "error", signal: AbortSignal.timeout(5000) })).json() : JSON.parse(await readFile(jwks));
  const keys = set.keys.filter((k) => k.crv === "Ed25519").map(async (k) => [k.kid, await importJWK({ ...k, alg: "EdDSA" })]);
  return new Map(await Promise.all(keys));
}
// verifier returns an async function that turns a token into its claims, or throws. issuer: the site's origin; audience: the app's name;
// keys: the audience's, [] for format jws; jwks: URL or file, read again after five minutes, for a new kid after one. purposes: of the
// hand-overs that are accepted, and nothing else is; with none only sign-ins are: a hand-over is no sign-in.
export function verifier({ issuer, audience, type, keys, jwks, purposes = [], leeway = 10, now = Date.now }) {
  if (!issuer || !audience || !type || !keys || !jwks) throw new Error("issuer, audience, type, keys and jwks are required");
  const openers = new Map(keys.map(opener)), wanted = new Set(purposes.length ? purposes : [""]);
  let signers = new Map(), loading, asked = -Infinity;
  return async function verify(token) {
    demand(text(token) && token.length <= 8192, "size");
    let jws = token;
    if (openers.size) {
      const { alg, cty, enc, epk, kid, typ, ...rest } = object(split(token, 5)[0]), { key, wrap } = demand(openers.get(kid), "kid");
      demand(alg === wrap && typ === type && cty === "JWT" && !(epk && key.type === "secret") && !Object.keys(rest).length, "header");
      jws = String(Buffer.from((await compactDecrypt(token, key, { keyManagementAlgorithms: [wrap], contentEncryptionAlgorithms: ["A256GCM"] })).plaintext));
    }
    const [header, payload] = split(jws, 3), { alg, kid, typ, ...rest } = object(header);
    demand(typ === type && !Object.keys(rest).length, "header");
    if (Math.abs(now() - asked) >= (signers.has(kid) ? 300_000 : 60_000)) {
      asked = now();
      (loading = load(jwks).then((found) => { signers = found; })).catch(() => {}); // the keys at hand stay good
    }
    if (!signers.has(kid)) await loading;
    await compactVerify(jws, demand(signers.get(kid), "kid"), { algorithms: ["EdDSA", "Ed25519"] });
    const c = object(payload), time = now() / 1000, first = Math.min(c.iat, c.nbf), last = Math.max(c.iat, c.nbf);
    demand(claims.every(([name, is], i) => (c[name] === undefined ? i > 6 : is(c[name]) && (c[name] !== "" || i > 6))), "claims");
    demand(c.iss === issuer && c.aud === audience && wanted.has(c.purpose ?? ""), "iss, aud or purpose");
    demand(c.exp > last && c.exp - first <= 300 && time < c.exp + leeway && time + leeway >= last, "times");
    return c;
  };
}
