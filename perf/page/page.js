"use strict";
(() => {
  const all = (query, root = document) => Array.from(root.querySelectorAll(query));
  const byId = (id) => document.getElementById(id);
  const root = document.documentElement;
  const tools = byId("tools");

  // --- light and dark
  const theme = byId("theme");
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme || (prefersDark.matches ? "dark" : "light")) === "dark";
  const nameTheme = () => { if (theme) theme.textContent = isDark() ? "Light" : "Dark"; };
  try { if (localStorage.epPerfTheme) root.dataset.theme = localStorage.epPerfTheme; } catch { /* no storage for files */ }
  theme?.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try { localStorage.epPerfTheme = root.dataset.theme; } catch { /* the choice lasts as long as the page */ }
    nameTheme();
  });
  prefersDark.addEventListener("change", nameTheme);
  nameTheme();

  // --- a link into a folded part unfolds it
  const unfoldTarget = () => {
    const id = decodeURIComponent(location.hash.slice(1));
    const target = id && byId(id);
    if (!target) return;
    for (let e = target; e; e = e.parentElement) if (e.localName === "details") e.open = true;
    target.scrollIntoView({ block: target.localName === "tr" ? "center" : "start" });
  };
  addEventListener("hashchange", unfoldTarget);
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = all("details:not([open])");
    folded.forEach((d) => { d.open = true; });
  });
  addEventListener("afterprint", () => folded.forEach((d) => { d.open = false; }));

  if (!tools) { unfoldTarget(); return; }
  tools.hidden = false;
  tools.addEventListener("submit", (event) => event.preventDefault());

  // --- find by words, and by outcome
  const cells = byId("matrix") !== null;
  const counts = (element) => cells ? element.closest("#matrix") !== null : element.localName === "tr";
  const total = all(cells ? "#matrix td[data-o]" : "table.found tr[data-o]").length;
  let entries; // what can be hidden: its element, and the cells it stands for as [text, outcome]; made when asked for
  const index = () => {
    const columns = all("#matrix thead th").slice(1).map((th) => th.textContent.toLowerCase());
    const found = [];
    for (const row of all("#matrix tbody tr")) {
      const model = row.cells[0].textContent.toLowerCase();
      const told = Array.from(row.cells).slice(1).flatMap((td, i) =>
        td.dataset.o ? [[`${model} ${columns[i]} ${td.textContent.toLowerCase()}`, td.dataset.o]] : []);
      found.push({ element: row, told });
    }
    for (const row of all("table.found tbody tr[data-o]")) {
      found.push({ element: row, told: [[row.textContent.toLowerCase(), row.dataset.o]] });
    }
    for (const d of all("details.fail")) {
      found.push({ element: d, told: [[d.querySelector("summary").textContent.toLowerCase(), d.dataset.o]] });
    }
    for (const d of all("details.model")) {
      const model = d.querySelector("h3").textContent.toLowerCase();
      const told = all("tr[data-o]", d).map((tr) => [
        `${model} ${tr.cells[0].textContent.toLowerCase()} ${tr.cells[1] ? tr.cells[1].textContent.toLowerCase() : ""}`,
        tr.dataset.o]);
      found.push({ element: d, told });
    }
    return found;
  };
  const what = (cells ? "cell" : "row") + (total === 1 ? "" : "s");
  const find = byId("find"), outcome = byId("outcome"), shown = byId("shown");
  const filter = () => {
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = outcome.value;
    let left = 0;
    entries ??= index();
    for (const { element, told } of entries) {
      const fits = told.filter(([text, o]) => (!wanted || o === wanted) && words.every((w) => text.includes(w))).length;
      if (element.hidden !== (fits === 0)) element.hidden = fits === 0;
      if (counts(element)) left += fits;
    }
    shown.textContent = left === total ? `${total} ${what}` : `${left} of ${total} ${what}`;
  };
  let waiting = 0;
  find.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(filter, 60); });
  outcome.addEventListener("change", filter);
  shown.textContent = `${total} ${what}`;
  if (find.value || outcome.value) filter(); // a page that was left and come back to

  // --- sort a table by a column: a second press turns it round, what has no figure comes last
  const sortable = (table) => {
    const body = table.tBodies[0];
    all("thead th", table).forEach((th, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...th.childNodes);
      th.append(button);
      button.addEventListener("click", () => {
        const down = th.getAttribute("aria-sort") === "ascending";
        all("thead th", table).forEach((other) => other.removeAttribute("aria-sort"));
        th.setAttribute("aria-sort", down ? "descending" : "ascending");
        const key = (row) => {
          const cell = row.cells[Math.min(column, row.cells.length - 1)];
          const figure = parseFloat(cell.dataset.v ?? (column > 0 ? row.dataset.v : undefined));
          if (!Number.isNaN(figure)) return figure;
          return figures ? null : cell.textContent;
        };
        const figures = Array.from(body.rows).some((row) => row.cells[column] && (row.cells[column].dataset.v || (column > 0 && row.dataset.v)));
        const rows = Array.from(body.rows).filter((row) => !row.classList.contains("axis"));
        const last = Array.from(body.rows).filter((row) => row.classList.contains("axis"));
        const keyed = rows.map((row) => [key(row), row]);
        keyed.sort(([a], [b]) => {
          if (a === null || b === null) return (a === null) - (b === null);
          const order = typeof a === "string" ? a.localeCompare(b) : a - b;
          return down ? -order : order;
        });
        body.append(...keyed.map(([, row]) => row), ...last);
      });
    });
  };
  all("table.sort").forEach(sortable);

  // --- go to a model
  const jump = byId("jump");
  const folds = all("main details").length > 0;
  jump.parentElement.hidden = !folds;
  byId("unfold").hidden = !folds;
  for (const d of all("details.model")) jump.append(new Option(d.querySelector("h3").textContent, d.id));
  jump.addEventListener("change", () => {
    if (jump.value) location.hash = jump.value;
    jump.value = "";
  });
  addEventListener("keydown", (event) => {
    if (event.key === "/" && !/^(input|select|textarea)$/.test(document.activeElement.localName)) {
      event.preventDefault();
      find.focus();
    }
  });

  // --- unfold all, copy a command
  const unfold = byId("unfold");
  unfold.addEventListener("click", () => {
    const open = unfold.getAttribute("aria-pressed") !== "true";
    all("main details").forEach((d) => { d.open = open; });
    unfold.setAttribute("aria-pressed", String(open));
    unfold.textContent = open ? "Fold all" : "Unfold all";
  });
  for (const pre of all("pre.cmd")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(pre.querySelector("code").textContent);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(pre.querySelector("code"));
        button.textContent = "Selected";
      }
    });
    pre.before(button);
  }
  unfoldTarget();
})();
