// The tables with every row: built when they are opened, from the JSON beside them.
"use strict";
const MOST_COLUMNS = 8;
const tables = new Map();

function number(text) {
  const found = parseFloat(String(text).replace(/,/g, ""));
  return Number.isNaN(found) ? null : found;
}

function order(a, b) {
  const x = number(a), y = number(b);
  if (x === null || y === null) return (x === null) - (y === null) || String(a).localeCompare(String(b));
  return x - y;
}

function build(details) {
  if (tables.has(details)) return tables.get(details);
  const grid = details.querySelector(".grid");
  const data = JSON.parse(document.getElementById(grid.dataset.rows).textContent);
  const rows = data.rows.map(row => Object.fromEntries(row.map((value, i) => ["c" + i, value])));
  const table = new Tabulator(grid, {
    data: rows,
    layout: "fitDataFill",
    height: rows.length > 30 ? "28rem" : false,
    columnDefaults: { headerFilter: "input", sorter: order, headerFilterPlaceholder: "filter", formatter: "plaintext" },
    columns: data.columns.map((title, i) => ({ title, field: "c" + i, visible: i < MOST_COLUMNS })),
  });
  const controls = details.querySelector(".controls");
  data.columns.slice(MOST_COLUMNS).forEach((title, i) => {
    const label = document.createElement("label"), box = document.createElement("input");
    box.type = "checkbox";
    box.addEventListener("change", () => table.toggleColumn("c" + (i + MOST_COLUMNS)));
    label.append(box, " " + title);
    controls.append(label);
  });
  if (data.columns.length > MOST_COLUMNS) controls.prepend("More columns: ");
  table.on("tableBuilt", () => {
    grid.querySelectorAll(".tabulator-header-filter input").forEach(own => {
      const title = own.closest(".tabulator-col").querySelector(".tabulator-col-title").textContent;
      own.setAttribute("aria-label", "filter " + title);
    });
  });
  const built = { table, method: "c" + data.columns.indexOf("method"), ready: new Promise(done => table.on("tableBuilt", done)) };
  tables.set(details, built);
  return built;
}

document.querySelectorAll("details.rows").forEach(details => {
  details.addEventListener("toggle", () => details.open && build(details));
  if (details.open) build(details);
});

document.querySelectorAll("a[data-filter]").forEach(link => {
  link.addEventListener("click", () => {
    const details = document.querySelector(link.getAttribute("href"));
    details.open = true;
    const built = build(details);
    built.ready.then(() => built.table.setHeaderFilterValue(built.method, link.dataset.filter));
  });
});

document.querySelectorAll(".pivot").forEach(pivot => {
  pivot.addEventListener("change", event => pivot.classList.toggle("shows-absolute", event.target.value === "absolute"));
});
