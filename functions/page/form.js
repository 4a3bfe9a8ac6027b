const FIELDS = {
  answer: "The answer", payload: "The payload", type: "The type", taskId: "The task ID", count: "The number of tasks",
};

const form = {
  isBusy: false,
  key: null, // makes a second attempt to submit the same a repetition, not a second task

  /** What was typed, or null after the mistakes were shown. `data` is JSON text. */
  read() {
    const kind = this.kind();
    const text = $(kind).value;
    const number = Number($("count").value);
    const mistakes = [];
    if (kind === "payload") {
      const mistake = payloadMistake(text);
      if (mistake) mistakes.push({ field: "payload", message: mistake });
    } else if (!text) {
      mistakes.push({ field: "answer", message: "is empty." });
    }
    if (!Number.isInteger(number) || number < 1 || number > MOST_TASKS) {
      mistakes.push({ field: "count", message: `must be a whole number from 1 to ${count(MOST_TASKS)}.` });
    }
    if (mistakes.length) {
      this.showProblem(new ApiError("", 0, mistakes));
      return null;
    }
    // A payload goes as it was typed: read and written again, large numbers would be others.
    const data = kind === "payload" ? text : JSON.stringify(text);
    return { kind, data, number, type: $("type").value.trim(), taskId: $("taskId").value.trim() };
  },

  kind: () => document.querySelector("input[name=kind]:checked").value,

  async submit() {
    if (this.isBusy) return;
    this.clearMessages();
    const wish = this.read();
    if (!wish) return;
    this.isBusy = true;
    setBusy($("submit"), true);
    this.key ??= Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
    try {
      await (wish.number === 1 ? this.submitOne(wish) : this.submitMany(wish));
      this.key = null;
    } catch (error) {
      // Nobody knows what arrived; the key sees to it that it does not matter.
      if (!error.status || error.status >= 500) error.message += " Submit again: what arrived is not made twice.";
      this.showProblem(error);
    }
    setBusy($("submit"), false);
    this.isBusy = false;
  },

  async submitOne(wish) {
    const headers = { "idempotency-key": this.key };
    const task = await call("POST", "tasks", { body: taskJson(wish, wish.taskId), headers });
    this.take(task);
    const link = make("a", "id", task.taskId);
    link.href = `#task=${encodeURIComponent(task.taskId)}`;
    const outcome = task.version > 1 ? ` was there already: ${inWords(task.status)}.` : " was accepted.";
    $("form-result").replaceChildren("Task ", link, outcome);
    $("taskId").value = "";
  },

  /** Sends chunk by chunk. Sent again after a failure, what was accepted is not accepted twice. */
  async submitMany(wish) {
    const refused = [];
    let accepted = 0;
    for (let start = 0; start < wish.number; start += BATCH_SIZE) {
      const size = Math.min(BATCH_SIZE, wish.number - start);
      const bodies = Array.from({ length: size }, (_, place) =>
        taskJson(wish, wish.taskId && `${wish.taskId}-${start + place + 1}`));
      const headers = { "idempotency-key": `${this.key}-${start}` };
      const { results } = await call("POST", "tasks/batch", { body: `{"tasks":[${bodies.join(",")}]}`, headers });
      for (const { task, status, problem } of results) {
        if (task) this.take(task);
        else refused.push(ApiError.of(status, problem));
      }
      accepted = start + size - refused.length;
      setText($("form-result"), `${count(accepted)} of ${tasks(wish.number)} were accepted.`);
    }
    if (refused.length) throw refused[0];
    $("taskId").value = "";
  },

  take(task) {
    if (!ENDED.has(task.status)) mine.add(task.taskId);
    learnAnswer(task);
  },

  /** Puts each error beside the field that it is about, what belongs to none beside the button. */
  showProblem({ message, fields = [] }) {
    const strangers = fields.filter(({ field }) => !FIELDS[field]);
    for (const { field, message: words } of fields) {
      if (!FIELDS[field]) continue;
      // What a field that is not on the screen has to say, the other one says for it.
      const place = field === "answer" || field === "payload" ? this.kind() : field;
      showText($(`${place}-problem`), `${FIELDS[field]} ${words}`);
      $(place).setAttribute("aria-invalid", "true");
    }
    const first = $("form").querySelector("[aria-invalid=true]");
    if (!first || strangers.length) setText($("form-problem"), message);
    first?.focus();
  },

  clearMessages() {
    setText($("form-problem"), "");
    setText($("form-result"), "");
    for (const name of Object.keys(FIELDS)) this.clearField(name);
  },

  clearField(name) {
    showText($(`${name}-problem`), "");
    $(name).removeAttribute("aria-invalid");
  },

  /** Something was typed or chosen. */
  changed(target) {
    this.key = null;
    if (FIELDS[target.id]) this.clearField(target.id);
    const kind = this.kind();
    $("answer").hidden = kind !== "answer";
    $("payload").hidden = kind !== "payload";
    if (target.name === "kind") ["answer", "payload"].forEach((name) => this.clearField(name));
    const number = Number($("count").value);
    setText($("submit"), number > 1 && number <= MOST_TASKS ? `Submit ${tasks(number)}` : "Submit");
    setText($("taskId-label"), number > 1 ? "Start of the IDs" : "Task ID");
  },
};

function payloadMistake(text) {
  let value;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return `is not JSON. ${error.message}`;
  }
  return value === null || typeof value !== "object" || Array.isArray(value) ? "must be a JSON object, such as {\"seconds\": 1}." : "";
}

function taskJson({ kind, data, type }, taskId) {
  const parts = [`"${kind}":${data}`];
  if (type) parts.push(`"type":${JSON.stringify(type)}`);
  if (taskId) parts.push(`"taskId":${JSON.stringify(taskId)}`);
  return `{${parts.join(",")}}`;
}
