// Show the chosen brand and period; without this script the first view is shown.
const choice = document.getElementById("choix");
if (choice) {
  choice.hidden = false;
  const lists = ["periode", "enseigne"].map((id) => document.getElementById(id));
  const none = ["tout", "toutes"];
  const show = () => {
    const key = lists.map((list, i) => (list ? list.value : none[i])).join("|");
    const blocks = [...document.querySelectorAll("[data-view]")];
    const known = blocks.some((block) => block.dataset.view === key);
    for (const block of blocks) block.hidden = block.dataset.view !== (known ? key : "");
    const shown = blocks.find((block) => !block.hidden);
    document.getElementById("annonce").textContent = "Affiché : " + (shown.dataset.title || shown.textContent);
  };
  for (const list of lists) if (list) list.addEventListener("change", show);
}
addEventListener("beforeprint", () => {
  for (const part of document.querySelectorAll("details")) part.open = true;
});
