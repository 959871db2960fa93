// Finding products while somebody types.

import { ask, pause, rest } from "./asking.js";
import { count, money } from "./words.js";

const TYPING_MS = 150;

export function finding({ take, seen }) {
  const form = document.getElementById("find");
  const field = document.getElementById("search");
  const list = document.getElementById("found");
  const status = document.getElementById("found-status");
  const more = document.getElementById("more");
  const shape = document.getElementById("product");
  let timer = 0;
  let running = null;
  let cursor = null;
  let shown = ""; // the text that the list answers: more of it is asked with that, whatever was typed since

  async function find({ from = null } = {}) {
    running?.abort();
    const mine = (running = new AbortController());
    const text = from === null ? field.value.trim() : shown;
    const query = new URLSearchParams({ search: text, limit: "20", ...(from ? { after: from } : {}) });
    for (let attempt = 0; ; attempt += 1) {
      const answer = await ask("GET", `/v1/products?${query}`, { signal: mine.signal });
      if (mine.signal.aborted) return;
      if (answer.kind === "done") return show(answer.value, text, from !== null);
      if (answer.kind === "refused" && ![429, 503].includes(answer.status)) {
        status.textContent = "The shop cannot search for that.";
        return;
      }
      status.textContent = navigator.onLine
        ? "The shop does not answer just now; trying again."
        : "You are offline; searching again when you are back.";
      await rest(answer.after ? answer.after * 1000 : pause(attempt, { first: 500 }));
      if (mine.signal.aborted) return;
    }
  }

  function show(page, text, further) {
    const items = page.items.map(card);
    const before = list.childElementCount;
    if (further) list.append(...items);
    else list.replaceChildren(...items);
    if (further) list.children[before]?.querySelector("button").focus();
    cursor = page.next;
    shown = text;
    more.hidden = cursor === null;
    status.textContent = told(list.childElementCount, text);
    seen(page.items);
  }

  function told(number, text) {
    if (number > 0) return `${cursor ? "The first " : ""}${count(number, "product", "products")}`;
    return text ? `Nothing found for “${text}”.` : "The shop has no products yet.";
  }

  function card(product) {
    const one = shape.content.cloneNode(true);
    one.querySelector(".name").textContent = product.description || product.product_id;
    one.querySelector(".number").textContent = product.product_id;
    one.querySelector(".price").textContent = money(product.price_cents);
    const add = one.querySelector("button");
    add.lastElementChild.textContent = ` ${product.description || product.product_id} to the basket`;
    add.addEventListener("click", () => take(product));
    return one;
  }

  function walk(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
    const stops = [field, ...list.querySelectorAll("button")];
    const next = stops[stops.indexOf(document.activeElement) + step];
    if (!next) return;
    event.preventDefault();
    next.focus();
  }

  field.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(find, TYPING_MS);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(timer);
    find();
  });
  field.addEventListener("keydown", walk);
  list.addEventListener("keydown", walk);
  more.addEventListener("click", () => find({ from: cursor }));
  find();
  return { again: () => find() };
}
