// Spikes that play, and the start of all that moves on the page.

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
      type: "range", min: 1, max: Math.max(1, planes - 1 + (planes % 2)), step: 2, value: 1, "aria-label": "planes averaged",
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
for (const button of document.querySelectorAll(".copy")) {
  const code = button.previousElementSibling;
  const words = code.textContent.split(" ").map((word) => make("span", {}, word)); // lines end between words, not in --out
  code.replaceChildren(...words.flatMap((word, index) => (index ? [" ", word] : [word])));
  button.hidden = false;
  button.addEventListener("click", () => {
    getSelection().selectAllChildren(code);
    button.textContent = document.execCommand("copy") ? "Copied" : "Selected"; // unlike navigator.clipboard, works in a frame
  });
}
Promise.all(parts.map((part) => part.ready)).then(() => { document.documentElement.dataset.ready = "yes"; });
