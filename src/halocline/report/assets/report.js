// Contents: mark the chapter in view; fold the list on narrow screens. Print: open what belongs on paper.
(() => {
  "use strict";
  const contents = document.querySelector(".contents details");
  const wide = window.matchMedia("(min-width: 62rem)");
  const fold = () => { contents.open = wide.matches; };
  fold();
  wide.addEventListener("change", fold);

  const links = new Map();
  for (const link of contents.querySelectorAll("a")) links.set(link.hash.slice(1), link);
  const sections = [...document.querySelectorAll("main > section[id]")];
  const mark = () => {
    const line = window.innerHeight * 0.3;
    let current = sections[0];
    for (const section of sections) if (section.getBoundingClientRect().top <= line) current = section;
    const atEnd = window.innerHeight + window.scrollY >= document.documentElement.scrollHeight - 2;
    if (atEnd && window.scrollY > 0) current = sections[sections.length - 1];
    for (const [id, link] of links) {
      if (id === current.id) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  };
  let waiting = false;
  window.addEventListener("scroll", () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; mark(); });
  }, { passive: true });
  mark();

  const printed = [...document.querySelectorAll("details[data-print]")];
  let before = [];
  window.addEventListener("beforeprint", () => {
    before = printed.map((item) => item.open);
    for (const item of printed) item.open = true;
  });
  window.addEventListener("afterprint", () => printed.forEach((item, i) => { item.open = before[i]; }));
})();
