"use strict";
// Piano rolls: a canvas of notes, drawn once, and a playhead that moves over it.

const VOICES = ["soprano", "alto", "tenor", "bass"];
const BAR = 16;

// Held notes of a voice. Voices that sing one pitch share its height: `rank` of `sharing`.
function heldNotes(chords, voice) {
  const notes = [];
  const steps = chords.length / 4;
  for (let step = 0; step < steps; step++) {
    const pitch = chords[4 * step + voice];
    if (pitch === 0) continue;
    let sharing = 0;
    let rank = 0;
    for (let other = 0; other < 4; other++) {
      if (chords[4 * step + other] !== pitch) continue;
      sharing++;
      if (other < voice) rank++;
    }
    const last = notes.at(-1);
    const held = last?.end === step && last.pitch === pitch;
    if (held && last.sharing === sharing && last.rank === rank) {
      last.end = step + 1;
    } else {
      notes.push({ pitch, start: step, end: step + 1, sharing, rank });
    }
  }
  return notes;
}

function paint(canvas, chords) {
  const { clientWidth: width, clientHeight: height } = canvas;
  if (width === 0) return;
  const scale = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const context = canvas.getContext("2d");
  context.scale(scale, scale);
  const style = getComputedStyle(canvas);
  const steps = chords.length / 4;
  const sung = chords.filter((pitch) => pitch > 0);
  const low = sung.length ? sung.reduce((a, b) => Math.min(a, b)) : 55;
  const high = sung.length ? sung.reduce((a, b) => Math.max(a, b)) : 65;
  const across = width / steps;
  const up = height / (high - low + 3);
  context.fillStyle = style.getPropertyValue("--line");
  for (let step = BAR; step < steps; step += BAR) {
    context.fillRect(Math.round(step * across), 0, 1, height);
  }
  const thick = Math.max(2, 1.3 * up);
  // Slits between repeated or neighbouring notes, where there is room for them.
  const slit = across >= 3 ? 1 : 0;
  // From the bass upwards, so that the melody lies on top where bars overlap.
  for (let voice = 3; voice >= 0; voice--) {
    context.fillStyle = style.getPropertyValue(`--${VOICES[voice]}`);
    for (const note of heldNotes(chords, voice)) {
      const tall = thick / note.sharing;
      const top = (high + 1.5 - note.pitch) * up - thick / 2 + note.rank * tall;
      const wide = (note.end - note.start) * across - slit;
      context.fillRect(note.start * across, top, wide, tall);
    }
  }
}

// A roll in an element; `move` places its playhead at a share of its width, null hides it.
function makeRoll() {
  const canvas = element("canvas");
  const playhead = element("span", { className: "playhead", hidden: true });
  const box = element("span", { className: "roll", "aria-hidden": "true" }, canvas, playhead);
  let shown = null;
  new ResizeObserver(() => shown && paint(canvas, shown)).observe(canvas);
  return {
    box,
    draw(chords) {
      shown = chords;
      paint(canvas, chords);
    },
    move(share) {
      playhead.hidden = share === null;
      if (share !== null) playhead.style.left = `${100 * share}%`;
    },
    repaint() {
      if (shown) paint(canvas, shown);
    },
  };
}
