"use strict";
// Data: {format, sample, annotator, definitions, tasks: [{id, text, character, situation, options}], pairs: [{id, texts}]}
const DATA = JSON.parse(document.getElementById("data").textContent);
const KEY = `${DATA.format}/${DATA.sample}/${DATA.annotator}`;
const ITEMS = [...DATA.tasks, ...DATA.pairs];
const START = -1, END = ITEMS.length;
const $ = (id) => document.getElementById(id);

let state = { at: START, shortcuts: true, answers: {} };
let kept = true; // does this browser keep the answers?
let exported = true; // is everything that was picked in a file?
let since = null; // when the seconds of the task on screen were last counted

// ---------------------------------------------------------------- what is kept

function load() {
  try {
    const found = localStorage.getItem(KEY);
    if (found) state = { ...state, ...JSON.parse(found) };
    localStorage.setItem(KEY, JSON.stringify(state));
  } catch {
    kept = false;
    warn("This browser does not keep your answers. Export them before you close this page; Import brings them back.");
  }
  if (!Number.isInteger(state.at) || state.at < START || state.at > END) state.at = START;
}

function save() {
  if (!kept) return;
  try {
    localStorage.setItem(KEY, JSON.stringify(state));
  } catch {
    kept = false;
    warn("The browser's storage is full or closed. Export your answers now.");
  }
}

function warn(text) {
  $("warning").textContent = text;
  $("warning").hidden = !text;
}

function say(text) {
  $("said").textContent = text;
}

function answer(item) {
  return (state.answers[item.id] ??= { picks: [], revealed: "no", revealed_seconds: null, seconds: 0 });
}

const answered = (item) => (state.answers[item.id]?.picks.length ?? 0) > 0;
const current = () => ITEMS[state.at];

// Seconds in which the task was on a visible screen.
function count() {
  const now = performance.now();
  if (since !== null && current()) {
    const found = answer(current());
    found.seconds = Math.round((found.seconds + (now - since) / 1000) * 10) / 10;
  }
  since = current() && !document.hidden ? now : null;
}

// ---------------------------------------------------------------- what is done

function choices(item) {
  if (item.texts) {
    return [
      { value: "1", name: item.texts[0], text: true },
      { value: "2", name: item.texts[1], text: true },
      { value: "same", name: "No difference", about: "Both show it alike." },
    ];
  }
  const labels = item.options.map((label) => ({ value: label, name: label, about: DATA.definitions[label] }));
  return [...labels, { value: "none", name: "None of these", about: "No label above fits." }];
}

function toggle(value) {
  const item = current();
  const found = answer(item);
  const alone = item.texts || value === "none";
  if (found.picks.includes(value)) found.picks = found.picks.filter((pick) => pick !== value);
  else if (alone) found.picks = [value];
  else found.picks = [...found.picks.filter((pick) => pick !== "none"), value];
  found.first_seconds ??= spent();
  exported = false;
  save();
  mark();
}

function reveal() {
  const item = current();
  if (!item || !item.situation) return;
  const found = answer(item);
  if (found.revealed === "no") {
    found.revealed = found.first_seconds === undefined ? "before" : "after"; // before or after the first pick
    found.revealed_seconds = spent();
    save();
  }
  situation(item);
  say(`The situation: ${item.situation}`);
}

// Seconds on this task so far.
function spent() {
  count();
  return answer(current()).seconds;
}

function go(to) {
  count();
  since = null;
  state.at = Math.max(START, Math.min(END, to));
  save();
  show();
  since = current() && !document.hidden ? performance.now() : null;
}

function download() {
  count();
  const answers = {};
  for (const item of ITEMS) if (answered(item)) answers[item.id] = state.answers[item.id];
  const content = { format: DATA.format, sample: DATA.sample, annotator: DATA.annotator, answers };
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(content, null, 1)], { type: "application/json" }));
  link.download = `answers-${DATA.annotator}.json`;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  exported = true;
  save();
  say(`Saved ${link.download}.`);
}

async function upload(file) {
  let found;
  try {
    found = JSON.parse(await file.text());
  } catch {
    return warn(`${file.name} is not a file that this page exported.`);
  }
  if (found?.sample !== DATA.sample || found?.annotator !== DATA.annotator || typeof (found.answers ?? 0) !== "object") {
    return warn(`${file.name} holds the answers of another annotator or to another sample.`);
  }
  const known = Object.fromEntries(ITEMS.map((item) => [item.id, choices(item).map((choice) => choice.value)]));
  const good = Object.entries(found.answers).filter(
    ([id, one]) => known[id] && Array.isArray(one?.picks) && one.picks.every((pick) => known[id].includes(pick)));
  state.answers = { ...state.answers, ...Object.fromEntries(good) };
  warn("");
  go(state.at);
  say(`${good.length} answers read.`);
}

// ---------------------------------------------------------------- what is seen

function show() {
  const item = current();
  $("start").hidden = state.at !== START;
  $("end").hidden = state.at !== END;
  $("task").hidden = !item;
  $("steps").hidden = state.at === START;
  $("next").disabled = state.at === END;
  if (item) question(item);
  mark();
  const left = ITEMS.filter((one) => !answered(one)).length;
  $("verdict").textContent = left ? `${left} of ${ITEMS.length} are not answered yet.` : "All answered. Thank you!";
  $("missing").hidden = !left;
  const title = document.querySelector("section:not([hidden]) h1");
  window.scrollTo(0, 0);
  title.focus({ preventScroll: true }); // so that a screen reader reads the new task
}

function question(item) {
  $("task").className = item.texts ? "pair" : "";
  $("speaker").textContent = item.texts || !item.character ? "" : `${item.character}:`;
  $("text").textContent = item.texts ? "Two forms of one utterance" : item.text;
  $("question").textContent = item.texts
    ? "Which of the two shows the speaker's emotion less?"
    : "Which emotions do these words express? Pick all that apply.";
  $("situation").hidden = !item.situation;
  situation(item);
  $("options").replaceChildren(...choices(item).map(option));
}

function situation(item) {
  const open = Boolean(item.situation) && answer(item).revealed !== "no";
  const hadFocus = document.activeElement === $("reveal");
  $("reveal").hidden = open;
  $("reveal").setAttribute("aria-expanded", String(open));
  $("situation-text").hidden = !open;
  $("situation-text").querySelector("p").textContent = open ? item.situation : "";
  if (open && hadFocus) $("text").focus({ preventScroll: true });
}

function option(choice, index) {
  const label = document.createElement("label");
  label.className = choice.text ? "option text" : "option";
  const box = Object.assign(document.createElement("input"), { type: "checkbox", value: choice.value });
  box.addEventListener("change", () => toggle(choice.value));
  const digit = Object.assign(document.createElement("kbd"), { textContent: index + 1, ariaHidden: "true" });
  const words = document.createElement("span");
  words.append(Object.assign(document.createElement("b"), { textContent: choice.name }));
  if (choice.about) words.append(Object.assign(document.createElement("small"), { textContent: choice.about }));
  const tick = Object.assign(document.createElement("span"), { className: "tick", textContent: "✔", ariaHidden: "true" });
  label.append(box, digit, words, tick);
  return label;
}

function mark() {
  const item = current();
  const done = ITEMS.filter(answered).length;
  if (item) {
    for (const box of $("options").querySelectorAll("input")) {
      box.checked = answer(item).picks.includes(box.value);
      box.parentElement.classList.toggle("picked", box.checked);
    }
  }
  $("where").textContent = item ? `${state.at + 1} of ${ITEMS.length} · ${done} answered` : `${done} of ${ITEMS.length} answered`;
  $("progress").setAttribute("aria-valuemax", ITEMS.length);
  $("progress").setAttribute("aria-valuenow", done);
  $("progress").firstElementChild.style.width = `${(100 * done) / Math.max(ITEMS.length, 1)}%`;
  document.querySelector(".hint").textContent = item && !answered(item) ? "nothing picked yet" : "";
}

function help() {
  const copies = [...document.querySelectorAll("#start ul, #start .keys")].map((part) => part.cloneNode(true));
  for (const copy of copies) for (const part of copy.querySelectorAll("[id]")) part.removeAttribute("id");
  $("dialog-body").replaceChildren(...copies);
  $("shortcuts").checked = state.shortcuts;
  $("dialog").showModal();
}

// ---------------------------------------------------------------- keys and clicks

function key(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || $("dialog").open) return;
  const item = current();
  const single = event.key.length === 1;
  if (single && !state.shortcuts) return;
  const number = single && event.key >= "1" && event.key <= "9" ? Number(event.key) : 0;
  if (number && item) {
    const box = $("options").querySelectorAll("input")[number - 1];
    if (!box || event.repeat) return;
    toggle(box.value);
    box.focus({ preventScroll: true });
    box.parentElement.scrollIntoView({ block: "nearest" });
  } else if (event.key.toLowerCase() === "s" && item) reveal();
  else if (event.key === "?") help();
  else if (event.key === "ArrowRight" || (event.key === "Enter" && event.target.tagName !== "BUTTON")) {
    if (!event.repeat) go(state.at + 1);
  } else if (event.key === "ArrowLeft" || event.key === "Backspace") {
    if (!event.repeat) go(state.at - 1);
  } else return;
  event.preventDefault();
}

document.addEventListener("keydown", key);
document.addEventListener("visibilitychange", () => { count(); save(); });
window.addEventListener("pagehide", () => { count(); save(); });
window.addEventListener("beforeunload", (event) => { if (!kept && !exported) event.preventDefault(); });
$("begin").addEventListener("click", () => go(0));
$("next").addEventListener("click", () => go(state.at + 1));
$("back").addEventListener("click", () => go(state.at - 1));
$("missing").addEventListener("click", () => go(ITEMS.findIndex((item) => !answered(item))));
$("reveal").addEventListener("click", reveal);
$("export").addEventListener("click", download);
$("export-end").addEventListener("click", download);
$("import").addEventListener("click", () => $("file").click());
$("file").addEventListener("change", (event) => { if (event.target.files[0]) upload(event.target.files[0]); event.target.value = ""; });
$("help").addEventListener("click", help);
$("close").addEventListener("click", () => $("dialog").close());
$("shortcuts").addEventListener("change", (event) => { state.shortcuts = event.target.checked; save(); });

load();
$("count").textContent = DATA.tasks.length;
$("pair-count").textContent = DATA.pairs.length;
$("about-pairs").hidden = !DATA.pairs.length;
const situated = DATA.tasks.some((task) => task.situation);
$("about-situation").hidden = !situated;
document.querySelector(".for-situation").hidden = !situated;
show();
since = current() && !document.hidden ? performance.now() : null;
