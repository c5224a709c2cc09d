"use strict";
// A scatter of quality against cost with 95 % intervals and the frontier of the values.
const Scatter = (() => {
  const NS = "http://www.w3.org/2000/svg";
  const MARGIN = { top: 30, right: 18, bottom: 46, left: 58 };
  const GAP = 13; // pixels between marks that would coincide
  const FAR = [1, 2.2, 3.6, 5]; // how far labels may stand from their mark
  const SIDES = [[1, -1], [1, 1], [1, 0], [-1, -1], [-1, 1], [-1, 0], [0, -1], [0, 1]];

  function make(name, attributes = {}, parent = null, text = "") {
    const node = document.createElementNS(NS, name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (text) node.textContent = text;
    if (parent) parent.append(node);
    return node;
  }

  // The outline of a marker of radius r around 0, 0, by matplotlib's letter.
  function outline(marker, r) {
    const polygon = (n, turn, radius) => Array.from({ length: n }, (_, i) => {
      const angle = (2 * Math.PI * i) / n + turn, at = radius(i);
      return `${(at * Math.sin(angle)).toFixed(2)},${(-at * Math.cos(angle)).toFixed(2)}`;
    }).join("L");
    const plus = (a, b) => `M${-b},${-a}H${b}V${-b}H${a}V${b}H${b}V${a}H${-b}V${b}H${-a}V${-b}H${-b}Z`;
    const shapes = {
      o: `M${-r},0A${r},${r} 0 1 0 ${r},0A${r},${r} 0 1 0 ${-r},0Z`,
      s: `M${-r * 0.88},${-r * 0.88}H${r * 0.88}V${r * 0.88}H${-r * 0.88}Z`,
      "^": `M${polygon(3, 0, () => r * 1.15)}Z`,
      v: `M${polygon(3, Math.PI, () => r * 1.15)}Z`,
      D: `M${polygon(4, 0, () => r * 1.15)}Z`,
      P: plus(r, r * 0.38),
      X: plus(r, r * 0.38),
      "<": `M${polygon(3, -Math.PI / 2, () => r * 1.15)}Z`,
      ">": `M${polygon(3, Math.PI / 2, () => r * 1.15)}Z`,
      p: `M${polygon(5, 0, () => r * 1.1)}Z`,
      "*": `M${polygon(10, 0, (i) => (i % 2 ? r * 0.5 : r * 1.3))}Z`,
    };
    return { d: shapes[marker] || shapes.o, turn: marker === "X" ? "rotate(45)" : "" };
  }

  function mark(parent, [colour, marker], r) {
    const { d, turn } = outline(marker, r);
    const ink = colour === "#000000" ? "var(--ink)" : colour;
    return make("path", { class: "shape", d, transform: turn, style: `fill: ${ink}` }, parent);
  }

  // Round steps that cover low to high.
  function ticks(low, high, most) {
    const raw = (high - low) / most, unit = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((m) => m * unit).find((s) => s >= raw);
    const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
    const found = [];
    for (let i = Math.ceil(low / step); i * step <= high + step * 1e-9; i += 1) found.push([i * step, (i * step).toFixed(digits)]);
    return found;
  }

  function range(triples) {
    const ends = triples.flat().filter((x) => x !== null);
    const low = Math.min(...ends), high = Math.max(...ends), pad = (high - low) * 0.08 || Math.abs(low) * 0.1 || 1;
    return [low - pad, high + pad];
  }

  // Points that no other beats in both, cheapest first.
  function frontier(points, better) {
    const sign = better === "higher" ? -1 : 1, kept = [];
    for (const p of [...points].sort((a, b) => a.x[0] - b.x[0] || sign * (a.y[0] - b.y[0]))) {
      if (!kept.length || sign * p.y[0] < sign * kept[kept.length - 1].y[0]) kept.push(p);
    }
    return kept;
  }

  function axes(svg, box, scale, names) {
    const { width, height } = box;
    for (const [value, text] of ticks(...scale.xs, Math.max(3, Math.floor(width / 110)))) {
      make("line", { class: "grid", x1: scale.x(value), x2: scale.x(value), y1: MARGIN.top, y2: height - MARGIN.bottom }, svg);
      make("text", { class: "tick", x: scale.x(value), y: height - MARGIN.bottom + 16, "text-anchor": "middle" }, svg, text);
    }
    for (const [value, text] of ticks(...scale.ys, 6)) {
      make("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: scale.y(value), y2: scale.y(value) }, svg);
      make("text", { class: "tick", x: MARGIN.left - 7, y: scale.y(value) + 4, "text-anchor": "end" }, svg, text);
    }
    make("text", { class: "axis y", x: 6, y: 16 }, svg, names.y);
    make("text", { class: "axis x", x: width - MARGIN.right, y: height - 10, "text-anchor": "end" }, svg, names.x);
  }

  function staircase(svg, line, scale, box, better) {
    if (!line.length) return;
    const worst = better === "higher" ? box.height - MARGIN.bottom : MARGIN.top;
    let d = `M${scale.x(line[0].x[0])},${worst}`;
    for (const p of line) d += `H${scale.x(p.x[0])}V${scale.y(p.y[0])}`;
    make("path", { class: "frontier", d: `${d}H${box.width - MARGIN.right}` }, svg);
  }

  // Where points stand sideways, in pixels: two whose heights overlap are GAP apart, each moved as little as that takes.
  function dodge(points, scale) {
    const xs = points.map((p) => scale.x(p.x[0]));
    const heights = points.map((p) => [p.y[1] ?? p.y[0], p.y[2] ?? p.y[0]].map(scale.y).sort((a, b) => a - b));
    const near = (i, j) => Math.abs(xs[i] - xs[j]) < GAP - 0.01 && heights[i][0] < heights[j][1] + 14 && heights[j][0] < heights[i][1] + 14;
    for (let turn = 0; turn < points.length; turn += 1) {
      let crowds = [];
      points.forEach((_, i) => {
        const touched = crowds.filter((crowd) => crowd.some((j) => near(i, j)));
        crowds = [...crowds.filter((crowd) => !touched.includes(crowd)), [i, ...touched.flat()]];
      });
      crowds = crowds.filter((crowd) => crowd.length > 1);
      if (!crowds.length) break;
      for (const crowd of crowds) {
        crowd.sort((i, j) => xs[i] - xs[j] || i - j);
        const placed = [];
        for (const i of crowd) placed.push(placed.length ? Math.max(xs[i], placed[placed.length - 1] + GAP) : xs[i]);
        const shift = crowd.reduce((sum, i, at) => sum + xs[i] - placed[at], 0) / crowd.length;
        crowd.forEach((i, at) => { xs[i] = placed[at] + shift; });
      }
    }
    return xs;
  }

  function bars(group, p, scale, colour) {
    const style = `stroke: ${colour === "#000000" ? "var(--ink)" : colour}`, y = scale.y(p.y[0]), moved = p.at - scale.x(p.x[0]);
    if (p.y[1] !== null) make("line", { class: "bar", style, x1: p.at, x2: p.at, y1: scale.y(p.y[1]), y2: scale.y(p.y[2]) }, group);
    if (p.x[1] !== null) make("line", { class: "bar", style, y1: y, y2: y, x1: scale.x(p.x[1]) + moved, x2: scale.x(p.x[2]) + moved }, group);
  }

  // What no label may lie on: marks, their bars, the frontier.
  function obstacles(points, line, scale, box) {
    const found = points.flatMap((p) => {
      const y = scale.y(p.y[0]), ends = [p.y[1] ?? p.y[0], p.y[2] ?? p.y[0]].map(scale.y).sort((a, b) => a - b);
      return [[p.at - 7, y - 7, p.at + 7, y + 7], [p.at - 2, ends[0], p.at + 2, ends[1]]];
    });
    line.forEach((p, i) => {
      const x = scale.x(p.x[0]), y = scale.y(p.y[0]), next = i + 1 < line.length ? scale.x(line[i + 1].x[0]) : box.width;
      const before = i ? scale.y(line[i - 1].y[0]) : y < box.height / 2 ? box.height : 0;
      found.push([x, y - 2, next, y + 2], [x - 2, Math.min(y, before), x + 2, Math.max(y, before)]);
    });
    return found;
  }

  // A label near every point where there is room for one, with a line to it from afar.
  function labels(svg, points, scale, box, taken) {
    const free = (b) => b[0] > MARGIN.left && b[2] < box.width && b[1] > MARGIN.top - 12 && b[3] < box.height - MARGIN.bottom
      && !taken.some((t) => b[0] < t[2] && t[0] < b[2] && b[1] < t[3] && t[1] < b[3]);
    for (const p of points.filter((point) => point.kind !== "variant")) {
      const text = p.kind === "reference" ? p.label : `${p.label} ${p.ratio}`, wide = text.length * 6.7, y0 = scale.y(p.y[0]);
      for (const [far, [right, down]] of FAR.flatMap((f) => SIDES.map((side) => [f, side]))) {
        const x = p.at + 9 * far * right, y = y0 + 9 * far * down + [0, 4, 9][down + 1];
        const left = [x - wide, x - wide / 2, x][right + 1], b = [left, y - 11, left + wide, y + 3];
        if (!free(b)) continue;
        taken.push(b);
        const end = [Math.min(Math.max(p.at, b[0]), b[2]), Math.min(Math.max(y0, b[1]), b[3])];
        if (far > 1) make("line", { class: "lead", style: "stroke: var(--quiet)", x1: p.at, y1: y0, x2: end[0], y2: end[1] }, svg);
        make("text", { class: "label", x, y, "text-anchor": ["end", "middle", "start"][right + 1] }, svg, text);
        break;
      }
    }
  }

  // points: {x, y: [value, low, high], label, kind, method, run}; open(run) is called when one is chosen.
  function draw(holder, points, view, open) {
    const box = { width: Math.max(300, holder.clientWidth), height: 400 };
    const svg = make("svg", { viewBox: `0 0 ${box.width} ${box.height}`, height: box.height, role: "group", "aria-label": view.title });
    const [xs, ys] = [range(points.map((p) => p.x)), range(points.map((p) => p.y))];
    const along = ([low, high], from, to) => (value) => from + ((value - low) / (high - low)) * (to - from);
    const scale = { xs, ys, x: along(xs, MARGIN.left, box.width - MARGIN.right), y: along(ys, box.height - MARGIN.bottom, MARGIN.top) };
    axes(svg, box, scale, view);
    const line = frontier(points, view.better), at = dodge(points, scale);
    points = points.map((p, i) => ({ ...p, at: at[i] }));
    staircase(svg, line, scale, box, view.better);
    for (const p of points) bars(svg, p, scale, view.looks[p.method][0]);
    for (const p of points) {
      const words = `${p.label}, budget ${p.ratio}: ${view.y} ${p.y[0]}, cost ${p.x[0]}`;
      const group = make("g", { class: "point", tabindex: 0, role: "button", "aria-label": words, "data-run": p.run }, svg);
      const spot = make("g", { transform: `translate(${p.at},${scale.y(p.y[0])})` }, group);
      make("circle", { r: 13, fill: "transparent" }, spot);
      mark(spot, view.looks[p.method], p.kind === "variant" ? 4 : 6);
      make("title", {}, group, words);
      group.addEventListener("click", () => open(p.run));
      group.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        open(p.run);
      });
    }
    labels(svg, points, scale, box, obstacles(points, line, scale, box));
    holder.replaceChildren(svg);
  }

  return { draw, mark, make };
})();
