// Verifies Email-Link-Assertion in Node with npm jose. Copy verify() into your app; the rest is the test's.
import { compactDecrypt, createLocalJWKSet, importJWK, jwtVerify } from "jose";
import { webcrypto } from "node:crypto";
import { readFileSync } from "node:fs";

globalThis.crypto ??= webcrypto; // Node 18 has it, but not where jose looks; later ones need no such line

// verify returns the claims of an assertion, or throws.
//   key:  the audience's key, 32 bytes (caddy email-link keys audience <name>), or a private key for ECDH-ES+A256KW
//   jwks: createRemoteJWKSet(new URL("https://app.example.com/email-link/jwks.json")) in an app
export async function verify(token, { format, algorithm, key, jwks, issuer, audience, type, leeway, now }) {
  if (token.length > 8192) throw new Error("too large");
  let signed = token;
  if (format === "jwe") {
    const { plaintext, protectedHeader } = await compactDecrypt(token, key, {
      keyManagementAlgorithms: [algorithm],
      contentEncryptionAlgorithms: ["A256GCM"],
    });
    if (protectedHeader.typ !== type || protectedHeader.cty !== "JWT" || "zip" in protectedHeader) throw new Error("header");
    signed = new TextDecoder("utf-8", { fatal: true }).decode(plaintext);
  }
  const { payload, protectedHeader } = await jwtVerify(signed, jwks, {
    algorithms: ["EdDSA", "Ed25519"],
    typ: type,
    issuer,
    audience,
    requiredClaims: ["exp", "nbf", "iat", "sub", "jti"],
    maxTokenAge: 300,
    clockTolerance: leeway,
    currentDate: now,
  });
  // jose compares typ as a media type; here it is exactly this word.
  if (protectedHeader.typ !== type) throw new Error("typ");
  for (const name of ["jwk", "jku", "x5u", "x5c"]) if (name in protectedHeader) throw new Error("key material");
  if (typeof payload.sub !== "string") throw new Error("sub");
  if (payload.exp - payload.iat > 300) throw new Error("lifetime");
  return payload;
}

const input = JSON.parse(readFileSync(0, "utf8"));
const secret = Buffer.from(input.key, "base64url");
const jwks = createLocalJWKSet(input.jwks);
const results = [];
for (const c of input.cases) {
  const result = { name: c.name, ok: true };
  try {
    result.claims = await verify(c.token, {
      format: c.format,
      algorithm: c.algorithm,
      key: c.algorithm === "A256KW" ? secret : await importJWK(input.private_key, c.algorithm),
      jwks,
      issuer: input.iss,
      audience: input.aud,
      type: input.typ,
      leeway: input.leeway,
      now: new Date(input.now * 1000),
    });
  } catch (e) {
    result.ok = false;
    result.error = `${e.name}: ${e.message}`;
  }
  results.push(result);
}
process.stdout.write(JSON.stringify(results));
