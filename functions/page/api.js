/** What went wrong with a request, in words for people. `fields`: the API's own list of bad fields. */
class ApiError extends Error {
  constructor(message, status = 0, fields = []) {
    super(message);
    this.status = status;
    this.fields = fields;
  }

  static of(status, body) {
    if (status === 429) return new ApiError("The server takes no more requests just now. Try again shortly.", status);
    const words = body?.detail ?? body?.message ?? "no reason given";
    const ours = body?.detail !== undefined;
    const fields = Array.isArray(body?.errors) ? body.errors : [];
    return new ApiError(ours ? words : `The server answered ${status}: ${words}.`, status, fields);
  }
}

/** Keeps numbers as they were sent where JavaScript would round them. */
function exactly(_key, value, context) {
  const rounded = typeof value === "number" && context?.source && String(value) !== context.source;
  return rounded && JSON.rawJSON ? JSON.rawJSON(context.source) : value;
}

/**
 * The token that goes with every request, where the stack wants one. It is kept in this variable alone: storage would
 * outlive the page, in files that a browser writes, and be read by whatever else this origin serves.
 */
const access = {
  token: "",
  asked: null, // the promise of the next token, while a person is asked for it

  headers: () => (access.token ? { authorization: `Bearer ${access.token}` } : {}),

  /** Asks for a token in place of the one that was refused; all whose requests were refused wait for the same. */
  renewed(refused) {
    if (refused !== access.token) return undefined; // there is another one already
    access.token = "";
    access.asked ??= new Promise((resolve) => {
      showText($("sign-in-problem"), refused && "The server does not take this token; it may have expired.");
      $("sign-in").showModal();
      access.accept = resolve;
    });
    return access.asked;
  },

  /** Takes what was typed. */
  submit() {
    const token = $("token").value.trim().replace(/^Bearer\s+/i, "");
    if (!TOKEN.test(token)) return showText($("sign-in-problem"), token ? "This is not a token." : "Paste a token first.");
    $("token").value = "";
    access.token = token;
    access.asked = null;
    $("sign-in").close();
    access.accept();
  },
};

/** Sends a request of the public API and returns the answer's JSON. `body` is JSON text. */
async function call(method, path, options = {}) {
  const { token } = access;
  const { response, text } = await send(method, path, options);
  if (response.status === 401) {
    // Nothing was done: the gateway asks before it calls anything.
    await access.renewed(token);
    return call(method, path, options);
  }
  return readAnswer(response, text, options.reviver);
}

async function send(method, path, { body, headers }) {
  try {
    const response = await fetch(path, {
      method,
      body,
      headers: { ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers, ...access.headers() },
      cache: "no-store",
      signal: AbortSignal.timeout(ANSWER_TIME),
    });
    return { response, text: await response.text() };
  } catch (error) {
    const late = error.name === "TimeoutError";
    throw new ApiError(late ? "The server took too long to answer." : "The server cannot be reached.");
  }
}

function readAnswer(response, text, reviver) {
  let answer;
  try {
    answer = JSON.parse(text, reviver);
  } catch {
    throw new ApiError(`The server answered ${response.status}, but not in JSON.`, response.status);
  }
  if (!response.ok) throw ApiError.of(response.status, answer);
  return answer;
}

function taskPath(taskId) {
  // A URL cannot hold these as a name, however they are escaped.
  if (taskId === "." || taskId === "..") throw new ApiError("A browser cannot ask for a task with this ID.");
  return `tasks/${encodeURIComponent(taskId)}`;
}
