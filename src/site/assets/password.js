// Makes each <button data-reveal="ID"> show and hide the password in that field. Without this script the style hides the
// button.
"use strict";
(() => {
  for (const button of document.querySelectorAll("button[data-reveal]")) {
    const input = document.getElementById(button.dataset.reveal);
    const label = button.querySelector("[data-label]");
    if (!input || !label) continue;
    const show = (isShown) => {
      input.type = isShown ? "text" : "password";
      label.textContent = isShown ? "Hide" : "Show";
    };
    button.addEventListener("click", () => {
      show(input.type === "password");
      input.focus();
    });
    // Password managers and browsers look at the type when a form is sent.
    input.form?.addEventListener("submit", () => show(false));
  }
})();
