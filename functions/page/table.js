const dirty = new Set(); // taskIds whose rows have to be looked at
const shown = []; // entries with a row, newest first
const counts = new Map(); // status -> how many of them are shown
let frame = 0;
let frameTimer = 0;
const calm = matchMedia("(prefers-reduced-motion: reduce)");

/** Has a task drawn with the next frame: a thousand updates in between cost one. */
function draw(taskId) {
  if (taskId !== undefined) dirty.add(taskId);
  if (frame) return;
  frame = requestAnimationFrame(drawNow);
  // A hidden tab gets no frames, but its title should go on.
  frameTimer = setTimeout(drawNow, SECOND);
}

function drawAll() {
  for (const taskId of known.keys()) dirty.add(taskId);
  draw();
}

function drawNow() {
  cancelAnimationFrame(frame);
  clearTimeout(frameTimer);
  frame = 0;
  const flash = dirty.size <= 20 && !calm.matches && !document.hidden;
  for (const taskId of dirty) drawTask(taskId, flash);
  dirty.clear();
  drawCounts();
  drawSurroundings();
  drawTitle();
  list.limit();
}

const isShown = ({ gone, task }) =>
  !gone && (!filter.status || task.status === filter.status) && (!filter.type || task.type === filter.type);

function drawTask(taskId, flash) {
  const entry = known.get(taskId);
  if (!entry) return;
  const wanted = isShown(entry);
  const moved = entry.row && entry.shownKey !== entry.key; // its ID was used anew
  if (entry.row && (!wanted || moved)) removeRow(entry);
  if (wanted && !entry.row) insertRow(entry);
  if (wanted) fillRow(entry, flash);
  if (entry.gone) known.delete(taskId);
}

/** The place of a key among those shown, by halving. */
function placeOf(key) {
  let low = 0;
  let high = shown.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (shown[middle].shownKey > key) low = middle + 1;
    else high = middle;
  }
  return low;
}

function insertRow(entry) {
  const element = $("row").content.firstElementChild.cloneNode(true);
  const [status, task, type, attempts, created, updated, action] = element.children;
  entry.row = {
    element, type, attempts,
    badge: status.firstElementChild,
    link: task.firstElementChild,
    note: task.lastElementChild,
    created: created.firstElementChild,
    updated: updated.firstElementChild,
    retry: action.firstElementChild,
  };
  const { taskId } = entry.task;
  element.dataset.taskId = taskId;
  entry.row.link.textContent = taskId;
  entry.row.link.href = `#task=${encodeURIComponent(taskId)}`;
  entry.row.retry.setAttribute("aria-label", `Retry ${taskId}`);
  const place = placeOf(entry.key);
  $("rows").insertBefore(element, shown[place]?.row.element ?? null);
  shown.splice(place, 0, entry);
  entry.shownKey = entry.key;
}

function removeRow(entry) {
  const place = placeOf(entry.shownKey);
  shown.splice(place, 1);
  const hadFocus = entry.row.element.contains(document.activeElement);
  entry.row.element.remove();
  tally(entry, undefined);
  entry.row = undefined;
  if (hadFocus) (shown[place]?.row.link ?? $("list")).focus();
}

function fillRow(entry, flash) {
  const { row, task } = entry;
  const changed = entry.shownStatus !== task.status;
  if (changed) {
    row.element.dataset.status = row.badge.dataset.tone = task.status;
    setText(row.badge, inWords(task.status));
    tally(entry, task.status);
    setHidden(row.retry, task.status !== "FAILED", row.link);
  }
  setText(row.type, task.type);
  setText(row.attempts, (task.attempts ? count(task.attempts) : "0") + (task.run > 1 ? ` (run ${task.run})` : ""));
  setTime(row.created, task.createdAt);
  setTime(row.updated, task.updatedAt);
  const problem = retryProblems.get(task.taskId);
  showText(row.note, problem ? `Not retried: ${problem}` : task.errorMessage);
  row.note.classList.toggle("full", Boolean(problem));
  if (changed && flash) row.element.animate([{ backgroundColor: "var(--blue-tint)" }, {}], { duration: 900 });
}

/** Counts a shown task under another status; undefined: it is no longer shown. */
function tally(entry, status) {
  const add = (name, number) => counts.set(name, (counts.get(name) ?? 0) + number);
  if (entry.shownStatus) add(entry.shownStatus, -1);
  if (status) add(status, 1);
  entry.shownStatus = status;
}

const countCells = new Map(); // status -> its <dd>; null: all of them

function drawCounts() {
  for (const status of [null, ...STATUSES, ...counts.keys()]) {
    const number = status === null ? shown.length : (counts.get(status) ?? 0);
    const cell = countCells.get(status) ?? addCountCell(status);
    setText(cell, count(number));
    cell.parentElement.toggleAttribute("data-zero", number === 0);
  }
}

function addCountCell(status) {
  const cell = make("dd");
  const label = make("dt", "", status === null ? "Shown" : inWords(status));
  if (status !== null) {
    const dot = make("span", "dot");
    dot.dataset.tone = status;
    label.prepend(dot);
    addOption($("filter-status"), status, inWords(status));
  }
  const group = make("div");
  group.append(label, cell);
  $("counts").append(group);
  countCells.set(status, cell);
  return cell;
}

function addOption(select, value, text) {
  if ([...select.options].some((option) => option.value === value)) return;
  const option = make("option", "", text);
  option.value = value;
  select.append(option);
}

const types = new Set();

/** Offers the types that were seen: the API has no list of them. */
function offerTypes() {
  for (const { task } of known.values()) {
    if (types.has(task.type)) continue;
    types.add(task.type);
    addOption($("filter-type"), task.type, task.type);
    addOption($("types"), task.type, task.type);
  }
}

/** All around the rows: what to say when there are none, and how to get more. */
function drawSurroundings() {
  offerTypes();
  const reading = list.isReading && horizon === undefined;
  $("table").setAttribute("aria-busy", String(reading));
  showText($("empty"), shown.length ? "" : emptyText(reading));
  $("table").hidden = !shown.length;
  setHidden($("older"), !list.cursor, $("list"));
  $("more").hidden = !shown.length && !list.cursor;
  setText($("more-text"), list.cursor ? "There are older tasks." : "These are all tasks there are.");
  if (!list.cursor && (filter.status || filter.type)) setText($("more-text"), "These are all that fit the filter.");
}

function emptyText(reading) {
  if (reading) return "Reading the tasks…";
  if (horizon === undefined && !list.cursor) return "The tasks could not be read yet.";
  if (!filter.status && !filter.type) return "No tasks yet. Submit the first one with the form above.";
  return list.cursor
    ? "None of the tasks read so far fits the filter. Show older ones, or choose another filter."
    : "No task fits the filter. Choose another one to see more.";
}

function drawTitle() {
  const parts = [];
  const failed = counts.get("FAILED") ?? 0;
  const working = [...counts].reduce((sum, [status, number]) => sum + (ENDED.has(status) ? 0 : number), 0);
  if (live.state === "offline") parts.push("offline");
  if (working) parts.push(`${count(working)} at work`);
  if (failed) parts.push(`${count(failed)} failed`);
  const about = detail.taskId ?? "Tasks";
  const title = parts.length ? `${about} (${parts.join(", ")})` : about;
  if (document.title !== title) document.title = title;
}
