// Filters, sorting, the plot's axes and the details of a run. The address says what is shown.
(() => {
  const facts = JSON.parse(document.getElementById("facts").textContent);
  const byId = (id) => document.getElementById(id);
  const filters = byId("filters"), axes = byId("axes"), dialog = byId("details");
  const boards = [...document.querySelectorAll(".board")];
  const NAMES = ["world", "dataset", "budget"];
  let opened = null; // the <article> that the dialog shows, and the place it belongs to

  const read = () => Object.fromEntries(new URLSearchParams(location.hash.slice(1)));

  function set(changes) {
    const kept = Object.entries({ ...read(), ...changes }).filter(([, value]) => value);
    history.replaceState(null, "", `#${new URLSearchParams(kept)}`);
    show();
  }

  function show() {
    const state = read();
    const shown = showBoards(state);
    boards.forEach((board) => sort(board, state));
    plot(state, shown);
    showRun(state.run);
  }

  // Boards and rows that the filters let through; the reference stays beside whatever is left.
  function showBoards(state) {
    for (const name of [...NAMES, "q"]) filters.elements[name].value = state[name] || "";
    filters.elements.variants.checked = Boolean(state.variants);
    for (const board of boards) {
      const fits = NAMES.every((name) => !state[name] || board.dataset[name] === state[name]);
      let left = 0;
      for (const row of board.querySelectorAll("tr[data-run]")) {
        const group = row.parentNode.className;
        const named = group === "reference" || matches(row.dataset.label, state.q);
        row.hidden = !named;
        if (named && group !== "reference" && (group !== "variant" || state.variants)) left += 1;
      }
      for (const body of board.querySelectorAll("tbody.variant")) body.hidden = !state.variants || ![...body.rows].some((r) => r.dataset.run && !r.hidden);
      board.hidden = !fits || (Boolean(state.q) && !left);
      document.querySelector(`.answer[data-board="${board.id}"]`).hidden = !fits;
    }
    const shown = boards.filter((board) => !board.hidden);
    byId("nothing").hidden = shown.length > 0;
    return shown;
  }

  const matches = (label, text) => !text || text.toLowerCase().split(/\s+/).every((word) => label.includes(word));

  // Rows of every group by a column; equal ones in their first order, missing values last whichever way it goes.
  function sort(board, state) {
    const heads = [...board.querySelectorAll("thead th")];
    const at = heads.findIndex((head) => head.dataset.key === (state.sort || "rank"));
    const order = state.order || (heads[at] ? heads[at].dataset.first : "ascending");
    heads.forEach((head, place) => (place === at ? head.setAttribute("aria-sort", order) : head.removeAttribute("aria-sort")));
    const text = at >= 0 && heads[at].dataset.kind === "text", sign = order === "descending" ? -1 : 1;
    const key = (row) => {
      const value = at < 0 ? "" : row.cells[at].dataset.value;
      return value === "" || text ? value : Number(value);
    };
    const compare = (a, b) => {
      const [x, y] = [key(a), key(b)];
      if (x === "" || y === "") return (x === "") - (y === "");
      return sign * (text ? x.localeCompare(y, "en") : x - y);
    };
    for (const body of board.querySelectorAll("tbody")) {
      const rows = [...body.querySelectorAll("tr[data-run]")].sort((a, b) => a.dataset.first - b.dataset.first);
      body.append(...rows.sort(compare));
    }
  }

  function sortBy(head) {
    const state = read(), key = head.dataset.key, first = head.dataset.first;
    const now = (state.sort || "rank") === key ? state.order || first : null;
    const order = now === null ? first : now === "ascending" ? "descending" : "ascending";
    set({ sort: key, order });
  }

  function plot(state, shown) {
    const usable = [...new Set(shown.map((board) => Number(board.dataset.contest)))].filter((i) => facts.contests[i].metrics.length);
    byId("tradeoff").hidden = !usable.length;
    if (!usable.length) return;
    const which = usable.includes(Number(state.plot || NaN)) ? Number(state.plot) : usable[0], contest = facts.contests[which];
    fill(axes.elements.plot, usable.map((i) => [i, `${facts.contests[i].title} (${facts.contests[i].world})`]), which);
    axes.querySelector(".which").hidden = usable.length < 2;
    const y = contest.metrics.find((m) => m.key === state.y) || contest.metrics[0];
    const x = contest.costs.find((c) => c.key === state.x) || contest.costs[0];
    fill(axes.elements.y, contest.metrics.map((m) => [m.key, m.label]), y.key);
    fill(axes.elements.x, contest.costs.map((c) => [c.key, c.label]), x.key);
    const points = contest.points
      .filter((p) => p.values[x.key] && p.values[y.key] && (p.kind !== "variant" || state.variants))
      .filter((p) => p.kind === "reference" || ((!state.budget || p.budget === state.budget) && matches(p.label.toLowerCase(), state.q)))
      .map((p) => ({ ...p, x: p.values[x.key], y: p.values[y.key] }));
    byId("tradeoff").hidden = !points.length;
    if (!points.length) return;
    const title = `${y.label} against ${x.label}: ${contest.title} (${contest.world})`;
    const view = { x: `less is better ←  ${x.label}`, y: y.label, better: y.better, looks: facts.looks, title };
    Scatter.draw(byId("scatter"), points, view, (run) => set({ run }));
    byId("tradeoff").querySelector(".plotted").textContent = title;
    caption(points, x.note);
  }

  function caption(points, note) {
    const text = document.createElement("span"), list = document.createElement("ul");
    text.textContent = `Bars are 95 % intervals, the dashed line is the frontier of the values; smaller marks are variants; marks that would coincide stand side by side. ${note}.`;
    list.className = "legend";
    for (const method of [...new Set(points.map((p) => p.method))].sort()) {
      const item = document.createElement("li");
      item.append(symbol(Scatter.make("svg", { class: "mark" }), method), facts.names[method]);
      list.append(item);
    }
    byId("tradeoff").querySelector("figcaption").replaceChildren(text, list);
  }

  function symbol(svg, method) {
    svg.setAttribute("viewBox", "-8 -8 16 16");
    Scatter.mark(svg, facts.looks[method], 6);
    return svg;
  }

  function fill(select, options, value) {
    select.replaceChildren(...options.map(([key, text]) => new Option(text, key)));
    select.value = value;
  }

  // The run's details move into the dialog and back.
  function showRun(run) {
    const source = run ? byId(`run-${run}`) : null;
    if (opened && opened.home !== source) putBack();
    if (!source || opened) return;
    opened = { home: source, article: source.querySelector("article") };
    dialog.querySelector("div").replaceChildren(opened.article);
    dialog.showModal();
    dialog.scrollTop = 0;
  }

  function putBack() {
    opened.home.append(opened.article);
    opened = null;
    if (dialog.open) dialog.close();
  }

  function begin() {
    filters.hidden = false;
    hints();
    const dated = new Date(document.lastModified).toLocaleDateString("en-GB", { day: "numeric", month: "long", year: "numeric" });
    byId("dated").textContent = ` This file was written on ${dated}.`;
    byId("answers").addEventListener("click", (event) => {
      const link = event.target.closest("h3 a");
      if (!link) return;
      event.preventDefault(); // the address keeps what is shown
      byId(link.closest(".answer").dataset.board).scrollIntoView();
    });
    byId("runs").hidden = true;
    for (const board of boards) {
      board.querySelectorAll("tr[data-run]").forEach((row, place) => { row.dataset.first = place; });
      for (const head of board.querySelectorAll("thead th")) {
        const button = document.createElement("button"), way = document.createElement("span");
        way.className = "way";
        button.type = "button";
        button.append(...head.childNodes);
        button.insertBefore(way, button.querySelector("small"));
        head.append(button);
        button.addEventListener("click", () => sortBy(head));
      }
      board.addEventListener("click", (event) => {
        const row = event.target.closest("tr[data-run]");
        if (!row || event.target.closest("a.paper") || (String(getSelection()) && !event.target.closest("a"))) return; // text is being copied
        event.preventDefault();
        set({ run: row.dataset.run });
      });
    }
    document.querySelectorAll("svg.mark[data-method]").forEach((svg) => symbol(svg, svg.dataset.method));
    filters.addEventListener("input", () => set(chosen()));
    filters.addEventListener("submit", (event) => event.preventDefault());
    filters.addEventListener("reset", (event) => {
      event.preventDefault();
      set({ world: "", dataset: "", budget: "", q: "", variants: "", sort: "", order: "" });
    });
    axes.addEventListener("input", () => set(Object.fromEntries(new FormData(axes))));
    dialog.querySelector(".close").addEventListener("click", () => set({ run: "" }));
    dialog.addEventListener("cancel", () => set({ run: "" }));
    dialog.addEventListener("click", (event) => { if (event.target === dialog) set({ run: "" }); });
    window.addEventListener("hashchange", show);
    let width = window.innerWidth;
    window.addEventListener("resize", () => {
      if (width === window.innerWidth) return;
      width = window.innerWidth;
      show();
    });
  }

  // What a word or a head means, beside it: pointed at, touched or reached by keyboard.
  function hints() {
    const hint = byId("hint");
    for (const node of document.querySelectorAll("main [title]")) {
      node.dataset.hint = node.title;
      node.setAttribute("aria-description", node.title);
      node.removeAttribute("title");
    }
    let told = null;
    const place = () => {
      if (!told) return;
      const at = told.getBoundingClientRect(), own = hint.getBoundingClientRect(), room = document.documentElement.clientWidth;
      hint.style.left = `${Math.max(8, Math.min(at.left, room - own.width - 8))}px`;
      hint.style.top = `${at.bottom + own.height + 12 < innerHeight ? at.bottom + 6 : at.top - own.height - 6}px`;
    };
    const tell = (node) => {
      told = node && node.dataset.hint ? node : null;
      hint.hidden = !told;
      if (told) hint.textContent = told.dataset.hint;
      place();
    };
    for (const name of ["mouseover", "focusin"]) document.addEventListener(name, (event) => tell(event.target.closest("[data-hint]")));
    document.addEventListener("focusout", () => tell(null));
    document.addEventListener("scroll", place, true);
    document.addEventListener("keydown", (event) => { if (event.key === "Escape") tell(null); });
  }

  const chosen = () => ({ variants: "", ...Object.fromEntries(new FormData(filters)) });

  begin();
  show();
})();
