// What became of the orders: asked again and again, at a growing distance, until each has come to an end.

import { ask, pause, rest } from "./asking.js";
import { keep, kept } from "./keeping.js";

const KEY = "shop.orders";
const MOST = 20;
const ENDS = ["confirmed", "declined", "cancelled"];

export class Orders extends EventTarget {
  #all = kept(KEY)?.all ?? [];
  /** What this browser has written, in the shop's words: whoever shows it sees at least that. */
  token = kept(KEY)?.token ?? null;
  #followed = new Set();

  get all() { return this.#all; }

  follow() {
    for (const order of this.#all) if (!ENDS.includes(order.status)) this.#follow(order.order_id);
  }

  placed(order, token) {
    this.token = token ?? this.token;
    this.#put(order);
    this.#follow(order.order_id);
  }

  async #follow(orderId) {
    if (this.#followed.has(orderId)) return;
    this.#followed.add(orderId);
    for (let attempt = 0; ; attempt += 1) {
      await rest(pause(attempt));
      const answer = await ask("GET", `/v1/orders/${encodeURIComponent(orderId)}`, { token: this.token });
      if (answer.kind === "done") {
        this.#put(answer.value);
        if (ENDS.includes(answer.value.status)) break;
      } else if (answer.status === 404) {
        this.#drop(orderId); // another data folder than when it was placed
        break;
      }
    }
    this.#followed.delete(orderId);
  }

  #put(order) {
    const before = this.#all.find((one) => one.order_id === order.order_id);
    const { order_id, status, total_cents, lines } = order;
    const units = lines.reduce((sum, line) => sum + line.quantity, 0);
    const now = { order_id, status, total_cents, units };
    this.#all = before ? this.#all.map((one) => (one === before ? now : one)) : [now, ...this.#all].slice(0, MOST);
    keep(KEY, { all: this.#all, token: this.token });
    if (before?.status !== status) this.dispatchEvent(new CustomEvent("change", { detail: now }));
  }

  #drop(orderId) {
    this.#all = this.#all.filter((one) => one.order_id !== orderId);
    keep(KEY, { all: this.#all, token: this.token });
    this.dispatchEvent(new CustomEvent("change", { detail: null }));
  }
}
