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
  const chance = "Whoever guesses is right half of the time, and takes composed pieces ";
  const same = "The same pieces in the same order: this page’s address with ";
  quiz.replaceChildren(
    heading,
    element("p", { id: "fooled" }, verdictOn(sources)),
    resultTable(sources),
    element("p", { className: "note" }, chance, "for Bach’s as often as his own."),
    again,
    element("h3", {}, "What you heard"),
    element("ol", { className: "heard" }, ...game.rounds.map(heardRound)),
    element("p", { className: "note" }, same, `#quiz=${game.seed} at its end.`),
  );
  heading.focus();
  player.tell();
}

function verdictOn(sources) {
  const fooled = sources.filter(({ key, heard, taken }) => key !== BACH && 2 * taken >= heard);
  if (!fooled.length) return "No temperature had you fooled with half of its pieces.";
  const names = new Intl.ListFormat("en").format(fooled.map(({ key }) => key));
  return fooled.length === 1
    ? `Temperature ${names} fooled you: you took half or more of its pieces for Bach’s.`
    : `Temperatures ${names} fooled you: you took half or more of their pieces for Bach’s.`;
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
