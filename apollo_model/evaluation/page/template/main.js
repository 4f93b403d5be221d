// Puts the page together.

const THEMES = ["auto", "light", "dark"];

function showTheme() {
  const button = byId("theme");
  const set = (theme) => {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    button.textContent = { auto: "Auto", light: "Light", dark: "Dark" }[theme];
    button.setAttribute("aria-label", `Colours: ${theme}. Press to change.`);
    button.dataset.next = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
  };
  button.addEventListener("click", () => set(button.dataset.next));
  set("auto");
}

function plural(count, one) {
  return `${count.toLocaleString("en")} ${one}${count === 1 ? "" : "s"}`;
}

function showHead() {
  document.title = `${DATA.title} ${DASH} evaluation`;
  byId("title").textContent = DATA.title;
  const own = DATA.systems.filter((system) => system.kind === "system").length;
  const facts = [
    isNumber(DATA.pairs) ? plural(DATA.pairs, "pair") : null,
    isNumber(DATA.songs) ? plural(DATA.songs, "song") : null,
    plural(own, "system"),
    DATA.bitrates.length ? plural(DATA.bitrates.length, "bitrate") : null,
    plural(DATA.metrics.length, "score"),
  ];
  byId("facts").textContent = facts.filter(Boolean).join(" \u00b7 ");
  const notes = [...DATA.notes, ...LISTENING.notes];
  byId("notes").hidden = !notes.length;
  byId("notes").querySelector("ul").replaceChildren(...notes.map((note) => h("li", {}, note)));
}

showTheme();
showHead();
showTables();
showLegend();
showCurves();
showSpread();
showClips();
const listeningPart = showListening();
if (listeningPart) {
  window.report = {
    listening: listeningPart,
    abx: new AbxTest(byId("abx")),
    mushra: new MushraTest(byId("mushra")),
    clipBuffers,
    lowPassed,
    connectTracks,
    setLevels,
    guessingChance,
    drawAbx,
  };
}
