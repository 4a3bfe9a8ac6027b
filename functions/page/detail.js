const detail = {
  taskId: null,
  task: null, // as the API answered it last, in full
  generation: 0, // counts what was opened; what was asked for an earlier one is not waited for
  isLoading: false,
  isStale: false,

  /** Opens or closes as the address says. */
  follow() {
    const taskId = new URLSearchParams(location.hash.slice(1)).get("task");
    if (taskId === this.taskId) return;
    if (taskId) this.open(taskId);
    else $("detail").close();
  },

  open(taskId) {
    this.turnTo(taskId);
    setText($("detail-id"), taskId);
    $("detail-body").hidden = $("detail-status").hidden = true;
    for (const button of [$("detail-retry"), $("detail-cancel")]) {
      button.hidden = true;
      setBusy(button, asking.has(taskId));
    }
    this.showProblem("");
    const entry = known.get(taskId);
    if (entry) this.showStatus(entry.task);
    if (!$("detail").open) $("detail").showModal();
    $("detail").scrollTop = 0;
    $("detail-id").focus();
    this.load();
    draw();
  },

  closed() {
    if ($("detail").open) return; // another task was opened meanwhile
    const { taskId } = this;
    this.turnTo(null);
    if (location.hash) history.replaceState(null, "", location.pathname + location.search);
    (known.get(taskId)?.row?.link ?? $("list")).focus();
    draw();
  },

  turnTo(taskId) {
    this.generation++;
    this.taskId = taskId;
    this.task = null;
    this.isLoading = false;
  },

  hear(update) {
    if (update.taskId === this.taskId && (!this.task || isNewer(update, this.task))) this.load();
  },

  /** Reads the task; when asked to while it does, once more after that. */
  async load() {
    this.isStale = true;
    if (this.isLoading || this.taskId === null) return;
    this.isLoading = true;
    const { generation } = this;
    while (this.isStale && generation === this.generation) {
      this.isStale = false;
      await this.loadOnce();
    }
    if (generation === this.generation) this.isLoading = false;
  },

  async loadOnce() {
    const { generation, taskId } = this;
    try {
      const task = await call("GET", taskPath(taskId), { reviver: exactly });
      learnAnswer(task);
      if (generation === this.generation) this.show(task);
    } catch (error) {
      if (generation === this.generation) this.showProblem(error.message, error.status !== 404);
    }
  },

  show(task) {
    this.task = task;
    this.showProblem("");
    this.showStatus(task);
    showFacts(task);
    showBlock($("detail-error"), task.errorMessage);
    $("detail-story").replaceChildren(...storyOf(task).map(storyItem));
    const { answer, payload } = task;
    $("detail-data").firstElementChild.textContent = payload === undefined ? "Answer" : "Payload";
    const gone = task.truncated ? "The data is no longer kept." : undefined;
    showBlock($("detail-data"), answer ?? (payload === undefined ? gone : JSON.stringify(payload, null, 2)));
    showBlock($("detail-result"), task.result === undefined ? undefined : JSON.stringify(task.result, null, 2));
    $("detail-body").hidden = false;
  },

  showStatus({ status }) {
    const badge = $("detail-status");
    badge.dataset.tone = status;
    showText(badge, inWords(status));
    setHidden($("detail-retry"), status !== "FAILED", $("detail-id"));
    setHidden($("detail-cancel"), !CANCELLABLE.has(status), $("detail-id"));
  },

  showProblem(text, again = false) {
    showText($("detail-problem"), text);
    setHidden($("detail-again"), !again, $("detail-id"));
  },

  retry() {
    return this.ask($("detail-retry"), retry, "Not retried");
  },

  cancel() {
    return this.ask($("detail-cancel"), cancel, "Not cancelled");
  },

  async ask(button, action, refusal) {
    const { taskId } = this;
    if (asking.has(taskId)) return;
    setBusy(button, true);
    this.showProblem("");
    const problem = await action(taskId);
    if (taskId !== this.taskId) return;
    setBusy(button, false);
    if (problem) this.showProblem(`${refusal}: ${problem}`);
    else this.load();
  },
};

function showBlock(block, text) {
  setText(block.lastElementChild, text ?? "");
  block.hidden = text === undefined;
}

function showFacts(task) {
  const facts = [
    ["Type", task.type], ["Run", count(task.run)], ["Attempts", count(task.attempts)], ["Retries", count(task.retries)],
    ["Created", timeOf(task.createdAt)], ["Updated", timeOf(task.updatedAt)],
  ];
  if (isPutOff(task)) facts.push(["Starts at", timeOf(task.runAt)]);
  $("detail-facts").replaceChildren(...facts.map(([name, value]) => {
    const fact = make("div");
    const definition = make("dd", "number");
    definition.append(value);
    fact.append(make("dt", "", name), definition);
    return fact;
  }));
}

/** Whether a task has a time of its own to start; a retry does not wait for it. */
const isPutOff = ({ status, run, runAt }) => status === "PENDING" && run === 1 && runAt !== undefined;

function timeOf(iso) {
  const node = make("time");
  setTime(node, iso);
  return node;
}

/** The life of a task as steps: { what, at?, words?, bad?, tone?, open? }. */
function storyOf(task) {
  const past = task.history ?? [];
  const steps = [{ what: "Accepted", at: task.createdAt }];
  const [first] = past;
  if (first && (first.run > 1 || first.attempt > 1)) steps.push({ what: "Earlier attempts are no longer kept", open: true });
  let end = first?.run === 1 && first.attempt === 1 ? Date.parse(task.createdAt) : undefined;
  for (const attempt of past) {
    steps.push(attemptStep(attempt, end));
    // Nobody knows when a worker that died stopped.
    end = attempt.durationMs === undefined ? undefined : Date.parse(attempt.startedAt) + attempt.durationMs;
  }
  const now = presentStep(task, past.at(-1));
  return now ? [...steps, now] : steps;
}

function attemptStep({ run, attempt, startedAt, durationMs, errorMessage }, previousEnd) {
  const name = run > 1 ? `Run ${run}, attempt ${attempt}` : `Attempt ${attempt}`;
  const waited = previousEnd === undefined ? "" : `Started after a wait of ${duration(Date.parse(startedAt) - previousEnd)}.`;
  const step = { at: startedAt, words: waited };
  if (durationMs === undefined) {
    return { ...step, what: `${name} crashed`, tone: "FAILED", bad: errorMessage };
  }
  if (errorMessage === undefined) {
    return { ...step, what: `${name} succeeded after ${duration(durationMs)}`, tone: "COMPLETED" };
  }
  return { ...step, what: `${name} failed after ${duration(durationMs)}`, tone: "FAILED", bad: errorMessage };
}

/** Where the task stands, if its past attempts do not say it. */
function presentStep(task, last) {
  const { status, run, attempts, updatedAt, errorMessage } = task;
  const name = run > 1 ? `Run ${run}, attempt ${attempts}` : `Attempt ${attempts}`;
  const told = last !== undefined && last.run === run && last.attempt === attempts;
  switch (status) {
    case "PENDING":
      if (run > 1) return { what: `Run ${run} waits for a worker`, at: updatedAt, open: true };
      return { what: isPutOff(task) ? "Waiting for its time" : "Waiting for a worker", open: true };
    case "PROCESSING":
      return { what: `${name} is running`, at: updatedAt, tone: status, open: true };
    case "RETRYING":
      return { what: "Waiting for the next attempt", tone: status, open: true };
    case "COMPLETED":
      return told ? undefined : { what: `${name} succeeded`, words: "The time is that of its end.", at: updatedAt, tone: status };
    case "CANCELLED":
      return { what: "Cancelled", at: updatedAt };
    case "FAILED":
      return told ? undefined : { what: "Failed for good", bad: errorMessage, at: updatedAt, tone: status };
    default:
      return { what: inWords(status), at: updatedAt, open: true };
  }
}

function storyItem({ what, at, words, bad, tone, open }) {
  const item = make("li", open ? "open" : "");
  item.dataset.tone = tone ?? "";
  const line = make("div", "what");
  line.append(make("span", "", what));
  if (at) line.append(timeOf(at));
  item.append(line);
  if (words) item.append(make("p", "words", words));
  if (bad) item.append(make("p", "words bad", bad));
  return item;
}
