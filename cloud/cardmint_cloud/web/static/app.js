// Keys, and the words that say whether the page is live. Everything works without this file.
"use strict";

const typing = (element) => element.matches("input:not([type=hidden]), select, textarea, [contenteditable]");
const reviews = () => [...document.querySelectorAll("[data-review]")];
const current = () => document.activeElement && document.activeElement.closest("[data-review]");

function step(by) {
  const all = reviews();
  if (!all.length) return;
  const at = all.indexOf(current());
  const next = all[at < 0 ? 0 : Math.min(all.length - 1, Math.max(0, at + by))];
  next.focus({ preventScroll: true });
  next.scrollIntoView({ block: "start", behavior: "auto" });
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (event.key === "Escape" && typing(event.target)) return event.target.blur();
  if (typing(event.target)) return;
  const search = document.getElementById("q");
  if (event.key === "/" && search) {
    event.preventDefault();
    search.focus();
    search.select();
  } else if (reviews().length) {
    if (["j", "ArrowDown", "k", "ArrowUp"].includes(event.key)) {
      event.preventDefault();
      step(event.key === "j" || event.key === "ArrowDown" ? 1 : -1);
    } else if (/^[0-4]$/.test(event.key) && !event.repeat) {
      // Only the question that has the focus is answered, so that a stray key answers nothing.
      const choice = current() && current().querySelector(`[data-key="${event.key}"]`);
      if (choice) choice.click();
    }
  }
});

// A question that was answered is gone from the list: the next one takes its place, and the focus.
let answeredAt = -1;
document.addEventListener("htmx:beforeRequest", (event) => {
  const asked = event.detail.elt.closest("[data-review]");
  if (asked && event.detail.requestConfig.verb === "post") answeredAt = reviews().indexOf(asked);
});
document.addEventListener("htmx:afterSwap", (event) => {
  if (answeredAt < 0 || !event.detail.target || event.detail.target.id !== "reviews") return;
  const all = reviews();
  const next = all[Math.min(answeredAt, all.length - 1)];
  answeredAt = -1;
  if (next) next.focus();
});

// Somebody who is typing an answer must not lose it to a refresh.
document.addEventListener("htmx:beforeRequest", (event) => {
  const { elt, requestConfig } = event.detail;
  if (requestConfig.verb !== "get" || elt.id !== "reviews") return;
  if (elt.contains(document.activeElement) && typing(document.activeElement)) event.preventDefault();
});

// What is being pressed, or waits for its answer, is not replaced: the click would land on nothing, and the answer too.
// The news is fetched again after it.
const LONGEST_PRESS_MS = 3000;
const CLICK_MS = 50;
const AGAIN_MS = 100;
let pressed = 0;
let sent = 0;
const held = new Map();
const busy = () => sent > 0 || performance.now() < pressed;
const posts = (event) => event.detail.requestConfig.verb === "post";
document.addEventListener("pointerdown", () => { pressed = performance.now() + LONGEST_PRESS_MS; }, true);
document.addEventListener("pointerup", () => { pressed = performance.now() + CLICK_MS; }, true);
document.addEventListener("htmx:beforeSend", (event) => {
  if (!posts(event)) return;
  sent += 1;
  event.detail.xhr.addEventListener("loadend", () => { sent -= 1; });
});
function catchUp() {
  if (busy()) return setTimeout(catchUp, AGAIN_MS);
  held.forEach((news, elt) => htmx.trigger(elt, news));
  held.clear();
}
document.addEventListener("htmx:beforeSwap", (event) => {
  const { elt, requestConfig } = event.detail;
  const news = requestConfig.triggeringEvent && requestConfig.triggeringEvent.type;
  if (!busy() || posts(event) || !news || !news.startsWith("sse:")) return;
  event.detail.shouldSwap = false;
  if (!held.size) setTimeout(catchUp, AGAIN_MS);
  held.set(elt, news);
});

// One box chooses all that are shown.
document.addEventListener("change", (event) => {
  const name = event.target.dataset && event.target.dataset.all;
  if (!name) return;
  event.target.form.querySelectorAll(`[name="${name}"]`).forEach((box) => { box.checked = event.target.checked; });
});

let state = "";
let words = "";
function show() {
  const live = document.getElementById("live");
  if (live && state && live.dataset.state !== state) {
    live.dataset.state = state;
    live.textContent = words;
  }
}
function say(newState, newWords) {
  [state, words] = [newState, newWords];
  show();
}
document.addEventListener("htmx:historyRestore", show);
let lost = false;
document.addEventListener("htmx:sseOpen", () => {
  say("on", "Live");
  // What changed while the connection was away is fetched at once.
  if (lost) {
    for (const name of ["inventory", "reviews", "stations", "scan", "dead-letters"]) {
      document.querySelectorAll(`[hx-trigger*="sse:${name}"]`).forEach((e) => htmx.trigger(e, `sse:${name}`));
    }
  }
  lost = false;
});
document.addEventListener("htmx:sseError", () => {
  lost = true;
  say("off", "Not live: reconnecting…");
});
