// Tests of email-link.js by themselves, with a gate's keys and no gate: npm test.
import assert from "node:assert/strict";
import { createHash, createSecretKey, randomBytes, randomUUID } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { CompactEncrypt, SignJWT, decodeProtectedHeader, exportJWK, generateKeyPair, jwtVerify } from "jose";

const origin = "https://app.example.com", audience = "app.example.com";
const key = randomBytes(32), signKey = randomBytes(32), older = randomBytes(32);
const dir = mkdtempSync(join(tmpdir(), "email-link-"));
after(() => rmSync(dir, { recursive: true }));

// kid is what a key for sealing is known by.
const kid = (secret) => createHash("sha256").update("email-link audience key\0").update(secret).digest("base64url").slice(0, 3);

let gate, stranger, proof, start;
before(async () => {
  gate = await generateKeyPair("EdDSA", { crv: "Ed25519", extractable: true });
  stranger = await generateKeyPair("EdDSA", { crv: "Ed25519" });
  const jwks = join(dir, "jwks.json");
  writeFileSync(jwks, JSON.stringify({ keys: [{ ...(await exportJWK(gate.publicKey)), kid: "abc", alg: "EdDSA", use: "sig" }] }));
  Object.assign(process.env, {
    ORIGIN: origin,
    EMAIL_LINK_KEY: `${key.toString("base64url")} ${older.toString("hex")}`,
    EMAIL_LINK_SIGN_KEY: signKey.toString("hex"),
    EMAIL_LINK_JWKS: jwks,
  });
  delete process.env.EMAIL_LINK_AUDIENCE;
  ({ proof, start } = await import("./email-link.js"));
});

// said is what a gate says of a link; a claim that is undefined is left out.
function said(more) {
  const now = Math.floor(Date.now() / 1000);
  return {
    iss: origin, aud: audience, sub: "user 7", iat: now, nbf: now, exp: now + 60, jti: randomUUID(),
    email: "ada@example.com", purpose: "reset", state: "3", ...more,
  };
}

// token is what the gate would send, unless it is made otherwise.
async function token(claims, { by = gate.privateKey, to = key, typ = "email-link+jwt" } = {}) {
  const jws = await new SignJWT(claims).setProtectedHeader({ alg: "EdDSA", typ, kid: "abc" }).sign(by);
  const header = { alg: "A256KW", enc: "A256GCM", typ, cty: "JWT", kid: kid(to) };
  return new CompactEncrypt(Buffer.from(jws)).setProtectedHeader(header).encrypt(createSecretKey(to));
}

const request = (assertion) => ({ headers: assertion === undefined ? {} : { "email-link-assertion": assertion } });

// answered sends one request to a server whose answer is start's.
async function answered(claims) {
  const server = createServer((_, res) => start(res, claims)).listen(0, "127.0.0.1");
  try {
    await new Promise((up) => server.once("listening", up));
    return await fetch(`http://127.0.0.1:${server.address().port}/`, { method: "POST" }).then(async (res) => ({ res, text: await res.text() }));
  } finally {
    server.close();
    server.closeAllConnections?.(); // of Node 18.2
  }
}

test("start says what the app says, and that the gate is missing where nobody takes it", async () => {
  const claims = { purpose: "reset", email: "ada@example.com", sub: "user 7", state: "3", continue: "/password" };
  const { res, text } = await answered(claims);
  assert.equal(res.status, 424);
  assert.equal(res.headers.get("content-type"), "text/plain; charset=utf-8");
  assert.match(text, /^The mail gate is missing: .* no mail was sent\.\n$/);
  assert.doesNotMatch(text, /ada|user 7/);

  const header = res.headers.get("email-link-start");
  assert.deepEqual(decodeProtectedHeader(header), { alg: "HS256", typ: "email-link-start+jwt" });
  const { payload } = await jwtVerify(header, signKey, { algorithms: ["HS256"], issuer: audience, audience: origin });
  const { iss, aud, iat, exp, jti, ...rest } = payload;
  assert.deepEqual(rest, claims);
  assert.equal(exp, iat + 60);
  assert.ok(Math.abs(iat - Date.now() / 1000) < 60);
  await assert.rejects(jwtVerify(header, key), "the key that opens what the gate says signs nothing");

  const again = await answered(claims);
  assert.notEqual((await jwtVerify(again.res.headers.get("email-link-start"), signKey)).payload.jti, jti);
});

test("start lets no claim of the app take the place of its own", async () => {
  const { res } = await answered({ purpose: "reset", email: "ada@example.com", known: false, iss: "eve", aud: "eve", iat: 1, exp: 2, jti: "old" });
  const { payload } = await jwtVerify(res.headers.get("email-link-start"), signKey, { issuer: audience, audience: origin });
  assert.equal(payload.known, false);
  assert.notEqual(payload.jti, "old");
});

test("proof returns what the gate says of a link", async () => {
  for (const purpose of ["activation", "sign_in", "reset"]) {
    const claims = said({ purpose });
    assert.deepEqual(await proof(request(await token(claims))), claims);
  }
  assert.equal((await proof(request(await token(said(), { to: older })))).sub, "user 7", "during a rotation both keys open");
});

test("proof is the same for each request until the app is done, so the jti is what to act once for", async () => {
  const assertion = await token(said());
  const first = await proof(request(assertion)), second = await proof(request(assertion));
  assert.equal(first.jti, second.jti);
});

test("without the gate there is no proof", async () => {
  assert.equal(await proof(request()), undefined);
  assert.equal(await proof(request("")), undefined);
});

test("proof throws for everything else", async () => {
  const now = Math.floor(Date.now() / 1000), good = await token(said());
  const cases = {
    "no token": "ada@example.com",
    "two of them": `${good}, ${good}`,
    "another key": await token(said(), { to: randomBytes(32) }),
    "not the gate's signature": await token(said(), { by: stranger.privateKey }),
    "a sign-in": await token(said({ purpose: undefined, state: undefined })),
    "a purpose that is not asked for": await token(said({ purpose: "email_change" })),
    "another kind of token": await token(said(), { typ: "email-link-event+jwt" }),
    "another site": await token(said({ iss: "https://other.example.com" })),
    "another app": await token(said({ aud: "other.example.com" })),
    "over": await token(said({ iat: now - 120, nbf: now - 120, exp: now - 60 })),
    "not yet good": await token(said({ iat: now + 60, nbf: now + 60, exp: now + 120 })),
    "for longer than any is good": await token(said({ exp: now + 3600 })),
    "without an end": await token(said({ exp: undefined })),
    "without a jti": await token(said({ jti: undefined })),
    "a byte more": `${good}A`,
    "a start of the app itself": (await answered(said())).res.headers.get("email-link-start"),
  };
  for (const [what, assertion] of Object.entries(cases)) {
    await assert.rejects(proof(request(assertion)), Error, what);
  }
});

test("without its settings email-link.js says what it needs", async () => {
  for (const name of ["ORIGIN", "EMAIL_LINK_KEY", "EMAIL_LINK_SIGN_KEY"]) {
    const value = process.env[name];
    delete process.env[name];
    await assert.rejects(import(`./email-link.js?without=${name}`), /ORIGIN, EMAIL_LINK_KEY and EMAIL_LINK_SIGN_KEY/);
    process.env[name] = value;
  }
});
