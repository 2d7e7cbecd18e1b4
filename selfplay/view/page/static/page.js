// Draws every chart of the page from its JSON, and, while the run is at work, what changes anew.
// What it gets is text and numbers; it never makes HTML of them.
"use strict";

const WINDOW = 5; // points of a running mean

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function faint(hex, alpha) {
  const [r, g, b] = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  return `rgba(${r}, ${g}, ${b}, ${alpha})`;
}

// Plotly reads a few HTML tags in its labels: what a model said must not be one.
function plain(text) {
  return String(text)
    .replace(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g, (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"))
    .replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").replace(/%\{/g, "% {");
}

function runningMean(values) {
  return values.map((value, i) => {
    const seen = values.slice(Math.max(0, i - WINDOW + 1), i + 1).filter((each) => each !== null);
    return value === null || !seen.length ? null : seen.reduce((a, b) => a + b, 0) / seen.length;
  });
}

function lines(chart, isCompared) {
  const traces = [];
  const named = new Set(); // groups, of compared runs: each is named once, its other lines are told by pointing at them
  chart.series.forEach((each) => {
    const ink = colour(`--s${each.group % 9}`);
    const name = plain(each.name);
    const hover = `%{y:.3~g}${each.notes.length ? "<br>%{text}" : ""}<extra>${name}</extra>`;
    const common = { x: each.x, name, legendgroup: name, text: each.notes.map(plain), hovertemplate: hover, connectgaps: true };
    if (isCompared) {
      Object.assign(common, { name: plain(each.name.split(": ")[0]), legendgroup: `${each.group}`, showlegend: !named.has(each.group) });
      named.add(each.group);
    }
    if (chart.kind === "stack") {
      traces.push({ ...common, y: each.y, stackgroup: "all", mode: "lines", line: { width: 0.5, color: ink }, fillcolor: faint(ink, 0.75) });
      return;
    }
    if (each.low.length) {
      const kept = each.x.map((x, i) => i).filter((i) => each.low[i] !== null && each.high[i] !== null);
      traces.push({
        x: [...kept.map((i) => each.x[i]), ...kept.map((i) => each.x[i]).reverse()],
        y: [...kept.map((i) => each.high[i]), ...kept.map((i) => each.low[i]).reverse()],
        fill: "toself", fillcolor: faint(ink, 0.16), line: { width: 0 }, mode: "lines", hoverinfo: "skip", legendgroup: name, showlegend: false,
      });
    }
    if (each.style === "points") {
      traces.push({ ...common, y: each.y, mode: "markers", marker: { color: ink, size: 7, symbol: "circle-open", line: { width: 2 } } });
      return;
    }
    const isSmooth = chart.is_smoothed && each.x.length > 2 * WINDOW;
    if (isSmooth) {
      traces.push({ x: each.x, y: each.y, mode: "lines", line: { color: ink, width: 1 }, opacity: 0.3, hoverinfo: "skip", legendgroup: name, showlegend: false });
    }
    traces.push({
      ...common, y: isSmooth ? runningMean(each.y) : each.y,
      mode: each.x.length <= 40 && !isSmooth && each.style !== "stairs" ? "lines+markers" : "lines",
      line: { color: ink, width: 2.2, dash: each.style === "dashed" ? "dash" : "solid", shape: each.style === "stairs" ? "hv" : "linear" },
      marker: { size: 6 },
    });
  });
  return traces;
}

function heat(chart) {
  const h = chart.heat;
  const label = (low) => `${Math.round(100 * low)} to ${Math.round(100 * (low + h.row_width))}%`;
  return [{
    type: "heatmap", x: h.columns, y: h.rows.map((low) => low + h.row_width / 2), z: h.counts,
    customdata: h.rows.map((low) => h.columns.map(() => label(low))),
    colorscale: [[0, colour("--heat-low")], [1, colour("--heat-high")]], zmin: 0, hoverongaps: false, xgap: h.columns.length < 120 ? 1 : 0, ygap: 1,
    hovertemplate: "step %{x}<br>pass rate %{customdata}: %{z} problems<extra></extra>",
    colorbar: { title: { text: "problems", side: "right" }, thickness: 10, outlinewidth: 0 },
  }];
}

function blocks(chart) {
  const b = chart.blocks;
  return [{
    type: "icicle", ids: b.labels.map((_, i) => `b${i}`), labels: b.labels.map(plain), parents: b.parents.map((at) => (at < 0 ? "" : `b${at}`)),
    values: b.sizes, branchvalues: "total", customdata: b.notes.map(plain), tiling: { orientation: "h" }, maxdepth: 4,
    marker: {
      colors: b.values.map((value) => (value === null ? 0.5 : value)), cmin: 0, cmax: 1, showscale: true,
      colorscale: [[0, "#d55e00"], [0.5, "#e9e4d4"], [1, "#0072b2"]], line: { width: 1, color: colour("--paper") },
      colorbar: { title: { text: chart.title.includes("search") ? "value" : "share right", side: "right" }, thickness: 10, outlinewidth: 0 },
    },
    hovertemplate: "%{label}<br>%{customdata}<extra></extra>", textinfo: "label", sort: false, pathbar: { visible: true },
  }];
}

function layout(chart) {
  const ink = colour("--ink"), grid = colour("--line");
  const axis = { gridcolor: grid, zerolinecolor: grid, linecolor: grid, automargin: true };
  const made = {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: ink, size: 12 }, margin: { l: 52, r: 12, t: 8, b: 40 },
    xaxis: { ...axis, title: { text: plain(chart.x_label) }, tickformat: "d" }, yaxis: { ...axis, title: { text: plain(chart.y_label) }, rangemode: "tozero" },
    legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, font: { size: 11 } }, hovermode: chart.kind === "heat" ? "closest" : "x unified",
    hoverlabel: { bgcolor: colour("--paper"), font: { color: ink } }, shapes: [],
  };
  const xs = chart.series.flatMap((each) => each.x);
  if (chart.x_range) {
    made.xaxis.range = [chart.x_range[0] - 0.02, chart.x_range[1] + 0.02];
    made.xaxis.tickformat = ".2~%";
    made.hovermode = "closest";
  } else if (xs.length && Math.max(...xs) - Math.min(...xs) < 8) { made.xaxis.dtick = 1; }
  if (chart.y_range) { made.yaxis.range = chart.y_range[1] === 1 ? [-0.02, 1.02] : chart.y_range; }
  if (chart.y_label.startsWith("share") || chart.y_label === "pass rate") { made.yaxis.tickformat = ".2~%"; }
  if (chart.kind === "blocks") { made.margin = { l: 4, r: 4, t: 24, b: 4 }; made.hovermode = "closest"; }
  if (chart.heat && chart.heat.band) {
    chart.heat.band.forEach((height) => made.shapes.push({ type: "line", xref: "paper", x0: 0, x1: 1, y0: height, y1: height, line: { color: colour("--s1"), width: 2, dash: "dash" } }));
  }
  chart.marks.forEach((mark) => made.shapes.push({ type: "line", yref: "paper", y0: 0, y1: 1, x0: mark.x, x1: mark.x, line: { color: colour("--bad"), width: 1, dash: "dot" } }));
  if (chart.marks.length) { made.yaxis2 = { overlaying: "y", range: [0, 1], visible: false, fixedrange: true }; }
  return made;
}

function marks(chart) {
  if (!chart.marks.length || chart.kind === "blocks") { return []; }
  return [{
    x: chart.marks.map((mark) => mark.x), y: chart.marks.map(() => 0.99), yaxis: "y2", mode: "markers", name: "alarm", showlegend: false,
    marker: { symbol: "triangle-down", size: 9, color: colour("--bad") }, text: chart.marks.map((mark) => plain(mark.text)), hovertemplate: "%{text}<extra>alarm</extra>",
  }];
}

function traces(chart, isCompared) {
  const drawn = chart.kind === "heat" ? heat(chart) : chart.kind === "blocks" ? blocks(chart) : lines(chart, isCompared);
  return [...drawn, ...marks(chart)];
}

function exportsOf(figure, plot, chart) {
  const place = figure.querySelector(".exports");
  const source = figure.dataset.src;
  const link = (text, href) => { const made = document.createElement("a"); made.textContent = text; made.href = href; return made; };
  const button = (format) => {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = format.toUpperCase();
    made.addEventListener("click", () => Plotly.downloadImage(plot, { format, width: 1000, height: 560, filename: `${chart.key}` }));
    return made;
  };
  place.replaceChildren(link("CSV", source.replace(".json", ".csv")), link("JSON", source), button("png"), button("svg"));
}

async function draw(figure) {
  const plot = figure.querySelector(".plot");
  let chart;
  try {
    const answer = await fetch(figure.dataset.src);
    chart = await answer.json();
    if (!answer.ok) { throw new Error(chart.error); }
  } catch (error) {
    say(plot, `This chart could not be had: ${error.message}`);
    return;
  }
  figure.querySelector("h3 bdi").textContent = chart.title;
  figure.querySelector(".help").textContent = chart.help;
  plot.setAttribute("aria-label", `${chart.title}. ${chart.help}`);
  figure.classList.toggle("is-empty", chart.is_empty);
  if (chart.is_empty) {
    say(plot, chart.empty);
    return;
  }
  plot.querySelector(".waiting, .nothing")?.remove();
  const config = { displaylogo: false, responsive: true, displayModeBar: false };
  await Plotly.react(plot, traces(chart, figure.dataset.src.startsWith("/compare/")), layout(chart), config);
  if (!figure.dataset.drawn) {
    figure.dataset.drawn = "yes";
    exportsOf(figure, plot, chart);
  }
}

function say(plot, text) {
  if (window.Plotly && plot.classList.contains("js-plotly-plot")) { Plotly.purge(plot); }
  const line = document.createElement("p");
  line.className = "nothing";
  line.textContent = text;
  plot.replaceChildren(line);
}

function drawVisible() {
  const seen = new IntersectionObserver((entries) => {
    entries.filter((entry) => entry.isIntersecting).forEach((entry) => { seen.unobserve(entry.target); entry.target.dataset.seen = "yes"; draw(entry.target); });
  }, { rootMargin: "400px" });
  document.querySelectorAll("figure.chart").forEach((figure) => seen.observe(figure));
}

function listenToForms() {
  document.querySelectorAll("[data-chart-form]").forEach((form) => {
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("change", () => {
      const figure = document.querySelector(`figure.of-${form.dataset.chartForm}`);
      const path = figure.dataset.src.split("?")[0];
      figure.dataset.src = `${path}?${new URLSearchParams(new FormData(form))}`;
      delete figure.dataset.drawn;
      draw(figure);
    });
  });
}

// Parts of the page are replaced by what the server renders now: the same HTML that a reload would show.
async function refresh() {
  if (document.hidden) { return; }
  const answer = await fetch(location.href);
  if (!answer.ok) { return; }
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  document.querySelectorAll("[data-refresh]").forEach((part) => {
    const other = fresh.querySelector(`[data-refresh="${part.dataset.refresh}"]`);
    if (other && !part.contains(document.activeElement)) { part.replaceWith(other); }
  });
  document.querySelectorAll("figure.chart[data-seen]").forEach(draw);
  if (!fresh.body.dataset.live) { clearInterval(refreshing); }
}

let refreshing = 0;
drawVisible();
listenToForms();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => document.querySelectorAll("figure.chart[data-seen]").forEach(draw));
if (document.body.dataset.live) { refreshing = setInterval(() => refresh().catch(() => {}), 1000 * Number(document.body.dataset.live)); }
