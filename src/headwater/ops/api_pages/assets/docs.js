"use strict";
// Finds, unfolds and tries operations. The page says everything without it.
const base = document.body.dataset.base || location.origin;
const origin = new URL(base, location.href).origin;
const away = origin !== location.origin;
const credential = document.getElementById("credential");
const operations = [...document.querySelectorAll(".operation")];
const forms = [...document.querySelectorAll("form.try")];

for (const shown of [document.querySelector(".controls"), ...forms]) shown.hidden = false;
if (away) {
  const told = document.getElementById("elsewhere");
  told.textContent = `The API is at ${origin}, and this page is not: browsers let it ask there only when the API's Cors ` +
    `lists ${location.origin}. The curl line works in any case.`;
  told.hidden = false;
}

// --- finding -------------------------------------------------------------------------------------

document.getElementById("find").addEventListener("input", (event) => {
  const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const one of document.querySelectorAll("[data-text]")) {
    one.hidden = !words.every((word) => one.dataset.text.includes(word));
  }
  for (const group of document.querySelectorAll(".group, nav > ul > li")) {
    const members = [...group.querySelectorAll("[data-text]")];
    group.hidden = members.length > 0 && members.every((one) => one.hidden);
  }
  const left = operations.filter((one) => !one.hidden).length;
  document.getElementById("found").textContent = words.length ? `${left} of ${operations.length} operations` : "";
});

const unfold = document.getElementById("unfold");
unfold.addEventListener("click", () => {
  const open = unfold.getAttribute("aria-pressed") !== "true";
  for (const one of operations) one.open = open;
  unfold.setAttribute("aria-pressed", String(open));
});

function reveal() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target && target.matches("details")) target.open = true;
  if (target) target.scrollIntoView();
}
addEventListener("hashchange", reveal);
if (location.hash) reveal();

// --- trying --------------------------------------------------------------------------------------

function request(form) {
  let path = form.dataset.path;
  const query = new URLSearchParams();
  const headers = {};
  let body = null;
  for (const field of form.querySelectorAll("[data-in]")) {
    const { in: place, name } = field.dataset;
    const value = field.value;
    if (place === "path") path = path.replace(`{${name}}`, () => encodeURIComponent(value));
    else if (place === "body") body = value.trim() ? value : null;
    else if (value !== "") {
      const values = "many" in field.dataset ? value.split(",").map((one) => one.trim()) : [value];
      if (place === "header") headers[name] = value;
      else for (const one of values) query.append(name, one);
    }
  }
  if (credential.value.trim()) {
    const given = credential.value.trim();
    headers.Authorization = /\s/.test(given) ? given : `Bearer ${given}`;
  }
  if (body !== null) headers["Content-Type"] = "application/json";
  const asked = query.toString();
  return { method: form.dataset.method, url: base.replace(/\/$/, "") + path + (asked ? `?${asked}` : ""), headers, body };
}

function quoted(text) {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

function curl({ method, url, headers, body }) {
  const lines = [`curl -i -X ${method} ${quoted(url)}`];
  for (const [name, value] of Object.entries(headers)) {
    // the credential itself is not shown; double quotes let the shell put it in
    if (name === "Authorization") lines.push(`-H "Authorization: ${value.split(/\s/)[0].replace(/\W/g, "")} $TOKEN"`);
    else lines.push(`-H ${quoted(`${name}: ${value}`)}`);
  }
  if (body !== null) lines.push(`--data-binary ${quoted(body)}`);
  return lines.join(" \\\n  ");
}

function missing(form) {
  let first = null;
  for (const field of form.querySelectorAll("input[required]")) {
    const empty = field.value === "";
    if (empty) field.setAttribute("aria-invalid", "true");
    else field.removeAttribute("aria-invalid");
    first = first || (empty ? field : null);
  }
  return first;
}

function made(name, text, kind) {
  const element = document.createElement(name);
  element.textContent = text;
  if (kind) element.className = kind;
  return element;
}

function block(text, label) {
  const pre = made("pre", "");
  pre.append(made("code", text));
  pre.tabIndex = 0;
  pre.setAttribute("role", "region");
  pre.setAttribute("aria-label", label);
  return pre;
}

async function send(form) {
  const result = form.querySelector(".result");
  const empty = missing(form);
  if (empty) {
    result.className = "result failed";
    result.replaceChildren(made("strong", `${empty.dataset.name} is required.`));
    empty.focus();
    return;
  }
  const { method, url, headers, body } = request(form);
  const begun = performance.now();
  let parts;
  try {
    const answer = await fetch(url, { method, headers, body, credentials: "omit", cache: "no-store" });
    const text = await answer.text();
    const took = Math.round(performance.now() - begun);
    const kind = answer.headers.get("content-type") || "";
    const told = [...answer.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
    result.className = answer.ok ? "result" : "result failed";
    const line = made("p", "");
    line.append(made("strong", `${answer.status} ${answer.statusText}`.trim()), ` in ${took} ms`);
    parts = [line, block(/json/.test(kind) ? pretty(text) : text || "(no body)", "Body of the answer"),
      made("h5", "Headers"), block(told, "Headers of the answer")];
  } catch (error) {
    result.className = "result failed";
    const why = away
      ? `There was no answer that this page may read. The API at ${origin} has to list ${location.origin} in its Cors; ` +
        "the curl line works without that."
      : `There was no answer: ${error.message}`;
    parts = [made("strong", why)];
  }
  result.replaceChildren(...parts);
}

function pretty(text) {
  if (/\d{16}/.test(text)) return text; // numbers of more than 53 bits would change
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

for (const form of forms) {
  const line = form.querySelector(".curl code");
  const show = () => { line.textContent = curl(request(form)); };
  show();
  form.addEventListener("input", show);
  credential.addEventListener("input", show);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(form);
  });
}
