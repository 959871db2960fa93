"use strict";
// Search, theme, menu and copying. Everything is here and in index.js; nothing is fetched.
(function () {
  var up = document.documentElement.dataset.up;
  var box = document.getElementById("site-query");
  var list = document.getElementById("site-results");
  var chosen = -1;

  // --- search ---------------------------------------------------------------------------------

  function words(text) {
    return text.toLowerCase().split(/[^a-z0-9_.\-]+/).filter(Boolean);
  }

  function score(entry, wanted) {
    var title = entry.t.toLowerCase(), page = entry.in.toLowerCase(), text = entry.x.toLowerCase(), sum = 0;
    for (var i = 0; i < wanted.length; i++) {
      var word = wanted[i], points = 0;
      if (title === word) points = 100;
      else if (title.split(/[^a-z0-9]+/).indexOf(word) >= 0) points = 40;
      else if (title.indexOf(word) >= 0) points = 25;
      else if (page.indexOf(word) >= 0) points = 8;
      if (text.indexOf(word) >= 0) points += 5;
      if (!points) return 0;
      sum += points;
    }
    return sum + (entry.in ? 0 : 10);
  }

  function find(query) {
    var wanted = words(query);
    if (!wanted.length) return [];
    return window.HEADWATER_INDEX
      .map(function (entry) { return [score(entry, wanted), entry]; })
      .filter(function (pair) { return pair[0] > 0; })
      .sort(function (a, b) { return b[0] - a[0]; })
      .slice(0, 12)
      .map(function (pair) { return pair[1]; });
  }

  function around(entry, query) {
    var word = words(query)[0] || "", at = entry.x.toLowerCase().indexOf(word);
    return (at > 40 ? "… " : "") + entry.x.slice(Math.max(0, at - 40), Math.max(0, at - 40) + 160);
  }

  function show() {
    var query = box.value.trim(), found = find(query);
    list.textContent = "";
    chosen = -1;
    box.removeAttribute("aria-activedescendant");
    found.forEach(function (entry, number) {
      var item = document.createElement("li"), link = document.createElement("a");
      item.id = "site-result-" + number;
      item.setAttribute("role", "option");
      item.setAttribute("aria-selected", "false");
      link.href = up + entry.p;
      link.tabIndex = -1;
      var title = document.createElement("b");
      title.textContent = entry.in ? entry.in + ": " + entry.t : entry.t;
      var text = document.createElement("small");
      text.textContent = around(entry, query);
      link.append(title, text);
      item.append(link);
      list.append(item);
    });
    if (query && !found.length) {
      var none = document.createElement("li");
      none.className = "none";
      none.textContent = "Nothing found.";
      list.append(none);
    }
    list.hidden = !query;
    box.setAttribute("aria-expanded", String(!list.hidden));
  }

  function choose(step) {
    var items = list.querySelectorAll("[role=option]");
    if (!items.length) return;
    if (chosen >= 0) items[chosen].setAttribute("aria-selected", "false");
    chosen = (chosen + step + items.length) % items.length;
    items[chosen].setAttribute("aria-selected", "true");
    items[chosen].scrollIntoView({ block: "nearest" });
    box.setAttribute("aria-activedescendant", items[chosen].id);
  }

  function close() {
    list.hidden = true;
    box.setAttribute("aria-expanded", "false");
  }

  box.addEventListener("input", show);
  box.addEventListener("focus", function () { if (box.value.trim()) show(); });
  box.addEventListener("keydown", function (event) {
    if (event.key === "ArrowDown") { choose(1); event.preventDefault(); }
    else if (event.key === "ArrowUp") { choose(-1); event.preventDefault(); }
    else if (event.key === "Escape") { close(); box.blur(); }
    else if (event.key === "Enter") {
      var items = list.querySelectorAll("[role=option] a");
      if (items.length) { location.href = items[Math.max(0, chosen)].href; close(); }
    }
  });
  document.addEventListener("keydown", function (event) {
    var typing = /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName);
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) { box.focus(); box.select(); event.preventDefault(); }
  });
  document.addEventListener("click", function (event) {
    if (!event.target.closest(".search")) close();
  });

  // --- theme, menu, copying -------------------------------------------------------------------

  var theme = document.getElementById("site-theme"), root = document.documentElement;
  function tell() { theme.textContent = root.dataset.theme === "dark" ? "Light" : "Dark"; }
  theme.addEventListener("click", function () {
    root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
    try { localStorage.setItem("headwater-theme", root.dataset.theme); } catch (e) {}
    tell();
  });
  tell();

  var menu = document.getElementById("site-menu"), navigation = document.getElementById("site-navigation");
  menu.addEventListener("click", function () {
    menu.setAttribute("aria-expanded", String(navigation.classList.toggle("open")));
  });

  if (navigator.clipboard) {
    document.querySelectorAll("figure.code").forEach(function (figure) {
      var button = document.createElement("button");
      button.type = "button";
      button.className = "copy";
      button.textContent = "Copy";
      button.addEventListener("click", function () {
        var text = figure.querySelector("pre").innerText;
        if (figure.dataset.language === "console") {
          text = text.split("\n").filter(function (l, i, all) {
            return /^\$ /.test(l) || (i && /\\$/.test(all[i - 1]));
          }).map(function (l) { return l.replace(/^\$ /, ""); }).join("\n");
        }
        navigator.clipboard.writeText(text).then(function () {
          button.textContent = "Copied";
          setTimeout(function () { button.textContent = "Copy"; }, 1500);
        });
      });
      figure.append(button);
    });
  }
})();
