// Waits for the first request of a new key: asks for the key now and then, and says so when it has arrived. Without this
// script a link reloads the page.
"use strict";
(() => {
  /** Milliseconds between two looks. */
  const LOOK_MS = 2500;
  /** After so many nobody waits any more. */
  const LOOKS_MAX = 240;
  const check = document.querySelector("[data-first-request]");
  if (!check || check.dataset.state === "done") return;
  const since = Date.parse(check.dataset.since);
  const title = check.querySelector("[data-field=title]");
  let looks = 0;
  const isUsed = (key) => {
    const used = Date.parse(key.last_used_at ?? "");
    return !Number.isNaN(used) && !(used < since);
  };
  const look = async () => {
    looks += 1;
    let answer;
    try {
      answer = await fetch(check.dataset.firstRequest, { headers: { accept: "application/json" } });
      if (answer.ok && isUsed(await answer.json())) {
        check.dataset.state = "done";
        title.textContent = check.dataset.done;
        return;
      }
    } catch {
      // There is no network at the moment.
    }
    const isRefused = answer && [401, 403, 404].includes(answer.status);
    if (isRefused || looks >= LOOKS_MAX) {
      title.textContent = "No longer checking. Reload the page to check again.";
      return;
    }
    setTimeout(look, LOOK_MS);
  };
  setTimeout(look, LOOK_MS);
})();
