// What the reader chooses on the page: data set, colours, and what curves, confusion and classes show.
(() => {
  const page = JSON.parse(document.getElementById("data").textContent);
  const find = (id) => document.getElementById(id);
  const number = (value, digits) => value.toFixed(digits);
  const percent = (count, total) => (total ? (100 * count) / total : null);
  const sum = (values) => values.reduce((total, value) => total + value, 0);

  // Text only ever enters the page as text.
  function element(name, text = "", attributes = {}) {
    const made = document.createElement(name);
    made.textContent = text;
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  }

  function fill(select, names, wanted, label = (name) => name) {
    const options = names.map((name) => element("option", label(name), { value: name }));
    select.replaceChildren(...options);
    select.value = names.includes(wanted) ? wanted : (names[0] ?? "");
  }

  function table(place, heads, rows) {
    const head = element("thead");
    head.append(element("tr"));
    head.firstChild.append(...heads.map(([text, kind]) => element("th", text, { scope: "col", class: kind })));
    const body = element("tbody");
    for (const cells of rows) {
      const row = element("tr");
      row.append(...cells);
      body.append(row);
    }
    place.replaceChildren(head, body);
  }

  const current = () => page.datasets[find("dataset").value];
  const labelOf = (name) => page.representations[name].label;
  const cellOf = (name, protocol) => current().cells[`${name} ${protocol}`];
  const namesUnder = (protocol) => current().names.filter((name) => cellOf(name, protocol));

  // Colours -------------------------------------------------------------------------------------------------------

  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (document.documentElement.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  // Black lines would vanish on a dark page, and dark blue nearly so.
  const seen = (hex) => (isDark() ? ({ "#000000": "#f2f0ea", "#0072B2": "#3d9ddb" }[hex] ?? hex) : hex);

  function coloursChanged() {
    find("theme").setAttribute("aria-pressed", String(isDark()));
    listNames();
    drawCurves();
  }

  find("theme").addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    coloursChanged();
  });
  system.addEventListener("change", coloursChanged);

  // Verdicts ------------------------------------------------------------------------------------------------------

  for (const block of document.querySelectorAll("#verdicts [data-dataset]")) {
    const filters = [...block.querySelectorAll("[data-filter]")];
    const matrices = [...block.querySelectorAll(".matrix")];
    const filter = () => {
      for (const matrix of matrices) {
        matrix.hidden = filters.some((select) => matrix.dataset[select.dataset.filter] !== select.value);
      }
    };
    for (const select of filters) select.addEventListener("change", filter);
    filter();
    const tell = (event) => {
      const chosen = event.target.closest("button[data-reason]");
      if (!chosen) return;
      for (const button of block.querySelectorAll("button[aria-pressed]")) button.removeAttribute("aria-pressed");
      chosen.setAttribute("aria-pressed", "true");
      block.querySelector(".reason").textContent = chosen.dataset.reason;
    };
    block.addEventListener("click", tell);
    block.addEventListener("focusin", tell);
  }

  // Curves --------------------------------------------------------------------------------------------------------

  const chosen = new Set(Object.keys(page.representations).filter((name) => !page.representations[name].ablation));
  function listNames() {
    const labels = namesUnder(find("curves-protocol").value).map((name) => {
      const label = element("label");
      const box = element("input", "", { type: "checkbox", value: name });
      box.checked = chosen.has(name);
      label.append(box, swatch(page.representations[name], seen(page.representations[name].colour)), element("span", labelOf(name)));
      return label;
    });
    find("curves-names").replaceChildren(...labels);
  }

  function rowsOf(name, curve, measure) {
    const values = curve[measure];
    const every = Math.max(1, Math.floor(curve.epochs.length / 6));
    return curve.epochs.map((epoch, index) => ({
      representation: labelOf(name),
      epoch,
      mean: values.mean[index],
      low: values.low[index],
      high: values.high[index],
      marked: index % every === 0,
    }));
  }

  let drawing = Promise.resolve();

  function drawCurves() {
    const protocol = find("curves-protocol").value;
    const measure = find("curves-measure").value;
    const known = namesUnder(protocol);
    const shown = known.filter((name) => chosen.has(name) && cellOf(name, protocol).curve);
    const digits = measure.endsWith("loss") ? 3 : 1;
    const said = known.filter((name) => chosen.has(name)).flatMap((name) => {
      const [gone, runs] = cellOf(name, protocol).diverged;
      return gone ? [`${labelOf(name)}: ${gone} of ${runs} runs diverged, left out.`] : [];
    });
    find("curves-note").textContent = ["Line: mean over folds and seeds. Band: lowest to highest run.", ...said].join(" ");
    const heads = [["representation", ""], ["runs", "figure"], ["best mean", "figure"], ["at epoch", "figure"], ["last (lowest to highest)", "figure"]];
    table(find("curves-table"), heads, shown.map((name) => {
      const curve = cellOf(name, protocol).curve;
      const { mean, low, high } = curve[measure];
      const best = (measure.endsWith("loss") ? Math.min : Math.max)(...mean);
      const last = mean.length - 1;
      const cells = [curve.runs, number(best, digits), curve.epochs[mean.indexOf(best)], `${number(mean[last], digits)} (${number(low[last], digits)} to ${number(high[last], digits)})`];
      return [element("th", labelOf(name), { scope: "row" }), ...cells.map((text) => element("td", text, { class: "figure" }))];
    }));
    const rows = shown.flatMap((name) => rowsOf(name, cellOf(name, protocol).curve, measure));
    const options = { actions: false, ast: true, renderer: "svg", defaultStyle: false, tooltip: { theme: isDark() ? "dark" : "light" } };
    const styles = shown.map((name) => page.representations[name]);
    const inks = styles.map((style) => seen(style.colour));
    const chart = curveChart(styles, rows, measure, page.lossShown, inks, { text: colour("--muted"), grid: colour("--line") });
    // One after the other: a slow drawing must not end up over a later one.
    drawing = drawing.then(async () => {
      if (!shown.length) find("chart").replaceChildren(element("p", "No representation is chosen.", { class: "notice" }));
      else await window.vegaEmbed("#chart", chart, options);
    });
  }

  find("curves-names").addEventListener("change", (event) => {
    if (event.target.checked) chosen.add(event.target.value);
    else chosen.delete(event.target.value);
    drawCurves();
  });
  for (const [id, change] of [["curves-all", (name) => chosen.add(name)], ["curves-none", (name) => chosen.delete(name)]]) {
    find(id).addEventListener("click", () => {
      namesUnder(find("curves-protocol").value).forEach(change);
      listNames();
      drawCurves();
    });
  }
  find("curves-protocol").addEventListener("change", () => {
    listNames();
    drawCurves();
  });
  find("curves-measure").addEventListener("change", drawCurves);

  // Confusion and classes -----------------------------------------------------------------------------------------

  function drawConfusion() {
    const cell = cellOf(find("confusion-name").value, find("confusion-protocol").value);
    const heads = [["true class, down; called, across", ""], ...cell.classes.map((name) => [name, ""]), ["windows", "figure"]];
    table(find("confusion-table"), heads, cell.counts.map((counts, row) => {
      const total = sum(counts);
      const cells = counts.map((count, column) => {
        const share = percent(count, total) ?? 0;
        const title = `${count} of ${total} windows of ${cell.classes[row]} were called ${cell.classes[column]}`;
        const made = element("td", count ? number(share, 0) : "", { title, class: row === column ? "right" : "" });
        made.style.setProperty("--share", String(share));
        return made;
      });
      return [element("th", cell.classes[row], { scope: "row" }), ...cells, element("td", total, { class: "figure" })];
    }));
  }

  function drawClasses() {
    const protocol = find("classes-protocol").value;
    const [first, second] = ["classes-name", "classes-baseline"].map((id) => cellOf(find(id).value, protocol));
    const accuracy = (cell, name) => {
      const row = cell.classes.indexOf(name);
      return row < 0 ? null : percent(cell.counts[row][row], sum(cell.counts[row]));
    };
    const compared = first.classes
      .map((name) => [name, accuracy(first, name), accuracy(second, name)])
      .filter(([, mine, theirs]) => mine !== null && theirs !== null)
      .sort((a, b) => b[1] - b[2] - (a[1] - a[2]));
    const widest = Math.max(1, ...compared.map(([, mine, theirs]) => Math.abs(mine - theirs)));
    const heads = [["class", ""], ["points", "figure"], ["fewer · more right", ""], [labelOf(find("classes-name").value), "figure"], [labelOf(find("classes-baseline").value), "figure"]];
    table(find("classes-table"), heads, compared.map(([name, mine, theirs]) => {
      const points = mine - theirs;
      const bar = element("td", "", { class: "bar", "aria-hidden": "true" });
      const track = element("div", "", { class: "track" });
      track.append(element("span", "", { class: points < 0 ? "minus" : "plus" }));
      track.firstChild.style.width = `${(50 * Math.abs(points)) / widest}%`;
      bar.append(track);
      const signed = (points > 0 ? "+" : "") + number(points, 1);
      const figures = [mine, theirs].map((value) => element("td", number(value, 1), { class: "figure" }));
      return [element("th", name, { scope: "row" }), element("td", signed, { class: "figure" }), bar, ...figures];
    }));
  }

  function offerNames(section, ids, wanted) {
    const names = namesUnder(find(`${section}-protocol`).value);
    ids.forEach((id, index) => fill(find(id), names, find(id).value || wanted[index], labelOf));
  }

  function offerConfusion() {
    offerNames("confusion", ["confusion-name"], [current().best]);
    drawConfusion();
  }

  function offerClasses() {
    offerNames("classes", ["classes-name", "classes-baseline"], [current().best, page.baselines[0]]);
    drawClasses();
  }

  find("confusion-protocol").addEventListener("change", offerConfusion);
  find("confusion-name").addEventListener("change", drawConfusion);
  find("classes-protocol").addEventListener("change", offerClasses);
  for (const id of ["classes-name", "classes-baseline"]) find(id).addEventListener("change", drawClasses);

  // Data set ------------------------------------------------------------------------------------------------------

  function chooseDataset() {
    for (const block of document.querySelectorAll("[data-dataset]")) {
      block.hidden = block.dataset.dataset !== find("dataset").value;
    }
    for (const section of ["curves", "confusion", "classes"]) {
      const select = find(`${section}-protocol`);
      fill(select, current().protocols, current().lastRung);
    }
    for (const id of ["confusion-name", "classes-name", "classes-baseline"]) find(id).replaceChildren();
    coloursChanged();
    offerConfusion();
    offerClasses();
  }

  find("dataset").addEventListener("change", chooseDataset);
  chooseDataset();
})();
