function listen() {
  $("form").addEventListener("submit", (event) => {
    event.preventDefault();
    form.submit();
  });
  $("form").addEventListener("input", ({ target }) => form.changed(target));
  $("form").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.submit();
  });
  $("filter-status").addEventListener("change", ({ target }) => {
    filter.status = target.value;
    list.restart();
  });
  $("filter-type").addEventListener("change", ({ target }) => {
    filter.type = target.value;
    drawAll();
  });
  $("rows").addEventListener("click", ({ target }) => {
    const button = target.closest("button");
    if (button) retryInRow(button);
  });
  $("older").addEventListener("click", () => list.older());
  $("read-again").addEventListener("click", () => list.catchUp());
  $("sign-in-form").addEventListener("submit", (event) => {
    event.preventDefault();
    access.submit();
  });
  // Nothing here works without a token: who waves the question away is asked again.
  $("sign-in").addEventListener("close", () => access.asked && $("sign-in").showModal());
  $("connect-now").addEventListener("click", () => live.check());
  $("detail").addEventListener("close", () => detail.closed());
  $("detail").addEventListener("click", ({ target, clientX, clientY }) => {
    if (target === $("detail") && !isWithin($("detail"), clientX, clientY)) $("detail").close();
  });
  $("detail-close").addEventListener("click", () => $("detail").close());
  $("detail-retry").addEventListener("click", () => detail.retry());
  $("detail-cancel").addEventListener("click", () => detail.cancel());
  $("detail-again").addEventListener("click", () => detail.load());
  addEventListener("hashchange", () => detail.follow());
  addEventListener("online", () => live.check());
  addEventListener("offline", () => live.check());
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    live.check();
    if (live.state === "live") list.catchUp();
  });
  setInterval(() => document.hidden || live.state !== "live" || list.catchUp(), HEAL_EVERY);
}

function start() {
  // On a small screen the tasks come first.
  if (matchMedia("(max-width: 44rem)").matches) $("compose").open = false;
  drawCounts();
  listen();
  form.changed($("form")); // a browser may have kept what was typed before a reload
  list.catchUp();
  live.connect();
  detail.follow();
}

start();
