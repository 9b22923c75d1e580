// The index of a site: its runs, and the filters above them.
const entries = JSON.parse(document.getElementById("entries").textContent);
const form = document.querySelector(".filters");

function links(cell) {
  const own = cell.getData(), box = document.createElement("span");
  for (const [href, text] of [[own.page, own.run], [own.claims, "claims"]]) {
    if (!href) continue;
    const link = document.createElement("a");
    link.href = href;
    link.textContent = text;
    if (text !== own.run) link.setAttribute("aria-label", own.run + ", " + text);
    box.append(link, " ");
  }
  if (!own.page) box.append(own.run + ": " + own.note);
  return box;
}

const plain = { formatter: "plaintext", titleFormatter: "plaintext" };
const runs = new Tabulator("#runs", {
  data: entries,
  layout: "fitDataStretch",
  height: entries.length > 30 ? "34rem" : false,
  initialSort: [{ column: "started", dir: "desc" }],
  columnDefaults: plain,
  columns: [
    { title: "run", field: "run", formatter: links, minWidth: 140 },
    { title: "started", field: "started" },
    { title: "suite", field: "suite", width: 190 },
    { title: "in short", field: "says", width: 260 },
    { title: "device", field: "device", width: 150 },
    { title: "cells", field: "cells", sorter: "number" },
    { title: "failed", field: "failed", sorter: "number" },
    { title: "status", field: "status" },
    { title: "version", field: "version" },
  ],
});
runs.on("tableBuilt", () => accessible(document.getElementById("runs")));

function fits(own) {
  const wanted = Object.fromEntries(new FormData(form));
  const day = own.started.slice(0, 10);
  return (!wanted.device || own.device === wanted.device) && (!wanted.suite || own.suite === wanted.suite)
    && (!wanted.model || own.models.includes(wanted.model)) && (!wanted.method || own.methods.includes(wanted.method))
    && (!wanted.from || day >= wanted.from) && (!wanted.to || day.slice(0, wanted.to.length) <= wanted.to);
}

function filter() {
  runs.setFilter(fits);
  const shown = entries.filter(fits).length;
  document.getElementById("count").textContent = (shown < entries.length ? shown + " of " : "") + entries.length + " runs";
}
form.addEventListener("change", filter);
form.addEventListener("reset", () => setTimeout(filter));
form.addEventListener("submit", event => event.preventDefault());
