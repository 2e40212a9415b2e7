// What the visitor does: choose, drop or record sounds, play them and parts of them, correct labels, change colours.
const player = find("player");
let found = null; // the server's answer that is shown
let playing = null; // number of the segment that plays
let busy = false;

// Asking the server ----------------------------------------------------------------------------------------------------

function tell(status, error = "") {
  find("status").textContent = status;
  find("status").classList.toggle("busy", busy);
  find("error").textContent = error;
  find("error").hidden = !error;
  find("drop").classList.toggle("busy", busy);
  find("file").disabled = busy || recording !== null;
  find("record").disabled = busy || !canRecord;
}

async function ask(sound) {
  if (sound.size > settings.maxBytes) throw new Error(settings.tooLarge);
  let answer;
  try {
    answer = await fetch("analyse", { method: "POST", body: sound, headers: { "Content-Type": "application/octet-stream" } });
  } catch {
    throw new Error("The server does not answer. Is `beyond-spectrograms serve` still running?");
  }
  if (answer.headers.get("Content-Type") !== "application/json") {
    throw new Error(`The server failed (status ${answer.status}); its terminal says why.`);
  }
  const told = await answer.json();
  if (!answer.ok) throw new Error(told.error);
  return told;
}

// What the server cannot decode the browser often can: a phone's m4a. Then the server is given a WAV.
async function askOrDecode(sound) {
  try {
    return await ask(sound);
  } catch (error) {
    if (!error.message.startsWith("not decodable as audio")) throw error;
    const decoded = await decode(sound).catch(() => { throw error; });
    return ask(decoded);
  }
}

// Sounds of one name that are given together are told apart: dog.wav, dog (2).wav.
function named(given) {
  const taken = new Set();
  return given.map(({ sound, name }) => {
    const [, stem, suffix = ""] = name.match(/^(.*?)(\.[^.]*)?$/s);
    let own = name;
    for (let number = 2; taken.has(own); number += 1) own = `${stem} (${number})${suffix}`;
    taken.add(own);
    return { sound, name: own };
  });
}

// Asks about sounds in turn, each {sound, name}, and shows the first that the server could tell.
async function analyse(given) {
  if (busy || !given.length) return;
  busy = true;
  player.pause();
  const [told, refused] = [[], []];
  for (const [number, { sound, name }] of named(given).entries()) {
    tell(`Listening to ${name} …${given.length > 1 ? ` (${number + 1} of ${given.length})` : ""}`);
    try {
      told.push(keep(name, sound, await askOrDecode(sound)));
      if (told.length === 1) show(told[0]);
    } catch (error) {
      refused.push(`${name}: ${error.message}`);
    }
    drawSounds(told[0] ?? null, show);
  }
  busy = false;
  if (!told.length) {
    find("result").hidden = true;
    return tell("", refused.join("\n"));
  }
  const count = found.segments.length;
  tell(told.length > 1 ? `${told.length} sounds.` : `${told[0].name}: ${count} segment${count === 1 ? "" : "s"}.`, refused.join("\n"));
  find("name").focus({ preventScroll: true });
  find("result").scrollIntoView({ block: "start" });
  return undefined;
}

function show(entry) {
  found = entry.found;
  find("name").textContent = entry.name;
  find("facts").textContent = [length(found.seconds), ...found.remarks].join(" · ");
  find("unplayable").hidden = true;
  if (player.src) URL.revokeObjectURL(player.src);
  player.src = URL.createObjectURL(entry.sound);
  if (entry.recorded) offer(entry);
  find("result").hidden = false; // what is hidden has no width to draw in
  playing = null;
  drawAll(found, play);
  drawCorrections(entry);
  drawSounds(entry, show);
  follow();
}

// A recording can be saved whatever the server says of it, and until another is offered.
function offer({ sound, name }) {
  const link = find("save");
  URL.revokeObjectURL(link.href);
  [link.href, link.download, link.textContent, link.hidden] = [URL.createObjectURL(sound), name, `Save ${name}`, false];
}

// Playing ----------------------------------------------------------------------------------------------------------------

async function play(number) {
  if (playing === number && !player.paused) return player.pause();
  playing = number;
  player.currentTime = found.segments[number].start_s;
  try {
    await player.play();
  } catch (error) {
    if (error.name === "AbortError") return undefined; // paused before it began
    playing = null;
    find("unplayable").hidden = false;
  }
  return follow();
}

// Moves the mark, ends a segment where it ends, and shows which one plays.
function follow() {
  if (!found) return;
  const part = playing === null ? null : found.segments[playing];
  if (part && !player.paused && player.currentTime >= part.end_s) player.pause();
  if (part && (player.currentTime < part.start_s - 0.1 || player.currentTime > part.end_s + 0.3)) playing = null; // moved away
  const [now, lane] = [find("now"), find("ticks")];
  now.hidden = player.paused && player.currentTime === 0;
  now.style.left = `${lane.offsetLeft + (lane.clientWidth * Math.min(player.currentTime, found.seconds)) / found.seconds}px`;
  const sounding = player.paused ? null : playing;
  [...find("segments").children].forEach((button, number) => button.setAttribute("aria-pressed", String(number === sounding)));
  [...find("table").tBodies[0].rows].forEach((row, number) => {
    row.classList.toggle("playing", number === sounding);
    row.querySelector("button").setAttribute("aria-pressed", String(number === sounding));
  });
}

function followWhilePlaying() {
  follow();
  if (!player.paused) requestAnimationFrame(followWhilePlaying);
}

player.addEventListener("play", followWhilePlaying);
for (const event of ["pause", "seeked", "timeupdate", "ended"]) player.addEventListener(event, follow);
player.addEventListener("error", () => { find("unplayable").hidden = false; });

for (const id of ["spectrogram", "features", "probabilities"]) {
  find(id).addEventListener("click", (event) => {
    const box = find(id).getBoundingClientRect();
    player.currentTime = ((event.clientX - box.left) / box.width) * found.seconds;
  });
}

find("segments").addEventListener("keydown", (event) => {
  const buttons = [...find("segments").children];
  const here = buttons.indexOf(document.activeElement);
  const next = { ArrowLeft: here - 1, ArrowRight: here + 1, Home: 0, End: buttons.length - 1 }[event.key];
  if (next === undefined || !buttons[next]) return;
  event.preventDefault();
  buttons.forEach((button, number) => { button.tabIndex = number === next ? 0 : -1; });
  buttons[next].focus();
});

// Choosing and dropping -----------------------------------------------------------------------------------------------

find("file").addEventListener("change", ({ target }) => {
  const files = [...target.files];
  target.value = ""; // the same file may be chosen again
  analyse(files.map((file) => ({ sound: file, name: file.name })));
});

// Anywhere on the page: a sound that is let go beside the box must not replace the page.
for (const event of ["dragenter", "dragover"]) {
  document.addEventListener(event, (drag) => {
    drag.preventDefault();
    find("drop").classList.add("over");
  });
}
document.addEventListener("dragleave", (drag) => { if (!drag.relatedTarget) find("drop").classList.remove("over"); });
document.addEventListener("drop", (drag) => {
  drag.preventDefault();
  find("drop").classList.remove("over");
  if (!recording) analyse([...drag.dataTransfer.files].map((file) => ({ sound: file, name: file.name })));
});

// Recording ---------------------------------------------------------------------------------------------------------------

const canRecord = Boolean(navigator.mediaDevices?.getUserMedia); // browsers offer it to https and to this machine alone
let recording = null; // ends it
let recorded = 0;

async function record() {
  const button = find("record");
  if (recording) {
    const { end, timer } = recording;
    clearInterval(timer);
    button.disabled = true; // until the sound is told: it must not be ended twice
    button.textContent = "Record";
    button.setAttribute("aria-pressed", "false");
    const sound = await end().finally(() => {
      recording = null;
      tell("");
    });
    recorded += 1;
    const given = { sound, name: `recording ${recorded}.wav` };
    offer(given);
    await analyse([given]);
    return;
  }
  tell("");
  button.disabled = true; // until the browser was allowed to, or not
  try {
    const end = await startRecording();
    const began = performance.now();
    const timer = setInterval(() => {
      const seconds = (performance.now() - began) / 1000;
      button.textContent = `Stop (${clock(seconds, 0)})`;
      if (seconds > settings.maxSeconds - 1) record();
    }, 250);
    recording = { end, timer };
    button.setAttribute("aria-pressed", "true");
    button.textContent = "Stop (0:00)";
    tell("Recording.");
  } catch (error) {
    tell("", error.name === "NotAllowedError" ? "The browser was not allowed to use the microphone." : `No microphone could be used: ${error.message}.`);
  }
}
find("record").addEventListener("click", record);
if (!canRecord) find("record").title = "Browsers record on https pages and on pages of this machine alone";

// Colours -------------------------------------------------------------------------------------------------------------------

function coloursChanged() {
  find("theme").setAttribute("aria-pressed", String(isDark()));
  redraw();
}
function redraw() {
  if (found && !find("result").hidden) {
    drawAll(found, play);
    drawCorrections(sounds.find((entry) => entry.found === found));
  }
  follow();
}
find("theme").addEventListener("click", () => {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  coloursChanged();
});
system.addEventListener("change", coloursChanged);
window.addEventListener("resize", redraw);
coloursChanged();
tell("");
