// The player. Source and all decoded videos of a clip at one rate lie side by side in one video,
// the sheet, so that they cannot drift apart: one decoded frame holds the same moment of all.
"use strict";

const player = (() => {
  const video = byId("sheet");
  const canvas = byId("picture");
  const stage = byId("stage");
  const handle = byId("handle");
  const context = canvas.getContext("2d", { alpha: false });
  const ZOOMS = [["fit", "fit"], [1, "100 %"], [2, "200 %"], [4, "400 %"], [8, "800 %"]];
  const VIEWS = [["split", "split"], ["side", "side by side"]];
  const GAP = 4; // pixels between pictures side by side
  let sheet = null; // of the clip and rate that are shown or being loaded
  let held = null; // the decoded frame that everything on the canvas is cut from
  let frame = 0; // its number
  let wanted = 0; // last frame asked for
  let centre = null; // of the view, pixels of the picture
  let playing = false;
  let address = null;

  const sheetOf = (clip, target) =>
    report.sheets.find((each) => each.clip === clip && each.target === target) ?? null;

  // ------------------------------------------------------------ loading

  function load() {
    sheet = sheetOf(state.clip, state.target);
    centre = null;
    const last = sheet ? sheet.frames - 1 : 0;
    wanted = Math.min(playing ? frame : wanted, last);
    byId("timeline").max = last;
    held?.close?.();
    held = null;
    if (address) URL.revokeObjectURL(address);
    address = null;
    video.removeAttribute("src");
    if (sheet) {
      const text = atob(byId(sheet.element).textContent.trim());
      const bytes = Uint8Array.from(text, (letter) => letter.charCodeAt(0));
      address = URL.createObjectURL(new Blob([bytes], { type: "video/mp4" }));
      video.src = address;
    } else {
      video.load();
      setPlaying(false);
    }
    stage.toggleAttribute("data-ready", false);
    layOut();
  }

  /** Take hold of the frame the video shows now, so that all of the canvas is of one moment. */
  function take(seconds) {
    if (!sheet || video.readyState < 2) return;
    held?.close?.();
    held = "VideoFrame" in window ? new VideoFrame(video) : video; // a video may run on meanwhile
    const time = held === video ? seconds : held.timestamp / 1e6;
    frame = Math.max(0, Math.min(sheet.frames - 1, Math.round(time * sheet.rate)));
    draw();
    stage.setAttribute("data-frame", frame);
    stage.toggleAttribute("data-ready", true);
    byId("timeline").value = frame;
    byId("timeline").setAttribute("aria-valuetext", `frame ${frame} of 0 to ${sheet.frames - 1}`);
    byId("counter").textContent = `${frame} / ${sheet.frames - 1}`;
    if (!playing) describe();
  }

  /** The browser has handed out a frame. */
  function presented(_now, { mediaTime }) {
    video.requestVideoFrameCallback(presented);
    take(mediaTime);
  }

  function seek(at) {
    if (!sheet) return;
    wanted = Math.max(0, Math.min(sheet.frames - 1, at));
    if (!video.seeking && video.readyState >= 1) video.currentTime = (wanted + 0.5) / sheet.rate;
  }

  /** A seek has ended; go on to the frame that was asked for meanwhile. */
  function arrived() {
    if (!sheet || playing) return;
    const here = Math.floor(video.currentTime * sheet.rate);
    if (here !== wanted) seek(wanted);
    else take(here / sheet.rate);
  }

  function setPlaying(on) {
    playing = on && sheet !== null;
    if (playing) video.play().catch(() => setPlaying(false));
    else {
      video.pause();
      seek(frame);
    }
    byId("play").replaceChildren(icon(playing ? "pause" : "play"));
    byId("play").setAttribute("aria-label", playing ? "Pause" : "Play");
  }

  function stepBy(count) {
    const from = playing ? frame : wanted;
    if (playing) setPlaying(false);
    seek(from + count);
  }

  // ------------------------------------------------------------ drawing

  /** Size the stage for the clip; everything below is in CSS pixels. */
  function layOut() {
    const { width, height } = clipSize();
    const across = state.view === "side" ? 2 * width : width;
    const ratio = Math.max(across / height, 0.2);
    const wide = stage.parentElement.clientWidth;
    const high = Math.min(wide / ratio, Math.max(240, innerHeight * 0.74));
    stage.style.height = `${Math.round(high)}px`;
    const density = devicePixelRatio || 1;
    canvas.width = Math.round(stage.clientWidth * density);
    canvas.height = Math.round(stage.clientHeight * density);
    placeHandle();
    draw();
  }

  function clipSize() {
    const clip = clipNamed(state.clip);
    return sheet ? { width: sheet.width, height: sheet.height } : { width: clip.width, height: clip.height };
  }

  /** The two windows onto the picture: where they lie, what they show, and where that begins. */
  function panes() {
    const [wide, high] = [stage.clientWidth, stage.clientHeight];
    const { width, height } = clipSize();
    const whole = state.view === "side" ? wide / 2 : wide;
    const fit = Math.min(whole / width, high / height);
    const scale = state.zoom === "fit" ? fit : state.zoom / (sheet ? sheet.shrunk : 1);
    const at = clampCentre(width, height, whole / scale, high / scale);
    const place = (left) => ({ x: left + whole / 2 - at.x * scale, y: high / 2 - at.y * scale });
    if (state.view === "side") {
      return {
        scale,
        left: { from: 0, to: wide / 2 - GAP / 2, ...place(0) },
        right: { from: wide / 2 + GAP / 2, to: wide, ...place(wide / 2) },
      };
    }
    const border = (wide * state.split) / 100;
    return { scale, left: { from: 0, to: border, ...place(0) }, right: { from: border, to: wide, ...place(0) } };
  }

  function clampCentre(width, height, seenX, seenY) {
    centre ??= { x: width / 2, y: height / 2 };
    const clamp = (value, size, seen) =>
      (seen >= size ? size / 2 : Math.max(seen / 2, Math.min(size - seen / 2, value)));
    centre = { x: clamp(centre.x, width, seenX), y: clamp(centre.y, height, seenY) };
    return centre;
  }

  function draw() {
    if (!held) return;
    const density = canvas.width / stage.clientWidth;
    const { scale, left, right } = panes();
    context.setTransform(density, 0, 0, density, 0, 0);
    context.fillStyle = getComputedStyle(stage).backgroundColor;
    context.fillRect(0, 0, stage.clientWidth, stage.clientHeight);
    context.imageSmoothingEnabled = state.zoom === "fit" || scale * density < 2; // else pixels stay pixels
    context.imageSmoothingQuality = "high";
    drawPane(left, sheet.tiles[state.left], scale);
    drawPane(right, sheet.tiles[state.right], scale);
  }

  function drawPane({ from, to, x, y }, tile, scale) {
    if (!tile || to <= from) return;
    context.save();
    context.beginPath();
    context.rect(from, 0, to - from, stage.clientHeight);
    context.clip();
    context.drawImage(held, tile[0], tile[1], sheet.width, sheet.height,
      x, y, sheet.width * scale, sheet.height * scale);
    context.restore();
  }

  function placeHandle() {
    handle.hidden = state.view !== "split";
    handle.style.left = `${state.split}%`;
    handle.setAttribute("aria-valuenow", String(Math.round(state.split)));
    handle.setAttribute("aria-valuetext", `${Math.round(state.split)} percent ${state.left}, the rest ${state.right}`);
    stage.classList.toggle("zoomed", state.zoom !== "fit");
    stage.classList.toggle("sides-view", state.view === "side");
  }

  // ------------------------------------------------------------ words around the picture

  function facts(codec) {
    if (codec === SOURCE) return "the reference";
    const point = pointOf(state.clip, codec, state.target);
    if (!point || point.error) return "";
    return `${format.bpp(point.bpp)}${point.reached ? "" : " (rate not met)"} · ${format.kbps(point)} · ${format.bytes(point.bytes)}`;
  }

  /** Why there is no picture of a codec; empty if there is one. */
  function absence(codec) {
    if (sheet?.tiles[codec]) return "";
    const point = pointOf(state.clip, codec, state.target);
    return point?.error ? `${codec} failed: ${point.error}` : `there is no video of ${codec} at this rate`;
  }

  function describe() {
    const name = (codec) => [codec, codec === SOURCE ? "" : facts(codec)].filter(Boolean).join(", ");
    canvas.setAttribute("aria-label", `Frame ${frame} of ${state.clip}. Left: ${name(state.left)}. Right: ${name(state.right)}.`);
  }

  function caption() {
    for (const side of ["left", "right"]) {
      byId(side).value = state[side];
      byId(`${side}-facts`).textContent = facts(state[side]);
      const absent = absence(state[side]);
      byId(`${side}-absent`).textContent = absent;
      byId(`${side}-absent`).hidden = !absent;
    }
    byId("stage-note").textContent = sheet && sheet.shrunk !== 1
      ? `The pictures are shown at 1/${sheet.shrunk} of their size, as a browser would not play them larger; the figures are of the whole size.` : "";
    placeHandle();
    describe();
    draw();
  }

  // ------------------------------------------------------------ hands

  function pan(right, down) {
    const { scale } = panes();
    centre = { x: centre.x + right / scale, y: centre.y + down / scale };
    draw();
  }

  const setSplit = (percent) => change({ split: Math.max(0, Math.min(100, percent)) });

  /** Drag the handle, or the picture: zoomed it moves, whole it takes the split along. */
  function drag(event) {
    if (event.button !== 0) return;
    const moves = state.zoom !== "fit" && !handle.contains(event.target);
    const box = stage.getBoundingClientRect();
    let [x, y] = [event.clientX, event.clientY];
    const move = (now) => {
      if (moves) pan(x - now.clientX, y - now.clientY);
      else if (state.view === "split") setSplit((100 * (now.clientX - box.left)) / box.width);
      [x, y] = [now.clientX, now.clientY];
    };
    const end = () => {
      stage.removeEventListener("pointermove", move);
      stage.classList.remove("held");
    };
    stage.setPointerCapture(event.pointerId);
    stage.classList.add("held");
    stage.addEventListener("pointermove", move);
    stage.addEventListener("pointerup", end, { once: true });
    stage.addEventListener("pointercancel", end, { once: true });
    if (!moves) move(event);
  }

  function handleKey(event) {
    const by = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10 }[event.key];
    if (by) setSplit(state.split + by * (event.shiftKey ? 10 : 1));
    else if (event.key === "Home" || event.key === "End") setSplit(event.key === "Home" ? 0 : 100);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  const next = (options, key) => {
    const at = options.findIndex(([value]) => value === state[key]);
    change({ [key]: options[(at + 1) % options.length][0] });
  };
  const swap = () => change({ left: state.right, right: state.left });

  const KEYS = {
    " ": () => setPlaying(!playing), k: () => setPlaying(!playing),
    ",": () => stepBy(-1), ".": () => stepBy(1), ArrowLeft: () => stepBy(-1), ArrowRight: () => stepBy(1),
    Home: () => stepBy(-Infinity), End: () => stepBy(Infinity),
    "[": () => setSplit(state.split - 2), "]": () => setSplit(state.split + 2),
    x: swap, v: () => next(VIEWS, "view"), z: () => next(ZOOMS, "zoom"),
  };
  const PANS = { ArrowLeft: [-40, 0], ArrowRight: [40, 0], ArrowUp: [0, -40], ArrowDown: [0, 40] };

  /** Keys of the whole page, where no control wants them itself. */
  function pageKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const taken = event.target.closest("input, select, textarea, summary, .scroll, pre, svg");
    const button = event.target.closest("button, a, summary");
    if (taken || (button && event.key === " ")) return;
    const action = event.shiftKey && PANS[event.key] ? () => pan(...PANS[event.key])
      : /^[1-9]$/.test(event.key) ? () => targets[event.key - 1] && change({ target: targets[event.key - 1] })
        : KEYS[event.key];
    if (!action || ((event.key === "Home" || event.key === "End") && !byId("watch").contains(event.target))) return;
    action();
    event.preventDefault();
  }

  function listen() {
    video.requestVideoFrameCallback?.(presented);
    video.addEventListener("loadedmetadata", () => { seek(wanted); if (playing) setPlaying(true); });
    video.addEventListener("seeked", arrived);
    stage.addEventListener("pointerdown", drag);
    handle.addEventListener("keydown", handleKey);
    document.addEventListener("keydown", pageKey);
    byId("first").addEventListener("click", () => stepBy(-Infinity));
    byId("back").addEventListener("click", () => stepBy(-1));
    byId("forward").addEventListener("click", () => stepBy(1));
    byId("play").addEventListener("click", () => setPlaying(!playing));
    byId("swap").addEventListener("click", swap);
    byId("timeline").addEventListener("input", (event) => {
      if (playing) setPlaying(false);
      seek(Number(event.target.value));
    });
    byId("pace").addEventListener("change", (event) => { video.defaultPlaybackRate = video.playbackRate = Number(event.target.value); });
    new ResizeObserver(layOut).observe(stage.parentElement);
  }

  function setUp() {
    for (const side of ["left", "right"]) {
      byId(side).append(...[SOURCE, ...codecs].map((codec) => make("option", { value: codec }, codec)));
      byId(side).addEventListener("change", (event) => change({ [side]: event.target.value }));
    }
    choices("targets", "target", targets.map((target, k) => [target, format.target(target), `key ${k + 1}`]));
    choices("views", "view", VIEWS);
    choices("zooms", "zoom", ZOOMS);
    for (const name of ["first", "back", "play", "forward", "swap"]) byId(name).append(icon(name));
    listen();
    follow(["clip", "target"], load);
    follow(["view", "zoom"], layOut);
    follow(["clip", "target", "left", "right", "split"], caption);
  }

  return { setUp, seek: (at) => { if (playing) setPlaying(false); seek(at); } };
})();
