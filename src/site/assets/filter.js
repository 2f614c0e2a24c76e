// Makes each <input data-filter="ID"> show the rows of that table whose data-name has what is typed. A group without such
// a row is hidden with its heading. Without this script all rows are there, and the field is not.
"use strict";
(() => {
  for (const input of document.querySelectorAll("input[data-filter]")) {
    const table = document.getElementById(input.dataset.filter);
    const said = document.getElementById(input.getAttribute("aria-describedby"));
    if (!table) continue;
    const apply = () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let found = 0;
      for (const group of table.tBodies) {
        let shown = 0;
        for (const row of group.querySelectorAll("tr[data-name]")) {
          const name = row.dataset.name.toLowerCase();
          row.hidden = !words.every((word) => name.includes(word));
          if (!row.hidden) shown += 1;
        }
        group.hidden = shown === 0;
        found += shown;
      }
      if (said) said.textContent = found === 0 ? "No model matches." : "";
    };
    input.addEventListener("input", apply);
    // The browser may have kept what was typed.
    apply();
  }
})();
