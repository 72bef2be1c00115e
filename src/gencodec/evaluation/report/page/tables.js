// Tables: BD-rate, speed, all figures of a clip, the figures of the pair on the stage, the method.
"use strict";

const head = (...cells) => make("thead", {}, make("tr", {}, cells));
const columnHead = (text, attributes = {}) => make("th", { scope: "col", ...attributes }, text);
const rowHead = (...children) => make("th", { scope: "row" }, ...children);
const cell = (text, attributes = {}) => make("td", attributes, text);
const dot = (codec) => make("i", { class: "dot", style: `background:${look[codec].colour}` });

// ---------------------------------------------------------------- BD-rate

/** Strength of the tint: none at 0 %, full at half or twice the bytes. */
function tint(percent) {
  const strength = Math.min(1, Math.abs(Math.log2(Math.max(0.05, 1 + percent / 100))));
  return `--strength:${(4 + 28 * strength).toFixed(0)}%`;
}

function bdCell(rate, metric) {
  if (!rate) return cell("–", { class: "none" });
  if (rate.percent === null) {
    return make("td", { class: "none", title: rate.reason }, "none", make("small", {}, rate.reason || ""));
  }
  const range = rate.range ? `${format.score(rate.range[0])} to ${format.score(rate.range[1])}` : rate.reason;
  return make("td", { class: rate.percent <= 0 ? "fewer" : "more", style: tint(rate.percent), title: rate.reason || `range of ${metric.label}` },
    format.percent(rate.percent), make("small", {}, range || ""));
}

function bdTable(codec, clip) {
  const rates = results.bd_rates.filter((rate) => rate.codec === codec && rate.clip === clip);
  const anchors = codecs.filter((anchor) => rates.some((rate) => rate.anchor === anchor));
  const rated = (metric) => rates.some((rate) => rate.metric === metric.name);
  const bodies = [mainMetrics.filter(rated), metrics.filter((metric) => rated(metric) && !mainMetrics.includes(metric))];
  return [
    make("caption", {}, `${codec}, ${clip === null ? "mean of the clips" : clip}`),
    head(columnHead("at the same"), anchors.map((anchor) => columnHead([dot(anchor), anchor], { class: "number" }))),
    ...bodies.filter((body) => body.length).map((body) => make("tbody", {}, body.map((metric) => make("tr", {},
      rowHead(metric.label, make("small", {}, metric.backbone || "")),
      anchors.map((anchor) => bdCell(
        rates.find((rate) => rate.metric === metric.name && rate.anchor === anchor), metric)))))),
  ];
}

function setUpSavings() {
  const rows = [...new Set(results.bd_rates.map((rate) => rate.codec))];
  if (!rows.length) return hideSections("savings");
  change({ row: rows[0] });
  const averaged = results.bd_rates.some((rate) => rate.clip === null);
  choices("rows", "row", rows.map((row) => [row, row]));
  choices("bd-scopes", "bdScope", [...(averaged ? [["mean", "mean of all"]] : []), ["clip", "this clip"]]);
  change({ bdScope: averaged ? "mean" : "clip" });
  return follow(["row", "bdScope", "clip"], () => {
    byId("bd").replaceChildren(...bdTable(state.row, state.bdScope === "mean" ? null : state.clip));
  });
}

// ---------------------------------------------------------------- speed

function speedCell(value, fastest) {
  const share = value === null ? 0 : Math.max(3, 100 * (Math.log10(value / 0.1) / Math.log10(fastest / 0.1)));
  return make("td", { class: "measure" }, format.digits(value),
    make("span", { class: "meter", "aria-hidden": "true", style: `--share:${share.toFixed(1)}%` }));
}

function setUpSpeed() {
  const speeds = results.speed.filter((speed) => speed.points);
  if (!speeds.length) return hideSections("speed");
  const fastest = (key) => Math.max(1, ...speeds.map((speed) => speed[key] ?? 0));
  const memory = (value) => cell(value === null ? "–" : format.bytes(value), { class: "number" });
  byId("speed-note").textContent = `All frames over all seconds; the bars are on a logarithmic axis. ${machineText()}`;
  return byId("speeds").replaceChildren(
    head(columnHead("codec"), columnHead("encode, frames/s"), columnHead("decode, frames/s"),
      columnHead("encode, memory", { class: "number" }), columnHead("decode, memory", { class: "number" }),
      columnHead("points", { class: "number" })),
    make("tbody", {}, speeds.map((speed) => make("tr", {},
      rowHead(dot(speed.codec), speed.codec, make("small", {}, codecNamed(speed.codec).label)),
      ...["encode_frames_per_second", "decode_frames_per_second"].map((key) => speedCell(speed[key], fastest(key))),
      memory(speed.encode_peak_bytes), memory(speed.decode_peak_bytes), cell(String(speed.points), { class: "number" })))),
  );
}

// ---------------------------------------------------------------- all figures of a clip

function valueRow(point) {
  const name = rowHead(dot(point.codec), point.codec);
  const target = cell(format.target(point.target_bpp), { class: "number" });
  if (point.error) {
    return make("tr", { class: "failed" }, name, target, cell(point.error, { colspan: metrics.length + 2 }));
  }
  const size = `${format.digits(point.bpp)}${point.reached ? "" : " *"}`;
  return make("tr", {}, name, target, cell(size, { class: "number" }), cell(format.bytes(point.bytes), { class: "number" }),
    metrics.map((metric) => cell(format.score(scoreOf(point, metric.name, "mean")),
      { class: "number", title: point.missing[metric.name] })));
}

function valueTable(clip) {
  const rows = results.points.filter((point) => point.clip === clip)
    .sort((a, b) => b.target_bpp - a.target_bpp || codecs.indexOf(a.codec) - codecs.indexOf(b.codec));
  return [
    make("caption", {}, `${clip}; mean over the frames; * the rate was not met`),
    head(columnHead("codec"), columnHead("target"), columnHead("bpp"), columnHead("size"),
      metrics.map((metric) => columnHead(`${metric.label}${arrow(metric)}`))),
    make("tbody", {}, rows.map(valueRow)),
  ];
}

// ---------------------------------------------------------------- the pair on the stage

/** Which of two values is better: "left", "right" or null. */
function better(metric, ...values) {
  if (values.includes(null)) return null;
  const [left, right] = values.map((value) =>
    (metric.higher_is_better === null ? Math.abs(value - 1) : metric.higher_is_better ? -value : value));
  return left === right ? null : left < right ? "left" : "right";
}

function worstButton(point, metric) {
  const frame = point && !point.error && point.scores[metric.name] ? point.scores[metric.name].worst_frame : null;
  if (!Number.isInteger(frame)) return null;
  return make("button", {
    type: "button", class: "link", onclick: () => player.seek(frame),
    "aria-label": `Show the worst frame of ${point.codec} by ${metric.label}, frame ${frame}`,
  }, `worst: ${frame}`);
}

function pairTable() {
  const sides = [["left", state.left], ["right", state.right]].map(([side, codec]) => ({
    side, codec, point: codec === SOURCE ? null : pointOf(state.clip, codec, state.target),
  }));
  const rows = metrics.map((metric) => {
    const values = sides.map(({ point }) => (point ? scoreOf(point, metric.name, "mean") : null));
    const best = better(metric, ...values);
    return make("tr", {}, rowHead(`${metric.label}${arrow(metric)}`, make("small", {}, axisUnit(metric))),
      sides.map(({ side, codec, point }, k) => make("td", { class: "number" },
        best === side ? make("b", {}, format.score(values[k])) : format.score(codec === SOURCE ? null : values[k]),
        " ", worstButton(point, metric))));
  });
  const size = (text) => make("tr", {}, rowHead(text[0]), sides.map(({ point }) => cell(point && !point.error ? text[1](point) : "–", { class: "number" })));
  return [
    make("caption", {}, `${state.clip} at ${format.target(state.target)} bits per pixel; the better mean is bold`),
    head(columnHead("figure"), sides.map(({ codec }) => columnHead(codec, { class: "number" }))),
    make("tbody", {}, size(["size", (point) => format.bytes(point.bytes)]), size(["rate", (point) => `${format.bpp(point.bpp)}, ${format.kbps(point)}`]), rows),
  ];
}

const axisUnit = (metric) => [metric.unit, metric.backbone].filter(Boolean).join(", ");

function setUpFigures() {
  follow(["clip"], () => byId("values").replaceChildren(...valueTable(state.clip)));
  follow(["clip", "target", "left", "right"], () => byId("pair").replaceChildren(...pairTable()));
}

// ---------------------------------------------------------------- header and method

function machineText() {
  const text = (name, value) => (name.endsWith("_bytes") ? format.bytes(value) : Array.isArray(value) ? value.join(", ") : value);
  const parts = Object.entries(results.machine).map(([name, value]) =>
    `${name.replace("_bytes", "").replaceAll("_", " ")} ${text(name, value)}`);
  return parts.length ? `Machine: ${parts.join("; ")}.` : "";
}

function setUpHeader() {
  const frames = [...new Set(results.clips.map((clip) => clip.frames))];
  const count = frames.length === 1 ? `${frames[0]} frames each` : `${Math.min(...frames)} to ${Math.max(...frames)} frames each`;
  const peers = codecs.filter((codec) => !isOurs(codec));
  byId("lead").textContent = `gencodec ${results.gencodec} beside ${plural(peers.length, "other encoder")} at the same number of bytes: `
    + `${plural(clips.length, "clip")}, ${count}, ${plural(targets.length, "rate")}.${results.measured ? ` Measured ${results.measured.slice(0, 10)}.` : ""}`;
  const failed = results.points.filter((point) => point.error);
  byId("failures").hidden = !failed.length;
  byId("failures").replaceChildren(`${failed.length} of ${plural(results.points.length, "point")} failed; `,
    make("a", { href: "#failed" }, "see which"), ".");
}

/** Metrics that lack in some points, with the reason and how many points it concerns. */
function missingMetrics() {
  const found = {};
  for (const point of results.points) {
    for (const [name, reason] of Object.entries(point.missing || {})) {
      const key = `${metricNamed[name] ? metricNamed[name].label : name}: ${reason}`;
      found[key] = (found[key] || 0) + 1;
    }
  }
  return Object.entries(found).map(([text, count]) =>
    (count === results.points.filter((point) => !point.error).length ? text : `${text} (${plural(count, "point")})`));
}

function setUpMethod() {
  const list = (title, items) => (items.length
    ? [make("h3", {}, title), make("ul", {}, items.map((item) => (item instanceof Element ? item : make("li", {}, item))))] : []);
  const failed = results.points.filter((point) => point.error);
  const failures = failed.length ? [
    make("h3", { id: "failed" }, "Failed points"),
    make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Failed points" },
      make("table", {}, head(columnHead("codec"), columnHead("clip"), columnHead("target"), columnHead("error")),
        make("tbody", {}, failed.map((point) => make("tr", { class: "failed" }, rowHead(dot(point.codec), point.codec),
          cell(point.clip), cell(format.target(point.target_bpp), { class: "number" }), cell(point.error)))))),
  ] : [];
  byId("method-body").append(
    make("p", {}, "Each encoder was driven to the same number of real bytes, within 3 % where it can be; a hollow point or a star marks where it could not. "
      + "A gencodec file counts whole, with its container; the others count the bytes of their packets. "
      + "Every decoded video was compared with the source by the same code. "
      + "What the player shows was coded once more with H.264 at a quality that the eye does not tell from its input, because browsers play that; the figures come from the original decoded frames."),
    ...list("To know", results.warnings),
    ...failures,
    ...list("Not computed, because", missingMetrics()),
    ...list("Metrics", results.metrics.map((metric) =>
      `${metric.label}${unitOf(metric)}${metric.backbone ? `, ${metric.backbone}` : ""}: ${wayOf(metric)}`)),
    ...list("Codecs", results.codecs.map((codec) => make("li", {}, make("b", {}, codec.name), ` ${codec.label} `, codec.command ? make("code", {}, codec.command) : null))),
    ...list("Clips", results.clips.map((clip) => `${clip.name}: ${clip.width}×${clip.height}, ${plural(clip.frames, "frame")}`)),
    ...list("Versions", Object.entries(results.versions).map(([name, version]) => `${name} ${version}`)),
    make("p", {}, machineText()),
    make("h3", {}, "Command"), make("pre", { tabindex: 0 }, results.command.join(" ")),
  );
}
