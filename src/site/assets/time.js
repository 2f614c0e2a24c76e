// Turns the UTC of each <time datetime="…Z"> into the reader's own zone and words, and keeps the whole moment as its
// tooltip; names the zone where [data-zone] asks for it; writes numbers of <data> as the reader's language does. Without
// this script the page says UTC and writes 1,234.56, which is as right.
"use strict";
(() => {
  const whole = new Intl.DateTimeFormat(undefined, {
    year: "numeric", month: "short", day: "numeric",
    hour: "2-digit", minute: "2-digit", timeZoneName: "short",
  });
  const brief = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });
  const dated = new Intl.DateTimeFormat(undefined, { year: "numeric", month: "short", day: "numeric" });
  const ago = new Intl.RelativeTimeFormat(undefined, { numeric: "auto", style: "short" });
  const zone = new Intl.DateTimeFormat(undefined, { timeZoneName: "short" })
    .formatToParts(new Date()).find(({ type }) => type === "timeZoneName")?.value;
  const HOUR = 3600_000;
  const short = (moment) => {
    const [past, left] = [Date.now() - moment, moment - Date.now()];
    const [span, sign] = past >= 0 ? [past, -1] : [left, 1];
    if (span < 60_000) return past >= 0 ? "just now" : "in a moment";
    if (span < HOUR) return ago.format(sign * Math.round(span / 60_000), "minute");
    const isThisYear = moment.getFullYear() === new Date().getFullYear();
    return (isThisYear ? brief : dated).format(moment);
  };
  const numbers = (element) => {
    const text = element.textContent;
    const match = /^([^\d]*)([\d,]+)(?:\.(\d+))?(.*)$/s.exec(text);
    if (!match) return;
    const [, before, , fraction = "", after] = match;
    const digits = fraction.length;
    const value = Number(match[2].replaceAll(",", "") + (digits ? `.${fraction}` : ""));
    const format = new Intl.NumberFormat(undefined, { minimumFractionDigits: digits, maximumFractionDigits: digits });
    element.textContent = before + format.format(value) + after;
  };
  const isEnglish = new Intl.NumberFormat().format(1234.5) === "1,234.5";
  const localise = (root) => {
    for (const element of root.querySelectorAll("time[datetime$='Z']")) {
      const moment = new Date(element.dateTime);
      if (element.dataset.local !== undefined || Number.isNaN(moment.getTime())) continue;
      element.dataset.local = "";
      const isShort = element.dataset.time === "short";
      element.title = isShort ? whole.format(moment) : element.textContent;
      element.textContent = isShort ? short(moment) : whole.format(moment);
    }
    for (const element of root.querySelectorAll("[data-zone]")) if (zone) element.textContent = zone;
    if (isEnglish) return;
    for (const element of root.querySelectorAll("data.amount, data.count")) {
      if (element.dataset.local !== undefined) continue;
      element.dataset.local = "";
      numbers(element);
    }
  };
  localise(document);
  // For whatever a script of ours adds later.
  document.addEventListener("sluice:added", (event) => localise(event.target));
})();
