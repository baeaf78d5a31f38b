// Images under a slider, their crops, their differences.

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
      "Drag the image to move the edge; click it, or drag a crop, to look closer. Keys: ",
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
    const all = this.shown.layers[layer].images;
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

  /** Show the moment; only the latest of concurrent calls draws. */
  async draw() {
    const call = (this.calls = (this.calls || 0) + 1);
    const images = await Promise.all(this.shown.layers.map((_, index) => decodedImage(this.source(index))));
    if (call !== this.calls) return;
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
