// Sorting, filtering and copying of the headline table; values of figures by mouse, finger, keys.
"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  document.documentElement.classList.add("scripted");

  // A table sorts by a column: numbers by their value, words by the alphabet, missing ones last.
  for (const button of all("button.sort")) {
    button.addEventListener("click", () => {
      const head = button.closest("th"), table = head.closest("table"), body = table.tBodies[0];
      const index = [...head.parentNode.children].indexOf(head);
      const up = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      for (const other of all("th[aria-sort]", table)) other.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", up === 1 ? "ascending" : "descending");
      const key = (row) => row.children[index].dataset.value;
      const rows = [...body.rows].sort((a, b) => {
        const [x, y] = [key(a), key(b)];
        if (x === "" || y === "") return (x === "") - (y === "");
        return up * (isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y);
      });
      body.append(...rows);
    });
  }

  // A filter keeps the rows that hold every word of it.
  for (const input of all("input.filter")) {
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      const rows = [...document.getElementById(input.dataset.table).tBodies[0].rows];
      for (const row of rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
      }
      const left = rows.filter((row) => !row.hidden).length;
      document.getElementById(input.dataset.count).textContent = `${left} of ${rows.length} rows`;
    });
  }

  // Copying works without a network and, by the old command, without the clipboard interface.
  for (const button of all("button.copy")) {
    button.addEventListener("click", async () => {
      const text = document.getElementById(button.dataset.from);
      let done = false;
      try {
        await navigator.clipboard.writeText(text.textContent);
        done = true;
      } catch {
        button.closest("details")?.setAttribute("open", "");
        getSelection().selectAllChildren(text);
        done = document.execCommand("copy");
      }
      document.getElementById("said").textContent = done ? "Copied." : "Press Ctrl+C to copy.";
    });
  }

  // A value shows beside its box; arrow keys go from value to value, one stop of Tab a figure.
  const tip = document.getElementById("tip");
  const show = (box) => {
    const words = box.getAttribute("aria-label");
    if (!words) return;
    tip.textContent = words;
    tip.hidden = false;
    const place = box.getBoundingClientRect(), own = tip.getBoundingClientRect();
    const left = place.left + place.width / 2 - own.width / 2;
    const above = place.top - own.height - 8;
    tip.style.left = `${Math.max(4, Math.min(left, innerWidth - own.width - 4))}px`;
    tip.style.top = `${above > 4 ? above : place.bottom + 8}px`;
  };
  const hide = () => { tip.hidden = true; };
  // The title of a box, after that of its group, is what it says. The narrow drawing of a figure
  // has no words where the wide one has them, at the same place or at the one that is told.
  const title = (element) => element.querySelector(":scope > title")?.textContent ?? "";
  const words = (box) => [title(box.parentNode), title(box)].filter(Boolean).join(", ");
  for (const figure of all("figure")) {
    const wide = all(".drawing.double g.values path", figure).map(words);
    for (const sheet of all(".drawing", figure)) {
      for (const [index, box] of all("g.values path", sheet).entries()) {
        box.setAttribute("aria-label", words(box) || wide[box.dataset.of ?? index]);
      }
    }
  }
  for (const group of all("g.values")) {
    all("title", group).forEach((each) => each.remove()); // the browser's tip would cover this one
    const boxes = all("path", group);
    for (const [index, box] of boxes.entries()) {
      box.setAttribute("role", "img");
      box.setAttribute("tabindex", index ? "-1" : "0");
    }
    // Listeners sit on the HTML around it: an SVG element that has any becomes a stop of Tab.
    const drawing = group.closest(".drawing");
    const isBox = (event) => boxes.includes(event.target);
    drawing.addEventListener("pointerover", (event) => isBox(event) && show(event.target));
    drawing.addEventListener("pointerout", hide);
    drawing.addEventListener("focusin", (event) => isBox(event) && show(event.target));
    drawing.addEventListener("focusout", hide);
    drawing.addEventListener("keydown", (event) => {
      if (!isBox(event)) return;
      const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
      const at = boxes.indexOf(event.target);
      let next = at + (steps[event.key] ?? 0);
      if (event.key === "Home") next = 0;
      if (event.key === "End") next = boxes.length - 1;
      if (event.key === "Escape") hide();
      if (next === at || !boxes[next]) return;
      event.preventDefault();
      boxes[at].setAttribute("tabindex", "-1");
      boxes[next].setAttribute("tabindex", "0");
      boxes[next].focus();
    });
  }
  addEventListener("scroll", hide, { passive: true, capture: true });
})();
