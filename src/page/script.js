// What a page does while it is read: the theme, sorting, filtering, taking a table along, and the
// meaning of a name in place. Without it the page says the same.
"use strict";

const root = document.documentElement;
const said = document.getElementById("said");

// A page that is opened from a disk may be refused a memory.
const memory = {
  read: () => { try { return localStorage.getItem("theme"); } catch { return null; } },
  write: (theme) => { try { localStorage.setItem("theme", theme); } catch { /* then it is forgotten */ } },
};

function themes() {
  const button = document.querySelector(".theme");
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ?? (prefersDark.matches ? "dark" : "light")) === "dark";
  const name = () => { button.textContent = isDark() ? "Light theme" : "Dark theme"; };
  const known = memory.read();
  if (known === "dark" || known === "light") root.dataset.theme = known;
  button.hidden = false;
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    memory.write(root.dataset.theme);
    name();
  });
  prefersDark.addEventListener("change", name);
  name();
}

const valueOf = (cell) => cell.dataset.value ?? cell.textContent;
const staysBelow = (row) => row.className !== "";

// Rows that sum up stay where they are: below all others.
function sort(table, at, direction) {
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const numeric = table.tHead.rows[0].cells[at].classList.contains("number");
  const order = new Intl.Collator("en", { numeric: true }).compare;
  const key = (row) => {
    const text = valueOf(row.cells[at]);
    return numeric ? (text === "" ? NaN : Number(text)) : text;
  };
  const keyed = rows.filter((row) => !staysBelow(row)).map((row, place) => ({ row, place, key: key(row) }));
  keyed.sort((left, right) => {
    if (!numeric) return direction * order(left.key, right.key) || left.place - right.place;
    // What has no figure comes last, whichever way.
    const missing = Number.isNaN(left.key) - Number.isNaN(right.key);
    return missing || direction * (left.key - right.key) || left.place - right.place;
  });
  body.append(...keyed.map((one) => one.row), ...rows.filter(staysBelow));
}

function sortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, at) => {
    head.querySelector("button").addEventListener("click", () => {
      // Figures are mostly looked at from the greatest down, names from the first.
      const first = head.classList.contains("number") ? "descending" : "ascending";
      const other = first === "ascending" ? "descending" : "ascending";
      const next = head.getAttribute("aria-sort") === first ? other : first;
      heads.forEach((one) => one.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", next);
      sort(table, at, next === "ascending" ? 1 : -1);
      said.textContent = `sorted by ${head.textContent}, ${next}`;
    });
  });
}

function filterable(table, input, output) {
  const rows = [...table.tBodies[0].rows].filter((row) => row.className !== "total");
  const texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
  const filter = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter((word) => word !== "");
    let shown = 0;
    for (const row of rows) {
      row.hidden = !words.every((word) => texts.get(row).includes(word));
      if (!row.hidden) shown += 1;
    }
    output.textContent = words.length === 0 ? "" : `${shown} of ${rows.length} rows`;
  };
  input.addEventListener("input", filter);
}

// RFC 4180. What a spreadsheet would take for a formula begins with an apostrophe.
function csvOf(table) {
  const heads = [...table.tHead.rows[0].cells];
  const quoted = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const cellOf = (cell, at) => {
    const text = valueOf(cell);
    const plain = heads[at].classList.contains("number") || !/^[=+\-@\t\r]/.test(text);
    return quoted(plain ? text : `'${text}`);
  };
  const shown = [...table.tBodies[0].rows].filter((row) => !row.hidden && row.className !== "total");
  const lines = [heads.map((head) => quoted(head.textContent)), ...shown.map((row) => [...row.cells].map(cellOf))];
  return lines.map((cells) => cells.join(",") + "\r\n").join("");
}

function takeAlong(table) {
  const name = table.caption.textContent.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "");
  const link = document.createElement("a");
  // A mark of the encoding, without which spreadsheets take letters for others.
  link.href = URL.createObjectURL(new Blob(["\ufeff", csvOf(table)], { type: "text/csv" }));
  link.download = `${name || "table"}.csv`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function tools(block) {
  const table = block.querySelector("table");
  const bar = document.createElement("div");
  bar.className = "tools";
  const input = document.createElement("input");
  input.type = "search";
  input.placeholder = "Filter rows";
  input.setAttribute("aria-label", `Filter rows of: ${table.caption.textContent}`);
  const output = document.createElement("output");
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "CSV";
  button.setAttribute("aria-label", `Save as CSV: ${table.caption.textContent}`);
  button.addEventListener("click", () => takeAlong(table));
  bar.append(input, button, output);
  block.prepend(bar);
  filterable(table, input, output);
  sortable(table);
}

function tips() {
  const tip = document.getElementById("tip");
  const hide = () => { tip.hidden = true; };
  const show = (event) => {
    const named = event.target.closest?.("[aria-describedby^='word-']");
    if (!named) return;
    tip.textContent = document.getElementById(named.getAttribute("aria-describedby")).textContent;
    tip.hidden = false;
    const box = named.getBoundingClientRect();
    const left = Math.min(box.left, innerWidth - tip.offsetWidth - 12);
    const below = box.bottom + 8 + tip.offsetHeight < innerHeight;
    const top = below ? box.bottom + 6 : box.top - tip.offsetHeight - 6;
    tip.style.left = `${Math.max(left, 8) + scrollX}px`;
    tip.style.top = `${Math.max(top, 4) + scrollY}px`;
  };
  document.addEventListener("mouseover", show);
  document.addEventListener("focusin", show);
  document.addEventListener("mouseout", hide);
  document.addEventListener("focusout", hide);
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
  // With the page it moves; within a table its name may go out of sight.
  const hideWithin = (event) => { if (event.target !== document) hide(); };
  document.addEventListener("scroll", hideWithin, { capture: true, passive: true });
}

themes();
tips();
document.querySelectorAll(".table").forEach(tools);
