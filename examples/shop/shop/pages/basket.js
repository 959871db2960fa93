// The basket, and the one request id under which it is ordered.
//
// The id is made when the first product comes in. Whoever presses twice, reloads, or opens a second tab sends the
// same id, and the shop takes the same id once. A basket that was sent and is then changed is another order, so it
// gets another id; while nobody knows what became of it ("unsure") it cannot be changed at all.

import { keep, kept } from "./keeping.js";

const KEY = "shop.basket";
const EMPTY = { request: null, state: "open", customer: "", lines: [] };

export class Basket extends EventTarget {
  #held = { ...EMPTY, ...kept(KEY) };

  constructor() {
    super();
    addEventListener("storage", (event) => {
      if (event.key !== KEY && event.key !== null) return;
      this.#held = { ...EMPTY, ...kept(KEY) };
      this.#tell();
    });
  }

  get lines() { return this.#held.lines; }
  get customer() { return this.#held.customer; }
  get request() { return this.#held.request; }
  /** "open": nothing is on its way; "refused": it was sent and not taken; "unsure": it may have been taken. */
  get state() { return this.#held.state; }
  get units() { return this.lines.reduce((sum, line) => sum + line.quantity, 0); }
  get cents() { return this.lines.reduce((sum, line) => sum + line.quantity * line.price_cents, 0); }

  add(product) {
    const known = this.lines.find((line) => line.product_id === product.product_id);
    const quantity = Math.min((known?.quantity ?? 0) + 1, 1_000_000);
    const line = { ...product, quantity };
    return this.#change({
      lines: known ? this.lines.map((one) => (one === known ? line : one)) : [...this.lines, line],
    });
  }

  set(productId, quantity) {
    return this.#change({
      lines: this.lines.map((line) => (line.product_id === productId ? { ...line, quantity } : line)),
    });
  }

  remove(productId) {
    return this.#change({ lines: this.lines.filter((line) => line.product_id !== productId) });
  }

  name(customer) {
    return customer === this.customer || this.#change({ customer });
  }

  /** Prices as the catalogue has them now; what the order will cost is decided by the shop. */
  reprice(products) {
    const now = new Map(products.map((product) => [product.product_id, product.price_cents]));
    if (!this.lines.some((line) => (now.get(line.product_id) ?? line.price_cents) !== line.price_cents)) return;
    const lines = this.lines.map((line) => ({ ...line, price_cents: now.get(line.product_id) ?? line.price_cents }));
    this.#hold({ ...this.#held, lines });
  }

  /** Written down before the request leaves: a page that dies now must not believe that nothing was sent. */
  sent() { this.#hold({ ...this.#held, state: "unsure" }); }

  refused(request) {
    if (request === this.request) this.#hold({ ...this.#held, state: "refused" });
  }

  done(request) {
    if (request === this.request) this.#hold({ ...EMPTY, customer: this.customer });
  }

  /** The customer does not want to know any more what became of it. */
  forget() { this.#hold({ ...this.#held, request: newRequest(), state: "open" }); }

  #change(changes) {
    if (this.state === "unsure") return false;
    const fresh = this.state === "refused" || this.request === null;
    this.#hold({ ...this.#held, ...changes, request: fresh ? newRequest() : this.request, state: "open" });
    return true;
  }

  #hold(held) {
    this.#held = held;
    keep(KEY, held);
    this.#tell();
  }

  #tell() { this.dispatchEvent(new Event("change")); }
}

function newRequest() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return `web ${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}
