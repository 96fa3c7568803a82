// GLASS: arrows move, numbers act, and every key press draws a frame. It mirrors vdsm_glass/play/session_glass.py and
// controls.py, which say why.
import { Turn, button, el, listen, open, rights, setPressed, show, wait } from "./common.js";

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const SIGNS = { up: "↑", left: "←", right: "→", down: "↓" };
const SHOWN_MOVES = 14;
const add = (a, b) => [a[0] + b[0], a[1] + b[1]];
const sum = (shifts) => shifts.reduce(add, [0, 0]);

// A clip that grows by a frame with every move. A scene is { state, agent, at, moved }; `at` is null without windows.
class Session {
  constructor({ settings, run }) {
    this.settings = settings;
    this.run = run;
    const { shape } = settings.graphs.start.inputs.frame;
    [this.height, this.width] = shape.slice(2);
    this.states = Object.keys(settings.graphs.step.inputs).filter((name) => !["agent", "first", "by", "action"].includes(name));
    this.short = true;
  }

  async begin(first) {
    const { agent, b_hat, mask, at = null, ...state } = await this.run("start", { frame: first });
    const scene = { state, agent, at: at && Array.from(at), moved: [0, 0] };
    Object.assign(this, { first, b_hat, mask, scenes: [scene], moves: [], known: new Map() });
  }

  async play(move) {
    if (this.scenes.length >= this.settings.most_frames) throw new Error("the clip is full: reset it");
    this.scenes.push(this.short ? await this.recalled(move) : await this.advanced(this.scenes.at(-1), move));
    this.moves.push(move);
  }

  async remember(short) {
    const moves = this.moves;
    this.short = short;
    this.reset();
    for (const move of moves) await this.play(move);
  }

  async advanced(scene, move) {
    const given = { agent: scene.agent, first: this.scenes[0].agent, by: Float32Array.from(move.foreground) };
    const made = await this.run("step", { ...given, ...scene.state, action: BigInt64Array.of(BigInt(move.action)) });
    const state = Object.fromEntries(this.states.map((name) => [name, made[`next_${name}`]]));
    const at = scene.at && add(scene.at, move.foreground);
    return { state, agent: made.next_agent, at, moved: add(scene.moved, move.background) };
  }

  // The scene after the last moves from the first frame, shifted by all that came before them.
  async recalled(move) {
    const moves = [...this.moves, move];
    const older = moves.slice(0, -this.settings.short);
    const recent = moves.slice(-this.settings.short);
    const came = sum(older.map((each) => each.foreground));
    const inwards = older.length ? this.room(recent.map((each) => each.foreground)) : came;
    const known = this.known;
    this.known = new Map();
    let scene = await this.walked(await this.shifted(this.scenes[0], inwards), recent, known, inwards);
    scene = await this.shifted(scene, add(came, [-inwards[0], -inwards[1]]));
    return { ...scene, moved: add(scene.moved, sum(older.map((each) => each.background))) };
  }

  // The scene after some moves; those that were drawn before are taken from `known`, and all are kept.
  async walked(scene, moves, known, inwards, stop = () => false) {
    // A window sees the same wherever it is in the frame.
    let path = scene.at ? "" : String(inwards);
    for (const move of moves) {
      if (stop()) break;
      path += JSON.stringify(move);
      const before = known.get(path);
      const at = scene.at && add(scene.at, move.foreground);
      scene = before ? { ...before, at, moved: add(scene.moved, move.background) } : await this.advanced(scene, move);
      this.known.set(path, scene);
    }
    return scene;
  }

  // Draws ahead what the next move will be drawn from, whatever it is, until it comes.
  async prepare(stop) {
    if (!this.short || !this.scenes[0].at || this.moves.length < this.settings.short - 1) return;
    await this.walked(this.scenes[0], this.moves.slice(1 - this.settings.short), this.known, null, stop);
  }

  async shifted(scene, by) {
    if (!by[0] && !by[1]) return scene;
    if (scene.at) return { ...scene, at: add(scene.at, by) };
    return { ...scene, agent: (await this.run("shift", { agent: scene.agent, by: Float32Array.from(by) })).shifted };
  }

  // The least whole shift after which the figure stays in the frame through all of some shifts.
  room(shifts) {
    const found = [[Infinity, -Infinity], [Infinity, -Infinity]];
    for (let p = 0; p < this.mask.length; p++) {
      if (this.mask[p] <= 0.5) continue;
      [p % this.width, Math.floor(p / this.width)].forEach((at, axis) => {
        found[axis] = [Math.min(found[axis][0], at), Math.max(found[axis][1], at)];
      });
    }
    if (found[0][1] < 0) return [0, 0];
    return [this.width, this.height].map((side, axis) => {
      let here = 0;
      let [low, high] = [0, 0];
      for (const each of shifts) {
        here += each[axis];
        [low, high] = [Math.min(low, here), Math.max(high, here)];
      }
      const [least, most] = [-(found[axis][0] + low), side - 1 - found[axis][1] - high];
      return even(least > most ? (least + most) / 2 : Math.min(Math.max(0, least), most));
    });
  }

  undo() {
    if (!this.moves.length) return;
    this.scenes.pop();
    this.moves.pop();
  }

  reset() {
    this.scenes.length = 1;
    this.moves = [];
  }

  // (3, h, w) in [0, 1].
  async picture(index, withMask) {
    const scene = this.scenes.at(index);
    const first = scene === this.scenes[0];
    if (first && !withMask) return this.first;
    const given = { agent: scene.agent, b_hat: this.b_hat, moved: Float32Array.from(scene.moved) };
    const { picture, mask } = await this.run("draw", scene.at ? { ...given, at: Float32Array.from(scene.at) } : given);
    const frame = first ? this.first : picture;
    if (!withMask) return frame;
    const size = this.width * this.height;
    return frame.map((value, i) => {
      const share = 0.55 * mask[i % size];
      return value * (1 - share) + share * this.settings.mask_colour[Math.floor(i / size)];
    });
  }
}

// Halves go to the even neighbour, as in PyTorch.
function even(value) {
  const rounded = Math.round(value);
  return Math.abs(value % 1) === 0.5 && rounded % 2 ? rounded - 1 : rounded + 0;
}

function arrow([x, y]) {
  if (Math.max(Math.abs(x), Math.abs(y)) < 0.5) return "";
  if (Math.abs(x) >= Math.abs(y)) return x > 0 ? "→" : "←";
  return y > 0 ? "↓" : "↑";
}

function described({ foreground, background, action }) {
  const behind = arrow(background);
  return `${arrow(foreground) || "·"}${behind ? `[${behind}]` : ""}${action + 1}`;
}

class Page {
  constructor(session, settings, firsts) {
    Object.assign(this, { session, settings, firsts });
    this.controls = { pixels: settings.pixels, action: 0, mask: false, background: false };
    this.turn = new Turn();
    this.times = [];
    this.playing = 0;
    this.build();
    listen((key, { shift, repeat }) => {
      if (!(repeat && this.turn.waiting)) this.press(key, shift);
    });
  }

  build() {
    const { width, height } = this.session;
    const key = (name, text, more = {}) => button(text, () => this.press(name), more);
    this.screen = el("canvas", { class: "screen", width, height, role: "img", "aria-label": "the present frame" });
    [this.moves, this.counter] = [el("span"), el("span")];
    this.message = el("div", { class: "message wide", role: "alert" });
    this.title = el("h2");
    this.pixels = el("span", { class: "number" });
    this.background = key("b", "Background", { key: "b" });
    this.actions = Array.from({ length: this.settings.actions }, (_, k) =>
      button(String(k + 1), () => this.act(k), { label: `local action ${k + 1}` }),
    );
    this.mask = key("m", "Mask", { key: "m" });
    this.memory = key("s", "Short memory", { key: "s" });
    const pad = Object.entries(SIGNS).map(([place, sign]) =>
      key(`Arrow${place[0].toUpperCase()}${place.slice(1)}`, sign, { class: place, label: `move ${place}` }),
    );
    const own = el("input", { type: "file", accept: "image/*", hidden: "", onchange: () => this.bring(own) });
    const main = document.querySelector("main");
    main.className = "glass";
    main.querySelector("header").append(el("span", { class: "dim" }, this.settings.about));
    main.append(
      this.message,
      el("section", { class: "panel stage", "aria-label": "The clip" },
        this.screen,
        el("div", { class: "below dim" }, this.moves, this.counter),
      ),
      el("section", { class: "panel controls", "aria-label": "Controls" },
        el("div", {},
          this.title,
          el("div", { class: "pad-row" },
            el("div", { class: "pad" }, ...pad, key(" ", "•", { class: "stay", label: "stay (space)" })),
            el("div", { class: "aside" },
              el("div", { class: "row" },
                key("-", "−", { label: "smaller steps" }),
                this.pixels,
                key("+", "+", { label: "larger steps" }),
              ),
              this.background,
            ),
          ),
        ),
        el("div", {},
          el("h2", {}, `Local action (1 to ${this.settings.actions})`),
          el("div", { class: "row" }, ...this.actions),
        ),
        el("div", {},
          el("h2", {}, "The clip"),
          el("div", { class: "row" },
            key("u", "Undo", { key: "u" }), key("r", "Reset", { key: "r" }), key("p", "Replay", { key: "p" }),
            this.mask, this.memory,
          ),
        ),
        el("p", { class: "dim keys" }, "Shift and an arrow move the background. Escape stops what is playing."),
        el("p", { class: "dim" },
          `With a short memory every frame is drawn from the first by the last ${this.settings.short} moves; without, ` +
            "from the one before, as in the paper: figures may then fade.",
        ),
      ),
      el("section", { class: "panel wide", "aria-label": "First frames and actions" },
        el("h2", {}, "Choose a first frame, or copy the actions of a clip onto the present one"),
        el("div", { class: "clips" }, ...this.settings.clips.map((clip, i) => this.choice(clip, this.firsts[i]))),
        el("div", { class: "row", style: "margin-top: .8rem" },
          button("Start from your picture …", () => own.click()), own,
        ),
        rights(this.settings),
      ),
    );
    this.showControls();
  }

  choice({ name, moves }, first) {
    const { width, height } = this.session;
    const canvas = el("canvas", { class: "film", width, height });
    show(canvas, first);
    return el("figure", {},
      el("button", { class: "picture", type: "button", "aria-label": `start from ${name}`, onclick: () => this.begin(first) }, canvas),
      el("figcaption", { title: name }, name),
      button("Copy actions", () => this.perform(moves), { label: `copy the actions of ${name}` }),
    );
  }

  press(key, shift = false) {
    const { controls } = this;
    if (ARROWS[key]) {
      const by = ARROWS[key].map((part) => part * controls.pixels);
      const still = [0, 0];
      const [foreground, background] = shift || controls.background ? [still, by] : [by, still];
      return this.move({ foreground, background, action: controls.action });
    }
    if (/^[1-9]$/.test(key)) return this.act(Number(key) - 1);
    if (key === " ") return this.move({ foreground: [0, 0], background: [0, 0], action: controls.action });
    if (["+", "-", "=", "_"].includes(key)) {
      const pixels = controls.pixels + ("+=".includes(key) ? 1 : -1);
      controls.pixels = Math.min(Math.max(pixels, 1), this.settings.most_pixels);
      this.playing++;
      return this.showControls();
    }
    const asked = {
      m: () => this.draw(() => (controls.mask = !controls.mask)),
      b: () => (controls.background = !controls.background),
      s: () => this.draw(() => this.session.remember(!this.session.short)),
      u: () => this.draw(() => this.session.undo()),
      Backspace: () => this.draw(() => this.session.undo()),
      r: () => this.draw(() => this.session.reset()),
      p: () => this.replay(),
      Escape: () => {},
    }[key.length === 1 ? key.toLowerCase() : key];
    if (!asked) return;
    this.playing++;
    asked();
    this.showControls();
  }

  act(action) {
    if (action >= this.settings.actions) return;
    this.controls.action = action;
    return this.move({ foreground: [0, 0], background: [0, 0], action });
  }

  move(move) {
    this.playing++;
    this.showControls();
    return this.draw(() => this.session.play(move), true);
  }

  begin(first) {
    this.playing++;
    this.times = [];
    return this.draw(() => this.session.begin(first));
  }

  // Changes the session, and shows its last frame or the one at `index`.
  draw(change, timed = false, index = -1) {
    const drawn = this.turn.take(async () => {
      try {
        const began = performance.now();
        await change();
        show(this.screen, await this.session.picture(index, this.controls.mask));
        const { scenes, moves } = this.session;
        const took = timed ? ` · ${Math.round(performance.now() - began)} ms` : "";
        if (timed) this.times.push(performance.now() - began);
        this.counter.textContent = `frame ${(index < 0 ? scenes.length : index + 1)} of ${scenes.length}${took}`;
        this.moves.textContent =
          (moves.length > SHOWN_MOVES ? "… " : "") + moves.slice(-SHOWN_MOVES).map(described).join(" ");
        this.showControls();
        this.message.textContent = "";
      } catch (error) {
        this.message.textContent = error.message;
      }
    });
    if (timed) this.turn.take(() => this.session.prepare(() => this.turn.waiting > 1));
    return drawn;
  }

  async replay() {
    const now = this.playing;
    const pause = 1000 / this.settings.fps;
    for (let i = 0; i < this.session.scenes.length && now === this.playing; i++)
      await Promise.all([this.draw(() => {}, false, i), wait(pause)]);
  }

  async perform(moves) {
    const now = ++this.playing;
    await this.draw(() => this.session.reset());
    for (const move of moves) {
      if (now !== this.playing) return;
      await Promise.all([this.draw(() => this.session.play(move), true), wait(1000 / this.settings.fps)]);
    }
  }

  // Starts from the middle of a person's picture. It stays in the browser.
  async bring(input) {
    const { width, height } = this.session;
    try {
      const picture = await createImageBitmap(input.files[0]);
      const share = Math.min(picture.width / width, picture.height / height);
      const [w, h] = [width * share, height * share];
      const context = el("canvas", { width, height }).getContext("2d");
      context.imageSmoothingQuality = "high";
      context.drawImage(picture, (picture.width - w) / 2, (picture.height - h) / 2, w, h, 0, 0, width, height);
      const { data } = context.getImageData(0, 0, width, height);
      const size = width * height;
      await this.begin(Float32Array.from({ length: 3 * size }, (_, i) => data[4 * (i % size) + Math.floor(i / size)] / 255));
    } catch (error) {
      this.message.textContent = `this file cannot be taken: ${error.message}`;
    }
    input.value = "";
  }

  showControls() {
    const { controls } = this;
    this.pixels.textContent = `${controls.pixels} px`;
    this.title.textContent = controls.background ? "Move the background" : "Move the figure";
    setPressed(this.background, controls.background);
    setPressed(this.mask, controls.mask);
    setPressed(this.memory, this.session.short);
    this.actions.forEach((made, k) => setPressed(made, k === controls.action));
  }
}

open(async ({ settings, tensors, run }) => {
  const session = new Session({ settings, run });
  const size = 3 * session.width * session.height;
  const firsts = settings.clips.map((_, i) =>
    Float32Array.from(tensors.firsts.subarray(i * size, (i + 1) * size), (value) => value / 255),
  );
  const page = new Page(session, settings, firsts);
  window.page = page; // for whoever looks inside, as tests do
  await page.begin(firsts[0]);
});
