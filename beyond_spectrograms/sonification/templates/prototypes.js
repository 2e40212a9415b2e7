// Prototypes as cards, a clip to pick, what each class makes of it, and one player for all sounds.
(() => {
  const page = JSON.parse(document.getElementById("data").textContent);
  const find = (id) => document.getElementById(id);
  const WIDTH = 200;

  // Text only ever enters the page as text.
  function element(name, attributes = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  // Sounds --------------------------------------------------------------------------------------------------------

  const player = find("player");

  function playButton(text, sound, title) {
    const button = element("button", { type: "button", class: "play" }, text);
    button.addEventListener("click", () => {
      for (const other of document.querySelectorAll("button.play")) other.setAttribute("aria-pressed", "false");
      button.setAttribute("aria-pressed", "true");
      find("playing").textContent = title;
      player.src = sound;
      player.play().catch((error) => {
        // A sound asked for before the last one was loaded stops that: no error.
        if (error.name !== "AbortError") find("playing").textContent = `${title}: ${error.message}`;
      });
    });
    return button;
  }

  // Lines ---------------------------------------------------------------------------------------------------------

  function lines(series, low, high, height, label) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const span = high - low || 1;
    const place = (value) => (height * (1 - (value - low) / span)).toFixed(1);
    const draw = (values, kind) => {
      const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
      const step = WIDTH / Math.max(1, values.length - 1);
      path.setAttribute("d", values.map((value, i) => `${i ? "L" : "M"}${(i * step).toFixed(1)} ${place(value)}`).join(""));
      path.setAttribute("class", kind);
      svg.append(path);
    };
    for (const [name, value] of Object.entries({
      viewBox: `0 0 ${WIDTH} ${height}`, preserveAspectRatio: "none", height, role: "img", "aria-label": label,
    })) svg.setAttribute(name, value);
    if (low < 0 && high > 0) draw([0, 0], "zero");
    for (const [values, kind] of series) draw(values, kind);
    return svg;
  }

  // Prototypes ----------------------------------------------------------------------------------------------------

  // Spectra are in dB over Hz; latents have no unit, and their bands numbers alone.
  const unit = page.frequencies ? " dB" : "";
  const painted = typeof page.prototypes[0].plain === "string";
  const shown = painted ? [0] : page.prototypes.flatMap((one) => [...one.plain, ...(one.transformed ?? [])]);
  const floor = Math.floor(Math.min(...shown) / 10) * 10;
  const ceiling = Math.ceil(Math.max(...shown) / 10) * 10;

  function ends(bands) {
    const hertz = (value) => (value >= 1000 ? `${(value / 1000).toFixed(1)} kHz` : `${Math.round(value)} Hz`);
    const told = (band) => (page.frequencies ? hertz(page.frequencies[band]) : `latent ${band + 1}`);
    return [0, Math.floor(bands / 2), bands - 1].map((band) => element("span", {}, told(band)));
  }

  function drawing(one) {
    if (painted) {
      const picture = (source, text) => element("figure", {}, element("figcaption", {}, text), element("img", { src: source, alt: `${one.name}, ${text}` }));
      return [picture(one.plain, "prototype"), ...(one.transformed ? [picture(one.transformed, "with its mean transformation")] : [])];
    }
    const series = [[one.plain, "plain"], ...(one.transformed ? [[one.transformed, "changed"]] : [])];
    const range = element("figcaption", {}, element("span", {}, `${floor} to ${ceiling}${unit}`));
    const axis = element("div", { class: "axis", "aria-hidden": "true" }, ...ends(one.plain.length));
    return [element("figure", {}, range, lines(series, floor, ceiling, 110, `Features of ${one.name}`), axis)];
  }

  for (const one of page.prototypes) {
    const buttons = element("div", { class: "buttons" }, playButton("prototype", one.sound, `${one.name}, prototype`));
    if (one.transformed) {
      buttons.append(playButton("mean transformation", one.transformedSound, `${one.name}, with its mean transformation`));
    }
    const windows = element("p", { class: "muted small" }, `explains ${one.windows} validation windows`);
    find("cards").append(
      element("li", { class: "card" }, element("h3", {}, one.name), ...drawing(one), buttons, windows),
    );
  }

  // Clips ---------------------------------------------------------------------------------------------------------

  const unchanged = (kind) => page.unchanged[kind] ?? 0;

  function show(clip) {
    for (const button of document.querySelectorAll("#choices button")) {
      button.setAttribute("aria-pressed", String(button.dataset.clip === String(page.clips.indexOf(clip))));
    }
    const named = `${clip.clip}, from ${clip.start} s`;
    const known = clip.reconstructions.some((one) => one.label === clip.label);
    find("chosen").replaceChildren(
      element("div", { class: "card" },
        element("img", { src: clip.picture, alt: `Features of ${named}` }),
        element("h3", {}, clip.label, element("small", { class: "muted" }, named)),
        element("div", { class: "buttons" }, playButton("the clip", clip.sound, named),
          playButton("its round trip", clip.roundTrip, `${named}, played from its own features`)),
        ...(known ? [] : [element("p", { class: "muted" }, `No prototype is named ${clip.label}: its own class cannot render it.`)])),
    );
    const kinds = Object.keys(clip.reconstructions[0].curves);
    const reach = Object.fromEntries(
      kinds.map((kind) => [kind, Math.max(0.1, ...clip.reconstructions.flatMap((one) => one.curves[kind].map((value) => Math.abs(value - unchanged(kind)))))]),
    );
    find("reconstructions").replaceChildren(...clip.reconstructions.map((one, rank) => reconstruction(clip, one, rank, kinds, reach)));
  }

  function reconstruction(clip, one, rank, kinds, reach) {
    const prototype = page.prototypes[one.prototype];
    const isOwn = one.label === clip.label;
    const head = element("h3", {}, one.label, element("small", { class: "muted" }, `error ${one.error.toFixed(1)}${unit}`));
    if (rank === 0) head.append(element("span", { class: `verdict ${isOwn ? "holds" : "does-not-hold"}` }, isOwn ? "the answer, right" : "the answer, wrong"));
    else if (isOwn) head.append(element("span", { class: "verdict undecided" }, "its class"));
    const curves = kinds.map((kind) => {
      const scale = reach[kind], middle = unchanged(kind);
      const range = middle ? `${middle} ± ${scale.toFixed(1)}` : `±${scale.toFixed(1)}`;
      const caption = element("figcaption", {}, element("span", {}, kind), element("span", {}, range));
      return element("figure", {}, caption, lines([[one.curves[kind].map((value) => value - middle), "plain"]], -scale, scale, 34, `${kind} over time`));
    });
    return element("li", { class: "card" },
      element("img", { src: one.picture, alt: `${clip.clip} as ${one.label} renders it` }),
      head,
      element("div", { class: "buttons" },
        playButton("rendered", one.sound, `${clip.clip} as ${one.label} renders it`),
        playButton("prototype", prototype.sound, `${prototype.name}, prototype`)),
      ...curves);
  }

  const choices = find("choices");
  if (choices) {
    const labels = [...new Set(page.clips.map((clip) => clip.label))];
    for (const label of labels) {
      const row = element("div", { class: "row" });
      page.clips.forEach((clip, number) => {
        if (clip.label !== label) return;
        const name = `${clip.label}: ${clip.clip}, from ${clip.start} s`;
        const button = element("button", { type: "button", "data-clip": number, "aria-label": name, title: name }, element("img", { src: clip.picture, alt: "" }));
        button.addEventListener("click", () => show(clip));
        row.append(button);
      });
      choices.append(element("div", { class: "class" }, element("span", {}, label), row));
    }
    show(page.clips[0]);
  }
})();
