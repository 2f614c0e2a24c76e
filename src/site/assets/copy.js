// Makes each <button data-copy="ID"> copy the text or the value of the element with that id. Without this script the
// style hides the button, and the text is selected by hand.
"use strict";
(() => {
  for (const button of document.querySelectorAll("button[data-copy]")) {
    const source = document.getElementById(button.dataset.copy);
    if (!source || !navigator.clipboard) {
      button.hidden = true;
      continue;
    }
    const label = button.querySelector("[data-label]") ?? button;
    const words = label.textContent;
    const said = document.createElement("span");
    said.className = "visually-hidden";
    said.setAttribute("role", "status");
    button.after(said);
    // It stays as wide as it is.
    const settle = () => { button.style.minWidth = `${button.offsetWidth}px`; };
    button.addEventListener("click", async () => {
      settle();
      const text = "value" in source ? source.value : source.textContent;
      try {
        await navigator.clipboard.writeText(text.trim());
        label.textContent = "Copied";
        said.textContent = "Copied to the clipboard";
      } catch {
        label.textContent = "Select it";
        said.textContent = "Copying failed. Select the text and copy it.";
      }
      setTimeout(() => { label.textContent = words; said.textContent = ""; }, 2000);
    });
  }
})();
