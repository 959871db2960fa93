// The page: puts finding, basket and orders onto it.

import { Basket } from "./basket.js";
import { finding } from "./finding.js";
import { place } from "./ordering.js";
import { Orders } from "./orders.js";
import { STATUS, UNSURE, count, money, refusal } from "./words.js";

const at = (id) => document.getElementById(id);
const basket = new Basket();
const orders = new Orders();
let sending = false;

const label = (product) => product.description || product.product_id;
const say = (text) => { at("said").textContent = text; };

// --- the basket --------------------------------------------------------------------------------

const LOCKED = "The basket cannot be changed until we know what became of the order.";

function take(product) {
  say(basket.add(product) ? `${label(product)} is in the basket: ${brief()}` : LOCKED);
}

function brief() {
  return basket.lines.length ? `${count(basket.units, "item", "items")}, ${money(basket.cents)}` : "empty";
}

function showBasket() {
  at("basket-brief").textContent = brief();
  at("basket-empty").hidden = basket.lines.length > 0;
  at("order").hidden = basket.lines.length === 0;
  at("total").textContent = money(basket.cents);
  if (document.activeElement !== at("customer")) at("customer").value = basket.customer;
  showLines();
  showSending();
}

/** Lines that stay are left where they are: one that was taken out and put back would lose the focus. */
function showLines() {
  const shown = new Map([...at("lines").children].map((line) => [line.dataset.product, line]));
  for (const line of basket.lines) {
    const one = lineOf(line, shown.get(line.product_id));
    if (!one.isConnected) at("lines").append(one);
    shown.delete(line.product_id);
  }
  for (const gone of shown.values()) gone.remove();
}

function lineOf(line, shown) {
  const one = shown ?? newLine(line);
  const field = one.querySelector("input");
  if (!shown || field.getAttribute("aria-invalid") !== "true") field.value = line.quantity;
  one.querySelector(".price").textContent = money(line.quantity * line.price_cents);
  return one;
}

function newLine(line) {
  const one = at("line-of-basket").content.cloneNode(true).firstElementChild;
  const name = label(line);
  one.dataset.product = line.product_id;
  one.querySelector(".name").textContent = name;
  const field = one.querySelector("input");
  field.setAttribute("aria-label", `How many of ${name}`);
  field.addEventListener("change", () => setQuantity(field, line));
  for (const step of one.querySelectorAll(".step")) {
    step.setAttribute("aria-label", step.dataset.by === "1" ? `One more of ${name}` : `One less of ${name}`);
    step.addEventListener("click", () => {
      field.value = Math.max(1, (Number.parseInt(field.value, 10) || 0) + Number(step.dataset.by));
      setQuantity(field, line);
    });
  }
  const remove = one.querySelector(".remove");
  remove.lastElementChild.textContent = ` ${name}`;
  remove.addEventListener("click", () => removeLine(one, line));
  return one;
}

function setQuantity(field, line) {
  const quantity = Number(field.value);
  const good = Number.isInteger(quantity) && quantity >= 1 && quantity <= 1_000_000;
  field.setAttribute("aria-invalid", String(!good));
  if (!good) return trouble(`How many of ${label(line)}? A whole number from 1 to 1,000,000.`);
  trouble("");
  say(basket.set(line.product_id, quantity) ? `${quantity} of ${label(line)}: ${brief()}` : LOCKED);
}

function removeLine(one, line) {
  const next = one.nextElementSibling ?? one.previousElementSibling;
  if (!basket.remove(line.product_id)) return say(LOCKED);
  trouble("");
  say(`${label(line)} is not in the basket any more: ${brief()}`);
  (next?.querySelector(".remove") ?? at("basket-title")).focus();
}

// --- ordering ----------------------------------------------------------------------------------

function trouble(text) {
  at("order-trouble").textContent = text;
}

function showSending() {
  const locked = sending || basket.state === "unsure";
  for (const part of at("order").querySelectorAll("input, .step, .remove")) part.disabled = locked;
  at("place").setAttribute("aria-disabled", String(sending));
  at("place").textContent = sending ? "Ordering…" : basket.state === "unsure" ? "Ask again" : "Place the order";
  at("forget").hidden = sending || basket.state !== "unsure";
}

async function order() {
  if (sending || basket.lines.length === 0) return;
  if (at("lines").querySelector("[aria-invalid=true]")) {
    at("lines").querySelector("[aria-invalid=true]").focus();
    return;
  }
  if (basket.state !== "unsure") basket.name(at("customer").value.trim());
  const names = new Map(basket.lines.map((line) => [line.product_id, label(line)]));
  sending = true;
  trouble("");
  at("order-status").textContent = "";
  const answer = await place(basket, orders.token, (one, unsure) => {
    at("order-status").textContent = unsure
      ? `${one.code === "offline" ? UNSURE.offline : UNSURE.other} Asking again; it is ordered once.`
      : "The shop is busy; trying again by itself.";
  });
  sending = false;
  at("order-status").textContent = "";
  showSending();
  if (answer.kind === "done") return ordered(answer);
  trouble(answer.kind === "refused" ? refusal(answer, names) : unsure(answer));
  at("place").focus();
}

const unsure = (answer) =>
  `${answer.code === "offline" ? UNSURE.offline : UNSURE.other} Asking again cannot order twice.`;

function ordered(answer) {
  orders.placed(answer.value, answer.token);
  at("orders-title").focus();
}

// --- orders ------------------------------------------------------------------------------------

function showOrders() {
  at("orders").hidden = orders.all.length === 0;
  at("placed").replaceChildren(...orders.all.map(({ order_id, status, total_cents, units }) => {
    const one = at("order-placed").content.cloneNode(true).firstElementChild;
    one.dataset.order = order_id;
    one.dataset.status = status;
    one.querySelector(".state").textContent = STATUS[status] ?? status;
    one.querySelector(".what").textContent = count(units, "item", "items");
    one.querySelector(".price").textContent = money(total_cents);
    one.querySelector(".hint").textContent = `Order ${order_id}`;
    return one;
  }));
}

// --- beginning ---------------------------------------------------------------------------------

function showLine() {
  at("line").hidden = navigator.onLine;
  at("line").textContent = navigator.onLine ? "" : "You are offline. The basket is kept; ordering waits.";
}

basket.addEventListener("change", showBasket);
orders.addEventListener("change", ({ detail }) => {
  showOrders();
  if (detail) at("orders-status").textContent = `Order of ${money(detail.total_cents)}: ${STATUS[detail.status]}`;
});
at("order").addEventListener("submit", (event) => {
  event.preventDefault();
  order();
});
at("customer").addEventListener("change", (event) => basket.name(event.target.value.trim()));
at("forget").addEventListener("click", () => {
  basket.forget();
  trouble("That order may still have been placed. What you order now is another one.");
  at("place").focus();
});
addEventListener("online", showLine);
addEventListener("offline", showLine);

showLine();
showBasket();
showOrders();
orders.follow();
finding({ take, seen: (products) => basket.reprice(products) });
if (basket.state === "unsure") order(); // the page went away while it asked
