// An app in Node behind the gate: it greets whoever the assertion names, and refuses everybody else.
//   EMAIL_LINK_KEY=$(caddy email-link keys audience app.example.com) node app.mjs
import { createServer } from "node:http";
import { verifier } from "./verify.mjs";

const origin = process.env.ORIGIN ?? "https://app.example.com"; // where people find the app, as in base_url
const verify = verifier({
  issuer: origin,
  audience: new URL(origin).host, // unless the gate's Caddyfile names another
  type: "email-link+jwt",
  keys: [process.env.EMAIL_LINK_KEY],
  jwks: process.env.EMAIL_LINK_JWKS ?? `${origin}/email-link/jwks.json`,
});

createServer(async (req, res) => {
  res.setHeader("Content-Type", "text/plain; charset=utf-8");
  const who = await verify(req.headers["email-link-assertion"]).catch((e) => console.warn(e.message));
  if (!who) return res.writeHead(401).end("No valid assertion\n");
  res.end(`Hello ${who.email}\n`); // who.sub is the key of your own records: an address may change
}).listen(process.env.PORT ?? 3000, "127.0.0.1");
