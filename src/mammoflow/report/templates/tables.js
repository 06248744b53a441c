// Tables that are sorted by their heads and filtered by words or by the values of a column.
(() => {
  "use strict";
  const FEWEST_TO_SORT = 3, FEWEST_TO_FILTER = 7;
  const isHeading = (row) => row.cells.length === 1 && row.cells[0].colSpan > 1;
  const text = (cell) => (cell ? cell.textContent.trim().replace(/\s+/g, " ") : "");
  const make = (tag, properties = {}, ...children) => { const node = Object.assign(document.createElement(tag), properties); node.append(...children); return node; };

  // The first number of a cell, or nothing where the figure is not defined.
  const number = (cell) => {
    const found = text(cell).replaceAll("−", "-").replace(/(\d),(?=\d{3})/g, "$1").match(/^[^\d-]*(-?\d*\.?\d+(?:e[-+]?\d+)?)/i);
    return found ? Number(found[1]) : NaN;
  };
  const byNumber = (place, sign) => (a, b) => {
    const [x, y] = [number(a.cells[place]), number(b.cells[place])];
    if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
    return sign * (x - y);
  };
  const byText = (place, sign) => (a, b) => sign * text(a.cells[place]).localeCompare(text(b.cells[place]), "en", { numeric: true });

  function sortable(table, heads) {
    const groups = [...table.tBodies].map((body) => ({ body, heading: [...body.rows].filter(isHeading), rows: [...body.rows].filter((row) => !isHeading(row)) }));
    heads.forEach((head, place) => {
      const button = make("button", { type: "button", className: "sort" });
      button.append(...head.childNodes, make("span", { className: "arrow", ariaHidden: "true" }));
      head.append(button);
      button.addEventListener("click", () => {
        const was = head.getAttribute("aria-sort");
        const words = head.classList.contains("text");
        // The first order is the one that is asked for most: words from A, figures from the largest; the third is that of the page.
        const order = words ? ["ascending", "descending"] : ["descending", "ascending"];
        const next = was ? order[order.indexOf(was) + 1] : order[0];
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        if (next) head.setAttribute("aria-sort", next);
        const sign = next === "ascending" ? 1 : -1;
        groups.forEach(({ body, heading, rows }) => {
          const sorted = next ? [...rows].sort(words ? byText(place, sign) : byNumber(place, sign)) : rows;
          body.append(...heading, ...sorted);
        });
      });
    });
  }

  function filterable(table, heads) {
    const name = text(table.querySelector("caption strong"));
    const rows = [...table.tBodies].flatMap((body) => [...body.rows]).filter((row) => !isHeading(row));
    const words = make("input", { type: "search", placeholder: "Filter rows", ariaLabel: `Filter rows: ${name}` });
    const count = make("output", { className: "count" });
    const choices = heads.flatMap((head, place) => {
      if (!("filter" in head.dataset)) return [];
      const values = [...new Set(rows.map((row) => text(row.cells[place])))];
      const select = make("select", { ariaLabel: `${text(head)}: ${name}` }, make("option", { value: "", textContent: `${text(head)}: all` }));
      select.append(...values.map((value) => make("option", { value, textContent: value || "none" })));
      return values.length > 1 ? [{ place, select }] : [];
    });
    const groupOf = (row) => text([...row.parentElement.rows].find(isHeading)?.cells[0]);
    const apply = () => {
      const asked = words.value.toLowerCase().split(/\s+/).filter(Boolean);
      rows.forEach((row) => {
        const said = `${groupOf(row)} ${text(row)}`.toLowerCase();
        row.hidden = !(asked.every((word) => said.includes(word))
          && choices.every(({ place, select }) => !select.value || text(row.cells[place]) === select.value));
      });
      [...table.tBodies].forEach((body) => { body.hidden = [...body.rows].every((row) => row.hidden || isHeading(row)) && body.rows.length > 0; });
      const shown = rows.filter((row) => !row.hidden).length;
      count.textContent = shown === rows.length ? `${rows.length} rows` : `${shown} of ${rows.length} rows`;
    };
    [words, ...choices.map(({ select }) => select)].forEach((control) => control.addEventListener("input", apply));
    apply();
    const tools = make("div", { className: "tools" }, words, ...choices.map(({ select }) => select), count);
    table.closest(".panel").prepend(tools);
  }

  document.querySelectorAll(".panel table").forEach((table) => {
    if (!table.tHead || table.tHead.rows.length !== 1) return;
    const heads = [...table.tHead.rows[0].cells];
    const rows = [...table.tBodies].flatMap((body) => [...body.rows]).filter((row) => !isHeading(row));
    if (rows.length >= FEWEST_TO_FILTER) filterable(table, heads);
    if (rows.length >= FEWEST_TO_SORT) sortable(table, heads);
  });
})();
