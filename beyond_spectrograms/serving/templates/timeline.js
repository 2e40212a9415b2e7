"use strict";
// Drawing one answer of the server: shares, segments, two pictures, probabilities, a table. Times are seconds.
const find = (id) => document.getElementById(id);
const settings = JSON.parse(find("data").textContent);
const SILENCE = "(silence)";
const MAGMA = ["#000004", "#1c1044", "#4f127b", "#812581", "#b5367a", "#e55064", "#fb8761", "#fec287", "#fcfdbf"];
const VIRIDIS = ["#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30", "#fde725"];

// Text only ever enters the page as text.
function element(name, text = "", attributes = {}) {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

const NARROW = 42; // pixels: in a narrower segment its name would be a letter or two
const percent = (share) => `${(100 * share).toFixed(1)} %`;
const length = (seconds) => (seconds < 60 ? `${seconds.toFixed(2)} s` : `${clock(seconds)} min`);
const readable = (label) => (label === null ? SILENCE : label.replaceAll("_", " "));
function clock(seconds, digits = 2) {
  const whole = Number(seconds.toFixed(digits));
  const minutes = Math.floor(whole / 60);
  return `${minutes}:${(whole - 60 * minutes).toFixed(digits).padStart(digits ? 3 + digits : 2, "0")}`;
}

// Colours: classes that hold a segment have one each, in the order they come; the others are grey. -----------------

const system = window.matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (document.documentElement.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";
// Black lines would vanish on a dark page, and dark blue nearly so.
const seen = (hex) => (isDark() ? ({ "#000000": "#f2f0ea", "#0072B2": "#3d9ddb" }[hex] ?? hex) : hex);
const rgb = (hex) => [1, 3, 5].map((place) => parseInt(hex.slice(place, place + 2), 16));

function coloursOf(segments) {
  const held = [...new Set(segments.map((part) => part.label).filter((label) => label !== null))];
  const turn = (index) => {
    const at = (offset) => {
      const hue = (offset + (12 * index) / held.length) % 12;
      return Math.round(255 * (0.5 - 0.45 * Math.max(-1, Math.min(hue - 3, 9 - hue, 1)))).toString(16).padStart(2, "0");
    };
    return `#${at(0)}${at(8)}${at(4)}`;
  };
  const some = held.length <= settings.palette.length;
  return new Map(held.map((label, index) => [label, seen(some ? settings.palette[index] : turn(index))]));
}

// Black or white, whichever stands out more (WCAG 2.1, relative luminance).
function inkOn(hex) {
  const linear = rgb(hex).map((value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] > 0.179 ? "#000000" : "#ffffff";
}

// 256 colours between the stops, each as the four bytes of an opaque pixel.
function ramp(stops) {
  const bytes = new Uint8ClampedArray(4 * 256);
  for (let level = 0; level < 256; level += 1) {
    const place = (level / 255) * (stops.length - 1);
    const below = Math.min(Math.floor(place), stops.length - 2);
    const [from, to] = [rgb(stops[below]), rgb(stops[below + 1])];
    bytes.set([...from.map((value, index) => value + (to[index] - value) * (place - below)), 255], 4 * level);
  }
  return new Uint32Array(bytes.buffer);
}

// The parts of the timeline ------------------------------------------------------------------------------------------

function drawPicture(canvas, picture, seconds, stops) {
  const levels = Uint8Array.from(atob(picture.levels), (sign) => sign.charCodeAt(0));
  const [colours, image] = [ramp(stops), new ImageData(picture.columns, picture.bands)];
  const pixels = new Uint32Array(image.data.buffer);
  for (let band = 0; band < picture.bands; band += 1) {
    const row = (picture.bands - 1 - band) * picture.columns; // band 1 lies at the bottom
    for (let column = 0; column < picture.columns; column += 1) {
      pixels[row + column] = colours[levels[band * picture.columns + column]];
    }
  }
  const whole = element("canvas");
  [whole.width, whole.height] = [picture.columns, picture.bands];
  whole.getContext("2d").putImageData(image, 0, 0);
  [canvas.width, canvas.height] = [picture.columns, picture.bands];
  // The last column may reach past the sound's end.
  const width = (canvas.width * picture.columns * picture.column_s) / seconds;
  canvas.getContext("2d").drawImage(whole, 0, 0, width, canvas.height);
}

function drawProbabilities(place, found, colours) {
  place.setAttribute("viewBox", `0 0 ${found.seconds} 1`);
  const paths = found.classes.map((label, index) => {
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    const steps = found.windows.map((window, number) => {
      if (window.silent) return "";
      const middle = Math.min(window.start_s + found.window_s / 2, found.seconds);
      const joined = number > 0 && !found.windows[number - 1].silent;
      const [first, last] = [number === 0, number === found.windows.length - 1];
      const height = (1 - window.probabilities[index]).toFixed(4);
      // Outside of the first and the last centre the line is level.
      return `${joined ? "L" : "M"}${first ? 0 : middle} ${height}H${middle}${last ? `H${found.seconds}` : ""}`;
    });
    path.setAttribute("d", steps.join(""));
    if (colours.has(label)) path.setAttribute("stroke", colours.get(label));
    else path.setAttribute("class", "other");
    return path;
  });
  place.replaceChildren(...paths.sort((one, other) => one.hasAttribute("stroke") - other.hasAttribute("stroke")));
}

function drawTicks(place, seconds) {
  const most = Math.max(place.clientWidth / 90, 2);
  const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120];
  const step = steps.find((one) => seconds / one <= most) ?? 300;
  const ticks = [];
  for (let number = 0; number * step <= seconds * 1.0001; number += 1) {
    const tick = element("span", clock(number * step, step < 1 ? 1 : 0));
    tick.style.left = `${(100 * number * step) / seconds}%`;
    if (number * step > 0.97 * seconds) tick.className = "last";
    ticks.push(tick);
  }
  place.replaceChildren(...ticks);
}

function drawHertz(place, { lowest_hz: lowest, highest_hz: highest }) {
  const marks = [100, 300, 1000, 3000, 10000].filter((hertz) => hertz < 0.9 * highest);
  const height = (hertz) => 1 - Math.log(hertz / lowest) / Math.log(highest / lowest);
  place.replaceChildren(
    ...marks.map((hertz) => {
      const mark = element("span", hertz < 1000 ? `${hertz} Hz` : `${hertz / 1000} kHz`, { class: "mark" });
      mark.style.top = `${100 * height(hertz)}%`;
      return mark;
    }),
  );
}

function drawLabels(place, labels) {
  const rows = labels.slice(0, 3).map(({ label, probability }) => {
    const [row, bar] = [element("li"), element("span", "", { class: "bar", "aria-hidden": "true" })];
    bar.append(element("span"));
    bar.firstChild.style.width = `${100 * probability}%`;
    row.append(element("span", readable(label)), bar, element("span", probability === null ? "" : percent(probability), { class: "figure" }));
    return row;
  });
  place.replaceChildren(...rows);
}

function swatch(colour) {
  const made = element("span", "", { class: colour ? "swatch" : "swatch silence", "aria-hidden": "true" });
  if (colour) made.style.background = colour;
  return made;
}

function drawLegend(place, { classes, segments }, colours) {
  const entries = [...colours].map(([label, colour]) => [readable(label), colour]);
  if (segments.some((part) => part.label === null)) entries.push([SILENCE, null]);
  if (classes.some((label) => !colours.has(label))) entries.push(["other classes", "var(--other)"]);
  place.replaceChildren(
    ...entries.map(([name, colour]) => {
      const item = element("li");
      item.append(swatch(colour), name);
      return item;
    }),
  );
}

// A button a segment, in the bar and in the table: `play` is called with its number.
function drawSegments(bar, body, found, colours, play) {
  const told = (part) => `${readable(part.label)}, ${clock(part.start_s)} to ${clock(part.end_s)}`;
  bar.replaceChildren(
    ...found.segments.map((part, number) => {
      const width = (part.end_s - part.start_s) / found.seconds;
      const name = width * bar.clientWidth < NARROW ? "" : readable(part.label);
      const button = element("button", name, { type: "button", title: told(part), "aria-label": `Play ${told(part)}` });
      button.tabIndex = number ? -1 : 0; // one stop for Tab; arrows go on from there
      button.style.left = `${(100 * part.start_s) / found.seconds}%`;
      button.style.width = `${100 * width}%`;
      if (part.label === null) button.className = "silence";
      else [button.style.background, button.style.color] = [colours.get(part.label), inkOn(colours.get(part.label))];
      button.addEventListener("click", () => play(number));
      return button;
    }),
  );
  body.replaceChildren(
    ...found.segments.map((part, number) => {
      const [row, head] = [element("tr"), element("th", "", { scope: "row" })];
      const button = element("button", "", { type: "button", "aria-label": `Play ${told(part)}` });
      button.append(element("span", "▶ ", { "aria-hidden": "true" }), swatch(colours.get(part.label)), readable(part.label));
      button.addEventListener("click", () => play(number));
      head.append(button);
      const figures = [clock(part.start_s), clock(part.end_s), part.probability === null ? "" : percent(part.probability)];
      row.append(head, ...figures.map((text) => element("td", text, { class: "figure" })));
      return row;
    }),
  );
}

function drawAll(found, play) {
  const colours = coloursOf(found.segments);
  drawLabels(find("labels"), found.labels);
  find("timeline").style.setProperty("--least", `${Math.min(4 * found.seconds, 4000)}px`);
  drawSegments(find("segments"), find("table").tBodies[0], found, colours, play);
  drawPicture(find("spectrogram"), found.spectrogram, found.seconds, MAGMA);
  find("spectrogram").setAttribute("aria-label", `Spectrogram of ${length(found.seconds)}`);
  drawHertz(find("hertz"), found.spectrogram);
  drawPicture(find("features"), found.features, found.seconds, VIRIDIS);
  find("features").setAttribute("aria-label", `What the classifier is given: ${found.features.bands} bands over time`);
  find("bands").replaceChildren(...[found.features.bands, "band", 1].map((text) => element("span", String(text))));
  drawProbabilities(find("probabilities"), found, colours);
  find("probabilities").setAttribute("aria-label", `Probability of ${found.classes.length} classes over time; the segments below say which holds when`);
  find("chances").replaceChildren(...["100 %", "50 %", "0 %"].map((text) => element("span", text)));
  drawTicks(find("ticks"), found.seconds);
  drawLegend(find("legend"), found, colours);
}
