"use strict";
// The list: sorting, filtering, pages of pieces, and what its form and address say.

const PAGE = 20;
const ALL = "all";
const FILES = { mid: "MIDI", musicxml: "MusicXML", wav: "WAV", flac: "FLAC", ogg: "Ogg" };
const TOGGLES = {
  noparallels: ["parallel_fifths", "parallel_octaves"],
  nocrossing: ["crossing"],
  inrange: ["out_of_range"],
};
const FILTERS = ["find", ...Object.keys(TOGGLES), "from", "to"];
const DEFAULTS = {
  group: RUN.groups[0]?.key ?? ALL,
  sort: "index",
  descending: false,
  page: 0,
  find: "",
  noparallels: false,
  nocrossing: false,
  inrange: false,
  figure: FIGURES[0]?.name ?? "",
  from: "",
  to: "",
};
const tools = byId("tools");
let state = { ...DEFAULTS };
let found = []; // all pieces that pass, in order
let shown = []; // rows of the page that is shown: {piece, button, roll, row}
let rendering = 0;

function stateOf(parameters) {
  const read = { ...DEFAULTS };
  for (const [name, usual] of Object.entries(DEFAULTS)) {
    const text = parameters.get(name);
    if (text === null) continue;
    if (typeof usual === "boolean") read[name] = text === "1";
    else if (typeof usual === "number") read[name] = Math.max(0, parseInt(text, 10) || 0);
    else read[name] = text;
  }
  if (!GROUPS.has(read.group) && read.group !== ALL) read.group = DEFAULTS.group;
  if (!FIGURES.some(({ name }) => name === read.sort)) read.sort = "index";
  if (!FIGURES.some(({ name }) => name === read.figure)) read.figure = DEFAULTS.figure;
  return read;
}

function addressOf(wanted) {
  const parameters = new URLSearchParams();
  for (const [name, usual] of Object.entries(DEFAULTS)) {
    if (wanted[name] === usual) continue;
    parameters.set(name, wanted[name] === true ? "1" : String(wanted[name]));
  }
  return `#${parameters}`;
}

// Change some of the state. The list begins at its first page again unless a page is given.
function change(part) {
  const next = { ...state, page: 0, ...part };
  history.replaceState(null, "", addressOf(next));
  return showList(next);
}

function sortBy(sort) {
  return change({ sort, descending: state.sort === sort && !state.descending });
}

function numberIn(text) {
  return parseFloat(text.trim().replace(",", "."));
}

async function select(wanted) {
  const pieces = [];
  const find = wanted.find.trim().toLowerCase();
  const figure = FIGURES.find(({ name }) => name === wanted.figure);
  const [from, to] = [numberIn(wanted.from), numberIn(wanted.to)];
  const zero = Object.keys(TOGGLES).flatMap((name) => (wanted[name] ? TOGGLES[name] : []));
  for (const key of wanted.group === ALL ? GROUPS.keys() : [wanted.group]) {
    const { names, figures } = await figuresOf(key);
    const value = (name, at) => figures[name]?.[at] ?? null;
    const passes = (at) => {
      if (find && !names[at].toLowerCase().includes(find)) return false;
      if (zero.some((name) => value(name, at) > 0)) return false;
      if (!figure || (isNaN(from) && isNaN(to))) return true;
      // Compared as it is written, so that what reads 1.6% passes "from 1.6".
      const number = parseFloat(written(figure, value(figure.name, at)));
      return !isNaN(number) && !(number < from) && !(number > to);
    };
    names.forEach((name, at) => {
      if (passes(at)) pieces.push({ key, at, name, value: (figure) => value(figure, at) });
    });
  }
  if (wanted.sort === "index") return wanted.descending ? pieces.reverse() : pieces;
  const sign = wanted.descending ? -1 : 1;
  const last = sign * Infinity; // pieces without this figure
  const sorted = pieces.map((piece) => [piece.value(wanted.sort) ?? last, piece]);
  sorted.sort(([one], [other]) => (one === other ? 0 : sign * (one - other)));
  return sorted.map(([, piece]) => piece);
}

async function withNotes(piece) {
  try {
    return { ...piece, ...(await notesOf(piece.key, piece.at)) };
  } catch (error) {
    complain(error);
    return { ...piece, chords: null, files: {} };
  }
}

async function showList(wanted) {
  const mine = ++rendering;
  state = wanted;
  showTools();
  byId("trouble").hidden = true;
  try {
    const pieces = await select(wanted);
    const pages = Math.max(1, Math.ceil(pieces.length / PAGE));
    const page = Math.min(wanted.page, pages - 1);
    const notes = await Promise.all(pieces.slice(page * PAGE, (page + 1) * PAGE).map(withNotes));
    if (mine !== rendering) return;
    found = pieces;
    state = { ...wanted, page };
    shown = notes.map(makeRow);
    byId("pieces").tBodies[0].replaceChildren(...shown.map(({ row }) => row));
    for (const { piece, roll } of shown) if (piece.chords) roll.draw(piece.chords);
    showPlace(pages);
    player.tell();
  } catch (error) {
    complain(error);
  }
}

function showPlace(pages) {
  const groups = RUN.groups.filter(({ key }) => [key, ALL].includes(state.group));
  const all = countOf(groups);
  const some = found.length === all ? "" : `${found.length.toLocaleString("en")} of `;
  byId("count").textContent = some + counted(all, "piece");
  byId("pages").hidden = pages === 1;
  byId("place").textContent = `${state.page + 1} of ${pages}`;
  byId("earlier").disabled = state.page === 0;
  byId("later").disabled = state.page === pages - 1;
  byId("to-listen").href = addressOf(state);
}

function makeRow(piece) {
  const roll = makeRoll();
  const name = element("span", { className: "name" });
  if (state.group === ALL) name.append(element("small", {}, groupName(piece.key)), " ");
  name.append(piece.name);
  // Without sound there is nothing to press.
  const button = recordingOf(piece.files) ? element("button", { type: "button" }) : null;
  const lead = button ?? element("span");
  lead.className = "lead";
  lead.append(name, roll.box);
  const row = element("tr", {}, element("th", { scope: "row" }, lead));
  for (const figure of FIGURES) {
    const value = element("span", {}, written(figure, piece.value(figure.name)));
    const bach = element("span", { className: "unseen" }, " Bach ");
    const beside = element("small", {}, bach, written(figure, RUN.bach[figure.name]));
    row.append(element("td", { "data-label": figure.label }, value, beside));
  }
  const links = element("td", { className: "files" });
  for (const [suffix, href] of Object.entries(piece.files)) {
    const label = FILES[suffix] ?? suffix;
    const title = `${label} of ${piece.name}`;
    links.append(element("a", { href, download: "", "aria-label": title }, label), " ");
  }
  row.append(links);
  const made = { piece, button, roll, row };
  button?.addEventListener("click", () => {
    if (player.is(piece.key, piece.at)) player.toggle();
    else choose(made, true);
  });
  return made;
}

function choose(row, play) {
  player.load(row.piece);
  if (play) player.play();
}

// The piece after or before the one with the focus, or else the loaded one; on the next page if
// need be.
async function stepList(by) {
  let place = shown.findIndex(({ row }) => row.contains(document.activeElement));
  if (place < 0) place = shown.findIndex(({ piece }) => player.is(piece.key, piece.at));
  if (place >= 0) place += by;
  else place = by > 0 ? 0 : shown.length - 1;
  if (!shown[place]) {
    const page = state.page + by;
    if (page < 0 || page * PAGE >= found.length) return;
    await change({ page });
    place = by > 0 ? 0 : shown.length - 1;
  }
  if (!shown[place]?.button) return;
  shown[place].button.focus();
  choose(shown[place], player.playing);
}

async function turn(by) {
  await change({ page: state.page + by });
  byId("pieces").scrollIntoView({ behavior: CALM.matches ? "auto" : "smooth" });
}

function updateList() {
  for (const { piece, button, roll, row } of shown) {
    if (!button) continue;
    const mine = player.is(piece.key, piece.at);
    showPlaying(button, mine && player.playing, ` ${piece.name}`);
    roll.move(mine ? player.share : null);
    row.classList.toggle("current", mine);
  }
}

// The form and the headings as the state says.
function showTools() {
  const fields = tools.elements;
  for (const name of ["sort", "find", "figure", "from", "to"]) {
    // Not where somebody types: that would move the cursor.
    if (fields[name].value !== state[name]) fields[name].value = state[name];
  }
  for (const name of Object.keys(TOGGLES)) fields[name].checked = state[name];
  for (const name of ["from", "to"]) {
    const wrong = state[name].trim() !== "" && isNaN(numberIn(state[name]));
    fields[name].setAttribute("aria-invalid", String(wrong));
  }
  const order = state.descending ? "descending" : "ascending";
  byId("direction").textContent = state.descending ? "↓" : "↑";
  byId("direction").setAttribute("aria-label", state.descending ? "Descending" : "Ascending");
  byId("reset").hidden = FILTERS.every((name) => state[name] === DEFAULTS[name]);
  for (const heading of byId("pieces").querySelectorAll("th[data-sort]")) {
    if (heading.dataset.sort === state.sort) heading.setAttribute("aria-sort", order);
    else heading.removeAttribute("aria-sort");
  }
  for (const radio of document.getElementsByName("group")) {
    radio.checked = radio.value === state.group;
  }
}

function setUpTools() {
  const fields = tools.elements;
  fields.sort.append(element("option", { value: "index" }, "Number"));
  for (const { name, label } of FIGURES) {
    fields.sort.append(element("option", { value: name }, label));
    fields.figure.append(element("option", { value: name }, label));
  }
  for (const [name, needed] of Object.entries(TOGGLES)) {
    fields[name].parentElement.hidden = !needed.some((figure) => RUN.figures.includes(figure));
  }
  tools.querySelector("fieldset").hidden = FIGURES.length === 0;
  tools.addEventListener("submit", (event) => event.preventDefault());
  tools.addEventListener("input", ({ target: { name, type, checked, value } }) => {
    change({ [name]: type === "checkbox" ? checked : value });
  });
  tools.addEventListener("reset", (event) => {
    event.preventDefault();
    change(Object.fromEntries(FILTERS.map((name) => [name, DEFAULTS[name]])));
  });
  byId("direction").addEventListener("click", () => change({ descending: !state.descending }));
  byId("more").addEventListener("click", () => {
    const open = byId("more").getAttribute("aria-expanded") === "true";
    byId("more").setAttribute("aria-expanded", String(!open));
  });
  byId("earlier").addEventListener("click", () => turn(-1));
  byId("later").addEventListener("click", () => turn(1));
  player.listeners.add(updateList);
}
