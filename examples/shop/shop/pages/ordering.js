// Placing the order: the same request until the shop has said yes or no.

import { ask, pause, rest } from "./asking.js";

const ATTEMPTS = 6;

/**
 * Sends the basket. `told(answer, attempt)` hears of every attempt that did not settle it.
 * Returns the answer that did, or the last one.
 */
export async function place(basket, token, told) {
  const request = basket.request;
  const body = {
    request_id: request,
    lines: basket.lines.map(({ product_id, quantity }) => ({ product_id, quantity })),
    ...(basket.customer ? { customer_id: basket.customer } : {}),
  };
  let unsure = basket.state === "unsure";
  basket.sent();
  for (let attempt = 1; ; attempt += 1) {
    const answer = await ask("POST", "/v1/orders", { body, token });
    if (answer.kind === "done") {
      basket.done(request);
      return answer;
    }
    unsure ||= answer.kind === "unknown";
    const later = answer.kind === "unknown" || answer.status === 503 || answer.status === 429;
    if (!later) {
      basket.refused(request);
      return answer;
    }
    if (attempt === ATTEMPTS) {
      // "not now" speaks of the last attempt only; an earlier one that nobody answered may have been taken
      if (!unsure) basket.refused(request);
      return unsure ? { ...answer, kind: "unknown" } : answer;
    }
    told(answer, unsure);
    await rest(answer.after ? answer.after * 1000 : pause(attempt));
  }
}
