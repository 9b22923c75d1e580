// The tables with every row: built when they are opened, from the JSON beside them.
"use strict";
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

function columnBoxes(details, table, columns, main) {
  const controls = details.querySelector(".controls");
  columns.forEach((title, i) => {
    if (main.includes(i)) return;
    const label = document.createElement("label"), box = document.createElement("input");
    box.type = "checkbox";
    box.addEventListener("change", () => table.toggleColumn("c" + i));
    label.append(box, " " + title);
    controls.append(label);
    controls.hidden = false;
  });
}

// Tabulator's heads can be clicked; here the tab key reaches them, and Enter sorts. Its body is a group of
// rows inside a box that scrolls: a grid may own the first and not the second, so the box is the group.
function accessible(grid) {
  const body = grid.querySelector(".tabulator-table");
  body.closest(".tabulator-tableholder").setAttribute("role", "rowgroup");
  body.setAttribute("role", "presentation");
  grid.removeAttribute("aria-owns");
  grid.querySelectorAll(".tabulator-col-sorter-element").forEach(head => {
    const title = head.querySelector(".tabulator-col-title");
    title.tabIndex = 0;
    title.addEventListener("keydown", event => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      title.click();
    });
  });
  grid.querySelectorAll(".tabulator-header-filter input").forEach(own => {
    const title = own.closest(".tabulator-col").querySelector(".tabulator-col-title").textContent;
    own.setAttribute("aria-label", "filter " + title);
  });
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
    columnDefaults: { headerFilter: "input", sorter: order, headerFilterPlaceholder: "filter", formatter: "plaintext",
      titleFormatter: "plaintext" },
    columns: data.columns.map((title, i) => ({ title, field: "c" + i, visible: data.main.includes(i) })),
  });
  columnBoxes(details, table, data.columns, data.main);
  const ready = new Promise(done => table.on("tableBuilt", () => done(accessible(grid))));
  const built = { table, columns: data.columns, ready };
  tables.set(details, built);
  details.querySelector(".selected button").addEventListener("click", () => only(details, {}));
  return built;
}

// Only the rows that have these values in the columns that there are.
function only(details, where) {
  const { table, columns, ready } = build(details);
  const wanted = Object.entries(where).filter(([title]) => columns.includes(title));
  ready.then(() => {
    const fits = row => wanted.every(([title, value]) => String(row["c" + columns.indexOf(title)]) === String(value));
    if (wanted.length) table.setFilter(fits);
    else table.clearFilter(true);
    const words = details.querySelector(".selected");
    words.hidden = !wanted.length;
    words.querySelector("span").textContent = wanted.map(pair => pair.join(" ")).join(", ");
  });
}

document.querySelectorAll("details.rows").forEach(details => {
  details.addEventListener("toggle", () => details.open && build(details));
  if (details.open) build(details);
});

document.querySelectorAll("a[data-where]").forEach(link => {
  link.addEventListener("click", () => {
    const details = document.querySelector(link.getAttribute("href"));
    if (!details) return;
    details.open = true;
    only(details, JSON.parse(link.dataset.where));
    details.querySelector("summary").focus({ preventScroll: true });
  });
});

document.querySelectorAll(".pivot").forEach(pivot => {
  pivot.addEventListener("change", event => pivot.classList.toggle("shows-absolute", event.target.value === "absolute"));
});
