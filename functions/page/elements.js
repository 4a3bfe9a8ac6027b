const $ = (id) => document.getElementById(id);

/** Changes a text only if it is another: an unchanged one costs no layout and no announcement. */
function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Shows a text, or hides its element when there is none. */
function showText(node, text) {
  setText(node, text ?? "");
  node.hidden = !text;
}

/** Shows or hides what can have the focus, which goes to `refuge` rather than get lost. */
function setHidden(node, hidden, refuge) {
  if (hidden && node.contains(document.activeElement)) refuge.focus();
  node.hidden = hidden;
}

function make(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

const clock = new Intl.DateTimeFormat(undefined, {
  month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit",
});

function setTime(node, iso) {
  if (node.dateTime === iso) return;
  const date = new Date(iso);
  node.dateTime = node.title = iso;
  node.textContent = Number.isNaN(date.getTime()) ? iso : clock.format(date);
}

function duration(ms) {
  if (ms < SECOND) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 60 * SECOND) return `${(ms / SECOND).toFixed(ms < 10 * SECOND ? 2 : 1)} s`;
  const minutes = Math.floor(ms / (60 * SECOND));
  if (minutes < 60) return `${minutes} min ${Math.floor((ms / SECOND) % 60)} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} days`;
}

const count = (number) => number.toLocaleString();
const tasks = (number) => (number === 1 ? "1 task" : `${count(number)} tasks`);
/** `COMPLETED` as people write it. A status that this page does not know is shown in the same way. */
const inWords = (status) => status.charAt(0) + status.slice(1).toLowerCase();

/** Says something to a screen reader. For what a person did or must know, never for each update. */
function announce(text) {
  $("announcer").textContent = text;
}

function isWithin(node, x, y) {
  const { left, right, top, bottom } = node.getBoundingClientRect();
  return left <= x && x <= right && top <= y && y <= bottom;
}

function setBusy(button, busy) {
  // Not `disabled`, which would take the focus away from whoever pressed it.
  if (busy) button.setAttribute("aria-disabled", "true");
  else button.removeAttribute("aria-disabled");
}
