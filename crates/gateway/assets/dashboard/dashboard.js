// What pages can do besides being read: they stay current, copy, ask before something grave, and are gone through by
// keyboard. Everything works without this file as well, in more steps.
"use strict";
(() => {
  const root = document.documentElement;
  root.classList.add("scripted");
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  // Times, in the zone that is wanted. The server writes UTC.
  function times(within) {
    if (root.dataset.zone !== "local") return;
    const written = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
    for (const time of all("time[datetime]", within)) {
      const exact = written.format(new Date(time.dateTime));
      if (time.dataset.exact !== undefined) time.textContent = exact;
      else time.title = exact;
    }
    const step = new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
    for (const title of all("title[data-at]", within)) {
      title.textContent = `${step.format(new Date(title.dataset.at))}: ${title.dataset.what}`;
    }
  }

  // Parts of a page that are fetched again: `data-live` is their address, `data-every` their pace in seconds. What the
  // pointer is over, or the keyboard in, stays as it is.
  function live(part) {
    const every = Number(part.dataset.every || 3) * 1000;
    const fetchAgain = async () => {
      const busy = part.matches(":hover") && part.dataset.still !== undefined || part.contains(document.activeElement);
      if (document.visibilityState !== "visible" || busy) return;
      const answer = await fetch(part.dataset.live, { headers: { accept: "text/html" }, redirect: "manual" });
      if (!answer.ok) return;
      const html = await answer.text();
      if (html === part.dataset.had) return;
      part.dataset.had = html;
      const parsed = new DOMParser().parseFromString(html, "text/html");
      // A piece may belong elsewhere on the page: `data-into` names its place.
      for (const piece of all("[data-into]", parsed)) {
        const place = document.getElementById(piece.dataset.into);
        piece.remove();
        if (place) { place.replaceChildren(...piece.childNodes); times(place); }
      }
      part.replaceChildren(...parsed.body.childNodes);
      times(part);
      const next = part.querySelector("[data-live-ends]");
      if (next) clearInterval(timer);
    };
    const timer = setInterval(() => fetchAgain().catch(() => {}), every);
  }

  // Copies the text of what `data-copy` names.
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const from = document.getElementById(button.dataset.copy);
    await navigator.clipboard.writeText(from.value ?? from.textContent);
    const said = button.textContent;
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = said; }, 1500);
  });

  // Forms whose answer is shown in the page: `data-into` names where. The answer's `data-part` goes there, and is gone again
  // after `data-gone` seconds, and when the page is left. An answer from another page is gone to.
  document.addEventListener("submit", async (event) => {
    const form = event.target.closest("form[data-into]");
    if (!form) return;
    event.preventDefault();
    const place = document.getElementById(form.dataset.into);
    try {
      const answer = await fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)) });
      if (answer.redirected) return location.assign(answer.url);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const part = page.querySelector("[data-part]") ?? page.querySelector("main");
      const gone = Number(part.dataset.gone);
      place.replaceChildren(...part.childNodes);
      times(place);
      clearTimeout(Number(place.dataset.timer));
      if (gone) place.dataset.timer = String(setTimeout(() => place.replaceChildren(), gone * 1000));
    } catch {
      place.textContent = "There was no answer: try again.";
    }
  });
  addEventListener("pagehide", () => {
    for (const form of all("form[data-into]")) document.getElementById(form.dataset.into)?.replaceChildren();
  });

  // Choices that are sent as soon as they are made.
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-send]")) event.target.form.requestSubmit();
  });

  // What belongs to one choice: `data-of` names the field and `data-is` the choice. Without scripts all of it can be unfolded.
  function choice(field) {
    for (const part of all("details[data-of]", field.form ?? document)) {
      if (part.dataset.of === field.name) part.hidden = !(part.open = part.dataset.is === field.value);
    }
  }
  document.addEventListener("change", (event) => choice(event.target));
  all("form select").forEach(choice);

  // Boxes: `data-check-all` checks those of the name that it says.
  for (const box of all("[data-check-all]")) {
    box.hidden = false;
    box.addEventListener("change", () => {
      all(`input[name="${box.dataset.checkAll}"]`, box.form || document).forEach((one) => { one.checked = box.checked; });
    });
  }

  // The next step of something long: a form that is sent by itself.
  all("form[data-go-on]").forEach((form) => form.requestSubmit());

  // Dialogs: `data-dialog` opens the one that it names, `data-close` closes the one that it is in.
  document.addEventListener("click", (event) => {
    const opener = event.target.closest("[data-dialog]");
    if (opener) {
      event.preventDefault();
      document.getElementById(opener.dataset.dialog).showModal();
    }
    const closer = event.target.closest("[data-close]");
    if (closer) {
      event.preventDefault();
      closer.closest("dialog").close();
    }
  });

  // Keys.
  let before = "";
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches("input, select, textarea, [contenteditable]");
    if (typing || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const key = event.key;
    const done = () => { event.preventDefault(); before = ""; };
    if (before === "g") {
      const way = document.querySelector(`[data-key="${CSS.escape(key)}"]`);
      before = "";
      if (way) { done(); way.click(); }
      return;
    }
    const rows = all("[data-rows] > tr");
    const at = rows.findIndex((row) => row.classList.contains("chosen"));
    const choose = (index) => {
      const row = rows[Math.max(0, Math.min(rows.length - 1, index))];
      if (!row) return;
      rows.forEach((other) => other.classList.toggle("chosen", other === row));
      row.scrollIntoView({ block: "nearest" });
    };
    if (key === "g") before = "g";
    else if (key === "/") { const search = document.querySelector("[data-search]"); if (search) { done(); search.focus(); } }
    else if (key === "j") { done(); choose(at + 1); }
    else if (key === "k") { done(); choose(at - 1); }
    else if (key === "Enter" && at >= 0 && event.target === document.body) { done(); rows[at].querySelector("a")?.click(); }
    else if (key === "x" && at >= 0) { const box = rows[at].querySelector("input[type=checkbox]"); if (box) { done(); box.checked = !box.checked; } }
    else if (key === "r") { const again = document.querySelector("[data-again]"); if (again) { done(); again.click(); } }
    else if (key === "?") { done(); document.getElementById("keys")?.showModal(); }
  });

  times(document);
  all("[data-live]").forEach(live);
})();
