"use strict";
// The page: a canvas to draw on, and the five most probable classes.

const text = (id) => document.getElementById(id).textContent;
const network = new Network(JSON.parse(text("about")), text("weights"));
const canvas = document.getElementById("canvas"), pen = canvas.getContext("2d");
const strokes = []; // lists of [x, y], in shares of the canvas's width
const PAUSE = 150; // milliseconds between two looks while the pen is down
let down = null; // the pointer that draws
let waiting = 0;

function place(event) {
  const box = canvas.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.width];
}

function paint() {
  const width = Math.round(canvas.clientWidth * devicePixelRatio);
  if (canvas.width !== width) canvas.width = canvas.height = width;
  pen.clearRect(0, 0, width, width);
  pen.lineWidth = Math.max(2, width / 110);
  pen.lineCap = pen.lineJoin = "round";
  pen.strokeStyle = getComputedStyle(document.body).color;
  for (const stroke of strokes) {
    pen.beginPath();
    pen.moveTo(stroke[0][0] * width, stroke[0][1] * width);
    for (const [x, y] of stroke) pen.lineTo(x * width, y * width);
    pen.stroke();
  }
}

function guess() {
  waiting = 0;
  const probabilities = network.probabilities(strokes);
  const best = probabilities
    ? network.classes.map((name, i) => [name, probabilities[i]]).sort((a, b) => b[1] - a[1]).slice(0, 5)
    : [];
  document.getElementById("verdict").textContent = best.length ? words(best[0][0], best[0][1]) : "Nothing yet";
  document.getElementById("guesses").replaceChildren(...best.map(([name, share]) => {
    const item = document.createElement("li");
    item.dataset.probability = share;
    const [title, number, bar] = ["name", "share", "bar"].map((kind) => {
      const part = document.createElement("span");
      part.className = kind;
      return part;
    });
    title.textContent = name;
    number.textContent = `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;
    bar.append(document.createElement("span"));
    bar.firstChild.style.width = `${100 * share}%`;
    item.append(title, number, bar);
    return item;
  }));
}

function words(name, share) {
  if (share > 0.8) return `I see: ${name}`;
  return share > 0.4 ? `Probably: ${name}` : `Perhaps: ${name}`;
}

function changed() {
  paint();
  for (const id of ["undo", "clear"]) document.getElementById(id).disabled = !strokes.length;
  if (!waiting) waiting = setTimeout(guess, down === null ? 0 : PAUSE);
}

canvas.addEventListener("pointerdown", (event) => {
  if (down !== null || event.button) return;
  down = event.pointerId;
  canvas.setPointerCapture(down);
  strokes.push([place(event)]);
  changed();
});
canvas.addEventListener("pointermove", (event) => {
  if (event.pointerId !== down) return;
  // Between two frames a browser joins events; the points in between make curves round.
  const events = event.getCoalescedEvents?.() ?? [];
  for (const each of events.length ? events : [event]) strokes.at(-1).push(place(each));
  changed();
});
for (const kind of ["pointerup", "pointercancel"]) {
  canvas.addEventListener(kind, (event) => {
    if (event.pointerId !== down) return;
    down = null;
    clearTimeout(waiting);
    waiting = 0;
    changed();
  });
}
document.getElementById("undo").addEventListener("click", () => {
  strokes.pop();
  changed();
});
document.getElementById("clear").addEventListener("click", () => {
  strokes.length = 0;
  changed();
});

function suggest() {
  const left = [...network.classes];
  const some = Array.from({ length: Math.min(3, left.length) }, () =>
    left.splice(Math.floor(Math.random() * left.length), 1)[0]);
  document.getElementById("hint").textContent =
    `Draw with a mouse, a finger or a pen. For example: ${some.join(", ")}.`;
}
document.getElementById("others").addEventListener("click", suggest);
document.getElementById("summary").textContent = `All ${network.classes.length} classes`;
document.getElementById("classes").textContent = network.classes.join("\n");
new ResizeObserver(paint).observe(canvas);
suggest();
