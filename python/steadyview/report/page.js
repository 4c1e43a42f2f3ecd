// A reading under the pointer for every chart.
for (const svg of document.querySelectorAll("svg.chart")) {
  const [left, top, width, height] = svg.dataset.box.split(",").map(Number);
  const [x0, x1] = svg.dataset.x.split(",").map(Number);
  const [y0, y1] = svg.dataset.y.split(",").map(Number);
  const log = svg.dataset.log === "1";
  const curves = [...svg.querySelectorAll("polyline")].map((line) => ({
    name: line.dataset.name,
    points: line.getAttribute("points").split(" ").map((pair) => pair.split(",").map(Number)),
  }));
  const make = (tag, style) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    node.setAttribute("class", style);
    svg.append(node);
    return node;
  };
  const cursor = make("path", "cursor");
  const readout = make("text", "readout");
  const value = (position, low, high) => {
    const linear = low + (high - low) * position;
    return Number((log ? 10 ** linear : linear).toPrecision(4)).toString();
  };
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
    if (x < left || x > left + width || !curves.length) return;
    const near = curves.map(({ name, points }) => {
      const best = points.reduce((a, b) => (Math.abs(b[0] - x) < Math.abs(a[0] - x) ? b : a));
      return { name, x: best[0], text: value((top + height - best[1]) / height, y0, y1) };
    });
    const at = near[0].x;
    cursor.setAttribute("d", `M${at} ${top}v${height}`);
    readout.setAttribute("x", at > left + width / 2 ? at - 8 : at + 8);
    readout.setAttribute("text-anchor", at > left + width / 2 ? "end" : "start");
    readout.setAttribute("y", top + height - 8);
    readout.textContent = `${value((at - left) / width, x0, x1)} ${log ? "Hz" : "s"}: ` +
      near.map((item) => `${item.name} ${item.text}`).join(", ");
  });
  svg.addEventListener("click", (event) => {
    const box = svg.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
    if (log || x < left || x > left + width) return;
    const detail = x0 + ((x1 - x0) * (x - left)) / width;
    svg.dispatchEvent(new CustomEvent("seek", { detail, bubbles: true }));
  });
  svg.addEventListener("pointerleave", () => {
    cursor.removeAttribute("d");
    readout.textContent = "";
  });
}
