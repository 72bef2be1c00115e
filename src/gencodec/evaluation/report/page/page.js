// Puts the parts together. Print gets pages of its own: curves and filmstrips of every clip.
"use strict";

function stripFigure(clip) {
  const strip = report.strips.find((each) => each.clip === clip);
  if (!strip) return [];
  const rows = strip.rows.map(({ codec, image }) => {
    const point = codec === SOURCE ? null : pointOf(clip, codec, strip.target);
    return make("div", { class: "strip-row" },
      make("div", { class: "strip-name" }, make("b", {}, codec), point ? make("span", {}, format.bpp(point.bpp)) : null),
      make("img", { src: image, alt: `Frames ${strip.frames.join(", ")} of ${clip}, ${codec}` }));
  });
  return [
    ...rows,
    make("figcaption", {}, `${clip} at ${format.target(strip.target)} bits per pixel, frames ${strip.frames.join(", ")}, evenly spread: no frame was chosen.`),
  ];
}

function printClip(clip) {
  const charts = mainMetrics.map((metric) => chart(metric, clip, "mean", codecs, false)).filter(Boolean);
  return make("section", {}, make("h2", {}, clip),
    make("div", { class: "legend" }, ...[...byId("legend").children].map((button) =>
      make("span", {}, ...[...button.childNodes].map((node) => node.cloneNode(true))))),
    make("div", { class: "charts" }, charts),
    make("figure", { class: "strip" }, stripFigure(clip)));
}

function start() {
  const middle = targets[Math.floor((targets.length - 1) / 2)];
  const ours = codecs.find(isOurs) ?? codecs[0];
  Object.assign(state, {
    clip: clips[0], target: middle, left: SOURCE, right: ours, view: "split", zoom: "fit", split: 50,
    scope: "clip", statistic: "mean", selection: mainMetrics.length ? "main" : "all", shown: codecs,
    row: ours, bdScope: "mean",
  });
  setUpHeader();
  if (results.points.length) setUpPictures();
  else hideSections("watch", "curves");
  setUpSavings();
  setUpSpeed();
  setUpMethod();
}

function setUpPictures() {
  byId("clip").append(...clips.map((clip) => make("option", { value: clip }, clip)));
  byId("clip").addEventListener("change", (event) => change({ clip: event.target.value }));
  follow(["clip"], () => { byId("clip").value = state.clip; });
  player.setUp();
  setUpFigures();
  follow(["clip"], () => byId("strip").replaceChildren(...stripFigure(state.clip)));
  byId("strip-details").hidden = !report.strips.length;
  setUpCharts();
  byId("print").append(...clips.map(printClip));
}

start();
