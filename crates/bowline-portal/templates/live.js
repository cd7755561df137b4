// What the portal does beyond HTML: copy buttons, and pages that follow their connection. Everything works without it.
(() => {
  "use strict";

  const copyButtons = () => {
    for (const button of document.querySelectorAll("[data-copy]")) {
      if (!navigator.clipboard || !button.hidden) continue;
      button.hidden = false;
      button.addEventListener("click", async () => {
        await navigator.clipboard.writeText(button.dataset.copy);
        const word = button.textContent;
        button.textContent = "Copied";
        setTimeout(() => { button.textContent = word; }, 1500);
      });
    }
  };

  const isBusy = (main) => {
    const active = document.activeElement;
    const typing = active && main.contains(active) && active.matches("input, textarea, select");
    const edited = [...main.querySelectorAll("input, textarea")].some((field) => field.value !== field.defaultValue);
    return typing || edited;
  };

  const reload = async () => {
    const main = document.getElementById("main");
    if (isBusy(main)) return;
    const headers = { accept: "text/html" };
    const answer = await fetch(location.href, { credentials: "same-origin", headers }).catch(() => null);
    // A failure that may pass by itself: keep the page, and let the timer below try again.
    if (!answer || answer.status >= 500 || answer.status === 429) {
      main.dataset.again = main.dataset.again || "3";
      return;
    }
    // The connection was deleted or cannot be read any more, or the session has ended. The page that loads instead has
    // no stream, so it does not reload again.
    if (!answer.ok || answer.redirected) {
      location.reload();
      return;
    }
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const next = page.getElementById("main");
    if (!next || isBusy(main)) return;
    // Only sections that differ are replaced, so that the focus stays where it is.
    const old = [...main.children];
    const fresh = [...next.children];
    const alike = old.length === fresh.length && old.every((part, at) => part.id === fresh[at].id);
    const strip = (part) => part.outerHTML.replaceAll(' hidden=""', "");
    if (!alike) {
      main.replaceChildren(...fresh);
    } else {
      old.forEach((part, at) => { if (strip(part) !== strip(fresh[at])) part.replaceWith(fresh[at]); });
    }
    main.dataset.again = next.dataset.again || "";
    copyButtons();
  };

  // On the way to a provider: look again until there is something else to see. A page that reloads itself over and
  // over would be read out from its beginning each time.
  const wait = async (seconds) => {
    const answer = await fetch(location.href, { credentials: "same-origin" }).catch(() => null);
    const text = answer && answer.ok && !answer.redirected ? await answer.text() : "";
    const waits = !answer || new DOMParser().parseFromString(text, "text/html").getElementById("waiting");
    if (waits) setTimeout(wait, seconds * 1000, seconds);
    else location.reload();
  };

  copyButtons();
  const main = document.getElementById("main");
  if (main && main.dataset.live) {
    const source = new EventSource(main.dataset.live);
    source.addEventListener("changed", reload);
    addEventListener("pagehide", () => source.close());
    setInterval(() => { if (main.dataset.again) reload(); }, 3000);
  } else if (main && main.dataset.again) {
    setTimeout(wait, main.dataset.again * 1000, main.dataset.again);
  }
})();
