// Keys answer the first task; a new card sounds; a banner says when the station's program is gone.
"use strict";

// A key meant for one card must not answer the one that took its place: a new first task is deaf for a moment.
const DEAF_MS = 500;
const TONES = { accept: [[880, 0.09]], review: [[587, 0.12], [440, 0.16]], reject: [[196, 0.25]] };
let current = "";
let since = 0;
let heard = null;
let ears = null;

function notice() {
  const task = document.querySelector(".task.current");
  const name = task ? task.dataset.task : "";
  if (name !== current) {
    current = name;
    since = performance.now();
  }
  const last = document.getElementById("sounds");
  if (last && last.dataset.position !== heard) {
    if (heard !== null) sound(last.dataset.decision);
    heard = last.dataset.position;
  }
}

function sound(decision) {
  if (!ears) return;
  let at = ears.currentTime;
  for (const [hertz, seconds] of TONES[decision] || []) {
    const tone = ears.createOscillator();
    const level = ears.createGain();
    tone.frequency.value = hertz;
    level.gain.setValueAtTime(0.25, at);
    level.gain.exponentialRampToValueAtTime(0.001, at + seconds);
    tone.connect(level).connect(ears.destination);
    tone.start(at);
    tone.stop(at + seconds);
    at += seconds;
  }
  document.body.dataset.sounded = decision;
}

const soundButton = document.getElementById("sound");
soundButton.addEventListener("click", () => {
  const on = soundButton.getAttribute("aria-pressed") !== "true";
  soundButton.setAttribute("aria-pressed", String(on));
  if (on) ears = ears || new AudioContext();
  else if (ears) { ears.close(); ears = null; }
});

document.getElementById("capture").addEventListener("click", () => {
  htmx.ajax("POST", "/capture", { target: "#live", swap: "outerHTML" });
});

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, select, textarea");
  if (typing || event.repeat || event.ctrlKey || event.altKey || event.metaKey) return;
  const key = event.key.toLowerCase();
  if (!/^[0-3sur ]$/.test(key)) return;
  if (key === " " && event.target.closest("button")) return;
  const answers = /^[0-3s]$/.test(key);
  const button = document.querySelector(`${answers ? ".task.current " : ""}button[data-key="${key}"]`);
  if (!button || (answers && performance.now() - since <= DEAF_MS)) return;
  event.preventDefault();
  button.click();
});

// What is being pressed, or waits for its answer, is not replaced: the click would land on nothing, and the answer too.
// The page asks again at once.
const LONGEST_PRESS_MS = 3000;
const CLICK_MS = 50;
let pressed = 0;
let sent = 0;
const posts = (event) => event.detail.requestConfig.verb === "post";
document.addEventListener("pointerdown", () => { pressed = performance.now() + LONGEST_PRESS_MS; }, true);
document.addEventListener("pointerup", () => { pressed = performance.now() + CLICK_MS; }, true);
document.addEventListener("htmx:beforeSend", (event) => {
  if (!posts(event)) return;
  sent += 1;
  event.detail.xhr.addEventListener("loadend", () => { sent -= 1; });
});
document.addEventListener("htmx:beforeSwap", (event) => {
  const busy = sent > 0 || performance.now() < pressed;
  if (busy && event.detail.elt.id === "live" && !posts(event)) event.detail.shouldSwap = false;
});
// A late answer for what is replaced here would take the search field, which is kept, along into nothing.
document.addEventListener("htmx:beforeCleanupElement", ({ target }) => {
  if (target.id === "live") target.addEventListener("htmx:beforeSwap", (event) => { event.detail.shouldSwap = false; });
});

const camera = document.getElementById("camera");
if (!camera.hidden) {
  const picture = camera.querySelector("img");
  const next = () => { picture.src = `/camera.jpg?${Date.now()}`; };
  picture.addEventListener("load", () => setTimeout(next, 200));
  picture.addEventListener("error", () => setTimeout(next, 2000));
  next();
}

// Two requests may be under way. The one that ends second finds the part it meant replaced, and htmx would lose with it what
// outlives updates: what a look saw is old then, what an action did is shown in the part that is there.
function guard(live) {
  live.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.target.isConnected) return;
    if (event.detail.requestConfig.verb === "get") event.detail.shouldSwap = false;
    else event.detail.target = document.getElementById("live");
  });
}

guard(document.getElementById("live"));
htmx.onLoad((part) => { if (part.id === "live") guard(part); });

const lost = document.getElementById("lost");
document.addEventListener("htmx:sendError", () => { lost.hidden = false; });
document.addEventListener("htmx:beforeOnLoad", () => { lost.hidden = true; });
document.addEventListener("htmx:afterSettle", notice);
notice();
