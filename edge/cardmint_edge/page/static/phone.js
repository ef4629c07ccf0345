// Sends photos to the station in pieces, goes on where a broken network stopped it, and shows what
// became of each.
"use strict";

const AT_ONCE = 3;
const MOST_BYTES = 64 << 20;
const SMALLEST_PIECE = 32 << 10;
const LARGEST_PIECE = 1 << 20;
const HASHED_AT_ONCE = 1 << 20;
const SHOWN = 100;
const ASKED_AT_ONCE = 100;
const LONGEST_PAUSE_MS = 5000;
const TRIES = 3;
const PATIENCE_MS = 15000;
const WORDS = [
  ["waiting", "arrived"], ["counted", "counted"], ["asked", "asked about"], ["none", "no card"],
  ["withdrawn", "taken back"], ["parked", "set aside"], ["twice", "chosen twice"],
  ["refused", "refused"],
];
// From these the station's answer may change; after the others it will not.
const OPEN = new Set(["queued", "sending", "waiting"]);

class SessionOver extends Error {}
class Refused extends Error {}

const photos = [];
const byDigest = new Map();
const element = (id) => document.getElementById(id);
const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
let pieceBytes = 256 << 10;
let next = 0;
let running = 0;
let signIn = null;

async function ask(address, options) {
  let response;
  try {
    const signal = AbortSignal.timeout(PATIENCE_MS);
    response = await fetch(address, { ...options, cache: "no-store", signal });
  } catch { return null; }
  if (response.redirected) throw new SessionOver();
  if (response.status >= 500 && response.status !== 507) return null;
  try { return { status: response.status, ...(await response.json()) }; } catch { return null; }
}

// Waits for the network, however long that takes, and for the PIN when the station was started
// again.
async function insist(address, options) {
  for (let wait = 250; ; wait = Math.min(LONGEST_PAUSE_MS, wait * 2)) {
    try {
      const answer = await ask(address, options);
      offline(answer === null ? "No connection to the station. It goes on by itself." : "");
      if (answer !== null) return answer;
    } catch (error) {
      if (!(error instanceof SessionOver)) throw error;
      await pinAgain();
    }
    if (options.once) return null;
    await pause(wait);
  }
}

function offline(text) {
  element("offline").textContent = text;
  element("offline").hidden = !text;
}

function pinAgain() {
  element("pin").hidden = false;
  signIn = signIn || new Promise((done) => {
    element("pin").addEventListener("submit", async (event) => {
      event.preventDefault();
      const body = new URLSearchParams(new FormData(element("pin")));
      const response = await fetch("/enter", { method: "POST", body }).catch(() => null);
      element("wrong").textContent = response && !response.ok ? "That is not the PIN." : "";
      if (!response || !response.ok) return;
      element("pin").hidden = true;
      signIn = null;
      done();
    });
  });
  return signIn;
}

async function digestOf(file) {
  const sum = new Sha256();
  for (let at = 0; at < file.size; at += HASHED_AT_ONCE) {
    sum.update(new Uint8Array(await file.slice(at, at + HASHED_AT_ONCE).arrayBuffer()));
  }
  return sum.digest();
}

async function outcomes(digests) {
  const body = new URLSearchParams({ photos: digests.join(",") });
  return insist("/photos", { method: "POST", body });
}

async function send(photo) {
  if (photo.file.size > MOST_BYTES) {
    throw new Refused(`larger than ${MOST_BYTES >> 20} MB: no photo of a card`);
  }
  photo.digest = photo.digest || await digestOf(photo.file);
  const same = byDigest.get(photo.digest);
  if (same && same !== photo) {
    show(photo, "twice", "chosen twice: sent once");
    return;
  }
  byDigest.set(photo.digest, photo);
  let known = (await outcomes([photo.digest]))[photo.digest];
  let offset = known.state === "part" ? known.offset : 0;
  for (let tries = 0; known.state === "part" || known.state === "unknown";) {
    show(photo, "sending", `${Math.round((100 * offset) / photo.file.size)} %`);
    const began = performance.now();
    const piece = photo.file.slice(offset, offset + pieceBytes);
    const answer = await insist(`/photos/${photo.digest}`, {
      method: "PATCH",
      body: piece,
      headers: {
        "Upload-Offset": offset,
        "Upload-Length": photo.file.size,
        "Upload-Name": encodeURIComponent(photo.file.name),
      },
      once: true,
    });
    if (answer === null) {
      pieceBytes = Math.max(SMALLEST_PIECE, pieceBytes / 2);
      known = (await outcomes([photo.digest]))[photo.digest];
      offset = known.state === "part" ? known.offset : 0;
      continue;
    }
    if (answer.status === 200) {
      offset = answer.offset;
      photo.sent = offset;
      if (performance.now() - began < 1000) pieceBytes = Math.min(LARGEST_PIECE, pieceBytes * 2);
      if (offset === photo.file.size) break;
    } else if ((answer.status === 409 || answer.status === 422) && tries < TRIES) {
      tries += 1;
      offset = answer.offset || 0;
      await pause(500);
    } else throw new Refused(answer.detail || "the station refused it");
  }
  photo.sent = photo.file.size;
  show(photo, "waiting", "arrived");
}

async function work() {
  running += 1;
  while (next < photos.length) {
    const photo = photos[next];
    next += 1;
    if (photo.state !== "queued") continue;
    try { await send(photo); } catch (error) { show(photo, "refused", error.message); }
  }
  running -= 1;
}

function add(files) {
  for (const file of files) {
    photos.push({ file, state: "queued", text: "", sent: 0, row: null });
  }
  summary();
  start();
}

function start() {
  for (let number = running; number < AT_ONCE; number += 1) work();
}

function show(photo, state, text) {
  if (photo.state === state && photo.text === text) return;
  photo.state = state;
  photo.text = text;
  if (!photo.row) {
    photo.row = document.createElement("li");
    photo.row.append(document.createElement("span"), document.createElement("span"));
    photo.row.firstChild.textContent = photo.file.name;
    element("photos").prepend(photo.row);
    element("list").hidden = false;
    if (element("photos").children.length > SHOWN) element("photos").lastElementChild.remove();
  }
  photo.row.lastChild.textContent = text;
  photo.row.lastChild.className = state;
  summary();
}

function summary() {
  const count = {};
  for (const photo of photos) count[photo.state] = (count[photo.state] || 0) + 1;
  const all = photos.length;
  const left = (count.queued || 0) + (count.sending || 0);
  const there = WORDS.filter(([state]) => count[state]);
  const parts = there.map(([state, word]) => `${count[state]} ${word}`).join(", ");
  element("sent").hidden = all === 0;
  element("summary").textContent = `${all - left} of ${all} done${parts ? ": " : ""}${parts}`;
  element("progress").value = all ? (all - left) / all : 0;
  const counting = "All are sent; the station counts them. You may close this page.";
  element("rest").textContent = left ? "Keep this page open until all are sent."
    : count.waiting ? counting : "All done.";
  element("again").hidden = !count.refused;
  document.body.dataset.done = String(all > 0 && !photos.some((photo) => OPEN.has(photo.state)));
}

async function follow() {
  for (;;) {
    const waiting = photos.filter((photo) => photo.state === "waiting").slice(0, ASKED_AT_ONCE);
    if (waiting.length) {
      const found = await outcomes(waiting.map((photo) => photo.digest));
      for (const photo of waiting) {
        const what = found[photo.digest];
        if (!what) continue;
        if (what.state === "unknown" || what.state === "part") {
          // Sending it again by itself would count what somebody took back.
          show(photo, "refused", "the station has it no more: taken back, or to be sent again");
        } else if (what.state !== "waiting") show(photo, what.state, what.text);
      }
    }
    await pause(700);
  }
}

for (const id of ["camera", "gallery"]) {
  element(id).addEventListener("change", (event) => {
    add(event.target.files);
    event.target.value = "";
  });
}
element("again").addEventListener("click", () => {
  for (const photo of photos) {
    if (photo.state === "refused") { photo.state = "queued"; byDigest.delete(photo.digest); }
  }
  next = 0;
  start();
});
addEventListener("beforeunload", (event) => {
  const open = photos.some((photo) => photo.state === "queued" || photo.state === "sending");
  if (open) event.preventDefault();
});
follow();
