const STATUSES = ["PENDING", "PROCESSING", "RETRYING", "COMPLETED", "FAILED", "CANCELLED"];
const ENDED = new Set(["COMPLETED", "FAILED", "CANCELLED"]);
const CANCELLABLE = new Set(["PENDING", "RETRYING"]);

const PAGE_SIZE = 100; // tasks that one read of the list asks for: the most that the API gives
const SPARE_PAGES = 10; // what live arrivals may add to the pages that were asked for
const BATCH_SIZE = 100; // tasks of one POST /tasks/batch
const MOST_TASKS = 1000; // that the form submits at once

const SECOND = 1000;
const ANSWER_TIME = 30 * SECOND; // the gateway's own limit
const PING_EVERY = 60 * SECOND;
const FRAME_TIME = 10 * SECOND; // for any frame to come after one was sent
const LONGEST_WAIT = 30 * SECOND; // between two attempts to connect
const HEAL_EVERY = 300 * SECOND; // a lost update is never shown longer than this
const INDEX_LAG = 5 * SECOND; // a list may still miss a task that is this young

const TOKEN = /^[\w.~+/-]+=*$/; // as RFC 6750 has it
