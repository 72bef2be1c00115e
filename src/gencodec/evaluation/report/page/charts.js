// Rate-quality curves as inline SVG: one chart a metric, the rate on a logarithmic axis.
"use strict";

const CHART = { width: 360, height: 248, left: 50, right: 12, top: 12, bottom: 40 };
const AVERAGE = "mean of all clips";

/** Round steps of 1, 2 or 5 that cover [low, high] with about `count` ticks. */
function niceTicks(low, high, count) {
  const raw = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= raw);
  const ticks = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k += 1) ticks.push(k * step);
  const places = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return ticks.map((tick) => ({ at: tick, text: tick.toFixed(places).replace("-", "−") }));
}

/** 1, 2 and 5 of every decade in [low, high]. */
function logTicks(low, high) {
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power += 1) {
    for (const factor of [1, 2, 5]) {
      const tick = factor * 10 ** power;
      if (tick >= low && tick <= high) ticks.push({ at: tick, text: String(Number(tick.toPrecision(1))) });
    }
  }
  return ticks;
}

/** Points of one codec, rising rate: of a clip, or the mean where every clip has the target. */
function curve(scope, codec, metric, statistic) {
  const own = results.points
    .filter((point) => point.codec === codec && (scope === AVERAGE || point.clip === scope))
    .map((point) => ({ point, bpp: point.bpp, value: scoreOf(point, metric, statistic), reached: point.reached }))
    .filter((item) => item.value !== null && item.bpp > 0);
  if (scope !== AVERAGE) return own.sort((a, b) => a.bpp - b.bpp);
  const mean = (items, key) => items.reduce((sum, item) => sum + item[key], 0) / items.length;
  return targets
    .map((target) => own.filter((item) => item.point.target_bpp === target))
    .filter((items) => items.length === clips.length)
    .map((items) => ({
      point: null, target: items[0].point.target_bpp,
      bpp: mean(items, "bpp"), value: mean(items, "value"), reached: items.every((item) => item.reached),
    }))
    .sort((a, b) => a.bpp - b.bpp);
}

/** A marker that tells codecs apart without their colour; hollow where the rate was not met. */
function marker(shape, x, y, reached, colour) {
  const r = 3.6;
  const paths = [
    `M${x - r},${y}a${r},${r} 0 1 0 ${2 * r},0a${r},${r} 0 1 0 ${-2 * r},0Z`,
    `M${x - r},${y - r}h${2 * r}v${2 * r}h${-2 * r}Z`,
    `M${x},${y - r * 1.2}l${r * 1.15},${r * 2.1}h${-2.3 * r}Z`,
    `M${x},${y - r * 1.3}l${r * 1.3},${r * 1.3}l${-r * 1.3},${r * 1.3}l${-r * 1.3},${-r * 1.3}Z`,
    `M${x},${y + r * 1.2}l${r * 1.15},${-r * 2.1}h${-2.3 * r}Z`,
    `M${x - r},${y - r}l${2 * r},${2 * r}m0,${-2 * r}l${-2 * r},${2 * r}`,
  ];
  return make("svg:path", {
    d: paths[shape], style: `stroke:${colour};fill:${reached && shape !== 5 ? colour : "var(--card)"}`,
    "stroke-width": 1.5,
  });
}

function scales(items, metric) {
  const bpps = items.map((item) => item.bpp);
  const ideal = metric.higher_is_better === null ? [1] : [];
  const values = [...items.map((item) => item.value), ...ideal];
  const low = Math.min(...bpps) / 1.12;
  const high = Math.max(...bpps) * 1.12;
  const spread = Math.max(...values) - Math.min(...values) || Math.abs(values[0]) * 0.1 || 1;
  const bottom = Math.min(...values) - spread * 0.06;
  const top = Math.max(...values) + spread * 0.06;
  const { width, height, left, right, top: head, bottom: foot } = CHART;
  const x = (bpp) => left + ((width - left - right) * Math.log(bpp / low)) / Math.log(high / low);
  const share = (value) => (value - bottom) / (top - bottom);
  const up = metric.higher_is_better !== false;
  const y = (value) => head + (height - head - foot) * (up ? 1 - share(value) : share(value));
  return { x, y, xTicks: logTicks(low, high), yTicks: niceTicks(bottom, top, 5), ideal };
}

function axes({ x, y, xTicks, yTicks, ideal }) {
  const { width, height, left, right, bottom, top } = CHART;
  const foot = height - bottom;
  const group = make("svg:g", { class: "axes" });
  for (const tick of yTicks) {
    group.append(
      make("svg:line", { x1: left, x2: width - right, y1: y(tick.at), y2: y(tick.at) }),
      make("svg:text", { x: left - 7, y: y(tick.at) + 4, "text-anchor": "end" }, tick.text),
    );
  }
  for (const tick of xTicks) {
    group.append(
      make("svg:line", { x1: x(tick.at), x2: x(tick.at), y1: top, y2: foot }),
      make("svg:text", { x: x(tick.at), y: foot + 16, "text-anchor": "middle" }, tick.text),
    );
  }
  group.append(...ideal.map((value) =>
    make("svg:line", { x1: left, x2: width - right, y1: y(value), y2: y(value), class: "ideal" })));
  group.append(make("svg:text", { x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle", class: "label" }, "bits per pixel"));
  return group;
}

function summary(metric, lines, scope) {
  const parts = lines.map(({ codec, items }) =>
    `${codec} ${items.map((item) => `${format.score(item.value)} at ${format.digits(item.bpp)}`).join(", ")}`);
  return `${metric.label}${unitOf(metric)} against bits per pixel, ${scope}. ${parts.join("; ")}.`;
}

/** One chart as a figure; null if there is nothing to draw. */
function chart(metric, scope, statistic, shown, interactive) {
  const lines = shown
    .map((codec) => ({ codec, items: curve(scope, codec, metric.name, statistic) }))
    .filter((line) => line.items.length);
  if (!lines.length) return null;
  const scale = scales(lines.flatMap((line) => line.items), metric);
  const svg = make("svg:svg", {
    viewBox: `0 0 ${CHART.width} ${CHART.height}`, role: "img",
    "aria-label": summary(metric, lines, scope), tabindex: interactive ? 0 : null,
  }, axes(scale));
  const marks = [];
  for (const { codec, items } of [...lines].reverse()) { // the first codec lies on top
    const { colour, shape, dash } = look[codec];
    svg.append(make("svg:polyline", {
      points: items.map((item) => `${scale.x(item.bpp)},${scale.y(item.value)}`).join(" "),
      style: `stroke:${colour}`, "stroke-dasharray": dash, "stroke-width": isOurs(codec) ? 2.6 : 1.6,
    }));
    for (const item of items) {
      const at = { x: scale.x(item.bpp), y: scale.y(item.value) };
      svg.append(marker(shape, at.x, at.y, item.reached, colour));
      marks.push({ codec, item, metric, statistic, ...at });
    }
  }
  if (interactive) listen(svg, marks, lines.map((line) => line.codec));
  const caption = make("figcaption", {}, make("b", {}, metric.label), make("span", {}, axisNote(metric, statistic)));
  return make("figure", { class: "chart" }, caption, svg);
}

function axisNote(metric, statistic) {
  const parts = [metric.unit, metric.backbone, statistic === "worst" ? "worst frame" : null].filter(Boolean);
  if (metric.higher_is_better === false) parts.push("axis turned");
  if (metric.higher_is_better === null) parts.push("1 is the source");
  return parts.join(", ");
}

/** Let pointer and arrow keys read the marks of a chart; a click or Enter watches the point. */
function listen(svg, marks, order) {
  let current = null;
  const ring = make("svg:circle", { r: 7, class: "ring", visibility: "hidden" });
  svg.append(ring);
  const select = (mark) => {
    current = mark;
    ring.setAttribute("visibility", mark ? "visible" : "hidden");
    if (!mark) return hideTip();
    ring.setAttribute("cx", mark.x);
    ring.setAttribute("cy", mark.y);
    return showTip(svg, mark);
  };
  const nearest = (event) => {
    const box = svg.getBoundingClientRect();
    const unit = CHART.width / box.width;
    const [x, y] = [(event.clientX - box.left) * unit, (event.clientY - box.top) * unit];
    const [best, distance] = marks.reduce(([found, least], mark) => {
      const here = Math.hypot(mark.x - x, mark.y - y);
      return here < least ? [mark, here] : [found, least];
    }, [null, 24]);
    return distance < 24 ? best : null;
  };
  svg.addEventListener("pointermove", (event) => select(nearest(event)));
  svg.addEventListener("pointerleave", () => select(null));
  svg.addEventListener("blur", () => select(null));
  svg.addEventListener("click", () => watch(current));
  svg.addEventListener("keydown", (event) => {
    const moved = step(event.key, current, marks, order);
    if (event.key === "Enter") watch(current);
    else if (event.key === "Escape") select(null);
    else if (moved) select(moved);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
}

/** The mark that an arrow key leads to: left and right along the curve, up and down between codecs. */
function step(key, current, marks, order) {
  const along = { ArrowLeft: -1, ArrowRight: 1 }[key] ?? 0;
  const across = { ArrowUp: -1, ArrowDown: 1 }[key] ?? 0;
  if (!along && !across) return null;
  if (!current) return marks.find((mark) => mark.codec === order[0]);
  const codec = order[(order.indexOf(current.codec) + across + order.length) % order.length];
  const line = marks.filter((mark) => mark.codec === codec);
  const close = line.reduce((a, b) => (Math.abs(b.x - current.x) < Math.abs(a.x - current.x) ? b : a));
  return line[Math.max(0, Math.min(line.length - 1, line.indexOf(close) + along))];
}

function showTip(svg, { codec, item, metric, statistic, x, y }) {
  const tip = byId("tip");
  const score = item.point ? item.point.scores[metric.name] : null;
  const rows = [
    `${format.bpp(item.bpp)}${item.point ? `, ${format.kbps(item.point)}` : ""}${item.reached ? "" : " (rate not met)"}`,
    statistic === "mean" && score ? `worst frame: ${score.worst_frame} with ${format.score(score.worst)}` : null,
  ];
  tip.replaceChildren(
    make("b", {}, make("i", { class: "dot", style: `background:${look[codec].colour}` }), codec),
    make("span", { class: "value" }, `${metric.label} ${format.score(item.value)}${metric.unit ? ` ${metric.unit}` : ""}`),
    ...rows.filter(Boolean).map((row) => make("span", {}, row)),
  );
  tip.hidden = false;
  const box = svg.getBoundingClientRect();
  const unit = box.width / CHART.width;
  const left = box.left + x * unit;
  const wide = tip.offsetWidth;
  tip.style.left = `${Math.max(8, Math.min(innerWidth - wide - 8, left - wide / 2)) + scrollX}px`;
  const above = box.top + y * unit - tip.offsetHeight - 14;
  tip.style.top = `${(above > 60 ? above : box.top + y * unit + 16) + scrollY}px`;
  byId("reading").textContent = [...tip.children].map((child) => child.textContent).join(", ");
}

function hideTip() {
  byId("tip").hidden = true;
}

/** Show a point in the player. */
function watch(mark) {
  if (!mark || !mark.item.point) return;
  const { clip, codec, target_bpp: target } = mark.item.point;
  const other = state.left === codec ? SOURCE : state.left;
  change({ clip, target, left: other, right: codec });
  byId("watch").scrollIntoView();
}

function legend() {
  const box = byId("legend");
  for (const codec of codecs) {
    const { colour, shape, dash } = look[codec];
    const sample = make("svg:svg", { viewBox: "0 0 30 12", width: 30, height: 12, "aria-hidden": "true" },
      make("svg:line", { x1: 0, x2: 30, y1: 6, y2: 6, style: `stroke:${colour}`, "stroke-width": isOurs(codec) ? 2.6 : 1.6, "stroke-dasharray": dash }),
      marker(shape, 15, 6, true, colour));
    const button = make("button", {
      type: "button", "aria-pressed": "true",
      onclick: () => {
        const shown = state.shown.includes(codec)
          ? state.shown.filter((other) => other !== codec)
          : codecs.filter((other) => other === codec || state.shown.includes(other));
        button.setAttribute("aria-pressed", String(shown.includes(codec)));
        change({ shown });
      },
    }, sample, codec);
    box.append(button);
  }
}

function setUpCharts() {
  legend();
  choices("scopes", "scope", clips.length > 1 ? [["clip", "this clip"], [AVERAGE, AVERAGE]] : [["clip", "this clip"]]);
  choices("statistics", "statistic", [["mean", "mean"], ["worst", "worst frame"]]);
  choices("selections", "selection", mainMetrics.length < metrics.length
    ? [["main", `main (${mainMetrics.length})`], ["all", `all (${metrics.length})`]] : [["all", "all"]]);
  follow(["clip", "scope", "statistic", "selection", "shown"], () => {
    hideTip();
    const scope = state.scope === "clip" ? state.clip : AVERAGE;
    const drawn = (state.selection === "main" ? mainMetrics : metrics)
      .map((metric) => chart(metric, scope, state.statistic, state.shown, true));
    const figures = drawn.filter(Boolean);
    byId("charts").replaceChildren(...(figures.length ? figures
      : [make("p", { class: "note" }, "There is no point to draw.")]));
  });
}
