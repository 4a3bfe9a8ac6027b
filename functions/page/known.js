/** taskId -> { task, key, touched, gone, row?, shownKey?, shownStatus? }; `row` only while it is on the page. */
const known = new Map();
const filter = { status: "", type: "" };
/** How far down the list is loaded: everything from this key on. "": all there is; undefined: nothing yet. */
let horizon;
/** taskId -> the newest that was heard of a task below the horizon while the list is read: it may be in that part. */
const early = new Map();
/** Tasks that were submitted or retried here; their end is announced. */
const mine = new Set();
/** taskId -> what went wrong with its retry. */
const retryProblems = new Map();

/** The place of a task in the list; newer tasks have greater keys. */
const keyOf = (task) => `${task.createdAt}#${task.taskId}`;

const isNewer = (one, other) =>
  one.createdAt > other.createdAt || (one.createdAt === other.createdAt && one.version > other.version);

/** Takes in an update, which is dropped unless it is newer than what is known. */
function learnUpdate(update) {
  if (typeof update?.taskId !== "string" || typeof update.createdAt !== "string") return;
  const entry = known.get(update.taskId);
  if (!entry || isNewer(update, entry.task)) take(update, entry);
  detail.hear(update);
}

/** Takes in a task that the API answered. Of the same version it is the better one: its error is not cut. */
function learnAnswer(task) {
  const entry = known.get(task.taskId);
  if (!entry || !isNewer(entry.task, task)) take(task, entry);
}

function take(task, entry) {
  noteEnd(task);
  if (entry?.task.status !== task.status) retryProblems.delete(task.taskId);
  const key = keyOf(task);
  // What is older than the loaded part of the list comes with its page, or there would be holes between.
  if (horizon !== undefined && key < horizon) return keepEarly(task);
  if (!entry) known.set(task.taskId, (entry = {}));
  Object.assign(entry, { task, key, touched: performance.now(), gone: false });
  draw(task.taskId);
}

/** A page that is being read may have been read before this came. */
function keepEarly(task) {
  const kept = early.get(task.taskId);
  if (list.isReading && (!kept || isNewer(task, kept))) early.set(task.taskId, task);
}

/** Takes in what came too early, now that the horizon is another. */
function learnEarly() {
  for (const task of early.values()) {
    const entry = known.get(task.taskId);
    if (!entry || isNewer(task, entry.task)) take(task, entry);
  }
}

let ended = [];

/** Collects the ends of this page's own tasks and announces them together. */
function noteEnd(task) {
  if (!ENDED.has(task.status) || !mine.delete(task.taskId)) return;
  if (ended.push(task) > 1) return;
  setTimeout(() => {
    const byStatus = Map.groupBy(ended, ({ status }) => inWords(status).toLowerCase());
    const sums = [...byStatus].map(([status, some]) => `${tasks(some.length)} ${status}`);
    announce(ended.length === 1 ? `Task ${task.taskId}: ${inWords(task.status)}.` : `${sums.join(", ")}.`);
    ended = [];
  }, SECOND);
}
