// The pages. What people typed is escaped.
const escapes = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
const escape = (text) => String(text).replace(/[&<>"']/g, (c) => escapes[c]);

const page = (title, body) => `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">
<title>${title}</title><h1>${title}</h1>
${body}
`;
const field = (label, name, more) => `<p><label for="${name}">${label}</label> <input id="${name}" name="${name}" required ${more}></p>`;
const form = (action, button, ...fields) => `<form method="post" action="${action}">${fields.join("\n")}<p><button>${button}</button></p></form>`;
const address = field("Email address", "email", `type="email" autocomplete="username"`);
const links = `<p><a href="/sign-up">Sign up</a> <a href="/reset">Forgot your password?</a></p>`;

export const home = (user) =>
  page("The app", `<p>Hello <b id="name">${escape(user.name)}</b>, <span id="email-seen">${escape(user.email)}</span></p>${form("/sign-out", "Sign out")}`);
export const signIn = (note = "") =>
  page(
    "Sign in",
    `<p id="note">${escape(note)}</p>${form("/sign-in", "Sign in", address, field("Password", "password", `type="password" autocomplete="current-password"`))}${links}`,
  );
export const signUp = (note = "") => page("Sign up", `<p id="note">${escape(note)}</p>${form("/sign-up", "Send me a link", address)}`);
export const reset = () => page("Forgot your password?", form("/reset", "Send me a link", address));
export const password = ({ email, purpose }, known, note = known && purpose === "activation" ? "You have an account already." : "") =>
  page(
    known ? "New password" : "Welcome",
    `<p id="note">${escape(note)}</p><p>For <b id="email-seen">${escape(email)}</b></p>` +
      form(
        "/password",
        "Save",
        `<input name="username" autocomplete="username" value="${escape(email)}" readonly hidden>`,
        known ? "" : field("Your name", "name", `autocomplete="name" maxlength="100"`),
        field("New password", "password", `type="password" autocomplete="new-password" minlength="12"`),
      ),
  );
export const note = (title, text) => page(title, `<p id="note">${escape(text)}</p>${links}<p><a href="/sign-in">Sign in</a></p>`);
