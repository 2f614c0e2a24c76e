// For pages with days: tells the server which zone the reader is in, and prints. Without it days are UTC's, and the
// browser prints.
"use strict";
(() => {
  const here = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const page = document.querySelector("[data-reads-in]")?.dataset.readsIn;
  if (here && page && here !== page) {
    const known = () => document.cookie.split("; ").includes(`sluice_zone=${here}`);
    const isNew = !known();
    const secure = window.location.protocol === "https:" ? "; secure" : "";
    document.cookie = `sluice_zone=${here}; path=/; max-age=31536000; samesite=lax${secure}`;
    // Once: where cookies are not kept, or the server does not know the zone, the page stays as it is.
    if (isNew && known()) window.location.reload();
  }
  for (const button of document.querySelectorAll("button[data-print]")) {
    button.addEventListener("click", () => window.print());
  }
})();
