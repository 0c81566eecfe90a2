"use strict";
// The player of one piece: its score, in which the playing bar is marked and a click plays from a bar.

const PIECE = JSON.parse(document.getElementById("piece").textContent);  // {bars, bar, seconds}
const CALM = window.matchMedia("(prefers-reduced-motion: reduce)");
const [audio, toggle, seek, place, trouble] =
  ["audio", "toggle", "seek", "place", "trouble"].map((id) => document.getElementById(id));
const SHAPES = { Play: "M5 3.2v13.6L16.5 10z", Pause: "M4.5 3.5h4v13h-4zM11.5 3.5h4v13h-4z" };

// A score's bars as rectangles behind the notes: measured when the score is first shown.
const layouts = [...document.querySelectorAll(".score")].map((score) => ({ score, bars: [] }));
function shown() {
  const layout = layouts.find(({ score }) => score.clientWidth > 0);
  if (layout && layout.bars.length === 0) {
    layout.bars = [...layout.score.querySelectorAll(".measure")].map(framed);
  }
  return layout;
}

function framed(measure, index) {
  const staves = [...measure.querySelectorAll(":scope > .staff")].map((staff) => staff.querySelectorAll(":scope > path"));
  const first = staves[0][0].getBBox();
  const last = staves.at(-1)[staves.at(-1).length - 1].getBBox();
  const space = (last.y - first.y) / 24;
  const frame = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  const box = { x: first.x, y: first.y - space, width: first.width, height: last.y - first.y + 2 * space };
  for (const [name, value] of Object.entries(box)) frame.setAttribute(name, value);
  frame.classList.add("bar");
  // Before all bars, and so behind a tie that reaches into this one.
  const system = measure.parentNode;
  system.insertBefore(frame, system.querySelector(":scope > .measure"));
  for (const part of [frame, measure]) part.addEventListener("click", () => go(index, true));
  return frame;
}

function clock(seconds) {
  const whole = Math.floor(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

function go(bar, play = false) {
  // A little into the bar: browsers round times down.
  audio.currentTime = bar * PIECE.bar + (bar ? 0.01 : 0);
  if (play) audio.play().catch(show);
  show();
}

let marked = -1;
function show() {
  const bar = Math.min(PIECE.bars - 1, Math.floor(audio.currentTime / PIECE.bar));
  const label = audio.paused ? "Play" : "Pause";
  if (toggle.getAttribute("aria-label") !== label || !toggle.querySelector("path").getAttribute("d")) {
    toggle.setAttribute("aria-label", label);
    toggle.querySelector("path").setAttribute("d", SHAPES[label]);
  }
  const text = `Bar ${bar + 1} of ${PIECE.bars} · ${clock(Math.min(audio.currentTime, PIECE.seconds))} of ${clock(PIECE.seconds)}`;
  if (place.textContent !== text) {
    place.textContent = text;
    seek.setAttribute("aria-valuetext", text);
  }
  const layout = shown();
  const frame = layout?.bars[bar];
  if (!frame || (marked === bar && frame.classList.contains("now"))) return;
  marked = bar;
  seek.value = bar + 1;
  for (const { bars } of layouts) bars.forEach((other) => other.classList.toggle("now", other === frame));
  const { top, bottom } = frame.getBoundingClientRect();
  const hidden = top < 0 || bottom > document.querySelector(".dock").getBoundingClientRect().top;
  if (hidden && !audio.paused) frame.scrollIntoView({ block: "center", behavior: CALM.matches ? "auto" : "smooth" });
}

let frameRequest = 0;
function follow() {
  show();
  frameRequest = audio.paused ? 0 : requestAnimationFrame(follow);
}
audio.addEventListener("play", () => frameRequest || follow());
for (const event of ["pause", "ended", "seeked", "loadedmetadata"]) audio.addEventListener(event, show);
audio.addEventListener("error", () => {
  trouble.textContent = "This browser cannot play the recording.";
  trouble.hidden = false;
});
toggle.addEventListener("click", () => (audio.paused ? audio.play().catch(show) : audio.pause()));
seek.addEventListener("input", () => go(seek.value - 1));
window.addEventListener("resize", show);
show();
