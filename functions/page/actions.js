/** Tasks about which the API is asked to do something. */
const asking = new Set();

/** Starts a failed task anew. Returns why not, or "". */
async function retry(taskId) {
  asking.add(taskId);
  retryProblems.delete(taskId);
  try {
    const task = await call("POST", `${taskPath(taskId)}/retry`);
    mine.add(taskId);
    learnAnswer(task);
    announce(`Task ${taskId} starts anew.`);
    return "";
  } catch (error) {
    retryProblems.set(taskId, error.message);
    announce(`Task ${taskId} was not retried. ${error.message}`);
    // Refused, most likely because it is no longer as this page shows it.
    if (error.status === 409) list.catchUp();
    draw(taskId);
    return error.message;
  } finally {
    asking.delete(taskId);
  }
}

/** Takes out a task that waits to start. Returns why not, or "". */
async function cancel(taskId) {
  asking.add(taskId);
  const wasMine = mine.delete(taskId); // its end is announced here
  try {
    learnAnswer(await call("DELETE", taskPath(taskId)));
    announce(`Task ${taskId} is cancelled.`);
    return "";
  } catch (error) {
    if (wasMine) mine.add(taskId);
    announce(`Task ${taskId} was not cancelled. ${error.message}`);
    if (error.status === 409) list.catchUp();
    return error.message;
  } finally {
    asking.delete(taskId);
  }
}

async function retryInRow(button) {
  const { taskId } = button.closest("tr").dataset;
  if (asking.has(taskId)) return;
  setBusy(button, true);
  await retry(taskId);
  setBusy(button, false);
}
