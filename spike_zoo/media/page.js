// What moves on a page: pictures under a slider, crops that move together, spikes that play.
// All that is shown stands in the page's one block of data; nothing is fetched.
"use strict";

/** Make an element: its attributes, or properties where they are functions, then what is in it. */
function make(tag, attributes = {}, ...content) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...content);
  return element;
}

const pictures = new Map(); // data URI -> promise of its decoded picture

function picture(source) {
  if (!source) return Promise.resolve(null);
  if (!pictures.has(source)) {
    const image = new Image();
    image.src = source;
    pictures.set(source, image.decode().then(() => image));
  }
  return pictures.get(source);
}

const clamped = (value, low, high) => Math.min(Math.max(value, low), high);

/** Steps in time: buttons, a slider, and what the moment is called. */
class Clock {
  constructor(count, first, named, pause, changed) {
    this.count = count;
    this.now = first;
    this.named = named;
    this.pause = pause;
    this.changed = changed;
    this.range = make("input", {
      type: "range", min: 0, max: count - 1, value: first, "aria-label": "moment",
      input: () => { this.stop(); this.go(Number(this.range.value)); },
    });
    this.button = make("button", { type: "button", class: "play", click: () => this.toggle() });
    this.said = make("output", {});
    const step = (by, sign, label) =>
      make("button", { type: "button", "aria-label": label, click: () => this.step(by) }, sign);
    this.element = make("div", { class: "clock", hidden: count < 2 },
      step(-1, "‹", "one earlier"), this.button, step(1, "›", "one later"), this.range, this.said);
    this.stop();
    this.say();
  }
  say() {
    this.said.textContent = this.named(this.now);
    this.range.value = this.now;
    this.range.setAttribute("aria-valuetext", this.said.textContent);
  }
  go(moment) {
    this.now = (moment + this.count) % this.count;
    this.say();
    this.changed();
  }
  step(by) { this.stop(); this.go(this.now + by); }
  toggle() {
    if (this.timer) { this.stop(); return; }
    this.timer = setInterval(() => this.go(this.now + 1), this.pause);
    this.button.textContent = "❚❚";
    this.button.setAttribute("aria-label", "pause");
  }
  stop() {
    clearInterval(this.timer);
    this.timer = 0;
    this.button.textContent = "▶";
    this.button.setAttribute("aria-label", "play");
  }
}

const MODES = { split: "Slider", side: "Side by side", difference: "Difference" };
const GAINS = [1, 2, 4, 8, 16];
const DRAGGED = 4; // pixels from which on a pointer drags and does not click

/** Layers of one scene: two of them on a stage, all of them as crops of the same place. */
class Viewer {
  constructor(root, shown) {
    this.root = root;
    this.shown = shown;
    this.sides = [...shown.sides];
    this.mode = "split";
    this.cut = 50;
    this.gain = 4;
    this.zoom = clamped(Math.min(...shown.size) / 40, 2, 8);
    this.focus = [...shown.focus];
    this.clock = new Clock(
      shown.moments.length, shown.first, (moment) => shown.moments[moment], 250, () => this.draw());
    this.build();
    this.ready = this.draw();
  }

  build() {
    const [width, height] = this.shown.size;
    const alone = this.shown.layers.length < 2;
    this.panes = [0, 1].map((side) => {
      const canvas = make("canvas", { width, height });
      const context = canvas.getContext("2d", { willReadFrequently: true });
      const label = make("span", { class: "label" });
      const frame = make("div", { class: "frame" });
      const element = make("div", { class: side ? "pane after" : "pane" }, canvas, frame, label);
      return { element, canvas, context, label, frame };
    });
    this.edge = make("div", { class: "edge" });
    this.stage = make("div", {
      class: "stage", tabindex: 0, role: "slider", "aria-valuemin": 0, "aria-valuemax": 100,
      pointerdown: (event) => this.press(event), keydown: (event) => this.key(event),
    }, ...this.panes.map((pane) => pane.element), this.edge);
    this.stage.style.setProperty("--shape", width / height);
    this.scale = make("div", { class: "scale" });
    this.buildCrops();
    const parts = [alone ? "" : this.toolbar(), this.stage, this.scale, this.clock.element];
    if (this.shown.strip) parts.push(this.buildStrip());
    parts.push(...this.crops);
    if (!alone && !document.querySelector(".keys")) parts.push(this.hint()); // once on a page
    this.root.prepend(...parts);
  }

  hint() {
    const key = (name) => make("kbd", {}, name);
    const further = this.shown.differences ? [", ", key("d"), " difference"] : [];
    return make("p", { class: "hint keys" },
      "Drag the picture to move the edge; click it, or drag a crop, to look closer. Keys: ",
      key("←"), " ", key("→"), " edge, ", key(","), " ", key("."), " moment, ", key("s"), " swap", ...further, ".");
  }

  toolbar() {
    const chooser = (side) => {
      const options = this.shown.layers.map((layer, index) =>
        make("option", { value: index, selected: index === this.sides[side] }, layer.name));
      return make("select", {
        "aria-label": side ? "right side" : "left side",
        change: (event) => { this.sides[side] = Number(event.target.value); this.draw(); },
      }, ...options);
    };
    this.choosers = [chooser(0), chooser(1)];
    const swap = make("button", { type: "button", "aria-label": "swap sides", click: () => this.swap() }, "⇄");
    const modes = Object.entries(MODES).filter(([mode]) => mode !== "difference" || this.shown.differences);
    this.buttons = new Map(modes.map(([mode, name]) => [mode, make("button", {
      type: "button", "aria-pressed": String(mode === this.mode), click: () => this.choose(mode),
    }, name)]));
    this.gains = make("select", {
      "aria-label": "gain of the difference", hidden: true,
      change: (event) => { this.gain = Number(event.target.value); this.draw(); },
    }, ...GAINS.map((gain) => make("option", { value: gain, selected: gain === this.gain }, `× ${gain}`)));
    return make("div", { class: "toolbar" },
      make("div", { class: "sides" }, this.choosers[0], swap, this.choosers[1]),
      make("div", { class: "modes", role: "group", "aria-label": "how two are compared" },
        ...this.buttons.values(), this.gains));
  }

  buildCrops() {
    const zooming = (factor, sign, label) => make("button", {
      type: "button", "aria-label": label,
      click: () => { this.zoom = clamped(this.zoom * factor, 1.5, 48); this.draw(); },
    }, sign);
    this.loupes = this.shown.layers.map((layer) => {
      const canvas = make("canvas", {
        width: 240, height: 240, tabindex: 0, role: "img", "aria-label": `${layer.name}, closer`,
        pointerdown: (event) => this.pan(event), keydown: (event) => this.walk(event),
      });
      const note = make("span", { class: "note" });
      const element = make("figure", {}, canvas, make("figcaption", {}, make("b", {}, layer.name), note));
      return { canvas, context: canvas.getContext("2d"), note, element };
    });
    this.crops = [
      make("div", { class: "zoom" }, make("span", {}, "The same place, closer"),
        zooming(1 / 1.5, "−", "see more"), zooming(1.5, "+", "see closer")),
      make("div", { class: "loupes" }, ...this.loupes.map((loupe) => loupe.element)),
    ];
  }

  buildStrip() {
    this.thumbs = this.shown.moments.map((moment, index) => {
      const image = make("img", { alt: moment, src: this.source(this.sides[1], index) });
      return make("button", { type: "button", click: () => this.clock.step(index - this.clock.now) }, image);
    });
    return make("div", { class: "strip" }, ...this.thumbs);
  }

  source(layer, moment = this.clock.now) {
    const all = this.shown.layers[layer].pictures;
    return all[all.length === 1 ? 0 : moment];
  }

  choose(mode) {
    this.mode = mode;
    for (const [name, button] of this.buttons) button.setAttribute("aria-pressed", name === mode);
    this.gains.hidden = mode !== "difference";
    this.draw();
  }

  swap() {
    this.sides.reverse();
    this.choosers.forEach((chooser, side) => { chooser.value = this.sides[side]; });
    this.draw();
  }

  /** Show the moment; what was asked for meanwhile wins. */
  async draw() {
    const asked = (this.asked = (this.asked || 0) + 1);
    const images = await Promise.all(this.shown.layers.map((_, index) => picture(this.source(index))));
    if (asked !== this.asked) return;
    const [width, height] = this.shown.size;
    this.panes.forEach((pane, side) => {
      const image = images[this.sides[side]], name = this.shown.layers[this.sides[side]].name;
      if (image) pane.context.drawImage(image, 0, 0, width, height);
      else pane.context.clearRect(0, 0, width, height);
      pane.label.textContent = image ? name : `${name}: none at this moment`;
    });
    if (this.mode === "difference") this.drawDifference();
    this.scale.hidden = this.mode !== "difference";
    this.stage.dataset.mode = this.shown.layers.length < 2 ? "alone" : this.mode;
    this.drawCrops(images);
    this.place();
    this.stage.dataset.moment = this.clock.now;
    if (this.thumbs) this.thumbs.forEach((thumb, index) => {
      thumb.setAttribute("aria-pressed", String(index === this.clock.now));
      thumb.firstChild.src = this.source(this.sides[1], index);
    });
  }

  /** Draw how much brighter one side is: orange where the right one is, blue where the left is. */
  drawDifference() {
    const [width, height] = this.shown.size;
    const [left, right] = this.panes.map((pane) => pane.context.getImageData(0, 0, width, height));
    for (let at = 0; at < left.data.length; at += 4) {
      const sum = (data) => data[at] * 0.299 + data[at + 1] * 0.587 + data[at + 2] * 0.114;
      const share = clamped((this.gain * (sum(right.data) - sum(left.data))) / 255, -1, 1);
      const strength = Math.abs(share);
      left.data[at] = 20 + (share > 0 ? 235 * Math.min(1, 1.25 * strength) : 70 * strength);
      left.data[at + 1] = 22 + 150 * strength;
      left.data[at + 2] = 26 + (share < 0 ? 229 * Math.min(1, 1.25 * strength) : 30 * strength);
    }
    this.panes[0].context.putImageData(left, 0, 0);
    const most = Math.round(100 / this.gain);
    const [a, b] = this.sides.map((side) => this.shown.layers[side].name);
    this.panes[0].label.textContent = `${b} − ${a}`;
    this.scale.replaceChildren(
      make("span", {}, `${most} % darker than ${a}`), make("i", {}), make("span", {}, `${most} % brighter`));
  }

  drawCrops(images) {
    const [width, height] = this.shown.size;
    const side = Math.min(width, height) / this.zoom;
    this.focus[0] = clamped(this.focus[0], side / width / 2, 1 - side / width / 2);
    this.focus[1] = clamped(this.focus[1], side / height / 2, 1 - side / height / 2);
    const left = this.focus[0] - side / width / 2, top = this.focus[1] - side / height / 2;
    this.loupes.forEach(({ canvas, context, note }, index) => {
      const image = images[index], notes = this.shown.layers[index].notes;
      note.textContent = notes.length ? notes[notes.length === 1 ? 0 : this.clock.now] : "";
      context.clearRect(0, 0, canvas.width, canvas.height);
      if (!image) { note.textContent = "none here"; return; }
      const [across, down] = [image.naturalWidth, image.naturalHeight];
      context.imageSmoothingEnabled = false;
      context.drawImage(image, left * across, top * down, (side / width) * across, (side / height) * down,
        0, 0, canvas.width, canvas.height);
    });
    for (const { frame } of this.panes) {
      Object.assign(frame.style, {
        left: `${100 * left}%`, top: `${100 * top}%`,
        width: `${(100 * side) / width}%`, height: `${(100 * side) / height}%`,
      });
    }
  }

  place() {
    this.stage.style.setProperty("--cut", `${this.cut}%`);
    this.stage.setAttribute("aria-valuenow", Math.round(this.cut));
    const [a, b] = this.sides.map((side) => this.shown.layers[side].name);
    this.stage.setAttribute("aria-label", `${this.shown.label}: ${a} left of the edge, ${b} right of it`);
  }

  /** A drag moves the edge where there is one, else the crops; a click moves the crops. */
  press(event) {
    if (event.button) return;
    const box = (event.target.closest(".pane") || this.stage).getBoundingClientRect();
    const begin = event.clientX;
    let drags = false;
    const look = (at) => {
      this.focus = [(at.clientX - box.left) / box.width, (at.clientY - box.top) / box.height];
      this.draw();
    };
    this.follow(event, this.stage, (at) => {
      drags = drags || Math.abs(at.clientX - begin) >= DRAGGED;
      if (!drags) return;
      if (this.stage.dataset.mode !== "split") { look(at); return; }
      this.cut = clamped((100 * (at.clientX - box.left)) / box.width, 0, 100);
      this.place();
    }, (at) => { if (!drags && at.type === "pointerup") look(at); });
  }

  pan(event) {
    const [width, height] = this.shown.size;
    const side = Math.min(width, height) / this.zoom;
    const shownAs = event.target.getBoundingClientRect().width;
    const from = [...this.focus];
    this.follow(event, event.target, (at) => {
      const by = side / shownAs;
      this.focus = [from[0] - ((at.clientX - event.clientX) * by) / width,
        from[1] - ((at.clientY - event.clientY) * by) / height];
      this.draw();
    }, () => {});
  }

  follow(event, element, moved, ended) {
    element.setPointerCapture(event.pointerId);
    const end = (at) => {
      element.removeEventListener("pointermove", moved);
      for (const name of ["pointerup", "pointercancel"]) element.removeEventListener(name, end);
      ended(at);
    };
    element.addEventListener("pointermove", moved);
    for (const name of ["pointerup", "pointercancel"]) element.addEventListener(name, end);
  }

  key(event) {
    const edge = (to) => () => { this.cut = clamped(to, 0, 100); this.place(); };
    const done = {
      ArrowLeft: edge(this.cut - 2), ArrowRight: edge(this.cut + 2), Home: edge(0), End: edge(100),
      ",": () => this.clock.step(-1), ".": () => this.clock.step(1), s: () => this.choosers && this.swap(),
      d: () => this.shown.differences && this.choose(this.mode === "difference" ? "split" : "difference"),
    }[event.key];
    if (!done || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    done();
  }

  walk(event) {
    const by = 0.1 / this.zoom;
    const [dx, dy, factor] = {
      ArrowLeft: [-by, 0, 1], ArrowRight: [by, 0, 1], ArrowUp: [0, -by, 1], ArrowDown: [0, by, 1],
      "+": [0, 0, 1.5], "-": [0, 0, 1 / 1.5],
    }[event.key] || [];
    if (!factor) return;
    event.preventDefault();
    this.focus = [this.focus[0] + dx, this.focus[1] + dy];
    this.zoom = clamped(this.zoom * factor, 1.5, 48);
    this.draw();
  }
}

/** Raw planes: any of them, or the mean of those around it. */
class Spikes {
  constructor(root, shown) {
    this.shown = shown;
    const [planes, height, width] = shown.shape;
    this.canvas = make("canvas", { width, height, role: "img", "aria-label": shown.label });
    this.context = this.canvas.getContext("2d");
    const stage = make("div", { class: "stage raw", "data-mode": "alone" }, make("div", { class: "pane" }, this.canvas));
    stage.style.setProperty("--shape", width / height);
    this.clock = new Clock(planes, Math.floor(planes / 2), (plane) => `plane ${shown.first + plane}`, 50, () => this.draw());
    this.range = make("input", {
      type: "range", min: 1, max: Math.max(1, planes - 1 + (planes % 2)), step: 2, value: shown.window, "aria-label": "planes averaged",
      input: () => this.draw(),
    });
    this.said = make("output", {});
    const window = make("label", { class: "clock" }, make("span", { class: "name" }, "averaged over"), this.range, this.said);
    this.note = make("p", { class: "hint" });
    root.prepend(stage, this.clock.element, window, this.note);
    this.ready = this.unpack().then(() => this.draw());
  }

  /** Unpack the planes into sums of all before each, so that any window is one subtraction. */
  async unpack() {
    const [planes, height, width] = this.shown.shape;
    const coded = Uint8Array.from(atob(this.shown.packed), (letter) => letter.charCodeAt(0));
    const stream = new Blob([coded]).stream().pipeThrough(new DecompressionStream("deflate"));
    const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
    const each = Math.ceil(planes / 8), pixels = height * width;
    this.sums = new Uint16Array((planes + 1) * pixels);
    for (let pixel = 0; pixel < pixels; pixel += 1) {
      let sum = 0;
      for (let plane = 0; plane < planes; plane += 1) {
        sum += (bytes[pixel * each + (plane >> 3)] >> (plane & 7)) & 1;
        this.sums[(plane + 1) * pixels + pixel] = sum;
      }
    }
  }

  draw() {
    if (!this.sums) return;
    const [planes, height, width] = this.shown.shape;
    const half = Math.floor(Number(this.range.value) / 2), pixels = height * width;
    const begin = Math.max(0, this.clock.now - half), end = Math.min(planes, this.clock.now + half + 1);
    const white = end - begin === 1 ? 1 : (end - begin) * this.shown.rateScale;
    const image = this.context.createImageData(width, height);
    let fired = 0;
    for (let pixel = 0; pixel < pixels; pixel += 1) {
      const sum = this.sums[end * pixels + pixel] - this.sums[begin * pixels + pixel];
      fired += sum;
      image.data.fill(clamped((255 * sum) / white, 0, 255), 4 * pixel, 4 * pixel + 3);
      image.data[4 * pixel + 3] = 255;
    }
    this.context.putImageData(image, 0, 0);
    this.said.textContent = end - begin === 1 ? "1 plane, as it is" : `${end - begin} planes`;
    this.range.setAttribute("aria-valuetext", this.said.textContent);
    this.note.textContent = `${((100 * fired) / pixels / (end - begin)).toFixed(1)} % of the pixels fire in a plane here.`;
  }
}

const KINDS = { viewer: Viewer, spikes: Spikes };
const shown = JSON.parse(document.getElementById("page-data").textContent);
const parts = [...document.querySelectorAll("[data-shown]")].map((root) => {
  const one = shown[Number(root.dataset.shown)];
  return new KINDS[one.kind](root, one);
});
Promise.all(parts.map((part) => part.ready)).then(() => { document.documentElement.dataset.ready = "yes"; });
