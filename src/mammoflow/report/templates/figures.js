// Curves that light up: the names below a figure are buttons, and a curve under the pointer is the only one in colour.
(() => {
  "use strict";
  document.querySelectorAll("figure.chart").forEach((figure) => {
    const curves = [...figure.querySelectorAll("g.series")];
    const names = [...new Set(curves.map((curve) => curve.dataset.name))];
    if (names.length < 2) return;
    const list = document.createElement("ul");
    list.className = "series-list";
    list.setAttribute("aria-label", "Curves of the figure");
    let held = "";
    const light = (name) => {
      figure.classList.toggle("lit", Boolean(name));
      curves.forEach((curve) => curve.classList.toggle("on", curve.dataset.name === name));
    };
    const buttons = names.map((name) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = name;
      button.setAttribute("aria-pressed", "false");
      button.addEventListener("click", () => {
        held = held === name ? "" : name;
        buttons.forEach((each) => each.setAttribute("aria-pressed", String(each.textContent === held)));
        light(held);
      });
      button.addEventListener("pointerenter", () => light(name));
      button.addEventListener("focus", () => light(name));
      button.addEventListener("pointerleave", () => light(held));
      button.addEventListener("blur", () => light(held));
      const item = document.createElement("li");
      item.append(button);
      list.append(item);
      return button;
    });
    curves.forEach((curve) => {
      curve.addEventListener("pointerenter", () => light(curve.dataset.name));
      curve.addEventListener("pointerleave", () => light(held));
    });
    figure.querySelector("svg").after(list);
  });
})();
