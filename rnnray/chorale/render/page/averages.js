"use strict";
// The averages of each temperature beside Bach's, which also choose what is listed; the list's
// headings, which sort it. Both tables have the same columns, so that figures stand in line.

function columns() {
  const group = element("colgroup", {}, element("col"));
  for (const _ of FIGURES) group.append(element("col", { className: "figure" }));
  group.append(element("col", { className: "files" }));
  return group;
}

// The figures of each temperature that no other temperature has nearer to Bach's.
function nearest() {
  const near = new Map(RUN.groups.map(({ key }) => [key, new Set()]));
  const composed = RUN.groups.filter(({ key }) => key !== BACH);
  for (const { name } of FIGURES) {
    const away = ({ means }) => Math.abs((means[name] ?? NaN) - (RUN.bach[name] ?? NaN));
    const known = composed.filter((group) => !isNaN(away(group)));
    const least = Math.min(...known.map(away));
    if (known.length < 2) continue;
    for (const group of known) if (away(group) === least) near.get(group.key).add(name);
  }
  return near;
}

function setUpAverages() {
  const near = nearest();
  const rows = element("tbody");
  const add = (key, label, count, means) => {
    const head = element("label", {}, element("span", {}, label));
    if (count) {
      const radio = element("input", { type: "radio", name: "group", value: key });
      radio.addEventListener("change", () => change({ group: key }));
      head.prepend(radio);
      head.append(element("small", {}, count.toLocaleString("en")));
    }
    const row = element("tr", {}, element("th", { scope: "row" }, head));
    for (const figure of FIGURES) {
      const text = means ? written(figure, means[figure.name]) : "";
      const bold = near.get(key)?.has(figure.name);
      const value = bold ? element("strong", {}, text) : text;
      row.append(element("td", { "data-label": text ? figure.label : "" }, value));
    }
    row.append(element("td"));
    rows.append(row);
  };
  for (const { key, count, means } of RUN.groups) if (key !== BACH) add(key, key, count, means);
  add(BACH, "Bach", GROUPS.get(BACH)?.count, RUN.bach);
  if (RUN.groups.length > 1) add(ALL, "All", countOf(RUN.groups), null);

  const names = element("tr", {}, element("th", { scope: "col" }, "Temperature"));
  for (const { label } of FIGURES) names.append(element("th", { scope: "col" }, label));
  names.append(element("td"));
  const caption = element("caption", {}, "Mean statistics of each temperature beside Bach’s");
  const table = element("table", { className: "averages" });
  table.append(caption, columns(), element("thead", {}, names), rows);
  const marked = [...near.values()].some(({ size }) => size > 0);
  const whole = RUN.bach_chorales ? ` Bach’s: of all his ${counted(RUN.bach_chorales, "chorale")}`
    + " in the corpus, but for the nats." : "";
  const note = `Means of all pieces.${whole}${marked ? " Bold: nearest to Bach’s." : ""} Pieces of `
    + "one number share their random numbers at all temperatures: compare them in pairs.";
  byId("averages").append(table, element("p", { className: "note" }, note));
}

function setUpHeadings() {
  const names = element("tr");
  const add = (sort, label, title) => {
    const button = element("button", { type: "button", title }, label);
    button.addEventListener("click", () => sortBy(sort));
    names.append(element("th", { scope: "col", "data-sort": sort }, button));
  };
  add("index", "Piece", "Sort by number");
  for (const { name, label, about } of FIGURES) add(name, label, about || label);
  const files = element("span", { className: "unseen" }, "Files");
  names.append(element("th", { scope: "col" }, files));
  const bach = element("tr", { className: "bach" });
  bach.append(element("th", { scope: "row" }, "Bach’s mean"));
  for (const figure of FIGURES) {
    bach.append(element("td", {}, written(figure, RUN.bach[figure.name])));
  }
  bach.append(element("td"));
  byId("pieces").prepend(columns());
  byId("pieces").tHead.append(names, bach);
}
