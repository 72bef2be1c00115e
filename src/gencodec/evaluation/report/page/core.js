// What every part shares: the data, the state, small builders and number formats.
"use strict";

const SOURCE = "source";
const report = JSON.parse(document.getElementById("report-data").textContent);
const results = report.results;
const byId = (id) => document.getElementById(id);

/** Make an element; children are elements or texts, null is left out. */
function make(name, attributes = {}, ...children) {
  const element = name.startsWith("svg:")
    ? document.createElementNS("http://www.w3.org/2000/svg", name.slice(4))
    : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat(3).filter((child) => child !== null && child !== undefined));
  return element;
}

// ---------------------------------------------------------------- state

const listeners = [];
const state = {};

/** Change the state and tell everybody which keys changed. */
function change(patch) {
  const changed = new Set(Object.keys(patch).filter((key) => state[key] !== patch[key]));
  if (!changed.size) return;
  Object.assign(state, patch);
  for (const listener of listeners) listener(changed);
}

/** Call `act` now and whenever one of `keys` changes. */
function follow(keys, act) {
  listeners.push((changed) => {
    if (keys.some((key) => changed.has(key))) act();
  });
  act();
}

/** Fill a fieldset with radio buttons that set `key`; hidden where there is no choice. */
function choices(id, key, options) {
  const box = byId(id);
  box.hidden = options.length < 2;
  for (const [value, text, title] of options) {
    const input = make("input", {
      type: "radio", name: id, value: String(value), onchange: () => change({ [key]: value }),
    });
    box.append(make("label", { title }, input, make("span", {}, text)));
  }
  follow([key], () => {
    const at = options.findIndex(([value]) => value === state[key]);
    box.querySelectorAll("input").forEach((input, k) => { input.checked = k === at; });
  });
}

/** Leave out what there is nothing to say about, and the way to it. */
function hideSections(...ids) {
  for (const id of ids) {
    byId(id).hidden = true;
    document.querySelector(`.bar a[href="#${id}"]`).parentElement.hidden = true;
  }
}

// ---------------------------------------------------------------- what is in the results

const clips = results.clips.map((clip) => clip.name);
const clipNamed = (name) => results.clips.find((clip) => clip.name === name);
const targets = [...new Set(results.points.map((point) => point.target_bpp))].sort((a, b) => b - a);
const codecs = results.codecs.map((codec) => codec.name);
const codecNamed = (name) => results.codecs.find((codec) => codec.name === name);
const metricNamed = Object.fromEntries(results.metrics.map((metric) => [metric.name, metric]));
const metrics = results.metrics.filter((metric) =>
  results.points.some((point) => scoreOf(point, metric.name, "mean") !== null));

/** Main metrics: one figure of each kind, the best known first. */
const MAIN = [
  ["lpips_alex", "lpips_vgg", "lpips_squeeze"], ["dists", "squeeze10"], ["vmaf", "ms_ssim"],
  ["psnr_y", "psnr_rgb"], ["band_ratio_0"], ["tdiff", "warp_error"],
];
const mainMetrics = MAIN
  .map((names) => names.map((name) => metrics.find((metric) => metric.name === name)).find(Boolean))
  .filter(Boolean);

function scoreOf(point, metric, statistic) {
  const score = point.error ? undefined : point.scores[metric];
  const value = score === undefined ? null : score[statistic];
  return Number.isFinite(value) ? value : null;
}

function pointOf(clip, codec, target) {
  return results.points.find((point) =>
    point.clip === clip && point.codec === codec && point.target_bpp === target);
}

const isOurs = (codec) => !codecNamed(codec).peer;

/** Family and variant: a variant has its family's colour and dashes of its own. */
function looks() {
  const families = [];
  const seen = {};
  const found = {};
  for (const codec of [...codecs].sort((a, b) => isOurs(b) - isOurs(a))) {
    const family = codec.replace(/(:.*|-half)$/, "");
    if (!families.includes(family)) families.push(family);
    seen[family] = (seen[family] ?? -1) + 1;
    found[codec] = {
      colour: `var(--series-${families.indexOf(family) % 8})`,
      shape: families.indexOf(family) % 6,
      dash: ["", "5 3", "2 3", "8 3 2 3"][seen[family] % 4],
    };
  }
  return found;
}
const look = looks();

// ---------------------------------------------------------------- numbers as people read them

const ICONS = {
  first: "M4 4h2v12H4zM16 4v12l-9-6z", back: "M14 4v12L5 10z", forward: "M6 4l9 6-9 6z",
  play: "M5 3l12 7-12 7z", pause: "M5 3h4v14H5zM11 3h4v14h-4z", swap: "M7 3v4h10v2H7v4L2 8zM13 9v4H3v2h10v4l5-5z",
};

/** A drawn sign for a button; the button's label says what it is. */
function icon(name) {
  return make("svg:svg", { viewBox: "0 0 20 20", width: 18, height: 18, "aria-hidden": "true", class: "icon" },
    make("svg:path", { d: ICONS[name] }));
}

const format = {
  digits(value, count = 3) {
    if (value === null || value === undefined) return "–";
    if (value === 0) return "0";
    const places = Math.max(0, count - 1 - Math.floor(Math.log10(Math.abs(value))));
    return value.toFixed(Math.min(places, 8)).replace("-", "−");
  },
  score(value) {
    if (value === null) return "–";
    return Math.abs(value) < 10 ? format.digits(value, value < 0.01 ? 2 : 3) : format.digits(value, 4);
  },
  bytes(value) {
    if (!Number.isFinite(value)) return "–";
    const step = value < 1e3 ? 0 : value < 1e6 ? 1 : value < 1e9 ? 2 : 3;
    return `${step ? format.digits(value / 1000 ** step) : value} ${["bytes", "kB", "MB", "GB"][step]}`;
  },
  bpp: (value) => `${format.digits(value, 3)} bpp`,
  target: (value) => String(value),
  kbps(point) {
    const seconds = clipNamed(point.clip).duration;
    return seconds ? `${format.digits((point.bytes * 8) / 1000 / seconds)} kbit/s` : "";
  },
  percent(value) {
    const size = Math.abs(value);
    const text = size >= 10 ? size.toFixed(0) : size.toFixed(1);
    return `${value < 0 ? "−" : "+"}${text} %`;
  },
};

const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;
const arrow = (metric) => ({ true: " ↑", false: " ↓" })[metric.higher_is_better] ?? " → 1";
const wayOf = (metric) =>
  ({ true: "higher is better", false: "lower is better" })[metric.higher_is_better] ?? "1 is the source";
const unitOf = (metric) => (metric.unit ? ` (${metric.unit})` : "");
