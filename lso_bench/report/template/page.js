// Sorts a table by the column whose heading is pressed: numbers as numbers, what is empty last. Opens what a link names.
"use strict";
function read(text) {
  const plain = text.replace(/(\d),(?=\d{3})/g, "$1").replace("\u2212", "-");
  return text === "" ? null : /^-?\d+(\.\d+)?$/.test(plain) ? Number(plain) : text;
}
function value(row, column) {
  const cell = row.cells[column], order = cell.dataset.order;
  if (order === undefined) return read(cell.textContent.trim());
  if (order === "inf" || order === "-inf") return order === "inf" ? Infinity : -Infinity;
  return order === "nan" ? null : Number(order);
}
function compare(a, b, down) {
  if (a === null || b === null) return (a === null) - (b === null);
  const order = typeof a === "number" && typeof b === "number" ? (a > b) - (a < b)
    : String(a).localeCompare(String(b), "en", { numeric: true });
  return down ? -order : order;
}
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const head = button.parentElement, body = head.closest("table").tBodies[0];
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const rows = [...body.rows].map((row) => [value(row, head.cellIndex), row]);
    rows.sort((a, b) => compare(a[0], b[0], down));
    body.append(...rows.map((row) => row[1]));
  });
}
function reveal() {
  const named = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let e = named; e; e = e.parentElement) if (e.tagName === "DETAILS") e.open = true;
  if (named) named.scrollIntoView();
}
addEventListener("hashchange", reveal);
addEventListener("click", (event) => { if (event.target.closest("a[href^='#']")) setTimeout(reveal); });
addEventListener("beforeprint", () => { for (const part of document.querySelectorAll("details")) part.open = true; });
reveal();
