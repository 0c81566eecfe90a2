"use strict";
// One <audio> for all: what is loaded, where it is, and who wants to know.

const CALM = window.matchMedia("(prefers-reduced-motion: reduce)");

const player = {
  audio: byId("audio"),
  piece: null,  // {key, at, chords, files}
  listeners: new Set(),  // called with no arguments when anything has changed

  get playing() {
    return this.piece !== null && !this.audio.paused;
  },
  get seconds() {
    return this.piece === null ? 0 : (this.piece.chords.length / 4) * (15 / RUN.tempo);
  },
  // How much of the chords has passed, 0 to 1; by quarter notes for those who want little motion.
  get share() {
    if (this.piece === null) return 0;
    const steps = this.piece.chords.length / 4;
    let step = Math.min(steps, this.audio.currentTime * (RUN.tempo / 15));
    if (CALM.matches) step = 4 * Math.floor(step / 4);
    return step / steps;
  },

  is(key, at) {
    return this.piece !== null && this.piece.key === key && this.piece.at === at;
  },
  load(piece) {
    this.piece = piece;
    this.audio.src = recordingOf(piece.files);
    this.tell();
  },
  unload() {
    this.audio.pause();
    this.audio.removeAttribute("src");
    this.audio.load();
    this.piece = null;
    this.tell();
  },
  play() {
    // Refused where the browser wants a click first, or interrupted by another piece: either way
    // the button still says Play.
    this.audio.play().catch(() => this.tell());
  },
  toggle() {
    if (this.piece === null) return;
    if (this.playing) this.audio.pause();
    else this.play();
  },
  seek(share) {
    if (this.piece === null) return;
    this.audio.currentTime = Math.min(1, Math.max(0, share)) * this.seconds;
    this.tell();
  },
  tell() {
    for (const listener of this.listeners) listener();
  },
};

for (const event of ["pause", "ended", "seeked", "loadedmetadata"]) {
  player.audio.addEventListener(event, () => player.tell());
}
let frame = 0;
function follow() {
  player.tell();
  frame = player.playing ? requestAnimationFrame(follow) : 0;
}
player.audio.addEventListener("play", () => frame || follow());
player.audio.addEventListener("error", () => {
  if (player.piece === null) return;
  complain(new Error(`A recording did not load. ${REASON}`));
  player.tell();
});

const SHAPES = {
  play: "M5 3.2v13.6L16.5 10z",
  pause: "M4.5 3.5h4v13h-4zM11.5 3.5h4v13h-4z",
  previous: "M4 4h2.2v12H4zM16 4v12l-9-6z",
  next: "M16 4h-2.2v12H16zM4 4v12l9-6z",
};
function icon(shape) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 20 20");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", SHAPES[shape]);
  svg.append(path);
  return svg;
}

// Shows one of two shapes; touches the document only where it changes, as it is asked every frame.
function showPlaying(button, playing, label) {
  const shape = playing ? "pause" : "play";
  if (button.dataset.shape === shape && button.dataset.label === label) return;
  button.dataset.shape = shape;
  button.dataset.label = label;
  button.querySelector("svg")?.remove();
  button.prepend(icon(shape));
  button.setAttribute("aria-label", `${playing ? "Pause" : "Play"}${label}`);
}

function clock(seconds) {
  const whole = Math.floor(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

function position() {
  return `${clock(player.share * player.seconds)} of ${clock(player.seconds)}`;
}

// A roll of the loaded piece that also is a slider for its position.
function makeStage() {
  const roll = makeRoll();
  const seek = element("input", { type: "range", min: 0, max: 1000, value: 0, className: "seek" });
  seek.setAttribute("aria-label", "Position");
  seek.addEventListener("input", () => player.seek(seek.value / 1000));
  const box = element("div", { className: "board" }, seek, roll.box);
  return {
    box,
    roll,
    update() {
      roll.move(player.share);
      const value = String(Math.round(1000 * player.share));
      if (seek.value === value) return;
      seek.value = value;
      seek.setAttribute("aria-valuetext", position());
    },
  };
}
