// What people are told.

const pounds = new Intl.NumberFormat("en-GB", { style: "currency", currency: "GBP" });
const plain = new Intl.NumberFormat("en-GB");

export const money = (cents) => pounds.format(cents / 100);
export const count = (number, one, many) => `${plain.format(number)} ${number === 1 ? one : many}`;

export const STATUS = {
  pending: "Waiting for the payment",
  confirmed: "Confirmed",
  declined: "Payment declined; nothing was charged",
  cancelled: "Cancelled",
};

/** Why an order was refused, in a sentence. `names` maps product ids to what the customer knows them as. */
export function refusal(answer, names) {
  const product = names.get(answer.failure.product_id) ?? answer.failure.product_id;
  switch (answer.code) {
    case "OutOfStock": {
      const left = answer.failure.on_hand;
      return left > 0
        ? `Only ${plain.format(left)} of ${product} can be had. Take fewer, then order again.`
        : `${product} is out of stock. Remove it, then order again.`;
    }
    case "UnknownProduct": return `${product} is not sold any more. Remove it, then order again.`;
    case "RequestReused":
    case "idempotency-conflict":
      return "This basket was ordered before with other contents. Look at your orders; change something to order anew.";
  }
  if (answer.status === 422 || answer.status === 400) {
    return `The shop does not accept this order: ${answer.errors.map(said).join("; ") || "something in it is wrong"}.`;
  }
  if (answer.status === 429) return "That was a bit fast. Wait a moment, then order again.";
  if (answer.status === 503) return "The shop is very busy and has not taken the order. Order again in a moment.";
  if (answer.status === 507) return "The shop cannot take orders at the moment. Nothing was ordered.";
  return "The shop has refused the order. Nothing was ordered.";
}

function said({ pointer, detail }) {
  const place = /\/lines\/(\d+)/.exec(pointer ?? "");
  const where = place ? `line ${Number(place[1]) + 1}` : String(pointer ?? "").replaceAll("/", " ").trim();
  return where ? `${where}: ${detail}` : detail;
}

export const UNSURE = {
  offline: "You are offline. We do not know yet whether the order arrived; it is asked for again when you are back.",
  other: "The shop did not answer, so we do not know yet whether the order arrived.",
};
