"use strict";
// The page as a whole: what the address says is shown, the player below, keys.

const dock = byId("dock");
const stage = makeStage();
let inDock = null;

function updateDock() {
  dock.hidden = player.piece === null || Boolean(game?.round);
  document.body.classList.toggle("docked", !dock.hidden);
  if (dock.hidden) return;
  if (inDock !== player.piece) {
    inDock = player.piece;
    byId("playing").textContent = player.piece.name;
    byId("source").textContent = groupName(player.piece.key);
    stage.roll.draw(player.piece.chords);
  }
  showPlaying(byId("toggle"), player.playing, "");
  if (byId("clock").textContent !== position()) byId("clock").textContent = position();
  stage.update();
}

function show() {
  const parameters = new URLSearchParams(location.hash.slice(1));
  const quizzing = parameters.has("quiz");
  byId("trouble").hidden = true;
  byId("listen").hidden = quizzing;
  quiz.hidden = !quizzing;
  byId("to-listen").setAttribute("aria-current", quizzing ? "false" : "page");
  byId("to-quiz").setAttribute("aria-current", quizzing ? "page" : "false");
  byId("previous").hidden = quizzing;
  byId("next").hidden = quizzing;
  if (quizzing) {
    showQuiz(parameters);
  } else {
    if (game) player.unload();
    game = null;
    showList(stateOf(parameters));
  }
  player.tell();
}

function describe() {
  const composed = RUN.groups.filter(({ key }) => key !== BACH);
  const keys = composed.map(({ key }) => key);
  const temperatures = new Intl.ListFormat("en").format(keys);
  const parts = [`${counted(countOf(composed), "chorale")} composed by a recurrent network`];
  if (keys.length) parts.push(` at temperature${keys.length === 1 ? "" : "s"} ${temperatures}`);
  if (RUN.rules) parts.push(`, held to rules (${RUN.rules})`);
  const bach = GROUPS.get(BACH);
  if (bach) parts.push(`, beside ${counted(bach.count, "piece")} by J. S. Bach`);
  byId("lede").textContent = `${parts.join("")}.`;
}

// Arrows, where the focus is on a piece of the list or in the player; elsewhere they scroll.
const ARROWS = [
  ["ArrowUp", "↑", "Previous piece", () => stepList(-1)],
  ["ArrowDown", "↓", "Next piece", () => stepList(1)],
  ["ArrowLeft", "←", "Back by a bar", () => seekBars(-1)],
  ["ArrowRight", "→", "On by a bar", () => seekBars(1)],
];
const IN_ARROWS = "#pieces tbody *, #dock :not(input)";
// Single characters, which those can switch off who speak to their computer (WCAG 2.1.4).
const LIST = "#listen:not([hidden])";
const QUIZ = "#quiz:not([hidden])";
const LETTERS = [
  ["/", "/", "Filter", () => tools.elements.find.focus(), LIST],
  ["b", "B", "Answer Bach", () => byId("say-bach")?.click(), QUIZ],
  ["m", "M", "Answer Machine", () => byId("say-machine")?.click(), QUIZ],
  ["q", "Q", "Real or machine?", () => (location.hash = "#quiz"), LIST],
  ["l", "L", "List", () => (location.hash = addressOf(state)), QUIZ],
  ["?", "?", "This help", () => byId("help").showModal(), "body"],
];
const LETTERS_OFF = "rnnray.letters-off";

// A browser may refuse to keep anything, above all of a page from the disk.
function kept(work) {
  try {
    return work(window.localStorage);
  } catch {
    return null;
  }
}

function seekBars(bars) {
  if (player.piece === null) return;
  player.seek((player.audio.currentTime + (bars * BAR * 15) / RUN.tempo) / player.seconds);
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || byId("help").open) return;
  const { target } = event;
  if (target.matches("input:not([type]), input[type=search], select")) {
    if (event.key === "Escape") target.blur();
    return;
  }
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const arrow = target.matches(IN_ARROWS) && ARROWS.find(([name]) => name === key);
  const letter = byId("letters").checked
    && LETTERS.find(([name, , , , where]) => name === key && document.querySelector(where));
  if (!arrow && !letter) return;
  event.preventDefault();
  (arrow || letter)[3]();
});

function setUpKeys() {
  const rows = (keys) => keys.flatMap(([, label, meaning]) => [
    element("dt", {}, element("kbd", {}, label)),
    element("dd", {}, meaning),
  ]);
  byId("arrows").append(...rows(ARROWS));
  byId("keys").append(...rows(LETTERS));
  byId("letters").checked = kept((store) => store.getItem(LETTERS_OFF)) === null;
  byId("letters").addEventListener("change", ({ target: { checked } }) => {
    kept((store) => (checked ? store.removeItem(LETTERS_OFF) : store.setItem(LETTERS_OFF, "1")));
  });
}
byId("to-help").addEventListener("click", () => byId("help").showModal());
byId("previous").append(icon("previous"));
byId("next").append(icon("next"));
byId("previous").addEventListener("click", () => stepList(-1));
byId("next").addEventListener("click", () => stepList(1));
byId("toggle").addEventListener("click", () => player.toggle());
byId("stage").append(stage.box);
player.listeners.add(updateDock);
window.addEventListener("hashchange", show);
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  const rolls = [stage, ...shown, ...(game?.round ? [game.round.stage] : [])];
  for (const { roll } of rolls) roll.repaint();
});
describe();
setUpKeys();
setUpAverages();
setUpHeadings();
setUpTools();
show();
