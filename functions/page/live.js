const live = {
  state: "connecting",
  socket: null,
  failures: 0,
  attempt: 0, // counts the attempts to connect; what belongs to an earlier one is ignored
  reason: "",
  retryAt: 0,
  timers: { retry: 0, ping: 0, frame: 0, subscribe: 0, clock: 0 },

  async connect() {
    this.drop();
    const { attempt } = this;
    this.show("connecting");
    try {
      const { webSocketUrl } = await call("POST", "live", { body: "{}" });
      if (attempt !== this.attempt) return;
      this.open(webSocketUrl);
    } catch (error) {
      if (attempt === this.attempt) this.lose(error instanceof ApiError ? error.message : "Its address is not usable.");
    }
  },

  open(url) {
    this.socket = new WebSocket(url);
    this.socket.onopen = () => this.send({ action: "subscribe" });
    this.socket.onmessage = ({ data }) => this.receive(data);
    this.socket.onclose = () => {
      const neverWorked = this.state !== "live";
      this.lose("The connection ended.");
      // Where no WebSocket gets through, the page still follows, if only as often as it tries.
      if (neverWorked) list.catchUp();
    };
    this.expectFrame();
  },

  send(frame) {
    if (this.socket?.readyState !== WebSocket.OPEN) return;
    this.socket.send(JSON.stringify(frame));
    this.expectFrame();
  },

  expectFrame() {
    clearTimeout(this.timers.frame);
    this.timers.frame = setTimeout(() => this.lose("The server fell silent."), FRAME_TIME);
  },

  receive(data) {
    let frame;
    try {
      frame = JSON.parse(data);
    } catch {
      return;
    }
    const updates = Array.isArray(frame?.updates) ? frame.updates : undefined;
    // Until the subscription is answered, updates do not show that it will be.
    if (!updates || this.state === "live") clearTimeout(this.timers.frame);
    if (updates) updates.forEach(learnUpdate);
    else if (frame?.subscribed) this.subscribed();
    // The answer to a ping: what was not pushed is read on the next connection.
    else if (this.state === "live" && frame?.isSubscribed === false) this.lose("The server ended the subscription.");
    else if (this.state !== "live") this.refused(frame?.problem);
  },

  subscribed() {
    this.failures = 0;
    this.show("live");
    clearInterval(this.timers.ping);
    this.timers.ping = setInterval(() => this.send({ action: "ping" }), PING_EVERY);
    list.catchUp();
    detail.load();
  },

  /** The subscription was not taken: a service that did not answer is asked again, all else starts anew. */
  refused(problem) {
    if (problem && problem.status !== 503) return this.lose(problem.detail ?? "The server refused it.");
    if (++this.failures > 3) return this.lose("The server does not answer.");
    this.timers.subscribe = setTimeout(() => this.send({ action: "subscribe" }), SECOND + SECOND * Math.random());
  },

  /** Waits, longer from time to time and never as long as all the others (full jitter), then connects anew. */
  lose(reason) {
    this.drop();
    const wait = Math.random() * Math.min(LONGEST_WAIT, SECOND * 2 ** this.failures++);
    this.reason = reason;
    this.retryAt = Date.now() + wait;
    this.timers.retry = setTimeout(() => this.connect(), wait);
    this.timers.clock = setInterval(() => this.showText(), SECOND);
    this.show("offline");
  },

  drop() {
    this.attempt++;
    clearTimeout(this.timers.retry);
    clearTimeout(this.timers.frame);
    clearTimeout(this.timers.subscribe);
    clearInterval(this.timers.ping);
    clearInterval(this.timers.clock);
    if (!this.socket) return;
    this.socket.onopen = this.socket.onmessage = this.socket.onclose = null;
    this.socket.close();
    this.socket = null;
  },

  /** Something suggests that the connection came or went: find out now. */
  check() {
    if (this.state === "live") this.send({ action: "ping" });
    else if (this.state === "offline") this.connect();
  },

  show(state) {
    if (state === "live" && this.announced !== "live") announce("Live updates are on.");
    if (state === "offline" && this.announced === "live") announce("The connection is lost. The page tries again by itself.");
    if (state !== "connecting") this.announced = state;
    this.state = state;
    $("connection").dataset.state = state;
    const now = $("connect-now");
    // While it tries after a failure the button stays, so that it cannot vanish under a finger.
    setHidden(now, state === "live" || !this.failures, $("list"));
    setBusy(now, state === "connecting");
    this.showText();
    draw();
  },

  showText() {
    const seconds = Math.max(1, Math.ceil((this.retryAt - Date.now()) / SECOND));
    const offline = `Offline. ${this.reason} Next try in ${seconds} s.`;
    setText($("connection-text"), { live: "Live", connecting: "Connecting…", offline }[this.state]);
  },
};
