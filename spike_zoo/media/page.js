// What moves on a page: images under a slider, crops that move together, spikes that play.
// All content is in the page's one block of data; nothing is fetched.
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

const decodedImages = new Map(); // data URI -> promise of its decoded image

function decodedImage(source) {
  if (!source) return Promise.resolve(null);
  if (!decodedImages.has(source)) {
    const image = new Image();
    image.src = source;
    decodedImages.set(source, image.decode().then(() => image));
  }
  return decodedImages.get(source);
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
