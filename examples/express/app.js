// An app with users, passwords and sessions of its own: Express, Passport, Sequelize. Its links are mailed by the gate in front of it.
import bcrypt from "bcryptjs";
import storeOf from "connect-session-sequelize";
import express from "express";
import session from "express-session";
import { domainToASCII } from "node:url";
import passport from "passport";
import { Strategy as LocalStrategy } from "passport-local";
import { proof, start } from "./email-link.js";
import { User, db, once, standing } from "./models.js";
import * as pages from "./pages.js";

const app = express();
app.set("trust proxy", "loopback"); // the gate
app.use(express.urlencoded({ extended: false, limit: "10kb" }));
const store = new (storeOf(session.Store))({ db });
const secure = process.env.ORIGIN.startsWith("https:");
app.use(session({ store, secret: process.env.SESSION_SECRET, resave: false, saveUninitialized: false, cookie: { secure, sameSite: "lax" } }));
app.use(passport.session());

// A session names the version of its user: a new password ends the sessions of before.
passport.serializeUser((user, done) => done(null, { id: user.id, version: user.version }));
passport.deserializeUser(async ({ id, version }, done) => {
  try {
    done(null, (await User.findOne({ where: { id, version } })) ?? false);
  } catch (e) {
    done(e);
  }
});
const nobody = await bcrypt.hash("nobody has this password", 10); // an unknown address takes as long as a known one
passport.use(
  new LocalStrategy({ usernameField: "email" }, async (email, password, done) => {
    try {
      const user = await User.findOne({ where: { email: normal(email) } });
      const right = await bcrypt.compare(password, user?.password ?? nobody);
      done(null, user && right ? user : false);
    } catch (e) {
      done(e);
    }
  }),
);

// normal is the one spelling of an address, as the gate has it; "" for what is none.
function normal(email) {
  const [, local, domain] = /^([^@]+)@([^@]+)$/.exec(String(email).trim().toLowerCase()) ?? [];
  const host = domainToASCII(domain ?? "");
  return host && `${local}@${host}`;
}

app.get("/", (req, res) => (req.user ? res.send(pages.home(req.user)) : res.redirect("/sign-in")));
app.get("/sign-in", (_, res) => res.send(pages.signIn()));
app.post("/sign-in", passport.authenticate("local", { successRedirect: "/", failureRedirect: "/sign-in?refused" }));
app.post("/sign-out", (req, res, next) => req.logout((e) => (e ? next(e) : res.redirect("/sign-in"))));

app.get("/sign-up", (_, res) => res.send(pages.signUp()));
app.post("/sign-up", async (req, res) => {
  const email = normal(req.body.email);
  if (!email) return res.status(400).send(pages.signUp("This is no email address."));
  await link(res, email, await User.findOne({ where: { email } }), "activation");
});

app.get("/reset", (_, res) => res.send(pages.reset()));
app.post("/reset", async (req, res) => {
  const email = normal(req.body.email);
  await link(res, email, await User.findOne({ where: { email } }), "reset");
});

// link has the gate mail a link to /password. Whoever has no account to reset is told so, in a mail; the page is the same. It shows the
// purpose, so that is the form's, and never says whether there is a user: /password looks that up, when the mailbox is proven. And as
// time tells as well, asking reads one row, there or not, and writes none: whoever is new becomes a user with the first password.
async function link(res, email, user, purpose) {
  if (!user && purpose === "reset") return start(res, { purpose, email, known: false });
  return start(res, { purpose, email, ...standing(user), continue: "/password" });
}

app.all("/password", async (req, res) => {
  const claims = await proof(req).catch((e) => console.warn(e.message)); // a forgery is nobody's
  if (!claims) return res.status(403).send(pages.note("No link", "This page opens by the link in a mail, until it has been used."));
  const known = await User.findOne({ where: { email: claims.email } }); // whichever form was used
  if (req.method !== "POST") return res.send(pages.password(claims, known));
  const { name = "", password = "" } = req.body;
  if (password.length < 12 || bcrypt.truncates(password)) return res.status(400).send(pages.password(claims, known, "From 12 to 72 characters, please."));
  const hash = await bcrypt.hash(password, 10);
  const outcome = await once(claims, (user) => {
    if (user.isNewRecord) user.name = String(name).slice(0, 100);
    Object.assign(user, { password: hash, version: user.version + 1 });
  });
  res.set("Email-Link-Done", claims.jti); // after the commit: the gate may forget it
  const words = { done: "Your password is set.", before: "Your password had been set already.", outdated: "This link is older than your password." };
  return res.status(outcome === "outdated" ? 409 : 200).send(pages.note("Welcome", words[outcome]));
});

await db.sync();
app.listen(process.env.PORT ?? 3000, "127.0.0.1");
