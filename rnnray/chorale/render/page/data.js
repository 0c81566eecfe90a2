"use strict";
// What index.html says of the run, its data as they are asked for, and how figures are written.

const RUN = JSON.parse(document.getElementById("run").textContent);
const BACH = "bach";
const GROUPS = new Map(RUN.groups.map((group) => [group.key, group]));

const percent = (digits) => (share) => `${(100 * share).toFixed(digits)}%`;
const plain = (digits) => (value) => value.toFixed(digits);
// Statistics by name: the one name that the page gives it, what it is a share of or its unit, how
// it is written.
const KNOWN = {
  nats_per_note: ["Nats a note", "how surprising the model finds a note", plain(2)],
  chords_on_beats: ["Triads, sevenths", "of all beats", percent(1)],
  clashes: ["Semitone clashes", "of all sixteenths", percent(1)],
  parallel_fifths: ["Parallel fifths", "in 64 sixteenths", plain(2)],
  parallel_octaves: ["Parallel octaves", "in 64 sixteenths", plain(2)],
  crossing: ["Crossing voices", "of all sixteenths", percent(1)],
  spacing: ["Gaps over an octave", "of all sixteenths, in the upper voices", percent(1)],
  out_of_range: ["Out of range", "of all notes, for their voice", percent(1)],
  changes: ["Notes that change", "from one sixteenth to the next", percent(1)],
  silence: ["Silent notes", "of all notes", percent(1)],
  longest_frozen: ["Longest standstill", "in sixteenths", plain(1)],
};
const FIGURES = RUN.figures.map((name) => {
  const [label, about, write] = KNOWN[name] ?? [name.replaceAll("_", " "), "", plain(2)];
  return { name, label, about, write };
});

function written(figure, value) {
  return value === null || value === undefined ? "–" : figure.write(value);
}

function groupName(key) {
  return key === BACH ? "Bach" : `Temperature ${key}`;
}

function countOf(groups) {
  return groups.reduce((sum, { count }) => sum + count, 0);
}

function counted(count, noun) {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}

// The sound files that the page plays, smallest first.
const SOUNDS = { ogg: "audio/ogg", flac: "audio/flac", wav: "audio/wav" };

// The address of the smallest recording that this browser plays; of any, so that it can complain.
function recordingOf(files) {
  const there = Object.keys(SOUNDS).filter((suffix) => suffix in files);
  const plays = there.find((suffix) => player.audio.canPlayType(SOUNDS[suffix]));
  return files[plays ?? there[0]];
}

const REASON = "Its links may have expired, or files may be missing.";

// Scripts hand over their content by this function; `data` waits for it.
const arrived = new Map();
window.rnnrayData = (key, content) => arrived.set(key, content);

const asked = new Map();
function data(key, address) {
  if (!asked.has(key)) {
    asked.set(key, new Promise((resolve, reject) => {
      const script = element("script", { src: address });
      const fail = () => {
        asked.delete(key); // so that it is tried again when it is needed again
        reject(new Error(`Some data of this page did not load. ${REASON}`));
      };
      script.onload = () => {
        script.remove();
        if (!arrived.has(key)) return fail();
        resolve(arrived.get(key));
        arrived.delete(key);
      };
      script.onerror = () => {
        script.remove();
        fail();
      };
      document.head.append(script);
    }));
  }
  return asked.get(key);
}

// Names, figures and addresses of a temperature's pieces.
function figuresOf(key) {
  return data(key, GROUPS.get(key).data);
}

// Chords and files of the piece at a place of its temperature.
async function notesOf(key, at) {
  const number = Math.floor(at / RUN.chunk);
  const { chunks } = await figuresOf(key);
  const [encoded, files] = (await data(`${key}/${number}`, chunks[number]))[at % RUN.chunk];
  return { chords: Uint8Array.from(atob(encoded), (letter) => letter.charCodeAt(0)), files };
}

// An element with properties and children; strings become text and never markup.
function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

function byId(id) {
  return document.getElementById(id);
}

function complain(error) {
  byId("trouble").textContent = error.message;
  byId("trouble").hidden = false;
}

// Random numbers from 0 to 1 that a seed determines (mulberry32, public domain, Tommy Ettinger).
function randomFrom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

function shuffled(items, random) {
  const order = [...items];
  for (let last = order.length - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1));
    [order[last], order[other]] = [order[other], order[last]];
  }
  return order;
}
