// The sounds that were told, and the labels that the visitor puts in place of the model's: a table to train on.
const sounds = []; // {name, sound, found, labels: one a segment, recorded}

// What is to be trained on as: silence and what is none of the classes have no probability, and no label.
const labelOf = (part) => (part.probability === null ? "" : part.label);

// A sound of the same name gives way: the table knows sounds by their names.
function keep(name, sound, found) {
  const entry = { name, sound, found, labels: found.segments.map(labelOf), recorded: !(sound instanceof File) };
  const place = sounds.findIndex((other) => other.name === name);
  sounds.splice(place < 0 ? sounds.length : place, 1, entry);
  return entry;
}

// A button a sound, where there is one to choose.
function drawSounds(shown, show) {
  find("sounds").hidden = sounds.length < (shown ? 2 : 1);
  find("sounds").replaceChildren(
    ...sounds.map((entry) => {
      const [item, button] = [element("li"), element("button", entry.name, { type: "button", "aria-pressed": String(entry === shown) })];
      button.append(element("span", entry.found.labels[0] ? ` ${readable(entry.found.labels[0].label)}` : "", { class: "muted" }));
      button.addEventListener("click", () => show(entry));
      item.append(button);
      return item;
    }),
  );
}

// A field beside each segment of the table.
function drawCorrections(entry) {
  find("classes").replaceChildren(...entry.found.classes.map((label) => element("option", "", { value: label })));
  [...find("table").tBodies[0].rows].forEach((row, number) => {
    const part = entry.found.segments[number];
    const told = `Right label from ${clock(part.start_s)} to ${clock(part.end_s)}`;
    const field = element("input", "", { list: "classes", "aria-label": told, placeholder: "left out", autocomplete: "off" });
    const cell = element("td");
    const mark = () => field.classList.toggle("corrected", field.value !== labelOf(part));
    field.value = entry.labels[number];
    field.addEventListener("input", () => {
      entry.labels[number] = field.value.trim();
      mark();
    });
    mark();
    cell.append(field);
    row.append(cell);
  });
}

// RFC 4180, as `train --labels` reads it; a segment without a label is left out.
function csvOf(entries) {
  // A spreadsheet computes a cell that begins so; an apostrophe before it is taken off by `train --labels`.
  const plain = (text) => (/^'*[=+\-@\t\r＝＋－＠]./s.test(text) ? `'${text}` : text);
  const quoted = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const rows = entries.flatMap(({ name, found, labels }) =>
    found.segments.map((part, number) => [name, labels[number], String(part.start_s), String(part.end_s)]),
  );
  return [["file", "label", "start", "end"], ...rows.filter((row) => row[1])].map((row) => `${row.map(plain).map(quoted).join(",")}\n`).join("");
}

find("download").addEventListener("click", () => {
  const address = URL.createObjectURL(new Blob([csvOf(sounds)], { type: "text/csv" }));
  element("a", "", { href: address, download: "labels.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000); // once the browser has read it
});
