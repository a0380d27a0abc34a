// Keeps the overview live, and asks before dangerous forms. Every page also works without it.
"use strict";

const live = document.getElementById("live");
const badge = document.querySelector(".live");

function show(state, words) {
  if (badge) {
    badge.dataset.state = state;
    badge.querySelector(".words").textContent = words;
  }
}

// A table that was scrolled to the side stays there.
function swap(html) {
  const offsets = [...live.querySelectorAll(".wide")].map((region) => region.scrollLeft);
  live.innerHTML = html;
  live.querySelectorAll(".wide").forEach((region, n) => { region.scrollLeft = offsets[n] || 0; });
}

// The page is left alone while a person selects text in it or works in it with the keyboard.
function busy() {
  const selection = document.getSelection();
  return live.querySelector(":focus-visible") || (selection && !selection.isCollapsed && live.contains(selection.anchorNode));
}

if (live && window.EventSource) {
  let source = null;
  const open = () => {
    source = new EventSource(live.dataset.events);
    source.addEventListener("overview", (event) => {
      if (!busy()) {
        swap(event.data);
      }
      show("on", "live");
    });
    source.addEventListener("same", () => show("on", "live"));
    source.addEventListener("away", () => show("off", "the database does not answer"));
    source.onerror = () => show("off", "connection lost, trying again");
  };
  // A page that nobody sees costs nothing.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden && source) {
      source.close();
      source = null;
    } else if (!document.hidden && !source) {
      open();
    }
  });
  if (!document.hidden) {
    open();
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-confirm]");
  if (button && !window.confirm(button.dataset.confirm)) {
    event.preventDefault();
  }
});

document.addEventListener("change", (event) => {
  if (event.target.matches("input[data-all]")) {
    for (const box of document.querySelectorAll('input[name="id"]')) {
      box.checked = event.target.checked;
    }
  }
});

// `blogworker serve --demo` prints an address with the token after the #, which browsers do not send.
const token = document.getElementById("token");
function logIn() {
  if (token && location.hash.startsWith("#bw_")) {
    token.value = location.hash.slice(1);
    history.replaceState(null, "", location.pathname + location.search);
    token.form.submit();
  }
}
window.addEventListener("hashchange", logIn);
logIn();
