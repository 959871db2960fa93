// Asks for the page again every two seconds and puts in what has changed. The page is complete without it.

const EVERY_MS = 2_000;
const MOST_MS = 30_000;
const PAUSED = "headwater.dashboard.paused";

const pause = document.getElementById("pause");
const said = document.getElementById("said");
let paused = remembered();
let failures = 0;
let timer = 0;
let asking = null;

function remembered() {
  try {
    return sessionStorage.getItem(PAUSED) === "yes";
  } catch {
    return false;
  }
}

function show() {
  pause.hidden = false;
  pause.textContent = paused ? "Go on" : "Pause";
  document.documentElement.dataset.state = paused ? "paused" : failures ? "stale" : "live";
}

/** Tells a change once; to the eye only what the page itself does not show. */
function say(text, { plainly = false } = {}) {
  said.classList.toggle("unseen", !plainly);
  if (said.textContent !== text) said.textContent = text;
}

/** Parts that somebody is busy with stay as they are: an open question, or text being selected. */
function busy(part) {
  if (part.querySelector("details.ask[open]")) return true;
  const selection = getSelection();
  return !selection.isCollapsed && selection.containsNode(part, true);
}

function replace(old, fresh) {
  if (old.isEqualNode(fresh) || busy(old)) return;
  const open = new Set([...old.querySelectorAll("details[open]")].map((one) => one.id));
  const focus = old.contains(document.activeElement) ? document.activeElement.id : "";
  const scrolled = [...old.querySelectorAll(".wide[id]")].map((one) => [one.id, one.scrollLeft]);
  for (const one of fresh.querySelectorAll("details")) if (open.has(one.id)) one.open = true;
  old.replaceChildren(...document.importNode(fresh, true).childNodes);
  for (const [id, left] of scrolled) if (left) document.getElementById(id)?.scrollTo({ left });
  if (focus) document.getElementById(focus)?.focus({ preventScroll: true });
}

async function refresh() {
  clearTimeout(timer);
  asking?.abort();
  const mine = (asking = new AbortController());
  try {
    const answer = await fetch(location.pathname + location.search, {
      signal: AbortSignal.any([mine.signal, AbortSignal.timeout(10_000)]), cache: "no-store", redirect: "error",
    });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of document.querySelectorAll("[data-part]")) {
      const newer = fresh.querySelector(`[data-part="${part.dataset.part}"]`);
      if (newer) replace(part, newer);
    }
    failures = 0;
    const told = document.querySelector("[data-said]");
    if (told) say(told.textContent);
  } catch {
    if (mine.signal.aborted) return;
    failures += 1;
    say("The application does not answer; what is shown is old.", { plainly: true });
  }
  show();
  plan();
}

function plan() {
  clearTimeout(timer);
  if (paused || document.hidden) return;
  timer = setTimeout(refresh, Math.min(MOST_MS, EVERY_MS * 2 ** Math.min(failures, 6)));
}

pause.addEventListener("click", () => {
  paused = !paused;
  try {
    sessionStorage.setItem(PAUSED, paused ? "yes" : "no");
  } catch {
    // then it is forgotten with the page
  }
  show();
  if (paused) plan();
  else refresh();
});
document.getElementById("refresh").addEventListener("click", (event) => {
  event.preventDefault();
  refresh();
});
document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[data-sort]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  history.replaceState(null, "", new URL(link.getAttribute("href"), location.href.split("#")[0]));
  link.focus();
  refresh();
});
document.addEventListener("visibilitychange", () => (document.hidden ? plan() : paused || refresh()));

show();
plan();
