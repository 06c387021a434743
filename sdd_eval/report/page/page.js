// Sort, filter and copy the headline table; show the values of figures on hover, touch and focus.
"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  document.documentElement.classList.add("scripted");

  // Sort a table by a column: numbers by value, text alphabetically, missing values last.
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

  // Show only the rows that contain every word of the filter.
  for (const input of all("input.filter")) {
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      const rows = [...document.getElementById(input.dataset.table).tBodies[0].rows];
      for (const row of rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
      }
      const visible = rows.filter((row) => !row.hidden).length;
      document.getElementById(input.dataset.count).textContent = `${visible} of ${rows.length} rows`;
    });
  }

  // Copy a text; where the clipboard API is unavailable, use the older execCommand.
  for (const button of all("button.copy")) {
    button.addEventListener("click", async () => {
      const text = document.getElementById(button.dataset.from);
      let copied = false;
      try {
        await navigator.clipboard.writeText(text.textContent);
        copied = true;
      } catch {
        button.closest("details")?.setAttribute("open", "");
        getSelection().selectAllChildren(text);
        copied = document.execCommand("copy");
      }
      document.getElementById("copy-status").textContent = copied ? "Copied." : "Press Ctrl+C to copy.";
    });
  }

  // Show a value in a tooltip next to its box. Each figure is one tab stop; arrow keys move between
  // its values.
  const tip = document.getElementById("tip");
  const show = (box) => {
    const text = box.getAttribute("aria-label");
    if (!text) return;
    tip.textContent = text;
    tip.hidden = false;
    const target = box.getBoundingClientRect(), size = tip.getBoundingClientRect();
    const left = target.left + target.width / 2 - size.width / 2;
    const above = target.top - size.height - 8;
    tip.style.left = `${Math.max(4, Math.min(left, innerWidth - size.width - 4))}px`;
    tip.style.top = `${above > 4 ? above : target.bottom + 8}px`;
  };
  const hide = () => { tip.hidden = true; };
  // The label of a box is the title of its group, then its own. Boxes of the narrow drawing without
  // a title have that of the wide one, at the index in `data-of` or else at the same index.
  const title = (element) => element.querySelector(":scope > title")?.textContent ?? "";
  const label = (box) => [title(box.parentNode), title(box)].filter(Boolean).join(", ");
  for (const figure of all("figure")) {
    const wide = all(".drawing.double g.values path", figure).map(label);
    for (const drawing of all(".drawing", figure)) {
      for (const [index, box] of all("g.values path", drawing).entries()) {
        box.setAttribute("aria-label", label(box) || wide[box.dataset.of ?? index]);
      }
    }
  }
  for (const group of all("g.values")) {
    all("title", group).forEach((title) => title.remove()); // the browser's own tooltip would cover this one
    const boxes = all("path", group);
    for (const [index, box] of boxes.entries()) {
      box.setAttribute("role", "img");
      box.setAttribute("tabindex", index ? "-1" : "0");
    }
    // Listeners are on the surrounding HTML: an SVG element with listeners becomes a tab stop.
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
