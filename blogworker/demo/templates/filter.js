(() => {
  "use strict";
  const byId = (id) => document.getElementById(id);
  const plain = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
  const cards = [...document.querySelectorAll(".card")].map((node) => ({
    node,
    site: node.dataset.site,
    text: plain(node.dataset.text),
  }));
  const chips = [...document.querySelectorAll(".chips button")];
  const search = byId("search");
  let site = "";

  function show() {
    const words = plain(search.value).split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const card of cards) {
      const match = (!site || card.site === site) && words.every((word) => card.text.includes(word));
      card.node.hidden = !match;
      card.node.classList.toggle("lead", match && shown === 0);
      shown += match;
    }
    for (const chip of chips) chip.setAttribute("aria-pressed", String(chip.value === site));
    const all = cards.length;
    byId("count").textContent = shown === all ? `${all} ${all === 1 ? "post" : "posts"}` : `${shown} of ${all} posts`;
    byId("empty").hidden = shown > 0;
  }

  function choose(value) {
    site = cards.some((card) => card.site === value) ? value : "";
    show();
  }

  for (const chip of chips) {
    chip.addEventListener("click", () => {
      const value = chip.value === site ? "" : chip.value;
      choose(value);
      // The choice is part of the URL, so that it is kept on the way back from a post.
      try {
        history.replaceState(null, "", value ? `#${value}` : location.pathname);
      } catch {
        /* Some browsers refuse this for local files; the filter works without it. */
      }
    });
  }
  search.addEventListener("input", show);
  window.addEventListener("hashchange", () => {
    if (location.hash.startsWith("#site-")) choose(location.hash.slice(1));
  });
  window.addEventListener("pageshow", show);
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && document.activeElement !== search) {
      event.preventDefault();
      search.focus();
    }
  });
  byId("filters").hidden = cards.length === 0;
  choose(location.hash.slice(1));
})();
