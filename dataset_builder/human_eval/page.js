"use strict";
const { sample, annotator, format } = document.body.dataset;
const place = `${format}/${sample}/${annotator}`; // of the answers in this browser
const tasks = document.querySelectorAll("fieldset");
const answers = {}; // {task: {picks: [value], revealed: whether the situation was opened}}
let exported = true;
let stored = true;

function store() {
  try {
    localStorage.setItem(place, JSON.stringify(answers));
  } catch {
    stored = false;
    document.getElementById("warning").hidden = false;
  }
}

function read(task) {
  const picks = [...task.querySelectorAll("input:checked")].map((box) => box.value);
  answers[task.id] = { picks, revealed: task.querySelector("details")?.open || answers[task.id]?.revealed || false };
}

function count() {
  const done = Object.values(answers).filter((answer) => answer.picks.length).length;
  document.getElementById("done").textContent = `${done} of ${tasks.length} answered`;
}

function restore() {
  try {
    Object.assign(answers, JSON.parse(localStorage.getItem(place)));
  } catch {} // `store` shows the warning
  for (const task of tasks) {
    for (const box of task.querySelectorAll("input")) box.checked = answers[task.id]?.picks.includes(box.value) ?? false;
    if (answers[task.id]?.revealed) task.querySelector("details").open = true;
  }
  store();
  count();
}

function change(event) {
  const box = event.target, task = box.closest("fieldset");
  if (box.type === "checkbox" && box.checked) { // "none of these" excludes the other options
    for (const other of task.querySelectorAll("input")) if ((other.value === "none") !== (box.value === "none")) other.checked = false;
  }
  read(task);
  exported = false;
  store();
  count();
}

function save() {
  const given = Object.fromEntries(Object.entries(answers).filter(([, answer]) => answer.picks.length));
  const content = JSON.stringify({ format, sample, annotator, answers: given }, null, 1);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type: "application/json" }));
  link.download = `answers-${annotator}.json`;
  link.click();
  exported = true;
}

document.addEventListener("change", change);
document.addEventListener("toggle", (event) => { read(event.target.closest("fieldset")); store(); }, true);
document.getElementById("save").addEventListener("click", save);
document.getElementById("next").addEventListener("click", () => {
  const next = document.querySelector("fieldset:not(:has(:checked))");
  next?.scrollIntoView({ block: "center" });
  next?.querySelector("input").focus({ preventScroll: true });
});
window.addEventListener("beforeunload", (event) => { if (!stored && !exported) event.preventDefault(); });
restore();
