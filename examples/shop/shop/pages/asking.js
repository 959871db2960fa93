// Asking the shop. Every answer is one of three kinds, as in the framework itself:
//   done     it happened, here is the value
//   refused  it certainly did not happen, and why
//   unknown  it may have happened: ask again with the same request id

const WAIT_MS = 12_000;

/**
 * @param {string} method
 * @param {string} path
 * @param {{body?: unknown, token?: string | null, signal?: AbortSignal}} [more]
 */
export async function ask(method, path, { body, token, signal } = {}) {
  const headers = { accept: "application/json" };
  if (body !== undefined) headers["content-type"] = "application/json";
  if (token) headers["session-token"] = token;
  const timeout = AbortSignal.timeout(WAIT_MS);
  let answer;
  let value = null;
  try {
    answer = await fetch(path, {
      method, headers, cache: "no-store", credentials: "same-origin",
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
    });
    if (answer.status !== 204) value = await answer.json();
  } catch {
    if (signal?.aborted) return { kind: "stopped" };
    return { kind: "unknown", code: navigator.onLine ? "unreachable" : "offline" };
  }
  if (answer.ok) return { kind: "done", value, token: answer.headers.get("session-token") };
  const own = answer.headers.get("content-type")?.startsWith("application/problem+json");
  const problem = own && value ? value : {};
  const open = !own || answer.status === 500 || answer.status === 504;
  return {
    kind: open ? "unknown" : "refused", status: answer.status, code: problem.code ?? "unreadable",
    failure: problem.failure ?? {}, errors: problem.errors ?? [],
    after: Number(answer.headers.get("retry-after")) || null,
  };
}

/** Milliseconds before the next attempt: doubling, with chance in it so that not all come at once. */
export function pause(attempt, { first = 250, most = 8_000 } = {}) {
  return Math.min(most, first * 2 ** attempt) * (0.75 + Math.random() / 2);
}

/** Sleeps, but no longer than until the browser is online again or the page is looked at again. */
export function rest(milliseconds) {
  return new Promise((resolve) => {
    const looked = () => document.visibilityState === "visible" && wake();
    const timer = setTimeout(wake, milliseconds);
    function wake() {
      clearTimeout(timer);
      removeEventListener("online", wake);
      document.removeEventListener("visibilitychange", looked);
      resolve();
    }
    addEventListener("online", wake);
    document.addEventListener("visibilitychange", looked);
  });
}
