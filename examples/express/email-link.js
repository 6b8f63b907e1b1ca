// Has the gate in front of this app mail its links. Copy this file and verify.mjs into your app; they need npm jose and nothing else.
//
// Without the gate in front, whoever asks for a mail reads that it is missing.
import { SignJWT } from "jose";
import { createSecretKey, randomUUID } from "node:crypto";
import { verifier } from "./verify.mjs";

// ORIGIN is where people find the app, as in the gate's base_url. The keys are those of the gate's Caddyfile, or what
// `caddy email-link keys audience <name>` prints, without and with --sign. The name is the origin's host unless the Caddyfile has another.
const { ORIGIN: origin, EMAIL_LINK_KEY: key, EMAIL_LINK_SIGN_KEY: signKey } = process.env;
if (!origin || !key || !signKey) throw new Error("email-link.js needs ORIGIN, EMAIL_LINK_KEY and EMAIL_LINK_SIGN_KEY");
const audience = process.env.EMAIL_LINK_AUDIENCE ?? new URL(origin).host;
const signing = createSecretKey(signKey, /^[0-9a-f]{64}$/i.test(signKey) ? "hex" : "base64");
const jwks = process.env.EMAIL_LINK_JWKS ?? `${origin}/email-link/jwks.json`;
const purposes = ["activation", "sign_in", "reset"]; // of links that the app asked for: whoever is signed in at the gate is no proof
const verify = verifier({ issuer: origin, audience, type: "email-link+jwt", keys: key.split(" "), jwks, purposes });

// start answers a POST: the gate mails a link to an address and shows "check your mail" in the app's place. claims:
//   purpose   "activation", "sign_in" or "reset". Whoever asks sees it: choose it by the form, never by what you know of the address
//   email     where the mail goes
//   sub, state, continue   come back in the proof, at the path `continue` of this app
//   known     false where the app has no user for the address: the mail says so, and leads nowhere
//   locale    the language of the mail, if not the browser's
export async function start(res, claims) {
  const now = Math.floor(Date.now() / 1000);
  const said = { ...claims, iss: audience, aud: origin, iat: now, exp: now + 60, jti: randomUUID() };
  const token = await new SignJWT(said).setProtectedHeader({ alg: "HS256", typ: "email-link-start+jwt" }).sign(signing);
  res.statusCode = 424; // the gate answers in its place
  res.setHeader("Email-Link-Start", token);
  res.setHeader("Content-Type", "text/plain; charset=utf-8");
  res.end("The mail gate is missing: this app was reached without it, and no mail was sent.\n");
}

// proof returns what the gate says of the link that led to this request: purpose, email, sub and state as they were in start, and one jti. It
// returns undefined where there is none, and throws for a forgery, and for whoever is signed in at the gate and has opened no such link.
// Every request to `continue` brings it for 15 minutes, or until an answer says Email-Link-Done: <jti>. So act once for each jti, and
// compare state.
export async function proof(req) {
  const token = req.headers["email-link-assertion"];
  return token ? verify(token) : undefined;
}
