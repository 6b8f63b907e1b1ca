// Everything on this machine, for a look: the gate, this app with SQLite, and mails that become files. Run it by `node demo.js`.
import { spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { resolve } from "node:path";

const port = Number(process.env.PORT ?? 8080);
const origin = `http://localhost:${port}`;
const dir = resolve(process.env.DIR ?? "../../build/express");
for (const one of [port, port + 1]) {
  await new Promise((free) => {
    const taken = () => {
      console.error(`port ${one} is taken: stop what listens there, or take others: PORT=9080 node demo.js`);
      process.exit(1);
    };
    const probe = createServer().once("error", taken).listen(one, "127.0.0.1", () => probe.close(free));
  });
}
const caddy = process.env.CADDY ?? `${dir}/caddy`; // a Caddy with the gate in it, or one that is built here
mkdirSync(dir, { recursive: true });
if (!process.env.CADDY) console.log("Building Caddy with the gate; the first time takes a few minutes.");
if (!process.env.CADDY && spawnSync("go", ["build", "-o", caddy, "../../cmd/caddy"], { stdio: "inherit" }).status !== 0) process.exit(1);

const config = [
  ["{\n", "{\n\tadmin off\n\tlog {\n\t\tlevel WARN\n\t}\n"],
  ["https://app.example.com", origin],
  ["\napp.example.com {", `\n${origin} {`],
  ["mailer smtp mail.example.com:587 mailer {env.SMTP_PASSWORD}", `mailer file ${dir}/mails`],
  ["localhost:3000", `127.0.0.1:${port + 1}`],
].reduce((text, [from, to]) => text.replace(from, to), readFileSync("Caddyfile", "utf8"));
writeFileSync(`${dir}/Caddyfile`, config);

const env = {
  ...process.env,
  XDG_DATA_HOME: `${dir}/data`,
  XDG_CONFIG_HOME: `${dir}/config`,
  ORIGIN: origin,
  PORT: port + 1,
  DATABASE: `${dir}/app.sqlite`,
  SESSION_SECRET: randomBytes(32).toString("hex"),
  EMAIL_LINK_KEY: randomBytes(32).toString("hex"),
  EMAIL_LINK_SIGN_KEY: randomBytes(32).toString("hex"),
};
const children = [
  spawn(caddy, ["run", "--config", `${dir}/Caddyfile`, "--adapter", "caddyfile"], { env, stdio: ["ignore", "ignore", "inherit"] }),
  spawn(process.execPath, ["app.js"], { env, stdio: "inherit" }),
];
const stop = () => children.forEach((child) => child.kill());
for (const child of children) child.on("exit", stop);
process.on("SIGINT", stop).on("SIGTERM", stop);
console.log(`
  Open      ${origin} and sign up with any address
  Mails     ${dir}/mails; no mail leaves this machine
  Without   http://localhost:${port + 1} is the app without its gate: ask for a mail there
  Stop      Ctrl-C; from zero again: rm -rf ${dir}
`);
