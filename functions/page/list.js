const list = {
  cursor: undefined, // of the next older page
  pages: 1, // that were asked for
  generation: 0, // counts the filters; what was read for an earlier one is of no use
  last: Promise.resolve(), // one read at a time
  isPlanned: false,
  isReading: false,
  againTimer: 0,
  limitedAt: 0,

  /** Reads anew all that is loaded. Heals whatever updates were lost. */
  catchUp() {
    clearTimeout(this.againTimer);
    if (this.isPlanned) return;
    this.isPlanned = true;
    this.enqueue(() => {
      this.isPlanned = false;
      return this.readFromTop();
    });
  },

  older() {
    this.enqueue(() => this.readOlder());
  },

  restart() {
    this.generation++;
    this.pages = 1;
    this.cursor = horizon = undefined;
    drawAll();
    this.catchUp();
  },

  /** Live arrivals may not grow the page without end: what is too much goes, and comes back with "older". */
  limit() {
    const most = (this.pages + SPARE_PAGES) * PAGE_SIZE + 10 * PAGE_SIZE;
    if (known.size <= most || this.isReading || performance.now() < this.limitedAt + 10 * SECOND) return;
    this.limitedAt = performance.now();
    this.catchUp();
  },

  enqueue(job) {
    this.last = this.last.then(async () => {
      this.isReading = true;
      draw();
      try {
        await job();
        setHidden($("list-problem"), true, $("list"));
      } catch (error) {
        setText($("list-problem-text"), `The tasks could not be read. ${error.message}`);
        $("list-problem").hidden = false;
        // Without a connection, the next one brings a read of its own.
        if (live.state === "live") this.againTimer = setTimeout(() => this.catchUp(), (5 + 5 * Math.random()) * SECOND);
      }
      this.isReading = false;
      early.clear();
      draw();
    });
  },

  page(cursor) {
    const query = new URLSearchParams({ limit: PAGE_SIZE });
    if (filter.status) query.set("status", filter.status);
    if (cursor) query.set("cursor", cursor);
    return call("GET", `tasks?${query}`);
  },

  /** Reads from the newest task down to the horizon, then makes the list what was read. */
  async readFromTop() {
    const { generation } = this;
    const began = performance.now();
    const read = [];
    let cursor;
    for (let pages = 0; pages < this.pages + SPARE_PAGES; pages++) {
      const page = await this.page(cursor);
      if (generation !== this.generation) return;
      read.push(...page.tasks);
      cursor = page.nextCursor;
      // A page of one status may be empty and still not the last.
      const reached = read.length > 0 && (horizon === undefined || keyOf(read.at(-1)) <= horizon);
      if (!cursor || reached) break;
    }
    this.cursor = cursor;
    horizon = cursor ? read.length ? keyOf(read.at(-1)) : undefined : "";
    read.forEach(learnAnswer);
    learnEarly();
    forgetOthers(new Set(read.map(({ taskId }) => taskId)), began - INDEX_LAG);
  },

  async readOlder() {
    const { generation, cursor } = this;
    if (!cursor) return;
    const page = await this.page(cursor);
    if (generation !== this.generation) return;
    this.pages++;
    this.cursor = page.nextCursor;
    if (page.tasks.length) horizon = keyOf(page.tasks.at(-1));
    if (!page.nextCursor) horizon = "";
    page.tasks.forEach(learnAnswer);
    learnEarly();
    announce(page.tasks.length ? `${tasks(page.tasks.length)} added to the list.` : "None found in this part of the list.");
  },
};

/** Takes out what a read of the list no longer had, unless it was heard of after `since`. */
function forgetOthers(taskIds, since) {
  for (const [taskId, entry] of known) {
    const below = horizon !== undefined && entry.key < horizon;
    if (!below && (taskIds.has(taskId) || entry.touched > since)) continue;
    entry.gone = true;
    draw(taskId);
  }
}
