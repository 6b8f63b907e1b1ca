// For the tests: judges the tokens on standard input, one after the other, with the verifier of the example and the clock they say.
import { readFileSync } from "node:fs";
import { verifier } from "../node/verify.mjs";

const input = JSON.parse(readFileSync(0, "utf8"));
let now = input.now * 1000;
const common = { issuer: input.iss, audience: input.aud, type: input.typ, leeway: input.leeway, jwks: input.jwks_at, keys: [input.key], now: () => now };
const ordinary = verifier(common);
const results = [];
for (const { name, token, later = 0, ...own } of input.cases) {
  now = (input.now + later) * 1000;
  await (own.keys || own.purposes ? verifier({ ...common, ...own }) : ordinary)(token).then(
    (claims) => results.push({ name, ok: true, claims }),
    (e) => results.push({ name, ok: false, error: `${e.name}: ${e.message}` }),
  );
}
process.stdout.write(JSON.stringify(results));
