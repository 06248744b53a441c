// The choice of light or dark, sections that open for printing and for links, and boxes that say when they scroll.
(() => {
  "use strict";
  const root = document.documentElement;

  // The choice is kept for the next visit where the browser allows it; a page from a disk may not be allowed.
  const kept = {
    get() { try { return localStorage.getItem("mammoflow-theme"); } catch { return null; } },
    set(value) { try { localStorage.setItem("mammoflow-theme", value); } catch { /* not kept */ } },
  };
  const isDark = () => (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const bar = document.querySelector("nav[aria-label] .wrap");
  if (["light", "dark"].includes(kept.get())) root.dataset.theme = kept.get();
  if (bar) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "theme";
    const name = () => { button.textContent = isDark() ? "Light" : "Dark"; button.setAttribute("aria-label", isDark() ? "Use light colours" : "Use dark colours"); };
    button.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; kept.set(root.dataset.theme); name(); });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", name);
    name();
    bar.append(button);
  }

  // Nothing is folded away on paper.
  const folded = () => document.querySelectorAll("details:not([open])");
  let opened = [];
  const open = () => { const found = [...folded()]; found.forEach((part) => { part.open = true; }); opened.push(...found); };
  const close = () => { opened.forEach((part) => { part.open = false; }); opened = []; };
  const print = matchMedia("print");
  print.addEventListener("change", (event) => (event.matches ? open() : close()));
  addEventListener("beforeprint", open);
  addEventListener("afterprint", close);

  // A link into a part that is folded away opens it.
  const reveal = () => {
    const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    let folding = false;
    for (let part = target; part; part = part.parentElement) if (part.tagName === "DETAILS" && !part.open) { part.open = true; folding = true; }
    if (folding) target.scrollIntoView();
  };
  addEventListener("hashchange", reveal);
  reveal();

  // A box whose table is wider says so before the table; in any other box the heads of columns stay at the top of the window.
  const boxes = new ResizeObserver((entries) => entries.forEach(({ target }) => {
    const box = target.classList.contains("scroll") ? target : target.closest(".scroll");
    const wide = box.scrollWidth > box.clientWidth + 1;
    box.parentElement.classList.toggle("scrolls", wide);
    box.parentElement.classList.toggle("fits", !wide);
    if (wide) box.setAttribute("tabindex", "0"); else box.removeAttribute("tabindex");
  }));
  document.querySelectorAll(".panel > .scroll").forEach((box) => { boxes.observe(box); if (box.firstElementChild) boxes.observe(box.firstElementChild); });

  // The section that is read is marked in the navigation.
  const links = new Map([...document.querySelectorAll("nav[aria-label] a")].map((link) => [link.hash.slice(1), link]));
  const read = new IntersectionObserver((entries) => entries.forEach(({ target, isIntersecting }) => {
    if (!isIntersecting) return;
    links.forEach((link) => link.removeAttribute("aria-current"));
    links.get(target.id)?.setAttribute("aria-current", "true");
  }), { rootMargin: "-25% 0px -70% 0px" });
  links.forEach((_, id) => { const section = document.getElementById(id); if (section) read.observe(section); });
})();
