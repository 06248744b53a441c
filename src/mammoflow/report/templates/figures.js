// Curves that light up: the names below a figure are buttons, and a curve under the pointer is the only one in colour.
(() => {
  "use strict";
  document.querySelectorAll("figure.chart").forEach((figure) => {
    const curves = [...figure.querySelectorAll("g.series")];
    // In the order of the legend; floors, which share an entry of it, come last.
    const legend = [...figure.querySelectorAll("svg text")].map((each) => each.textContent.trim());
    const place = (name) => (legend.includes(name) ? legend.lastIndexOf(name) : legend.length);
    const names = [...new Set(curves.map((curve) => curve.dataset.name))].sort((a, b) => place(a) - place(b));
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
      const parts = curves.filter((curve) => curve.dataset.name === name).flatMap((curve) => [...curve.querySelectorAll("path, use")]);
      const colours = parts.flatMap((part) => [part.style.stroke, part.style.fill]);
      const key = document.createElement("span");
      key.className = "key";
      key.style.background = colours.find((colour) => colour && colour !== "none") || "none";
      button.append(key, name);
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
