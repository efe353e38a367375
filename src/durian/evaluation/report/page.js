const report = JSON.parse(document.getElementById("report").textContent);
const page = document.getElementById("page");
const { methods, groups, cases } = report;
const metrics = Object.fromEntries(
  Object.entries(report.metrics).filter(([name]) => Object.values(report.table.all ?? {}).some((row) => name in row)),
);
const PAGE = 100; // cases shown before one asks for the rest
const NOTHING = "–";

// --- elements, numbers, colours --------------------------------------------------------------------------

/** An element; strings become text nodes, so nothing of the report is ever taken for markup. */
function el(tag, attributes = {}, ...children) {
  const svg = ["svg", "line", "circle", "title"].includes(tag);
  const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child != null && child !== ""));
  return node;
}

const entries = Object.entries;
const keys = Object.keys;
const competes = (name) => ["model", "baseline"].includes(methods[name].kind);
const higher = (metric) => metrics[metric].better === "higher";
const score = (item, method, metric) => item.scores[method]?.[metric] ?? null;
const heading = (metric) =>
  metrics[metric].title + (metrics[metric].unit ? `, ${metrics[metric].unit}` : "") + (higher(metric) ? " ↑" : " ↓");

function number(value, digits, signed = false) {
  if (value == null) return NOTHING;
  let text = Math.abs(value).toFixed(digits);
  const zero = Number(text) === 0;
  if (zero) return text;
  return (value < 0 ? "−" : signed ? "+" : "") + text;
}

const span = (cell, digits, signed) =>
  cell.low == null ? "" : `[${number(cell.low, digits, signed)}, ${number(cell.high, digits, signed)}]`;

const contest = keys(methods).filter(competes);
const colour = (name) => (competes(name) ? `var(--hue${contest.indexOf(name) % 6})` : "var(--hue-out)");
/** Of an ablation, whose it is comes first: two models have the same ones. */
const titled = (name) => (methods[name].of ? `${methods[methods[name].of].title}, ${methods[name].title}` : methods[name].title);
const named = (name) => [el("span", { class: "dot", style: `color: ${colour(name)}` }), titled(name)];

// --- the state, which is also the address ----------------------------------------------------------------

const baselines = contest.filter((name) => methods[name].kind === "baseline");
const models = contest.filter((name) => methods[name].kind === "model");
const firstMetric = keys(metrics).find((metric) => contest.some((name) => report.table.all?.[name]?.[metric])) ?? keys(metrics)[0];

function strongest(names) {
  const mean = (name) => report.table.all?.[name]?.[firstMetric]?.mean;
  const scored = names.filter((name) => mean(name) != null);
  return scored.sort((a, b) => (higher(firstMetric) ? mean(b) - mean(a) : mean(a) - mean(b)))[0];
}

const defaultMethod = models[0] ?? strongest(baselines) ?? keys(methods)[0];
const defaults = {
  group: "all",
  metric: firstMetric,
  method: defaultMethod,
  against: strongest(baselines.filter((name) => name !== defaultMethod)) ?? "",
  sort: "score",
  order: "down",
  search: "",
  case: "",
};
const state = { ...defaults };

function readAddress() {
  Object.assign(state, defaults);
  for (const [name, value] of new URLSearchParams(location.hash.slice(1))) if (Object.hasOwn(state, name)) state[name] = value;
  if (!Object.hasOwn(groups, state.group)) state.group = defaults.group;
  if (!Object.hasOwn(metrics, state.metric)) state.metric = defaults.metric;
  if (!Object.hasOwn(methods, state.method)) state.method = defaults.method;
  if (state.against && !Object.hasOwn(methods, state.against)) state.against = defaults.against;
}

function writeAddress() {
  const changed = entries(state).filter(([name, value]) => value !== defaults[name]);
  const hash = new URLSearchParams(changed).toString();
  history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
}

function change(fields) {
  Object.assign(state, fields);
  writeAddress();
  draw();
}

function choose(title, name, options, extra = {}) {
  const chosen = (value) => ({ value, selected: state[name] === value });
  const list = options.map(([value, text]) => el("option", chosen(value), text));
  const pick = (event) => change({ [name]: event.target.value, ...extra });
  return el("label", {}, title, el("select", { onchange: pick, "data-name": name }, list));
}

const groupOptions = entries(groups).map(([name, count]) => [name, `${name === "all" ? "all cases" : name} (${count})`]);
const metricOptions = keys(metrics).map((name) => [name, heading(name)]);
const byCase = keys(metrics).filter((metric) => cases.some((item) => keys(methods).some((name) => score(item, name, metric) != null)));
const caseMetricOptions = () => metricOptions.filter(([name]) => byCase.includes(name) || name === state.metric);
const methodOptions = (names) => names.map((name) => [name, titled(name)]);

// --- summary ---------------------------------------------------------------------------------------------

/** Of what competes, as the truth's 100 dB would leave the others no room. */
function scale(cells) {
  const ends = cells.filter((cell) => cell?.mean != null).flatMap((cell) => [cell.low ?? cell.mean, cell.high ?? cell.mean]);
  if (!ends.length) return null;
  const [low, high] = [Math.min(...ends), Math.max(...ends)];
  const room = (high - low || Math.abs(high) || 1) * 0.04;
  return { low: low - room, high: high + room };
}

function whisker(cell, range, hue, width = 92) {
  if (!range || cell.mean < range.low || cell.mean > range.high) return null;
  const x = (value) => ((Math.min(Math.max(value, range.low), range.high) - range.low) / (range.high - range.low)) * width;
  const parts = [el("line", { x1: 0, x2: width, y1: 5, y2: 5, stroke: "var(--line)" })];
  if (cell.low != null) {
    parts.push(el("line", { x1: x(cell.low), x2: x(cell.high), y1: 5, y2: 5, stroke: hue, "stroke-width": 3, "stroke-opacity": 0.45 }));
  }
  parts.push(el("circle", { cx: x(cell.mean), cy: 5, r: 3.5, fill: hue }));
  return el("svg", { width, height: 10, viewBox: `0 0 ${width} 10`, "aria-hidden": "true" }, parts);
}

/** The competing methods with the best mean, ties to the last digit shown included. */
function best(group, metric) {
  const means = contest
    .map((name) => [name, report.table[group]?.[name]?.[metric]?.mean])
    .filter(([, mean]) => mean != null)
    .map(([name, mean]) => [name, Number(mean.toFixed(metrics[metric].digits))]);
  if (means.length < 2) return new Set();
  const values = means.map(([, mean]) => mean);
  const top = higher(metric) ? Math.max(...values) : Math.min(...values);
  return new Set(means.filter(([, mean]) => mean === top).map(([name]) => name));
}

function cellNode(cell, metric, options) {
  if (cell?.mean == null) return el("td", { class: "soft" }, NOTHING);
  const digits = metrics[metric].digits;
  const odd = cell.count !== options.cases ? ` n ${cell.count}` : "";
  return el(
    "td",
    { class: options.best ? "best" : "", title: `mean of ${cell.count} cases, 95 % bootstrap interval` },
    el("span", { class: "mean" }, number(cell.mean, digits)),
    el("span", { class: "span" }, span(cell, digits) + odd),
    whisker(cell, options.range, options.hue),
  );
}

function summary() {
  const rows = report.table[state.group] ?? {};
  const names = keys(methods).filter((name) => name in rows);
  const shown = keys(metrics).filter((metric) => names.some((name) => rows[name][metric]));
  const winners = Object.fromEntries(shown.map((metric) => [metric, best(state.group, metric)]));
  const ranges = Object.fromEntries(
    shown.map((metric) => [metric, scale(names.filter((n) => methods[n].kind !== "truth").map((n) => rows[n][metric]))]),
  );
  const body = names.map((name) =>
    el(
      "tr",
      { class: competes(name) ? "" : "out" },
      el("th", { scope: "row", title: methods[name].about }, named(name)),
      shown.map((metric) =>
        cellNode(rows[name][metric], metric, {
          cases: groups[state.group],
          best: winners[metric].has(name),
          range: ranges[metric],
          hue: colour(name),
        }),
      ),
    ),
  );
  const head = shown.map((metric) => el("th", { scope: "col", title: metrics[metric].about }, heading(metric)));
  return el(
    "section",
    { id: "summary" },
    el("div", { class: "bar" }, el("h2", {}, "Scores"), choose("cases", "group", groupOptions)),
    el("div", { class: "scroll" }, el("table", {}, el("thead", {}, el("tr", {}, el("th", {}, "method"), head)), el("tbody", {}, body))),
    el("p", { class: "soft small", style: "margin-top: 8px" },
      "Mean over cases with its 95 % bootstrap interval. The best mean of models and baselines stands out; the truth and ablations, in italics, do not compete."),
  );
}

function dependence() {
  const rows = entries(report.dependence).flatMap(([model, losses]) => entries(losses).map(([title, loss]) => [model, title, loss]));
  if (!rows.length) return null;
  const range = { low: Math.min(0, ...rows.map(([, , l]) => l.low ?? l.mean)), high: Math.max(0, ...rows.map(([, , l]) => l.high ?? l.mean)) };
  const units = new Set(rows.map(([, , loss]) => metrics[loss.metric].unit));
  const body = rows.map(([model, title, loss]) => {
    const { digits, unit } = metrics[loss.metric];
    return el(
      "tr",
      {},
      el("th", { scope: "row" }, title),
      el("td", { style: "text-align: left" }, named(model)),
      el("td", { style: "text-align: left" }, metrics[loss.metric].title),
      el("td", {}, el("span", { class: "mean" }, `${number(loss.mean, digits)} ${unit}`)),
      el("td", { class: "soft" }, span(loss, digits)),
      el("td", {}, units.size === 1 && range.high > range.low ? whisker(loss, range, colour(model), 160) : null),
      el("td", { class: "soft" }, loss.count),
    );
  });
  const head = ["taken away", "model", "metric", "lost", "95 % interval", "", "cases"];
  return el(
    "section",
    { id: "dependence" },
    el("div", { class: "bar" }, el("h2", {}, "What is lost when a condition is taken away")),
    el("div", { class: "scroll" }, el("table", {},
      el("thead", {}, el("tr", {}, head.map((text, i) => el("th", { style: i < 3 ? "text-align: left" : "" }, text)))),
      el("tbody", {}, body))),
  );
}

function overview() {
  if (keys(groups).length < 2) return null;
  const metric = state.metric;
  const names = keys(methods).filter((name) => methods[name].kind !== "ablation" && report.table.all?.[name]?.[metric]);
  const cells = keys(groups).flatMap((group) => names.filter(competes).map((name) => report.table[group]?.[name]?.[metric]));
  const range = scale(cells);
  const body = entries(groups).map(([group, count]) => {
    const winners = best(group, metric);
    return el(
      "tr",
      {},
      el("th", { scope: "row" }, group === "all" ? "all cases" : group),
      el("td", { class: "soft" }, count),
      names.map((name) =>
        cellNode(report.table[group]?.[name]?.[metric], metric, { cases: count, best: winners.has(name), range, hue: colour(name) }),
      ),
    );
  });
  const head = names.map((name) => el("th", { scope: "col" }, named(name)));
  return el(
    "section",
    { id: "groups" },
    el("div", { class: "bar" }, el("h2", {}, "By group"), choose("metric", "metric", metricOptions)),
    el("div", { class: "scroll" }, el("table", {}, el("thead", {}, el("tr", {}, el("th", {}, "group"), el("th", {}, "cases"), head)), el("tbody", {}, body))),
  );
}

// --- cases -----------------------------------------------------------------------------------------------

const facts = [...new Set(cases.flatMap((item) => keys(item.facts)))];
const sorts = () => [
  ["score", `${titled(state.method)}'s score`],
  ...(state.against ? [["gap", "difference"]] : []),
  ["seconds", "seconds"],
  ...facts.map((name) => [`fact:${name}`, name.replaceAll("_", " ")]),
  ["name", "name"],
];

/** b minus a, or null where either has no number. */
const minus = (b, a) => (b == null || a == null ? null : b - a);
const gap = (item) => minus(score(item, state.method, state.metric), score(item, state.against, state.metric));

/** What to sort by, so that the smallest is the worst. */
function rank(item) {
  const sign = higher(state.metric) ? 1 : -1;
  if (state.sort === "gap" && state.against) return gap(item) == null ? null : sign * gap(item);
  if (state.sort === "seconds") return item.seconds[state.method] == null ? null : -item.seconds[state.method];
  if (state.sort.startsWith("fact:")) return item.facts[state.sort.slice(5)] == null ? null : -item.facts[state.sort.slice(5)];
  const value = score(item, state.method, state.metric);
  return value == null ? null : sign * value;
}

function orderName() {
  const down = state.order === "down";
  if (state.sort === "name") return down ? "A to Z" : "Z to A";
  if (state.sort === "seconds" || state.sort.startsWith("fact:")) return down ? "largest first" : "smallest first";
  return down ? "worst first" : "best first";
}

function chosenCases() {
  const words = state.search.toLowerCase().split(/\s+/).filter(Boolean);
  const text = (item) => [item.id, ...item.attributes, ...item.groups].join(" ").toLowerCase();
  const kept = cases.filter(
    (item) => (state.group === "all" || item.groups.includes(state.group)) && words.every((word) => text(item).includes(word)),
  );
  const turn = state.order === "down" ? 1 : -1;
  const byName = (a, b) => a.id.localeCompare(b.id, "en", { numeric: true });
  if (state.sort === "name") return kept.sort((a, b) => turn * byName(a, b));
  const ranked = new Map(kept.map((item) => [item, rank(item)]));
  return kept.sort((a, b) => {
    const [x, y] = [ranked.get(a), ranked.get(b)];
    if (x == null || y == null) return (x == null) - (y == null) || byName(a, b); // without a number: last
    return turn * (x - y) || byName(a, b);
  });
}

const goodness = (difference, metric) =>
  !difference ? "soft" : difference > 0 === higher(metric) ? "good" : "bad";

function dots(item, range) {
  if (!range) return null;
  const width = 196;
  const x = (value) => 5 + ((value - range.low) / (range.high - range.low)) * (width - 10);
  const parts = contest
    .map((name) => [name, score(item, name, state.metric)])
    .filter(([, value]) => value != null)
    .map(([name, value]) =>
      el("circle", { cx: x(value), cy: 7, r: name === state.method ? 5 : 3.5, fill: colour(name), "fill-opacity": name === state.method ? 1 : 0.75 },
        el("title", {}, `${titled(name)}: ${number(value, metrics[state.metric].digits)}`)),
    );
  const line = el("line", { x1: 0, x2: width, y1: 7, y2: 7, stroke: "var(--line)" });
  return el("svg", { width, height: 14, viewBox: `0 0 ${width} 14` }, line, parts.reverse());
}

function caseNode(item, range) {
  const digits = metrics[state.metric].digits;
  const difference = gap(item);
  const open = state.case === item.id;
  const row = el(
    "button",
    { class: "row", "aria-expanded": String(open), onclick: () => toggle(item) },
    el("span", { class: "turn" }, "▸"),
    el("span", { class: "name" }, item.id),
    el("span", { class: "tags" }, item.attributes.flatMap((name) => [el("span", { class: "chip" }, name), " "])),
    el("span", { class: "plot" }, dots(item, range)),
    el("span", { class: "score" }, number(score(item, state.method, state.metric), digits)),
    el("span", { class: `gap ${goodness(difference, state.metric)}` }, state.against ? number(difference, digits, true) : ""),
  );
  const node = el("div", { class: open ? "case open" : "case", "data-case": item.id }, row);
  if (open) node.append(inside(item));
  return node;
}

function toggle(item) {
  const list = document.getElementById("list");
  const opened = state.case === item.id ? "" : item.id;
  for (const node of list.children) {
    const [was, is] = [node.classList.contains("open"), node.dataset.case === opened];
    if (was === is) continue;
    node.classList.toggle("open", is);
    node.firstChild.setAttribute("aria-expanded", String(is));
    if (is) node.append(inside(cases.find((other) => other.id === opened)));
    else node.lastChild.remove();
  }
  state.case = opened;
  writeAddress();
}

const address = (path) => path.split("/").map(encodeURIComponent).join("/");

/** Pictures and videos are only asked for here, when a case is opened. */
function inside(item) {
  const strip = item.media.inputs ? el("div", { class: "strip" }, el("img", { src: address(item.media.inputs), alt: "portrait, donors, masks and first keypoints" })) : null;
  const shown = ["truth", ...keys(methods)].filter((name, i, all) => item.media[name] && all.indexOf(name) === i);
  const videos = [];
  const clips = shown.map((name) => {
    const source = address(item.media[name]);
    const title = methods[name] ? named(name) : "truth";
    const value = methods[name] ? number(score(item, name, state.metric), metrics[state.metric].digits) : "";
    const lost = (event) => event.target.replaceWith(el("div", { class: "lost" }, `${item.media[name]} cannot be shown`));
    const still = source.endsWith(".webp") || source.endsWith(".png");
    const view = still
      ? el("img", { src: source, alt: name, onerror: lost })
      : el("video", { src: source, muted: true, playsinline: true, preload: "auto", onerror: lost });
    if (!still) {
      view.muted = true;
      videos.push(view);
    }
    return el("figure", {}, view, el("figcaption", {}, el("span", {}, title), el("span", { class: "soft" }, value)));
  });
  const known = entries(item.facts).map(([name, value]) => el("span", { class: "chip" }, `${name.replaceAll("_", " ")} ${Number(value.toPrecision(4))}`));
  const link = el("a", { class: "small", href: `#${new URLSearchParams({ case: item.id })}` }, "link to this case");
  return el(
    "div",
    { class: "inside" },
    strip,
    el("div", { class: "clips" }, clips),
    videos.length ? deck(videos, item.frames) : null,
    el("div", { class: "facts" }, el("span", { class: "chip" }, `${item.frames} frames`), item.groups.map((name) => el("span", { class: "chip" }, name)), known, link),
    el("div", { class: "scroll" }, scoreTable(item)),
    state.against ? el("p", { class: "soft small" }, `Small: the difference to ${titled(state.against)}.`) : null,
  );
}

/** One pair of controls for all videos of a case: they start together, and again when the last has ended. */
function deck(videos, frames) {
  let playing = !matchMedia("(prefers-reduced-motion: reduce)").matches;
  let ended = new Set();
  const alive = () => videos.filter((video) => video.isConnected && !video.error);
  const button = el("button", { class: "tool", onclick: () => play(!playing) });
  const slider = el("input", { type: "range", min: 0, max: frames - 1, step: 1, value: 0, "aria-label": "frame", oninput: () => seek(Number(slider.value)) });
  const count = el("span", { class: "count soft small" });
  const rate = el("select", { "aria-label": "speed", onchange: () => play(playing) },
    [[1, "1×"], [0.5, "½×"], [0.25, "¼×"]].map(([value, text]) => el("option", { value, selected: value === 0.5 }, text)));

  function play(on) {
    playing = on;
    button.textContent = on ? "❚❚ pause" : "▶ play";
    if (on) ended = new Set();
    for (const video of alive()) {
      video.playbackRate = Number(rate.value);
      if (on) video.play().catch(() => {});
      else video.pause();
    }
  }
  function seek(frame) {
    play(false);
    for (const video of alive()) if (video.duration) video.currentTime = ((frame + 0.5) / frames) * video.duration;
  }
  function restart() {
    ended = new Set();
    for (const video of alive()) video.currentTime = 0;
    if (playing) play(true);
  }
  for (const video of videos) {
    video.addEventListener("ended", () => {
      ended.add(video);
      if (playing && alive().every((other) => ended.has(other))) restart();
    });
  }
  function tick() {
    const lead = alive()[0];
    if (!lead) return;
    const frame = lead.duration ? Math.min(frames - 1, Math.floor((lead.currentTime / lead.duration) * frames)) : 0;
    if (playing) slider.value = frame;
    count.textContent = `${frame + 1} / ${frames}`;
    requestAnimationFrame(tick);
  }
  const ready = (video) => new Promise((done) => {
    video.addEventListener("canplaythrough", done, { once: true });
    video.addEventListener("error", done, { once: true });
  });
  Promise.all(videos.map(ready)).then(() => {
    play(playing);
    tick();
  });
  play(false);
  playing = !matchMedia("(prefers-reduced-motion: reduce)").matches;
  return el("div", { class: "deck" }, button, slider, count, el("label", {}, "speed", rate));
}

function scoreTable(item) {
  const names = keys(methods).filter((name) => name in item.scores);
  const shown = keys(metrics).filter((metric) => names.some((name) => score(item, name, metric) != null));
  const body = names.map((name) =>
    el(
      "tr",
      { class: competes(name) ? "" : "out" },
      el("th", { scope: "row" }, named(name)),
      shown.map((metric) => {
        const { digits } = metrics[metric];
        const difference = minus(score(item, name, metric), score(item, state.against, metric));
        const compared = state.against && name !== state.against && difference != null && methods[name].kind !== "truth";
        return el("td", {}, number(score(item, name, metric), digits),
          compared ? el("span", { class: `span ${goodness(difference, metric)}` }, number(difference, digits, true)) : null);
      }),
      el("td", { class: "soft" }, item.seconds[name] == null ? NOTHING : `${item.seconds[name].toFixed(2)} s`),
    ),
  );
  const head = shown.map((metric) => el("th", { scope: "col", title: metrics[metric].about }, heading(metric)));
  return el("table", {}, el("thead", {}, el("tr", {}, el("th", {}, "method"), head, el("th", {}, "time"))), el("tbody", {}, body));
}

let everything = false;

function caseList() {
  const found = chosenCases();
  const linked = found.findIndex((item) => item.id === state.case);
  const shown = everything || linked >= PAGE ? found : found.slice(0, PAGE);
  const all = cases.flatMap((item) => contest.map((name) => score(item, name, state.metric))).filter((value) => value != null);
  const range = all.length ? { low: Math.min(...all), high: Math.max(...all) === Math.min(...all) ? Math.min(...all) + 1 : Math.max(...all) } : null;
  const gaps = found.map(gap).filter((value) => value != null);
  const won = gaps.filter((value) => goodness(value, state.metric) === "good").length;
  const count = `${found.length} of ${cases.length} cases` +
    (state.against && gaps.length ? `; ${titled(state.method)} is better than ${titled(state.against)} in ${won} of ${gaps.length}` : "");
  const more = shown.length < found.length
    ? el("button", { class: "tool", style: "margin-top: 12px", onclick: () => { everything = true; draw(); } }, `Show all ${found.length}`)
    : null;
  return [
    el("p", { class: "soft small", style: "margin-bottom: 6px" }, count),
    el("div", { class: "legend" }, contest.map((name) => el("span", {}, named(name)))),
    el("div", { class: "columns" }, ["", "case", "attributes", heading(state.metric), titled(state.method), state.against ? "difference" : ""].map((text) => el("span", {}, text))),
    el("div", { id: "list" }, shown.map((item) => caseNode(item, range))),
    more,
  ];
}

function casesSection() {
  const others = keys(methods).filter((name) => name !== state.method);
  const search = el("input", { type: "search", placeholder: "filter", "aria-label": "filter cases", value: state.search, size: 14,
    oninput: (event) => {
      state.search = event.target.value;
      writeAddress();
      document.getElementById("found").replaceChildren(...caseList().filter(Boolean));
    } });
  const order = el("button", { class: "tool", onclick: () => change({ order: state.order === "down" ? "up" : "down" }) }, orderName());
  return el(
    "section",
    { id: "cases" },
    el("div", { class: "bar" }, el("h2", {}, "Cases"),
      choose("of", "group", groupOptions), choose("metric", "metric", caseMetricOptions()), choose("method", "method", methodOptions(keys(methods))),
      choose("against", "against", [["", NOTHING], ...methodOptions(others)]), choose("by", "sort", sorts(), { order: "down" }), order, search),
    el("div", { id: "found" }, caseList()),
  );
}

// --- what it was made with -------------------------------------------------------------------------------

function about() {
  const plain = (value) => (typeof value === "string" ? value : JSON.stringify(value));
  const list = (pairs) => el("dl", {}, pairs.flatMap(([name, text]) => [el("dt", {}, name), el("dd", {}, text)]));
  const { command, ...settings } = report.settings;
  const extra = (method) => entries(method).filter(([name, value]) => !["title", "kind", "about", "of", "metric"].includes(name) && value != null);
  const described = ([, method]) => [method.title, [`${method.kind}: ${method.about.replace(/\.$/, "")}`, ...extra(method).map(([name, value]) => `${name}: ${plain(value)}`)].join("; ")];
  const fold = (title, ...content) => el("section", {}, el("details", {}, el("summary", {}, title), content));
  return [
    report.skipped.length ? fold(`Skipped cases (${report.skipped.length})`, list(report.skipped.map((entry) => [entry.id, entry.reason]))) : null,
    fold("Metrics and methods", list(keys(metrics).map((name) => [heading(name), metrics[name].about])), el("p", {}, " "), list(entries(methods).map(described))),
    fold("Made with", command ? el("pre", {}, plain(command)) : null, list([...entries(settings), ...entries(report.environment)].map(([name, value]) => [name, plain(value)]))),
  ];
}

function top() {
  const skipped = report.skipped.length ? `, ${report.skipped.length} skipped` : "";
  return el("header", {}, el("h1", {}, report.title), el("p", { class: "soft" }, `${cases.length} cases${skipped} · protocol ${report.protocol}`));
}

function draw() {
  if (state.against === state.method) state.against = "";
  const focus = document.activeElement?.dataset?.name;
  const [x, y] = [scrollX, scrollY];
  page.replaceChildren(...[top(), summary(), dependence(), overview(), casesSection(), ...about()].filter(Boolean));
  scrollTo(x, y);
  if (focus) page.querySelector(`select[data-name="${focus}"]`)?.focus({ preventScroll: true });
}

function arrive() {
  readAddress();
  draw();
  if (state.case) document.querySelector(".case.open")?.scrollIntoView();
}

addEventListener("hashchange", arrive);
arrive();
