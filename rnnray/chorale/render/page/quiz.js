"use strict";
// Real or machine? Pieces by Bach and composed ones, half and half, in an order that a seed gives.

const LENGTHS = [10, 20, 40];
const LENGTH = 20;
const quiz = byId("quiz");
// {seed, rounds: [{key, at}], answers: ["bach" or "machine"], round: what is on the screen or null}
let game = null;

function quizGroups() {
  const composed = RUN.groups.filter(({ key, sound }) => key !== BACH && sound);
  const bach = GROUPS.get(BACH);
  return bach?.sound && composed.length ? { bach, composed } : null;
}

// The lengths that there are pieces for; else one of as many pieces as there are.
function quizLengths() {
  const { bach, composed } = quizGroups();
  const most = 2 * Math.min(bach.count, Math.max(...composed.map(({ count }) => count)));
  const lengths = LENGTHS.filter((length) => length <= most);
  return lengths.length ? lengths : [most];
}

// As many by Bach as composed ones, these spread evenly over the temperatures. No piece twice, and
// no two of one number: those share their random numbers, and many of them their first chords.
function drawRounds(seed, length) {
  const random = randomFrom(seed);
  const { bach, composed } = quizGroups();
  const deal = ({ key, count }) => shuffled(Array(count).keys(), random).map((at) => ({ key, at }));
  const decks = shuffled(composed.map(deal), random);
  const rounds = deal(bach).slice(0, length / 2);
  const drawn = new Set();
  for (let turn = 0; rounds.length < length; turn++) {
    const deck = decks[turn % decks.length];
    let piece = deck.pop();
    while (piece && drawn.has(piece.at)) piece = deck.pop();
    if (!piece) continue;
    drawn.add(piece.at);
    rounds.push(piece);
  }
  return shuffled(rounds, random);
}

function showQuiz(parameters) {
  player.unload();
  game = null;
  const title = element("h2", {}, "Real or machine?");
  if (!quizGroups()) {
    const why = "The quiz needs recordings both of Bach’s pieces and of composed ones.";
    quiz.replaceChildren(title, element("p", {}, `${why} This run has not got both.`));
    return;
  }
  let seed = parseInt(parameters.get("quiz"), 10);
  if (isNaN(seed)) {
    seed = Math.floor(1e6 * Math.random());
    history.replaceState(null, "", `#quiz=${seed}`);
  }
  const lengths = element("fieldset", { className: "lengths" });
  lengths.append(element("legend", {}, "How many pieces?"));
  const choices = quizLengths();
  const usual = choices.includes(LENGTH) ? LENGTH : choices.at(-1);
  for (const value of choices) {
    const checked = value === usual;
    const radio = element("input", { type: "radio", name: "length", value, checked });
    lengths.append(element("label", {}, radio, String(value)));
  }
  const begin = element("button", { type: "button", id: "begin", className: "main" }, "Begin");
  begin.addEventListener("click", () => {
    const length = Number(quiz.querySelector("[name=length]:checked").value);
    game = { seed, rounds: drawRounds(seed, length), answers: [], round: null };
    playRound();
  });
  const rules = element("p", {},
    "You will hear pieces one after the other. Some are by Bach, the others were composed by a ",
    "machine at one of several temperatures. Say which is which. In the end you see which ",
    "temperatures fooled you more often than guessing would.");
  quiz.replaceChildren(title, rules, lengths, begin);
}

// One piece to guess. Until the answer nothing on the screen depends on which piece it is.
async function playRound() {
  player.unload();
  const number = game.answers.length;
  const piece = game.rounds[number];
  const play = element("button", { type: "button", className: "round" });
  play.addEventListener("click", () => player.toggle());
  showPlaying(play, false, "");
  const stage = makeStage();
  const choices = ["Bach", "Machine"].map((label) => {
    const answer = label.toLowerCase();
    const button = element("button", { type: "button", id: `say-${answer}`, disabled: true });
    button.setAttribute("aria-keyshortcuts", label[0]);
    button.append(label);
    button.addEventListener("click", () => answerRound(answer));
    return button;
  });
  const verdict = element("div", { className: "verdict", role: "status" });
  const round = { piece, play, stage, choices, verdict, over: false };
  game.round = round;
  quiz.replaceChildren(
    element("h2", { className: "unseen" }, `Piece ${number + 1}`),
    element("p", { className: "score" },
      element("span", {}, `${number + 1} of ${game.rounds.length}`),
      element("span", { id: "right" }, number ? `${countRight()} of ${number} right` : "")),
    element("div", { className: "listening" }, play, stage.box),
    element("div", { className: "answers" }, ...choices),
    verdict,
  );
  play.focus();
  try {
    const [notes, { names }] = await Promise.all([
      notesOf(piece.key, piece.at),
      figuresOf(piece.key),
    ]);
    if (game?.round !== round) return;
    player.load({ ...piece, name: names[piece.at], ...notes });
    player.play();
    // The next one is fetched while this one plays; should that fail, it fails when its turn comes.
    const next = game.rounds[number + 1];
    if (next) notesOf(next.key, next.at).catch(() => {});
  } catch (error) {
    if (game?.round !== round) return;
    complain(error);
    dropRound();
  }
}

function answerRound(answer) {
  const { piece, stage, choices } = game.round;
  game.answers.push(answer);
  for (const button of choices) button.classList.toggle("given", button.id === `say-${answer}`);
  byId("right").textContent = `${countRight()} of ${game.answers.length} right`;
  stage.roll.draw(player.piece.chords);
  const right = (answer === "bach") === (piece.key === BACH);
  const truth = piece.key === BACH
    ? `This is Bach: ${player.piece.name}.`
    : `A machine composed this, at temperature ${piece.key}.`;
  endRound(`${right ? "Right." : "No."} ${truth}`);
}

// A piece that does not play counts neither way.
function dropRound() {
  game.rounds.splice(game.answers.length, 1);
  endRound("This piece does not play, and does not count.");
}

function endRound(text) {
  const { verdict, choices } = game.round;
  game.round.over = true;
  for (const button of choices) button.disabled = true;
  const last = game.answers.length === game.rounds.length;
  const label = last ? "See the result" : "Next piece";
  const onward = element("button", { type: "button", id: "onward", className: "main" }, label);
  onward.addEventListener("click", () => (last ? showResult() : playRound()));
  verdict.replaceChildren(element("p", {}, text), onward);
  onward.focus();
}

// How many answers were right, of all or of one temperature (or Bach).
function countRight(key = null) {
  return game.answers.filter((answer, number) => {
    const source = game.rounds[number].key;
    return (key === null || key === source) && (answer === "bach") === (source === BACH);
  }).length;
}

function updateRound() {
  if (!game?.round || player.piece === null) return;
  const { play, stage, choices, over } = game.round;
  showPlaying(play, player.playing, "");
  stage.update();
  // Nobody answers before a note was heard.
  if (!over && choices[0].disabled && player.playing && player.audio.currentTime > 0) {
    for (const button of choices) button.disabled = false;
  }
}

player.listeners.add(updateRound);
player.audio.addEventListener("error", () => {
  if (game?.round && !game.round.over && player.piece !== null) dropRound();
});
