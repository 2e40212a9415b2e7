"use strict";
// Pictures of the learning curves: the chart for Vega, and the sample of a line beside its checkbox.

// Vega's own names of shapes, as paths in a box of -1 to 1.
const PATHS = {
  circle: "M-1,0a1,1 0 1,0 2,0a1,1 0 1,0 -2,0Z",
  square: "M-.9,-.9h1.8v1.8h-1.8Z",
  diamond: "M0,-1.2L1,0L0,1.2L-1,0Z",
  cross: "M-1.1,-.4h.7v-.7h.8v.7h.7v.8h-.7v.7h-.8v-.7h-.7Z",
  "triangle-up": "M0,-1L1,.8H-1Z",
  "triangle-down": "M0,1L1,-.8H-1Z",
  "triangle-right": "M1,0L-.8,1V-1Z",
  "triangle-left": "M-1,0L.8,1V-1Z",
};

function swatch(style, ink) {
  const space = "http://www.w3.org/2000/svg";
  const drawn = document.createElementNS(space, "svg");
  const parts = [
    ["line", { x1: 0, x2: 42, y1: 8, y2: 8, "stroke-width": 2, "stroke-dasharray": style.dash.join(" ") }],
    ["path", { d: PATHS[style.shape], transform: "translate(21 8) scale(4.5)", fill: ink, stroke: "none" }],
  ];
  drawn.setAttribute("viewBox", "0 0 42 16");
  drawn.setAttribute("aria-hidden", "true");
  for (const [name, attributes] of parts) {
    const part = document.createElementNS(space, name);
    part.setAttribute("stroke", ink);
    for (const [key, value] of Object.entries(attributes)) part.setAttribute(key, value);
    drawn.append(part);
  }
  return drawn;
}

// Vega-Lite of mean lines with markers over bands from the lowest to the highest run.
// styles: a representation each; rows: {representation, epoch, mean, low, high, marked}; inks: a colour for each style.
function curveChart(styles, rows, measure, lossShown, inks, colours) {
  const isLoss = measure.endsWith("loss");
  const labels = styles.map((style) => style.label);
  const scale = (range) => ({ domain: labels, range });
  const y = { type: "quantitative", title: isLoss ? "cross-entropy (nats, log scale)" : "accuracy (%)" };
  if (isLoss) y.scale = { type: "log", nice: false };
  if (isLoss && Math.max(...rows.map((row) => row.high)) > lossShown) {
    y.scale.domainMax = Math.max(lossShown, 2 * Math.min(...rows.map((row) => row.mean)));
  }
  const x = { field: "epoch", type: "quantitative", title: "epoch", axis: { tickMinStep: 1, format: "d" }, scale: { nice: false } };
  const colour = { field: "representation", type: "nominal", legend: null, scale: scale(inks) };
  const tooltip = [
    { field: "representation", title: "representation" },
    { field: "epoch", title: "epoch" },
    ...["mean", "low", "high"].map((field) => ({ field, title: field, format: isLoss ? ".3g" : ".1f" })),
  ];
  const text = { labelColor: colours.text, titleColor: colours.text, gridColor: colours.grid };
  return {
    $schema: "https://vega.github.io/schema/vega-lite/v6.json",
    description: `${measure.replace("_", " ")} by epoch of ${labels.join(", ")}; the figures are in the table below`,
    width: "container",
    height: 340,
    autosize: { type: "fit", contains: "padding" },
    background: "transparent",
    config: { view: { stroke: null }, axis: { ...text, domainColor: colours.text, tickColor: colours.text, labelFontSize: 12, titleFontSize: 12 } },
    data: { values: rows },
    encoding: { x, color: colour },
    layer: [
      { mark: { type: "area", opacity: 0.14, clip: true }, encoding: { y: { ...y, field: "low" }, y2: { field: "high" } } },
      {
        mark: { type: "line", strokeWidth: 2, clip: true },
        encoding: {
          y: { ...y, field: "mean" },
          strokeDash: { field: "representation", type: "nominal", legend: null, scale: scale(styles.map((style) => (style.dash.length ? style.dash : [1, 0]))) },
        },
      },
      {
        transform: [{ filter: "datum.marked" }],
        mark: { type: "point", filled: true, size: 55, opacity: 1, clip: true },
        encoding: {
          y: { ...y, field: "mean" },
          shape: { field: "representation", type: "nominal", legend: null, scale: scale(styles.map((style) => style.shape)) },
        },
      },
      { mark: { type: "point", filled: true, size: 90, opacity: 0, clip: true }, encoding: { y: { ...y, field: "mean" }, tooltip } },
    ],
  };
}
