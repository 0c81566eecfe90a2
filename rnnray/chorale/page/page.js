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
  const bach = GROUPS.get(BACH);
  if (bach) parts.push(`, beside ${counted(bach.count, "piece")} by J. S. Bach`);
  byId("lede").textContent = `${parts.join("")}.`;
}

const inQuiz = () => !quiz.hidden;
const KEYS = [
  [" ", "Space", "Play or pause", () => player.toggle()],
  ["ArrowUp", "↑", "Previous piece", () => inQuiz() || stepList(-1)],
  ["ArrowDown", "↓", "Next piece", () => inQuiz() || stepList(1)],
  ["ArrowLeft", "←", "Back by a bar", () => seekBars(-1)],
  ["ArrowRight", "→", "On by a bar", () => seekBars(1)],
  ["/", "/", "Filter", () => inQuiz() || tools.elements.find.focus()],
  ["b", "B", "Answer Bach", () => byId("say-bach")?.click()],
  ["m", "M", "Answer Machine", () => byId("say-machine")?.click()],
  ["q", "Q", "Real or machine?", () => (location.hash = "#quiz")],
  ["l", "L", "List", () => (location.hash = addressOf(state))],
  ["?", "?", "This help", () => byId("help").showModal()],
];

function seekBars(bars) {
  if (player.piece === null) return;
  player.seek((player.audio.currentTime + (bars * BAR * 15) / RUN.tempo) / player.seconds);
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || byId("help").open) return;
  const { target } = event;
  const typing = target.matches("input:not([type]), input[type=search], select");
  if (typing) {
    if (event.key === "Escape") target.blur();
    return;
  }
  // Keys that the focused control understands by itself.
  if (event.key === " " && target.matches("button, a, input:not([type=range])")) return;
  if (event.key.startsWith("Arrow") && target.matches("[type=radio], [type=range]")) return;
  const key = KEYS.find(([key]) => key === event.key || key === event.key.toLowerCase());
  if (!key) return;
  event.preventDefault();
  key[3]();
});

for (const [, label, meaning] of KEYS) {
  const name = element("dt", {}, element("kbd", {}, label));
  byId("keys").append(name, element("dd", {}, meaning));
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
setUpAverages();
setUpHeadings();
setUpTools();
show();
