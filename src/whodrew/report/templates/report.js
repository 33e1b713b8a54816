"use strict";
// What every section shares: pictures, sorting, and which attack is shown.
const whodrew = (() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const data = read("data");
  const thumbs = read("thumbs");
  const listeners = [];
  let selected = 0;

  const picture = (img, index) => {
    img.src = `data:${thumbs.type};base64,${thumbs.images[index]}`;
  };

  const paint = (root) => {
    for (const img of root.querySelectorAll("img[data-thumb]:not([src])")) {
      picture(img, Number(img.dataset.thumb));
    }
  };

  // Decoding waits until a strip is opened: a phone would choke on all of them at once.
  for (const strip of document.querySelectorAll("details.strip")) {
    if (strip.open) paint(strip);
    strip.addEventListener("toggle", () => strip.open && paint(strip));
  }

  const value = (row, column) => {
    const raw = row.cells[column]?.dataset.v ?? "";
    if (raw === "") return null;
    const asNumber = Number(raw);
    return Number.isNaN(asNumber) ? raw.toLowerCase() : asNumber;
  };

  const sortBy = (heading) => {
    const table = heading.closest("table");
    const column = heading.cellIndex;
    const body = table.tBodies[0];
    const rows = [...body.rows].filter((row) => !row.classList.contains("gap"));
    const text = rows.some((row) => typeof value(row, column) === "string");
    const before = heading.getAttribute("aria-sort");
    const start = text || heading.textContent === "#" || column === 0 ? "ascending" : "descending";
    const other = start === "ascending" ? "descending" : "ascending";
    const way = before === start ? other : start;
    for (const cell of table.tHead.rows[0].cells) {
      if (cell.hasAttribute("aria-sort")) cell.setAttribute("aria-sort", "none");
    }
    heading.setAttribute("aria-sort", way);
    const sign = way === "ascending" ? 1 : -1;
    const keyed = rows.map((row) => [value(row, column), row]);
    keyed.sort(([a], [b]) => {
      // Missing figures stay at the end whichever way.
      if (a === null || b === null) return (a === null) - (b === null);
      return sign * (typeof a === "string" ? a.localeCompare(String(b)) : a - b);
    });
    for (const gap of body.querySelectorAll("tr.gap")) gap.hidden = true;
    body.append(...keyed.map(([, row]) => row));
  };

  for (const button of document.querySelectorAll("button[data-sort]")) {
    button.addEventListener("click", () => sortBy(button.closest("th")));
  }

  const show = (index) => {
    selected = index;
    for (const block of document.querySelectorAll("[data-for]")) {
      block.hidden = Number(block.dataset.for) !== index;
    }
    for (const row of document.querySelectorAll("tr[data-select]")) {
      const mine = Number(row.dataset.select) === index;
      row.classList.toggle("selected", mine);
      row.querySelector("input").checked = mine;
    }
    for (const choice of document.querySelectorAll("select[data-choose]")) {
      choice.value = String(index);
    }
    for (const listener of listeners) listener(index);
  };

  for (const row of document.querySelectorAll("tr[data-select]")) {
    const index = Number(row.dataset.select);
    row.addEventListener("click", (event) => {
      if (!event.target.closest("a, label")) show(index);
    });
    row.querySelector("input").addEventListener("change", () => show(index));
  }
  for (const choice of document.querySelectorAll("select[data-choose]")) {
    choice.addEventListener("change", () => show(Number(choice.value)));
  }
  // A browser may bring back an earlier choice when the page is reloaded.
  window.addEventListener("pageshow", () => show(selected));

  return {
    data,
    picture,
    hasThumb: (index) => index >= 0 && index < thumbs.images.length,
    onSelect: (listener) => listeners.push(listener),
    show,
  };
})();
