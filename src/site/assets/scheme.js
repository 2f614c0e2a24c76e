// Runs before the first paint: says to the style that there are scripts, and applies the colour scheme that was chosen
// at the foot of a page. Without this script the system's scheme applies, and there is nothing to choose.
"use strict";
(() => {
  const root = document.documentElement;
  root.dataset.scripts = "";
  const store = {
    get: () => { try { return localStorage.getItem("scheme"); } catch { return null; } },
    set: (value) => { try { value ? localStorage.setItem("scheme", value) : localStorage.removeItem("scheme"); } catch { /* Not kept, then. */ } },
  };
  const apply = (scheme) => {
    if (scheme === "light" || scheme === "dark") root.dataset.scheme = scheme;
    else delete root.dataset.scheme;
  };
  apply(store.get());
  document.addEventListener("DOMContentLoaded", () => {
    for (const input of document.querySelectorAll("input[name='scheme']")) {
      input.checked = input.value === (root.dataset.scheme ?? "");
      input.addEventListener("change", () => { store.set(input.value); apply(input.value); });
    }
  });
})();
