// Shows each <button data-copy="ID" hidden>, which copies the text or the value of the element with that id. Without
// this script there is no such button, and the text is selected by hand.
"use strict";
(() => {
  if (!navigator.clipboard) return;
  for (const button of document.querySelectorAll("button[data-copy]")) {
    const source = document.getElementById(button.dataset.copy);
    if (!source) continue;
    const words = button.textContent;
    const said = document.createElement("span");
    said.className = "unseen";
    said.setAttribute("role", "status");
    button.after(said);
    button.classList.add("copy");
    button.hidden = false;
    button.addEventListener("click", async () => {
      const text = "value" in source ? source.value : source.textContent;
      try {
        await navigator.clipboard.writeText(text.trim());
        button.textContent = "Copied";
        said.textContent = "Copied to the clipboard";
      } catch {
        button.textContent = "Select and copy it manually";
      }
      setTimeout(() => { button.textContent = words; said.textContent = ""; }, 2000);
    });
  }
})();
