// What the pages share: networks, tensors, elements, keys.
import * as ort from "./ort/ort.js";

// One thread: more would need headers that plain hosts do not send.
ort.env.wasm.numThreads = 1;

async function fetched(name) {
  const answer = await fetch(name);
  if (!answer.ok) throw new Error(`${name}: the server answers ${answer.status}`);
  return answer;
}

// What runs the networks, unpacked here: a plain host sends its 14 MB as they are.
async function unpacked(name) {
  if (!window.DecompressionStream) throw new Error("it needs a browser of 2023 or later");
  const { body } = await fetched(name);
  return new Response(body.pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}

// Calls build({ settings, tensors, run }) once all is there, and says what went wrong otherwise.
//   tensors   by name, Float32Array or Uint8Array
//   run       (graph, { input: array }) -> { output: Float32Array }
export async function open(build) {
  try {
    ort.env.wasm.wasmBinary = await unpacked("ort/ort.wasm.packed");
    const settings = await (await fetched("page.json")).json();
    const bytes = await (await fetched("tensors.bin")).arrayBuffer();
    const tensors = Object.fromEntries(
      Object.entries(settings.tensors).map(([name, { shape, type, offset }]) => {
        const Kind = type === "uint8" ? Uint8Array : Float32Array;
        return [name, new Kind(bytes, offset, shape.reduce((a, b) => a * b, 1))];
      }),
    );
    const sessions = {};
    for (const name of Object.keys(settings.graphs)) {
      const graph = new Uint8Array(await (await fetched(`${name}.onnx`)).arrayBuffer());
      sessions[name] = await ort.InferenceSession.create(graph, { executionProviders: ["wasm"] });
    }
    const run = async (name, given) => {
      const feeds = {};
      for (const [input, { shape, type }] of Object.entries(settings.graphs[name].inputs))
        feeds[input] = new ort.Tensor(type, given[input], shape);
      const made = await sessions[name].run(feeds);
      return Object.fromEntries(Object.entries(made).map(([output, tensor]) => [output, tensor.data]));
    };
    document.getElementById("loading").remove();
    await build({ settings, tensors, run });
  } catch (error) {
    const place = document.getElementById("loading") ?? el("p", { class: "message", role: "alert" });
    place.textContent = `This page does not work here: ${error.message ?? error}`;
    document.querySelector("main").append(place);
    throw error;
  }
}

// An element with attributes, `on...` being listeners, and children, elements or texts.
export function el(kind, attributes = {}, ...children) {
  const made = document.createElement(kind);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

// A button; `key` is shown as the key that does the same.
export function button(text, onclick, { key = "", label = "", ...attributes } = {}) {
  const named = label ? { "aria-label": label } : {};
  const made = el("button", { type: "button", onclick, ...named, ...attributes }, el("span", {}, text));
  if (key) made.append(el("kbd", { "aria-hidden": "true" }, key));
  return made;
}

// Whose the pictures are, as the data says.
export const rights = (settings) => el("p", { class: "dim", style: "margin-top: .8rem" }, settings.rights);

export function setPressed(made, on) {
  made.setAttribute("aria-pressed", on ? "true" : "false");
}

// Calls press(key, { shift, repeat }) for every key that goes down, unless a field or a slider takes it.
export function listen(press) {
  document.addEventListener("keydown", (event) => {
    const at = document.activeElement?.tagName.toLowerCase();
    if (["input", "select", "textarea"].includes(at) || event.ctrlKey || event.altKey || event.metaKey) return;
    press(event.key, { shift: event.shiftKey, repeat: event.repeat });
  });
}

// A picture (3, h, w) in [0, 1] on a canvas of its size.
export function show(canvas, picture) {
  const { width, height } = canvas;
  const image = new ImageData(width, height);
  const size = width * height;
  for (let p = 0; p < size; p++) {
    for (let c = 0; c < 3; c++) image.data[4 * p + c] = Math.round(255 * Math.min(Math.max(picture[c * size + p], 0), 1));
    image.data[4 * p + 3] = 255;
  }
  canvas.getContext("2d", { willReadFrequently: true }).putImageData(image, 0, 0);
}

export const wait = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

// Work in turns: each waits for those before it.
export class Turn {
  waiting = 0;
  last = Promise.resolve();

  take(work) {
    this.waiting++;
    this.last = this.last.then(work).finally(() => this.waiting--);
    return this.last;
  }
}
