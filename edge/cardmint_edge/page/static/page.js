// Keys answer the first task; a banner says when the station's program is gone.
"use strict";

// A key meant for one card must not answer the one that took its place: a new first task is deaf for a moment.
const DEAF_MS = 500;
let current = "";
let since = 0;

function notice() {
  const task = document.querySelector(".task.current");
  const name = task ? task.dataset.task : "";
  if (name !== current) {
    current = name;
    since = performance.now();
  }
}

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, select, textarea");
  if (typing || event.repeat || event.ctrlKey || event.altKey || event.metaKey || !/^[0-3]$/.test(event.key)) return;
  const button = document.querySelector(`.task.current button[data-key="${event.key}"]`);
  if (button && performance.now() - since > DEAF_MS) button.click();
});

const lost = document.getElementById("lost");
document.addEventListener("htmx:afterRequest", (event) => { lost.hidden = event.detail.xhr.status !== 0; });
document.addEventListener("htmx:afterSettle", notice);
notice();
