"use strict";
// The end of the quiz: how often the listener was right, and which temperatures passed for Bach's.

function showResult() {
  player.unload();
  game.round = null;
  const composed = RUN.groups.map(({ key }) => key).filter((key) => key !== BACH);
  const sources = [BACH, ...composed]
    .map((key) => {
      const heard = game.rounds.filter((round) => round.key === key).length;
      const right = countRight(key);
      return { key, heard, right, taken: key === BACH ? right : heard - right };
    })
    .filter(({ heard }) => heard > 0);
  const title = `${countRight()} of ${game.answers.length} right`;
  const heading = element("h2", { tabIndex: -1 }, title);
  const again = element("button", { type: "button", className: "main" }, "Another round");
  again.addEventListener("click", () => (location.hash = `#quiz=${game.seed + 1}`));
  const chance = "Whoever guesses takes half of the composed pieces for Bach’s. A temperature fooled ";
  const rule = "you if guessing would take as many of its pieces or more 1 time in 20 or less.";
  const same = "The same pieces in the same order: this page’s address with ";
  quiz.replaceChildren(
    heading,
    element("p", { id: "fooled" }, verdictOn(sources)),
    resultTable(sources),
    element("p", { className: "note" }, chance, rule),
    again,
    element("h3", {}, "What you heard"),
    element("ol", { className: "heard" }, ...game.rounds.map(heardRound)),
    element("p", { className: "note" }, same, `#quiz=${game.seed} at its end.`),
  );
  heading.focus();
  player.tell();
}

// How likely somebody who guesses takes this many or more of the pieces heard for Bach's.
function byGuessing(taken, heard) {
  let ways = 1; // in which `count` of the pieces are taken
  let sum = 0;
  for (let count = 0; count <= heard; count++) {
    if (count >= taken) sum += ways;
    ways = (ways * (heard - count)) / (count + 1);
  }
  return sum / 2 ** heard;
}

// Fooled: a one-sided sign test, for each temperature, at the usual level. It takes five pieces of
// one; where there are fewer of each, all temperatures together.
const LEVEL = 1 / 20;
function verdictOn(sources) {
  const composed = sources.filter(({ key }) => key !== BACH);
  const fooled = composed.filter(({ heard, taken }) => byGuessing(taken, heard) <= LEVEL);
  if (fooled.length) {
    const names = new Intl.ListFormat("en").format(fooled.map(({ key }) => key));
    const theirs = fooled.length === 1 ? "its" : "their";
    return `Temperature${fooled.length === 1 ? "" : "s"} ${names} fooled you: you took more of `
      + `${theirs} pieces for Bach’s than guessing would.`;
  }
  if (composed.some(({ heard }) => byGuessing(heard, heard) <= LEVEL))
    return "No temperature fooled you more often than guessing would.";
  const few = "You heard too few pieces of each temperature to tell being fooled from guessing.";
  const total = (name) => composed.reduce((sum, source) => sum + source[name], 0);
  if (composed.length === 1 || byGuessing(total("heard"), total("heard")) > LEVEL) return few;
  return byGuessing(total("taken"), total("heard")) <= LEVEL
    ? `${few} Together they fooled you: you took more of them for Bach’s than guessing would.`
    : `${few} Together they did not fool you more often than guessing would.`;
}

function resultTable(sources) {
  const headings = element("tr");
  for (const text of ["Composed by", "Right", "Taken for Bach’s"]) {
    headings.append(element("th", { scope: "col" }, text));
  }
  const rows = element("tbody");
  for (const { key, heard, right, taken } of sources) {
    const share = `${Math.round((100 * taken) / heard)}%`;
    const bar = element("span", { className: "bar", "aria-hidden": "true" });
    bar.style.setProperty("--share", share);
    rows.append(element("tr", {},
      element("th", { scope: "row" }, groupName(key)),
      element("td", {}, `${right} of ${heard}`),
      element("td", {}, bar, share)));
  }
  const caption = element("caption", { className: "unseen" }, "How often you were right");
  const head = element("thead", {}, headings);
  return element("table", { className: "result" }, caption, head, rows);
}

function heardRound({ key, at }, number) {
  const answer = game.answers[number];
  const right = (answer === "bach") === (key === BACH);
  const said = right ? "right" : `you said ${answer === "bach" ? "Bach" : "machine"}`;
  const button = element("button", { type: "button", className: "small" });
  const label = element("span", {}, groupName(key));
  const item = element("li", {}, button, label);
  item.append(element("small", { className: right ? "" : "wrong" }, said));
  const update = () => {
    if (!item.isConnected && item.dataset.shown) player.listeners.delete(update);
    item.dataset.shown = "yes";
    showPlaying(button, player.is(key, at) && player.playing, ` ${label.textContent}`);
  };
  figuresOf(key).then(({ names }) => {
    label.textContent = `${groupName(key)}, ${names[at]}`;
    player.listeners.add(update);
    update();
  }, complain);
  button.addEventListener("click", async () => {
    if (player.is(key, at)) return player.toggle();
    try {
      const notes = await notesOf(key, at);
      const { names } = await figuresOf(key);
      player.load({ key, at, name: names[at], ...notes });
      player.play();
    } catch (error) {
      complain(error);
    }
  });
  return item;
}
