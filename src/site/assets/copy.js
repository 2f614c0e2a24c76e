// A button beside each element with data-copy, which copies its text or value. Without this script it is selected
// and copied by hand.
"use strict";
(() => {
  if (!navigator.clipboard) return;
  for (const source of document.querySelectorAll("[data-copy]")) {
    const button = document.createElement("button");
    const label = source.dataset.copy ? `Copy ${source.dataset.copy}` : "Copy";
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    button.setAttribute("aria-label", label);
    const said = document.createElement("span");
    said.className = "unseen";
    said.setAttribute("role", "status");
    button.addEventListener("click", async () => {
      const text = "value" in source ? source.value : source.textContent;
      try {
        await navigator.clipboard.writeText(text.trim());
        button.textContent = "Copied";
        said.textContent = "Copied to the clipboard";
      } catch {
        button.textContent = "Select and copy by hand";
      }
      setTimeout(() => { button.textContent = "Copy"; said.textContent = ""; }, 2000);
    });
    source.after(button, said);
  }
})();
