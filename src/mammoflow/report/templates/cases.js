// The gallery of cases: filters, order, the wide view, and the view of one case.
(() => {
  "use strict";
  const list = document.getElementById("case-list");
  if (!list) return;
  const data = JSON.parse(document.getElementById("case-data").textContent);
  const legend = document.querySelector(".case-legend");
  const STEP = 24;
  const make = (tag, properties = {}, ...children) => { const node = Object.assign(document.createElement(tag), properties); node.append(...children); return node; };
  const cards = [...list.children].map((node) => ({
    node,
    number: Number(node.dataset.case),
    malignant: node.dataset.malignant,
    calls: node.dataset.calls,
    dice: node.dataset.dice.split(",").map((value) => (value ? Number(value) : NaN)),
    words: `case ${node.dataset.case} ${node.querySelector(".case-facts").textContent} ${[...node.querySelectorAll(".pill")].map((pill) => pill.textContent).join(" ")}`.toLowerCase(),
  }));
  const titles = data.models.map((model) => model.title + (model.marks.length ? ` (${model.marks.join(", ")})` : ""));
  const segmenters = [...legend.querySelectorAll("[data-layer^=model-]")].map((box) => box.parentElement.textContent.trim());
  const first = data.reader ? 1 : 0;

  const right = (card, place) => (card.calls[place] === "-" || !card.malignant ? null : card.calls[place] === card.malignant);
  const OUTCOMES = {
    "": ["All cases", () => true],
    better: ["Model right, BI-RADS wrong", (card, place) => right(card, place) === true && right(card, 0) === false],
    worse: ["BI-RADS right, model wrong", (card, place) => right(card, place) === false && right(card, 0) === true],
    both: ["Both wrong", (card, place) => right(card, place) === false && right(card, 0) === false],
    missed: ["Cancers that the model misses", (card, place) => card.malignant === "1" && card.calls[place] === "0"],
    alarms: ["False alarms of the model", (card, place) => card.malignant === "0" && card.calls[place] === "1"],
    reader: ["Cancers that BI-RADS misses", (card) => card.malignant === "1" && card.calls[0] === "0"],
  };
  const needsReader = ["better", "worse", "both", "reader"];
  const option = (value, text) => make("option", { value, textContent: text });
  const labelled = (text, control) => make("label", {}, make("span", { textContent: text }), control);

  const words = make("input", { type: "search", placeholder: "such as malignant MLO" });
  const outcome = make("select");
  outcome.append(...Object.entries(OUTCOMES).filter(([key]) => (data.reader || !needsReader.includes(key)) && (titles.length > first || !key)).map(([key, [text]]) => option(key, text)));
  const model = make("select");
  model.append(...titles.slice(first).map((title, place) => option(String(place + first), title)));
  const order = make("select");
  order.append(option("", "case number"), ...segmenters.flatMap((name, place) => [option(`worst:${place}`, `worst Dice of ${name}`), option(`middle:${place}`, `middle Dice of ${name}`), option(`best:${place}`, `best Dice of ${name}`)]));
  const count = make("output", { className: "count" });
  const tools = make("div", { className: "tools case-tools" }, labelled("Filter", words), labelled("Outcome", outcome), labelled("Model", model), labelled("Order by", order), count);
  if (titles.length <= first) { outcome.parentElement.hidden = true; model.parentElement.hidden = true; }
  list.before(tools);
  const more = make("button", { type: "button", className: "more" });
  list.after(more);

  let limit = STEP;
  let chosen = cards;
  const sorted = (found) => {
    const [how, place] = order.value.split(":");
    if (!how) return [...found].sort((a, b) => a.number - b.number);
    const dice = (card) => card.dice[Number(place)];
    const known = found.filter((card) => !Number.isNaN(dice(card))).sort((a, b) => dice(a) - dice(b));
    const rest = found.filter((card) => Number.isNaN(dice(card)));
    if (how === "best") known.reverse();
    if (how === "middle" && known.length) {
      const middle = dice(known[Math.floor(known.length / 2)]);
      known.sort((a, b) => Math.abs(dice(a) - middle) - Math.abs(dice(b) - middle));
    }
    return [...known, ...rest];
  };
  const show = () => {
    const asked = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    const place = Number(model.value || first);
    chosen = sorted(cards.filter((card) => asked.every((word) => card.words.includes(word)) && OUTCOMES[outcome.value][1](card, place)));
    const visible = new Set(chosen.slice(0, limit));
    cards.forEach((card) => { card.node.hidden = !visible.has(card); });
    list.append(...chosen.map((card) => card.node));
    count.textContent = `${chosen.length} of ${cards.length} cases`;
    more.hidden = chosen.length <= limit;
    more.textContent = `Show ${Math.min(STEP, chosen.length - limit)} more of ${chosen.length - limit} cases`;
  };
  [words, outcome, model, order].forEach((control) => control.addEventListener("input", () => { limit = STEP; show(); }));
  more.addEventListener("click", () => { limit += STEP; show(); });

  const wide = legend.querySelector("[data-layer=wide]");
  const rings = legend.querySelector("[data-layer=rings]");
  const views = (root) => root.querySelectorAll("svg[data-near]").forEach((svg) => svg.setAttribute("viewBox", wide.checked ? svg.dataset.wide : svg.dataset.near));
  wide.addEventListener("input", () => views(document));
  // The rings lie outside the near view.
  rings?.addEventListener("input", () => { if (rings.checked && !wide.checked) { wide.checked = true; views(document); } });

  // One case: its picture large, and what each model says.
  const body = make("div", { className: "case-body" });
  const button = (text, label) => make("button", { type: "button", textContent: text, ariaLabel: label });
  const [previous, next, shut] = [button("←", "Previous case"), button("→", "Next case"), button("Close", "Close the case")];
  const dialog = make("dialog", { id: "case-view" }, make("div", { className: "case-bar" }, previous, next, shut), body);
  dialog.setAttribute("aria-label", "Case");
  document.body.append(dialog);
  let open = 0;
  const sayCall = (call) => ({ 1: "malignant", 0: "benign" }[call] ?? "no call");
  const table = (card) => {
    const rows = data.models.map((each, place) => {
      const said = data.scores[card.number][place];
      const verdict = right(card, place);
      return make("tr", { className: verdict === false ? "wrong" : "" },
        make("th", { scope: "row", textContent: titles[place] }),
        make("td", { textContent: said && said[0] !== null ? said[0] : "n/a" }),
        make("td", { textContent: said && said[1] !== null ? said[1] : "n/a" }),
        make("td", { className: "text", textContent: sayCall(card.calls[place]) }),
        make("td", { className: "text", textContent: verdict === null ? "" : verdict ? "right" : "wrong" }));
    });
    const heads = ["Model", "Score", "Threshold", "Call", ""].map((text) => make(text ? "th" : "td", text ? { scope: "col", textContent: text, className: ["Model", "Call"].includes(text) ? "text" : "" } : {}));
    return make("table", {}, make("caption", { textContent: "What each model says; of several seeds the first" }), make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...rows));
  };
  const fill = (place) => {
    open = (place + chosen.length) % chosen.length;
    const card = chosen[open];
    const figure = card.node.querySelector("figure").cloneNode(true);
    figure.querySelectorAll("button").forEach((each) => each.replaceWith(...each.childNodes));
    body.replaceChildren(figure, ...(titles.length ? [make("div", { className: "case-calls", tabIndex: 0, role: "region", ariaLabel: "Calls of the models" }, table(card))] : []));
    dialog.setAttribute("aria-label", `Case ${card.number}`);
  };
  previous.addEventListener("click", () => fill(open - 1));
  next.addEventListener("click", () => fill(open + 1));
  shut.addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") fill(open - 1);
    if (event.key === "ArrowRight") fill(open + 1);
  });
  cards.forEach((card) => {
    const frame = card.node.querySelector(".case-frame");
    const opener = make("button", { type: "button", className: "opener" });
    opener.setAttribute("aria-label", `Open case ${card.number}`);
    opener.append(frame.firstElementChild);
    frame.append(opener);
    opener.addEventListener("click", () => { fill(chosen.indexOf(card)); dialog.showModal(); });
  });

  // A link to a case shows it, whatever is filtered.
  const reveal = () => {
    const card = cards.find((each) => `#${each.node.id}` === location.hash);
    if (!card) return;
    if (!chosen.includes(card)) { words.value = ""; outcome.value = ""; }
    show();
    limit = Math.max(limit, STEP * Math.ceil((chosen.indexOf(card) + 1) / STEP));
    show();
    card.node.scrollIntoView({ block: "center" });
  };
  addEventListener("hashchange", reveal);
  // Paper has every case that the filters leave.
  const all = () => { chosen.forEach((card) => { card.node.hidden = false; }); };
  matchMedia("print").addEventListener("change", (event) => (event.matches ? all() : show()));
  addEventListener("beforeprint", all);
  addEventListener("afterprint", show);
  show();
  reveal();
})();
