// Makes each <button data-print> print the page. Without this script the style hides the button.
"use strict";
(() => {
  for (const button of document.querySelectorAll("button[data-print]")) {
    button.addEventListener("click", () => window.print());
  }
})();
