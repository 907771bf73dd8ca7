
"use strict";
(() => {
  const table = document.getElementById("cells");
  const body = table.tBodies[0];
  const rows = Array.from(body.rows);
  const data = JSON.parse(document.getElementById("runs").textContent);
  const filter = document.getElementById("filter");
  const odd = document.getElementById("odd");
  const count = document.getElementById("count");
  document.documentElement.classList.add("js");

  const element = (name, text, attributes = {}) => {
    const made = document.createElement(name);
    made.textContent = text;
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };

  // Numbers by value, texts by letter; empty cells come last in both directions.
  const key = (row, column) => {
    const cell = row.cells[column];
    if (cell.dataset.v !== undefined) return Number(cell.dataset.v);
    return cell.dataset.text !== undefined ? cell.dataset.text : cell.textContent;
  };
  const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en"));
  const sort = (column, direction) => {
    closeAll();
    const keyed = rows.map((row, place) => [key(row, column), place, row]);
    keyed.sort((x, y) => (x[0] === "") - (y[0] === "") || direction * compare(x[0], y[0]) || x[1] - y[1]);
    body.append(...keyed.map((one) => one[2]));
  };

  // The runs of a cell. Everything is set as text: no name or message can become a part of the page.
  const column = (text) => (text === undefined ? undefined : text.split(" "));
  const runsOf = (cell) => {
    const [repeat, right, status, cpu, host, id] = ["r", "a", "s", "c", "h", "i"].map((name) => column(cell[name]));
    const inner = element("table", "");
    const head = inner.createTHead().insertRow();
    const names = ["repeat", "accuracy", "status", "CPU s", "host", "run_id", "message"];
    const shown = [true, true, true, true, data.hosts.length > 0, Boolean(id), Boolean(cell.m)];
    names.forEach((name, i) => { if (shown[i]) head.append(element("th", name, { scope: "col" })); });
    const lines = inner.createTBody();
    repeat.forEach((number, i) => {
      const what = data.statuses[status ? status[i] : 0];
      const accuracy = what === "failed" ? "" : (Number(right[i]) / cell.n).toFixed(4);
      const message = (cell.m || {})[i] || "";
      const texts = [number, accuracy, what, cpu[i] === "-1" ? "" : cpu[i], data.hosts[host ? host[i] : 0] || "", id ? id[i] : "", message];
      const line = lines.insertRow();
      texts.forEach((text, j) => { if (shown[j]) line.append(element("td", text)); });
    });
    return inner;
  };
  const close = (row) => {
    const button = row.querySelector("button");
    if (!button || button.getAttribute("aria-expanded") === "false") return;
    row.nextElementSibling.remove();
    button.setAttribute("aria-expanded", "false");
  };
  const closeAll = () => rows.forEach(close);
  const open = (row, place) => {
    const line = element("tr", "", { class: "runs" });
    const cell = element("td", "", { colspan: row.cells.length });
    cell.append(runsOf(data.cells[place]));
    line.append(cell);
    row.after(line);
    row.querySelector("button").setAttribute("aria-expanded", "true");
  };
  rows.forEach((row, place) => {
    const first = row.cells[0];
    first.dataset.text = first.textContent;
    if (!data.cells[place]) return;
    const button = element("button", "runs", { type: "button", "aria-expanded": "false", "aria-label": "runs of " + row.dataset.name });
    button.addEventListener("click", () => (button.getAttribute("aria-expanded") === "true" ? close(row) : open(row, place)));
    first.append(button);
  });

  Array.from(table.tHead.rows[0].cells).forEach((heading, place, all) => {
    const button = element("button", heading.textContent, { type: "button" });
    heading.textContent = "";
    heading.append(button);
    button.addEventListener("click", () => {
      const isUp = heading.getAttribute("aria-sort") !== "ascending";
      all.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", isUp ? "ascending" : "descending");
      sort(place, isUp ? 1 : -1);
    });
  });

  // A number fits a cell of the table that is this number; other words fit wherever they occur.
  const values = rows.map((row) => new Set(Array.from(row.cells, (cell) => cell.textContent)));
  const texts = rows.map((row) => [row.dataset.name, ...Array.from(row.cells, (cell) => cell.textContent)].join(" ").toLowerCase());
  const show = () => {
    closeAll();
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let n = 0;
    rows.forEach((row, i) => {
      const fits = words.every((word) => (isNaN(word) ? texts[i].includes(word) : values[i].has(word))) && (!odd.checked || row.classList.contains("odd"));
      row.hidden = !fits;
      n += fits;
    });
    count.textContent = n + " of " + rows.length + " cells";
  };
  filter.addEventListener("input", show);
  odd.addEventListener("change", show);
  show();
})();
