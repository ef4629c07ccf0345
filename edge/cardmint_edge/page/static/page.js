// Keys answer the first question, each new card makes a sound, and a banner shows when the
// station's program is gone.
"use strict";

// A key pressed for one question must not answer the next: a new first question ignores keys for a
// moment.
const IGNORE_KEYS_MS = 500;
const TONES = { counted: [[880, 0.09]], asked: [[587, 0.12], [440, 0.16]], none: [[196, 0.25]] };
const SOUND = "cardmint-sound";
let currentTask = "";
let currentSince = 0;
let soundedPosition = null;
let audio = null;

function afterUpdate() {
  const task = document.querySelector(".task.current");
  const name = task ? task.dataset.task : "";
  if (name !== currentTask) {
    currentTask = name;
    currentSince = performance.now();
  }
  const last = document.getElementById("sounds");
  if (last && last.dataset.position !== soundedPosition) {
    if (soundedPosition !== null) sound(last.dataset.decision);
    soundedPosition = last.dataset.position;
  }
}

function sound(decision) {
  if (!audio) return;
  let at = audio.currentTime;
  for (const [hertz, seconds] of TONES[decision] || []) {
    const tone = audio.createOscillator();
    const level = audio.createGain();
    tone.frequency.value = hertz;
    level.gain.setValueAtTime(0.25, at);
    level.gain.exponentialRampToValueAtTime(0.001, at + seconds);
    tone.connect(level).connect(audio.destination);
    tone.start(at);
    tone.stop(at + seconds);
    at += seconds;
  }
  document.body.dataset.sounded = decision;
}

const soundButton = document.getElementById("sound");
function setSound(on) {
  soundButton.setAttribute("aria-pressed", String(on));
  if (on) audio = audio || new AudioContext();
  else if (audio) { audio.close(); audio = null; }
  try { localStorage.setItem(SOUND, on ? "on" : ""); } catch { /* a browser that stores nothing */ }
}
soundButton.addEventListener("click", () => {
  setSound(soundButton.getAttribute("aria-pressed") !== "true");
});
// A browser lets a page sound only after the first press on it.
addEventListener("pointerdown", (event) => {
  let wanted = false;
  try { wanted = Boolean(localStorage.getItem(SOUND)); } catch { /* as above */ }
  if (wanted && !audio && !event.target.closest("#sound")) setSound(true);
}, { once: true, capture: true });

const capture = document.getElementById("capture");
if (capture) {
  capture.addEventListener("click", () => {
    htmx.ajax("POST", "/capture", { target: "#live", swap: "outerHTML" });
  });
}

const zoom = document.getElementById("zoom");
document.addEventListener("click", (event) => {
  const pressedOn = event.target.closest("[data-zoom]");
  if (pressedOn) {
    const large = zoom.querySelector("img");
    large.src = pressedOn.querySelector("img").src;
    zoom.showModal();
    if (pressedOn.classList.contains("closeup")) zoom.scrollTop = zoom.scrollHeight;
  } else if (event.target.closest("#zoom")) zoom.close();
});
zoom.querySelector("img").addEventListener("load", () => { zoom.scrollTop = zoom.scrollHeight; });

const ANSWERS = /^[0-9sda]$/;
document.addEventListener("keydown", (event) => {
  if (zoom.open) {
    if (event.key === "x") zoom.close();
    return;
  }
  const typing = event.target.closest("input, select, textarea");
  if (typing && event.key === "Escape") typing.blur();
  if (typing || event.repeat || event.ctrlKey || event.altKey || event.metaKey) return;
  const key = event.key.toLowerCase();
  if (key === "/") {
    const search = document.querySelector(".search input");
    if (search) { event.preventDefault(); search.focus(); }
    return;
  }
  if (!/^[0-9sdaurxzmk ]$/.test(key)) return;
  if (key === " " && event.target.closest("button, summary, a")) return;
  const answers = ANSWERS.test(key);
  const within = answers ? ".task.current " : "";
  const button = document.querySelector(`${within}button[data-key="${key}"]`);
  if (!button || (answers && performance.now() - currentSince <= IGNORE_KEYS_MS)) return;
  event.preventDefault();
  button.click();
});

// The live part is not replaced while a button is pressed or a form waits for its response: the
// click or the response would be lost. The page asks for the live part again at once.
const LONGEST_PRESS_MS = 3000;
const CLICK_MS = 50;
let pressed = 0;
let openPosts = 0;
const posts = (event) => event.detail.requestConfig.verb === "post";
const pressFor = (milliseconds) => () => { pressed = performance.now() + milliseconds; };
document.addEventListener("pointerdown", pressFor(LONGEST_PRESS_MS), true);
document.addEventListener("pointerup", pressFor(CLICK_MS), true);
document.addEventListener("htmx:beforeSend", (event) => {
  if (!posts(event)) return;
  openPosts += 1;
  event.detail.xhr.addEventListener("loadend", () => { openPosts -= 1; });
});
document.addEventListener("htmx:beforeSwap", (event) => {
  const busy = openPosts > 0 || performance.now() < pressed;
  if (busy && event.detail.elt.id === "live" && !posts(event)) event.detail.shouldSwap = false;
});
// A late response for a part that was replaced would take the search field, which is kept, with it.
document.addEventListener("htmx:beforeCleanupElement", ({ target }) => {
  if (target.id !== "live") return;
  target.addEventListener("htmx:beforeSwap", (event) => { event.detail.shouldSwap = false; });
});

const camera = document.getElementById("camera");
if (camera) {
  const picture = camera.querySelector("img");
  const next = () => { picture.src = `/camera.jpg?${Date.now()}`; };
  picture.addEventListener("load", () => setTimeout(next, 200));
  picture.addEventListener("error", () => setTimeout(next, 2000));
  next();
}

for (const select of document.querySelectorAll(".defaults select")) {
  select.addEventListener("change", () => select.classList.toggle("set", select.value !== ""));
}

// Two requests may be open. When the second one ends, its part may be replaced already, and htmx
// would lose the elements that are kept across updates. So a late update is dropped, and a late
// action's response replaces the present part.
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
document.addEventListener("htmx:afterSettle", afterUpdate);
afterUpdate();
