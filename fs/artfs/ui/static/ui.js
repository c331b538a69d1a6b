// What pages add to themselves where scripts run: nothing here is needed to read or to change anything.
"use strict";

// Fill the numbers of changes into the list of versions, one request after another, so that a page is not a burst.
async function fillChanges() {
  for (const link of document.querySelectorAll("a[data-changes]")) {
    const answer = await fetch(link.dataset.changes);
    if (!answer.ok) continue;
    const counts = await answer.json();
    link.textContent = counts.text;
    link.title = counts.title;
  }
}

// A slash moves to the search field, as in many sites.
document.addEventListener("keydown", (event) => {
  const inField = /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName);
  if (event.key === "/" && !inField && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    document.getElementById("search").focus();
  }
});

// Pages of running jobs come again by themselves.
const running = document.querySelector("[data-running]");
if (running) setTimeout(() => location.reload(), 1000);

fillChanges();
