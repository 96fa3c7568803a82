// VDSM: a board of identities and actions, and what lies between two of its cells. It mirrors
// vdsm_glass/play/session_vdsm.py and page_vdsm.py.
import { Turn, button, el, listen, open, rights, setPressed, show } from "./common.js";

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const lerp = (a, b, share) => a.map((value, i) => value + share * (b[i] - value));

class Session {
  constructor({ settings, tensors, run }) {
    Object.assign(this, { settings, tensors, run });
    [this.rows, this.columns] = [settings.rows.length, settings.columns.length];
    this.a = { row: 0, column: 0 };
    this.b = { row: this.rows - 1, column: this.columns - 1 };
    this.share = { s: 0, d: 0 };
    this.long = false;
  }

  step([x, y], second) {
    const name = second ? "b" : "a";
    const { row, column } = this[name];
    this[name] = { row: (row + y + this.rows) % this.rows, column: (column + x + this.columns) % this.columns };
  }

  between(name, a, b, share) {
    const size = this.tensors[name].length / this.settings.tensors[name].shape[0];
    const [from, to] = [a, b].map((index) => this.tensors[name].subarray(index * size, (index + 1) * size));
    return lerp(from, to, share);
  }

  // The poses of all frames, one after the other: d unfolded or, in stage 1, between those of two clips.
  async *poses() {
    const { a, b, settings, share, tensors } = this;
    if (!tensors.d) {
      const z = this.between("z", a.column, b.column, share.d);
      const size = settings.tensors.z.shape[2];
      for (let at = 0; at < z.length; at += size) yield z.subarray(at, at + size);
      return;
    }
    const d = this.between("d", a.column, b.column, share.d);
    let now = { z: tensors.z_0, ...(await this.run("unfold", { d })) };
    const frames = this.long ? settings.longest : settings.frames;
    for (let t = 0; t < frames; t++) {
      const next = await this.run("pose", { d, ...now });
      now = Object.fromEntries(Object.keys(now).map((name) => [name, next[`next_${name}`]]));
      yield now.z;
    }
  }

  // The frames, each (3, h, w) in [0, 1], one after the other.
  async *video() {
    const s = this.between("s", this.a.row, this.b.row, this.share.s);
    for await (const z of this.poses()) yield (await this.run("decode", { z, s })).frame;
  }
}

class Page {
  constructor(session, settings) {
    Object.assign(this, { session, settings, second: false, frames: [], turn: new Turn(), asked: 0 });
    this.build();
    listen((key, { shift, repeat }) => {
      if (!(repeat && this.turn.waiting)) this.press(key, shift);
    });
    this.shown = null;
    const tick = () => {
      this.flip();
      requestAnimationFrame(tick);
    };
    tick();
  }

  build() {
    const { settings, session } = this;
    this.main = document.querySelector("main");
    this.main.className = "vdsm moving";
    this.main.querySelector("header").append(el("span", { class: "dim" }, settings.about));
    const { rows, columns, side } = settings;
    this.message = el("div", { class: "message wide", role: "alert" });
    this.screen = el("canvas", { class: "screen", width: side, height: side, role: "img" });
    this.counter = el("span");
    this.which = [false, true].map((second) =>
      button(`Choose ${second ? "B" : "A"}`, () => this.chooseWhich(second), { key: second ? "b" : "a" }),
    );
    this.long = button(`${settings.long} frames`, () => this.press("l"), { key: "l" });
    this.long.disabled = settings.longest < settings.long;
    this.pause = button("Pause", () => this.press(" "), { key: "space", class: "pause" });
    this.ends = {};
    this.cells = [];
    const board = el("div", { class: "board", style: `--columns: ${columns.length}; --rows: ${rows.length}` }, el("span"),
      ...columns.map((name) => el("span", { class: "name", title: name }, name)),
    );
    rows.forEach((who, row) => {
      board.append(el("span", { class: "name who", title: who }, who));
      columns.forEach((what, column) => {
        const mark = el("span", { class: "mark" });
        const style = `background-image: url(cells/${row}-${column}.png); --t: ${Math.max(settings.frames, 2)}; aspect-ratio: 1`;
        const cell = el("button", { type: "button", "aria-label": `${who}, ${what}`, onclick: () => this.choose({ row, column }) },
          mark, el("div", { class: "film", style }),
        );
        this.cells.push({ row, column, cell, mark });
        board.append(cell);
      });
    });
    const more = "Arrows move the one that is chosen, A or B, over the board; with shift always B.";
    this.main.append(
      this.message,
      el("section", { class: "panel stage", "aria-label": "The clip" },
        this.screen,
        el("div", { class: "below dim" }, this.counter),
        this.slider("Identity, from A to B", "s"),
        this.slider("Action, from A to B", "d"),
        el("div", { class: "row" }, ...this.which, this.long, this.pause),
        el("p", { class: "dim keys" }, more),
        ...(this.long.disabled
          ? [el("p", { class: "dim" }, `${settings.long} frames need the second stage, which learns dynamics.`)]
          : []),
      ),
      el("section", { class: "panel", "aria-label": "The board" },
        el("h2", {}, "Rows are identities, columns are actions"), board, rights(settings),
      ),
    );
  }

  slider(text, name) {
    const input = el("input", { type: "range", min: 0, max: 100, step: 5, value: 0, oninput: () => {
      this.session.share[name] = Number(input.value) / 100;
      this.draw();
    } });
    this.ends[name] = [el("span"), el("span")];
    return el("label", { class: "slider" }, el("span", {}, text), input, el("div", { class: "ends" }, ...this.ends[name]));
  }

  press(key, shift = false) {
    if (ARROWS[key]) {
      this.session.step(ARROWS[key], shift || this.second);
      return this.draw();
    }
    const letter = key.toLowerCase();
    if (key === " ") {
      const moving = this.main.classList.toggle("moving");
      setPressed(this.pause, !moving);
    } else if (letter === "a" || letter === "b") this.chooseWhich(letter === "b");
    else if (letter === "l" && !this.long.disabled) {
      this.session.long = !this.session.long;
      return this.draw();
    }
  }

  chooseWhich(second) {
    this.second = second;
    this.which.forEach((made, i) => setPressed(made, (i === 1) === second));
  }

  choose(cell) {
    this.session[this.second ? "b" : "a"] = cell;
    return this.draw();
  }

  // Draws the clip of the present choices, frame after frame, until they change.
  draw() {
    const asked = ++this.asked;
    this.showChoices();
    return this.turn.take(async () => {
      if (asked !== this.asked) return;
      try {
        const frames = [];
        let began = performance.now();
        const times = (this.times = []);
        for await (const frame of this.session.video()) {
          times.push(performance.now() - began);
          frames.push(frame);
          if (frames.length === 1) this.begin(frames);
          this.counter.textContent = `${frames.length} frames · ${this.called()}`;
          await new Promise((done) => setTimeout(done)); // for keys and pictures
          if (asked !== this.asked) return;
          began = performance.now();
        }
        const middle = times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)];
        this.counter.textContent += ` · ${middle.toFixed(0)} ms each`;
        this.message.textContent = "";
      } catch (error) {
        this.message.textContent = error.message;
      }
    });
  }

  begin(frames) {
    this.frames = frames;
    this.shown = null;
    this.flip();
  }

  // Shows the frame whose time it is.
  flip() {
    const { frames, main } = this;
    if (!frames.length) return;
    const frame = frames[Number(main.style.getPropertyValue("--frame")) % frames.length];
    if (frame !== this.shown) show(this.screen, frame);
    this.shown = frame;
  }

  showChoices() {
    const { a, b } = this.session;
    const { rows, columns } = this.settings;
    this.screen.setAttribute("aria-label", this.called());
    setPressed(this.long, this.session.long);
    this.chooseWhich(this.second);
    [["s", rows[a.row], rows[b.row]], ["d", columns[a.column], columns[b.column]]].forEach(([name, from, to]) => {
      this.ends[name][0].textContent = `A: ${from}`;
      this.ends[name][1].textContent = `B: ${to}`;
    });
    for (const { row, column, cell, mark } of this.cells) {
      const [isA, isB] = [a, b].map((at) => at.row === row && at.column === column);
      mark.textContent = [isA ? "A" : "", isB ? "B" : ""].filter(Boolean).join(" ");
      cell.classList.toggle("second", isB && !isA);
      setPressed(cell, isA);
    }
  }

  called() {
    const { a, b, share } = this.session;
    const { rows, columns } = this.settings;
    return [[rows[a.row], rows[b.row], share.s], [columns[a.column], columns[b.column], share.d]]
      .map(([from, to, part]) => {
        if (from === to || part === 0) return from;
        return part === 1 ? to : `${Math.round(100 * part)}% from ${from} to ${to}`;
      })
      .join(", ");
  }
}

open(async (given) => {
  const page = new Page(new Session(given), given.settings);
  window.page = page; // for whoever looks inside, as tests do
  await page.draw();
});
