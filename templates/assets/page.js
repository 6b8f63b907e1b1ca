// The one script of the sign-in pages. Every page works and says the same without it: it shows passwords and local times, counts down,
// leads the page that waits on once this browser is signed in, sends a code when its last digit has been typed, solves a proof of work
// in place of waiting, and is not reloaded where an app's service worker ends.
(() => {
  "use strict";
  const all = (selector) => [...document.querySelectorAll(selector)];
  const language = document.documentElement.lang;

  // What takes the place of an app's service worker once the session has ended reloads the window used last, unless that is one of
  // these pages already: a person may be typing here.
  navigator.serviceWorker?.addEventListener("message", (event) => {
    if (event.data === "email_link") event.ports[0]?.postMessage("email_link");
  });
  navigator.serviceWorker?.startMessages();

  // Times are written in a zone of the site's; the reader knows another one better.
  for (const time of all("time[datetime]")) {
    const at = new Date(time.dateTime);
    const today = at.toDateString() === new Date().toDateString() && "short" in time.dataset;
    const style = today ? { timeStyle: "short" } : { dateStyle: "long", timeStyle: "short" };
    time.textContent = at.toLocaleString(language, style);
  }

  // A password may be looked at by its owner. The button says what it does, and the field is hidden again before it is sent.
  for (const field of all("input[type=password][data-show]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "show";
    const set = (type) => {
      field.type = type;
      button.textContent = type === "password" ? field.dataset.show : field.dataset.hide;
    };
    set("password");
    button.addEventListener("click", () => set(field.type === "password" ? "text" : "password"));
    field.form.addEventListener("submit", () => set("password"));
    field.after(button);
  }

  // The button of the next mail is off until its time has come, and says how long that is.
  for (const button of all("button[data-wait]")) {
    const label = button.textContent;
    const note = document.getElementById(button.dataset.note);
    const start = performance.now();
    const tick = () => {
      const left = Math.ceil(Number(button.dataset.wait) - (performance.now() - start) / 1000);
      button.disabled = left > 0;
      button.textContent = left > 0 ? `${label} (${left})` : label;
      if (left > 0) setTimeout(tick, 1000);
      else if (note) note.textContent = note.dataset.then;
    };
    tick();
  }

  // A whole code is sent as soon as a person has typed or pasted it: never when a page loads, and never after a refused one.
  const code = document.getElementById("code");
  let sent = false;
  code?.addEventListener("input", (event) => {
    if (!event.isTrusted || sent || code.getAttribute("aria-invalid") === "true") return;
    if (!/^\d{8}$/.test(code.value.replace(/[\s-]/g, ""))) return;
    sent = true;
    code.form.requestSubmit();
  });

  // A form that was refused for too many requests takes a solved proof of work in place of waiting. The button is off meanwhile, and the
  // person presses it. A solution ends after five minutes, so there is a new one every four.
  for (const field of all("input[data-challenge]")) {
    const note = document.createElement("p");
    note.className = "note";
    note.setAttribute("role", "status");
    field.form.before(note);
    const show = (text, off) => {
      note.hidden = !text;
      note.textContent = text;
      for (const button of field.form.querySelectorAll("button:not([type=button])")) button.disabled = off;
    };
    const solve = async () => {
      show(field.dataset.solving, true);
      try {
        const answer = await fetch(field.dataset.challenge, { headers: { Accept: "application/json" }, cache: "no-store", redirect: "error" });
        if (!answer.ok) throw new Error(answer.status);
        const { algorithm, challenge, salt, signature, maxNumber } = await answer.json();
        const number = await new Promise((resolve, reject) => {
          const worker = new Worker(field.dataset.worker);
          worker.onmessage = ({ data }) => {
            worker.terminate();
            resolve(data);
          };
          worker.onerror = reject;
          worker.postMessage({ challenge, salt, maxNumber });
        });
        field.value = btoa(JSON.stringify({ algorithm, challenge, number, salt, signature }));
        show(field.dataset.solved, false);
        setTimeout(renew, 240000);
      } catch {
        show("", false); // what the page says without scripts holds
      }
    };
    const renew = () => {
      if (!document.hidden) solve();
      else document.addEventListener("visibilitychange", renew, { once: true });
    };
    solve();
  }

  // The page that waits asks whether this browser is signed in: every five seconds while it can be seen, after two minutes every
  // thirty. The answer depends on this browser's session cookie and on nothing else, so it tells nothing about the mail's owner.
  const waiting = document.querySelector("[data-session]");
  if (waiting) {
    const start = performance.now();
    const ask = async () => {
      if (!document.hidden) {
        try {
          const answer = await fetch(waiting.dataset.session, { headers: { Accept: "application/json" }, cache: "no-store", redirect: "error" });
          if (answer.status === 200) {
            location.assign(waiting.dataset.next);
            return;
          }
        } catch {
          // Offline: ask again.
        }
      }
      setTimeout(ask, performance.now() - start < 120000 ? 5000 : 30000);
    };
    setTimeout(ask, 5000);
  }
})();
