// Keys that the page itself answers neither scroll it nor press a button twice.
document.addEventListener(
  "keydown",
  (event) => {
    const at = document.activeElement;
    const tag = at ? at.tagName.toLowerCase() : "";
    if (["input", "select", "textarea"].includes(tag)) return;
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (tag === "button" && (event.key === " " || event.key === "Enter")) {
      event.stopImmediatePropagation(); // the button's own click follows
      return;
    }
    const answered = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", " ", "Backspace"];
    if (answered.includes(event.key)) event.preventDefault();
  },
  true,
);

// All films at once: a CSS animation each would keep the browser busy between their frames, too.
// Who asked the system for less motion gets them paused, after a second, once the page listens.
let toPause = matchMedia("(prefers-reduced-motion: reduce)").matches;
setInterval(() => {
  const main = document.querySelector("main.moving");
  if (!main) return;
  const frame = Number(main.style.getPropertyValue("--frame")) + 1;
  main.style.setProperty("--frame", frame);
  if (toPause && frame > 8) {
    toPause = false;
    main.querySelector(".pause").click();
  }
}, 125);
