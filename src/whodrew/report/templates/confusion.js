(() => {
  const table = document.getElementById("matrix");
  if (!table) {
    whodrew.show(0);
    return;
  }
  const { data } = whodrew;
  const names = data.models;
  const size = names.length;
  const panel = document.getElementById("cell");
  const title = document.getElementById("cell-title");
  const text = document.getElementById("cell-text");
  const list = document.getElementById("cell-images");
  const close = document.getElementById("cell-close");
  const spelt = size <= 32;
  const cells = [];
  let attack = null;
  let counts = new Map();
  let chosen = null;
  let active = [0, 0];

  const make = (tag, name, content) => {
    const element = document.createElement(tag);
    if (name) element.className = name;
    if (content !== undefined) element.textContent = content;
    return element;
  };
  const percent = (share) => {
    const shown = share * 100;
    const whole = shown >= 9.95 && !(shown >= 99.5 && shown < 100);
    return `${shown.toFixed(whole ? 0 : 1)}\u202f%`;
  };

  const build = () => {
    table.classList.toggle("dense", !spelt);
    const head = make("tr");
    head.append(make("td", "corner", "drew ↓ answered →"));
    for (const [at, name] of names.entries()) {
      const cell = make("th");
      cell.scope = "col";
      cell.title = name;
      cell.append(make("span", "full", data.short[at]), make("span", "slim", data.slim[at]));
      head.append(cell);
    }
    const top = make("thead");
    top.append(head);
    const body = make("tbody");
    names.forEach((name, truth) => {
      const row = make("tr");
      const label = make("th");
      label.append(make("span", "full", data.short[truth]), make("span", "slim", data.slim[truth]));
      label.scope = "row";
      label.title = name;
      row.append(label);
      cells.push(
        names.map((_, answer) => {
          const cell = make("td");
          cell.tabIndex = -1;
          cell.setAttribute("role", "gridcell");
          cell.dataset.at = `${truth}-${answer}`;
          row.append(cell);
          return cell;
        }),
      );
      body.append(row);
    });
    table.replaceChildren(top, body);
  };

  const share = (truth, answer) => {
    const total = attack.totals[truth];
    return total ? (counts.get(`${truth}-${answer}`) ?? 0) / total : 0;
  };

  const fill = (index) => {
    attack = data.attacks[index] ?? { counts: [], totals: [], cells: {} };
    counts = new Map();
    for (let i = 0; i < attack.counts.length; i += 3) {
      counts.set(`${attack.counts[i]}-${attack.counts[i + 1]}`, attack.counts[i + 2]);
    }
    cells.forEach((row, truth) => {
      row[0].parentElement.hidden = !attack.totals[truth];
      row.forEach((cell, answer) => {
        const part = share(truth, answer);
        const many = counts.get(cell.dataset.at) ?? 0;
        cell.className = many ? (truth === answer ? "hit" : "miss") : "";
        // The square root keeps rare mistakes visible beside a full diagonal.
        cell.style.setProperty("--v", Math.sqrt(part).toFixed(3));
        cell.textContent = spelt && part >= 0.005 ? String(Math.round(part * 100)) : "";
        cell.title = `${names[truth]} → ${names[answer]}: ${many} of ${attack.totals[truth]} (${percent(part)})`;
        cell.setAttribute("aria-label", cell.title);
        cell.setAttribute("aria-selected", "false");
      });
    });
    rove(...active, false);
    if (chosen) open(...chosen, false);
  };

  const rove = (truth, answer, focus) => {
    cells[active[0]][active[1]].tabIndex = -1;
    active = [truth, answer];
    const cell = cells[truth][answer];
    cell.tabIndex = 0;
    if (focus) cell.focus();
  };

  const item = ([index, sure]) => {
    const [thumb, prompt, seed] = data.images[index];
    const [id, words] = data.prompts[prompt] ?? ["", ""];
    const entry = make("li");
    if (whodrew.hasThumb(thumb)) {
      const img = make("img");
      img.width = 128;
      img.height = 128;
      img.alt = words || id;
      whodrew.picture(img, thumb);
      entry.append(img);
    } else {
      entry.append(make("div", "missing", "no picture"));
    }
    const caption = make("span", "", id || "no prompt");
    caption.title = words ? `${id}: ${words}` : id;
    entry.append(caption);
    const below = [seed && `seed ${seed}`, sure !== null && `sure ${percent(sure)}`];
    entry.append(make("small", "", below.filter(Boolean).join(", ")));
    return entry;
  };

  const open = (truth, answer, reveal) => {
    if (chosen) cells[chosen[0]][chosen[1]].setAttribute("aria-selected", "false");
    chosen = [truth, answer];
    cells[truth][answer].setAttribute("aria-selected", "true");
    const many = counts.get(`${truth}-${answer}`) ?? 0;
    const shown = attack.cells[`${truth}-${answer}`] ?? [];
    title.textContent =
      truth === answer ? `${names[truth]}, named right` : `${names[truth]}, taken for ${names[answer]}`;
    const part = `${many} of its ${attack.totals[truth] ?? 0} images (${percent(share(truth, answer))})`;
    const rest = shown.length < many && shown.length ? `; ${shown.length} of them shown` : "";
    text.textContent = many ? `${part}${rest}.` : "None of its images got this answer.";
    list.replaceChildren(...shown.map(item));
    panel.classList.add("open");
    close.hidden = false;
    panel.scrollTop = 0;
    if (reveal) panel.scrollIntoView({ block: "nearest" });
  };

  const shut = () => {
    if (chosen) cells[chosen[0]][chosen[1]].setAttribute("aria-selected", "false");
    chosen = null;
    panel.classList.remove("open");
    close.hidden = true;
    title.textContent = "No cell selected";
    text.textContent = "Select a cell of the matrix: its images appear here.";
    list.replaceChildren();
  };

  table.addEventListener("click", (event) => {
    const cell = event.target.closest("td[data-at]");
    if (!cell) return;
    const [truth, answer] = cell.dataset.at.split("-").map(Number);
    rove(truth, answer, false);
    open(truth, answer, true);
  });
  table.addEventListener("keydown", (event) => {
    const [truth, answer] = active;
    const moves = {
      ArrowUp: [truth - 1, answer],
      ArrowDown: [truth + 1, answer],
      ArrowLeft: [truth, answer - 1],
      ArrowRight: [truth, answer + 1],
      Home: [truth, 0],
      End: [truth, size - 1],
    };
    if (event.key in moves) {
      const [row, column] = moves[event.key].map((at) => Math.min(Math.max(at, 0), size - 1));
      if (!cells[row][0].parentElement.hidden) rove(row, column, true);
    } else if (event.key === "Enter" || event.key === " ") {
      open(truth, answer, true);
    } else if (event.key === "Escape") {
      shut();
    } else {
      return;
    }
    event.preventDefault();
  });
  close.addEventListener("click", () => {
    const back = chosen;
    shut();
    if (back) cells[back[0]][back[1]].focus();
  });

  build();
  whodrew.onSelect(fill);
  whodrew.show(0);
})();
