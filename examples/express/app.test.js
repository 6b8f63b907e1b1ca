// Tests of the app past its gate, with SQLite: what it does in its database when somebody asks, and what a proof is good for: npm test.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

const dir = mkdtempSync(join(tmpdir(), "email-link-"));
let address, server, User, db, once, standing;
before(async () => {
  Object.assign(process.env, {
    ORIGIN: "http://localhost:1",
    PORT: "0",
    DATABASE: join(dir, "app.sqlite"),
    SESSION_SECRET: "of this test",
    EMAIL_LINK_KEY: "0123456789abcdef".repeat(4),
    EMAIL_LINK_SIGN_KEY: "fedcba9876543210".repeat(4),
  });
  delete process.env.EMAIL_LINK_AUDIENCE;
  // The app is a program and exports nothing: this finds its server, and lets the test end while its sessions are still looked after.
  const { listen } = Server.prototype, every = globalThis.setInterval;
  Server.prototype.listen = function (...args) {
    return listen.apply((server = this), args);
  };
  globalThis.setInterval = (...args) => every(...args).unref();
  ({ User, db, once, standing } = await import("./models.js"));
  await import("./app.js");
  if (!server.listening) await new Promise((up) => server.once("listening", up));
  address = `http://127.0.0.1:${server.address().port}`;
  await User.create({ email: "ada@example.com", name: "Ada", password: "no hash at all", version: 1 });
});
after(async () => {
  server.close();
  server.closeAllConnections?.(); // of Node 18.2
  await db.close();
  rmSync(dir, { recursive: true });
});

// asks posts a form of the app, and returns what it answered, and what it did in its database, without the values.
async function asks(path, email) {
  const done = [];
  db.options.logging = (sql) => done.push(sql.replace(/^Executing \(.*?\): /, "").replace(/'[^']*'/g, "?"));
  try {
    const res = await fetch(address + path, { method: "POST", body: new URLSearchParams({ email, password: "twelve letters" }), redirect: "manual" });
    const start = res.headers.get("email-link-start");
    const claims = start && JSON.parse(Buffer.from(start.split(".")[1], "base64url"));
    return { status: res.status, text: await res.text(), claims, done };
  } finally {
    db.options.logging = false;
  }
}

test("asking does the same in the database for everybody, and writes nothing", async () => {
  for (const path of ["/sign-up", "/reset", "/sign-in"]) {
    const known = await asks(path, "ada@example.com"), unknown = await asks(path, "new@example.com");
    assert.deepEqual([unknown.status, unknown.text, unknown.done], [known.status, known.text, known.done], path);
    assert.equal(known.done.length, 1, path);
    assert.match(known.done[0], /^SELECT /, path);
  }
  assert.equal(await User.count(), 1);
});

test("a link is for the one mailbox that was asked about", async () => {
  const ada = await User.findOne({ where: { email: "ada@example.com" } });
  assert.deepEqual(standing(ada), { sub: ada.id, state: "1" });
  const { claims } = await asks("/reset", " Ada@Example.com ");
  assert.deepEqual([claims.email, claims.sub, claims.state, claims.purpose], ["ada@example.com", ada.id, "1", "reset"]);
  for (const other of ["ada@éxample.com", "adá@example.com", "ada@example.com.", "ada@example.org"]) {
    const { claims } = await asks("/reset", other);
    assert.equal(claims.known, false, other);
    assert.equal(claims.sub, undefined, other);
  }
  assert.equal((await asks("/reset", "ada@bücher.example")).claims.email, "ada@xn--bcher-kva.example", "the spelling that the gate hands back");
  for (const none of ["", "ada", "ada@", "@example.com", "ada@b@example.com", "ada@exa mple.com"]) {
    assert.equal((await asks("/sign-up", none)).status, 400, none);
  }
});

test("a proof has one effect", async () => {
  const sets = (password) => (user) => Object.assign(user, { password, version: user.version + 1 });
  const email = "joan@example.com", unknown = standing(null);
  const first = { jti: "one", email, ...unknown }, second = { jti: "two", email, ...unknown };
  assert.equal(await once(first, sets("a")), "done");
  assert.equal(await once(first, sets("b")), "before", "the same jti again");
  assert.equal(await once(second, sets("c")), "outdated", "another link from before there was a user");
  const joan = await User.findOne({ where: { email } });
  assert.deepEqual([joan.password, joan.version], ["a", 1]);

  const reset = { jti: "three", email, ...standing(joan) }, older = { jti: "four", email, ...standing(joan) };
  assert.equal(await once(reset, sets("d")), "done");
  assert.equal(await once(older, sets("e")), "outdated", "a link from before the last password");
  assert.equal((await joan.reload()).password, "d");
  assert.equal(await once({ jti: "five", email, ...standing(joan), sub: "nobody" }, sets("f")), "outdated", "a user who is gone");

  const faulty = { jti: "six", email, ...standing(joan) };
  await assert.rejects(once(faulty, () => { throw new Error("no"); }), /no/);
  assert.equal(await once(faulty, sets("g")), "done", "what has failed has not happened");
});
