// Turns the UTC of each <time datetime="…Z"> into the reader's own zone, and keeps UTC as its tooltip. Without this
// script the page says UTC, which is as right.
"use strict";
(() => {
  const format = new Intl.DateTimeFormat(undefined, {
    year: "numeric", month: "short", day: "numeric",
    hour: "2-digit", minute: "2-digit", timeZoneName: "short",
  });
  const localise = (root) => {
    for (const element of root.querySelectorAll("time[datetime$='Z']")) {
      const moment = new Date(element.dateTime);
      if (element.title || Number.isNaN(moment.getTime())) continue;
      element.title = element.textContent;
      element.textContent = format.format(moment);
    }
  };
  localise(document);
  // For whatever a script of ours adds later.
  document.addEventListener("sluice:added", (event) => localise(event.target));
})();
