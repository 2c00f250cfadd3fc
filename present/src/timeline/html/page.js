
"use strict";
// Adds search, filters and the keyboard to a page that is whole without them. Text is only ever set as text.
(() => {
  const $ = (id) => document.getElementById(id);
  const root = document.documentElement;
  const list = $("rows");
  for (const element of document.querySelectorAll(".js")) element.hidden = false;

  // Light and dark.
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const theme = () => {
    const isDark = root.dataset.theme ? root.dataset.theme === "dark" : dark.matches;
    root.dataset.theme = isDark ? "light" : "dark";
  };
  if ($("theme")) $("theme").addEventListener("click", theme);

  // The keys.
  const KEYS = [
    ["j", "k", "next and previous row"], ["Enter", "unfold or fold the row"], ["x", "c", "unfold and fold all rows"],
    ["/", "search"], ["n", "N", "next and previous hit"], ["e", "E", "next and previous problem"], ["p", "problems only"],
    ["g", "G", "first and last row"], ["Esc", "leave the search; once more: clear it"], ["t", "dark or light"], ["?", "this"],
  ];
  const make = (name, text, className) => {
    const element = document.createElement(name);
    if (text) element.textContent = text;
    if (className) element.className = className;
    return element;
  };
  let dialog;
  const help = () => {
    if (!dialog) {
      dialog = make("dialog");
      dialog.setAttribute("aria-label", "Keys");
      dialog.append(make("h2", "Keys"));
      const keys = make("dl");
      for (const row of KEYS) {
        const names = make("dt");
        for (const key of row.slice(0, -1)) names.append(make("kbd", key), " ");
        keys.append(names, make("dd", row.at(-1)));
      }
      const close = make("button", "Close");
      close.addEventListener("click", () => dialog.close());
      dialog.append(keys, close);
      document.body.append(dialog);
    }
    dialog.showModal();
  };
  if ($("help")) $("help").addEventListener("click", help);
  if (!list) { root.dataset.ready = "1"; return; }

  const groups = [...list.children].map((group) => ({ group, rows: [...group.children].filter((row) => row.id) }));
  const rows = groups.flatMap((one) => one.rows);
  const place = new Map(rows.map((row, at) => [row, at]));
  const idles = list.querySelectorAll(".idle");
  const problem = (row) => row.classList.contains("p");
  const fold = (row) => row.querySelector(":scope > details");

  // The row that the keys are at.
  let current = null;
  const go = (row, focus = true) => {
    if (!row) return;
    if (current) current.classList.remove("now");
    current = row;
    row.classList.add("now");
    const details = fold(row);
    const target = details ? details.firstElementChild : row.querySelector("a");
    if (focus) target.focus({ preventScroll: true });
    // Rows out of sight have no height of their own yet: once more when they have.
    row.scrollIntoView({ block: "nearest" });
    requestAnimationFrame(() => row.scrollIntoView({ block: "nearest" }));
    mark();
  };
  const shown = (row) => !row.hidden;
  const index = () => {
    if (current) return place.get(current);
    // The one above the first that is in sight.
    const top = 110;
    const seen = groups.find((one) => !one.group.hidden && one.group.getBoundingClientRect().bottom > top);
    const row = seen && seen.rows.find((row) => shown(row) && row.getBoundingClientRect().bottom > top);
    return row ? place.get(row) - 1 : -1;
  };
  const step = (by, wanted) => {
    for (let at = index() + by; at >= 0 && at < rows.length; at += by) {
      if (shown(rows[at]) && wanted(rows[at])) return go(rows[at]);
    }
  };

  // Filters.
  const q = $("q"), only = $("only"), wrong = $("wrong"), kind = $("kind"), tool = $("tool"), count = $("count");
  const texts = new Map();
  const text = (row) => {
    let found = texts.get(row);
    if (found === undefined) texts.set(row, (found = row.textContent.toLowerCase()));
    return found;
  };
  let hits = [];
  let isHit = new Set();
  const apply = () => {
    const wanted = q.value.toLowerCase();
    hits = [];
    let left = 0;
    for (const { group, rows } of groups) {
      const before = left;
      for (const row of rows) {
        const passes = (!wrong.checked || problem(row)) && (!kind.value || row.dataset.k === kind.value)
          && (!tool.value || row.dataset.t === tool.value);
        const hit = passes && wanted !== "" && text(row).includes(wanted);
        if (hit) hits.push(row);
        const show = passes && (hit || wanted === "" || !only.checked);
        if (row.hidden === show) row.hidden = !show;
        left += show;
      }
      // A group that was never in sight has the height that its rows will have.
      group.hidden = left === before;
      group.style.containIntrinsicSize = `auto ${31 * (left - before)}px`;
    }
    isHit = new Set(hits);
    const whole = left === rows.length;
    for (const row of idles) if (row.hidden === whole) row.hidden = !whole;
    $("none").hidden = left > 0;
    if (current && current.hidden) { current.classList.remove("now"); current = null; }
    tell();
    mark();
    root.dataset.hits = hits.length;
    root.dataset.shown = left;
  };
  const tell = () => {
    const at = current ? hits.indexOf(current) : -1;
    count.textContent = q.value === "" ? "" : hits.length === 0 ? "no hit"
      : at >= 0 ? `${at + 1} of ${hits.length}` : hits.length === 1 ? "1 hit" : `${hits.length} hits`;
  };
  // Shows where the hits are, near the current row: ranges, so the text stays as it is.
  const NEAR = 120;
  const ranges = (row, wanted, into) => {
    const walker = document.createTreeWalker(row, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      const lower = node.data.toLowerCase();
      if (lower.length !== node.data.length) continue;
      for (let at = lower.indexOf(wanted); at >= 0 && into.length < 5000; at = lower.indexOf(wanted, at + wanted.length)) {
        const range = new Range();
        range.setStart(node, at);
        range.setEnd(node, at + wanted.length);
        into.push(range);
      }
    }
  };
  const mark = () => {
    tell();
    if (!window.Highlight || !CSS.highlights) return;
    CSS.highlights.clear();
    const wanted = q.value.toLowerCase();
    if (wanted === "" || hits.length === 0) return;
    const at = Math.max(0, index());
    const near = rows.slice(Math.max(0, at - NEAR), at + NEAR).filter((row) => isHit.has(row));
    const others = [], now = [];
    for (const row of near) ranges(row, wanted, row === current ? now : others);
    if (others.length) CSS.highlights.set("hit", new Highlight(...others));
    if (now.length) CSS.highlights.set("now", new Highlight(...now));
  };
  const hit = (by) => {
    if (hits.length === 0) return;
    const from = index();
    const ahead = by > 0 ? hits.find((row) => place.get(row) > from) : hits.findLast((row) => place.get(row) < from);
    const row = ahead || (by > 0 ? hits[0] : hits.at(-1));
    const details = fold(row);
    const summary = details ? details.firstElementChild : row;
    // What was found is unfolded, if it is not seen in the row itself.
    if (details && !summary.textContent.toLowerCase().includes(q.value.toLowerCase())) details.open = true;
    go(row, document.activeElement !== q);
  };

  let timer = 0;
  const soon = () => { clearTimeout(timer); timer = setTimeout(apply, rows.length > 3000 ? 180 : 60); };
  q.addEventListener("input", soon);
  for (const control of [only, wrong, kind, tool]) control.addEventListener("change", apply);
  $("bar").addEventListener("submit", (event) => event.preventDefault());
  $("next").addEventListener("click", () => hit(1));
  $("prev").addEventListener("click", () => hit(-1));

  // Folding. Rows out of sight cost nothing until they are seen.
  const foldAll = (open) => {
    for (const row of rows) {
      const details = !row.hidden && fold(row);
      if (details && details.open !== open) details.open = open;
    }
    root.dataset.open = list.querySelectorAll("details[open]").length;
  };
  $("unfold").addEventListener("click", () => foldAll(true));
  $("fold").addEventListener("click", () => foldAll(false));

  // JSON gets its colours when it is unfolded.
  const TOKEN = /("(?:[^"\\\n]|\\.)*")(\s*:)|\b(-?\d[\d.eE+-]*|true|false|null)\b(?=\s*[,}\]\n]|$)|"(?:[^"\\\n]|\\.)*"/g;
  const paint = (pre) => {
    pre.classList.remove("j");
    if (pre.childElementCount > 0 || pre.textContent.length > 20000) return;
    const source = pre.textContent;
    const parts = [];
    let from = 0;
    for (const found of source.matchAll(TOKEN)) {
      const word = found[1] ?? found[3];
      if (word === undefined) continue;
      parts.push(source.slice(from, found.index), make("span", word, found[1] ? "jk" : "jn"));
      from = found.index + word.length;
    }
    parts.push(source.slice(from));
    pre.replaceChildren(...parts);
  };
  list.addEventListener("toggle", (event) => {
    if (!event.target.open) return;
    for (const pre of event.target.querySelectorAll("pre.j")) paint(pre);
    if (q.value !== "") mark();
    if (current && event.target.parentElement === current) current.scrollIntoView({ block: "nearest" });
  }, true);
  list.addEventListener("click", (event) => {
    const row = event.target.closest("li[id]");
    if (row && row !== current && !event.target.closest("pre")) go(row, false);
  });

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || (dialog && dialog.open)) return;
    const key = event.key;
    if (event.target === q) {
      if (key === "Enter") { event.preventDefault(); clearTimeout(timer); apply(); hit(event.shiftKey ? -1 : 1); }
      if (key === "Escape") { if (q.value === "" || current) { q.blur(); } if (q.value !== "" && !current) { q.value = ""; apply(); } }
      return;
    }
    if (event.target.matches("input, select, textarea")) return;
    const actions = {
      j: () => step(1, () => true), k: () => step(-1, () => true), ArrowDown: () => step(1, () => true), ArrowUp: () => step(-1, () => true),
      e: () => step(1, problem), E: () => step(-1, problem), n: () => hit(1), N: () => hit(-1),
      g: () => go(rows.find(shown)), G: () => go(rows.findLast(shown)),
      x: () => foldAll(true), c: () => foldAll(false), o: () => { const d = current && fold(current); if (d) d.open = !d.open; },
      p: () => { wrong.checked = !wrong.checked; apply(); }, t: theme, "?": help,
      "/": () => { q.focus(); q.select(); },
      Escape: () => { if (q.value !== "") { q.value = ""; apply(); } },
    };
    if (!Object.hasOwn(actions, key) || ((key === "ArrowDown" || key === "ArrowUp") && !current)) return;
    event.preventDefault();
    actions[key]();
  });

  // The address says what is shown: #q=word&only=1&wrong=1&kind=c&tool=0&open=1, or #r12 for a row.
  const read = () => {
    const fragment = location.hash.slice(1);
    if (/^r\d+$/.test(fragment)) {
      const row = $(fragment);
      if (row) {
        if (row.hidden) { q.value = ""; only.checked = wrong.checked = false; kind.value = tool.value = ""; apply(); }
        if (fold(row)) fold(row).open = true;
        go(row, false);
      }
      return;
    }
    if (fragment === "") return;
    const asked = new URLSearchParams(fragment);
    q.value = asked.get("q") ?? "";
    only.checked = asked.has("only");
    wrong.checked = asked.has("wrong");
    kind.value = asked.get("kind") ?? "";
    tool.value = asked.get("tool") ?? "";
    apply();
    if (asked.has("open")) foldAll(asked.get("open") === "1");
    if (asked.has("hit")) for (let left = Number(asked.get("hit")); left > 0; left--) hit(1);
    if (asked.has("theme")) root.dataset.theme = asked.get("theme") === "dark" ? "dark" : "light";
  };
  addEventListener("hashchange", read);
  root.dataset.rows = rows.length;
  apply();
  read();
  root.dataset.ready = "1";
})();
