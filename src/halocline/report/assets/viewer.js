// Spheres of one configuration on a canvas: turn, zoom, show and hide levels. No library, works from a file.
(() => {
  "use strict";
  const figure = document.getElementById("viewer");
  const canvas = figure.querySelector("canvas");
  const context = canvas.getContext("2d");
  if (!context) return; // the still picture stays
  const scene = JSON.parse(document.getElementById("viewer-data").textContent);
  const count = scene.level.length;
  const xyz = Float32Array.from(scene.xyz, (value) => value / 100);
  const [ex, ey, ez] = scene.edges;
  const reach = 0.5 * Math.hypot(ex, ey, ez);
  const shown = [true, true, true];
  const first = { yaw: scene.yaw, pitch: scene.pitch, zoom: 1 };
  const view = { ...first };
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  const screen = new Float32Array(3 * count);
  let sprites = [];
  let colours = {};

  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const channels = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
  const mix = (a, b, t) => `rgb(${a.map((value, i) => Math.round(value + (b[i] - value) * t)).join(",")})`;

  // One shaded sphere for each level and kind, drawn once and then only scaled.
  function makeSprites() {
    colours = { line: style("--faint"), page: channels(style("--card")), levels: [0, 1, 2].map((i) => channels(style(`--level-${i}`))) };
    sprites = colours.levels.map((level) => scene.kinds.map((kind) => {
      const base = kind === "H" ? level.map((value) => value + (255 - value) * 0.55) : level;
      const sprite = document.createElement("canvas");
      sprite.width = sprite.height = 64;
      const pen = sprite.getContext("2d");
      const shade = pen.createRadialGradient(23, 21, 2, 32, 32, 31);
      shade.addColorStop(0, mix(base, [255, 255, 255], 0.62));
      shade.addColorStop(0.45, mix(base, base, 0));
      shade.addColorStop(1, mix(base, [0, 0, 0], 0.42));
      pen.globalAlpha = kind === "bead" ? 0.82 : 1;
      pen.fillStyle = shade;
      pen.beginPath();
      pen.arc(32, 32, 31, 0, 2 * Math.PI);
      pen.fill();
      return sprite;
    }));
  }

  function project(x, y, z) {
    const cy = Math.cos(view.yaw), sy = Math.sin(view.yaw), cp = Math.cos(view.pitch), sp = Math.sin(view.pitch);
    const behind = cy * z - sy * x;
    return [cy * x + sy * z, sp * behind - cp * y, sp * y + cp * behind];
  }

  function scale(width, height) {
    const [w, h] = [Math.abs(Math.cos(view.yaw)) * ex + Math.abs(Math.sin(view.yaw)) * ez, Math.hypot(ey, 0.4 * ez) + 2];
    return view.zoom * Math.min(0.92 * width / Math.max(w, ez), 0.84 * height / h);
  }

  // Mild perspective: things near the reader are up to a fifth larger.
  const near = (depth) => 1 / (1 - depth / (9 * reach));

  function frame(pen, half, closed, toPixel) {
    const [hx, hy, hz] = half;
    const corners = [];
    for (let i = 0; i < 8; i++) corners.push(toPixel(project((i & 4 ? 1 : -1) * hx, (i & 2 ? 1 : -1) * hy, (i & 1 ? 1 : -1) * hz)));
    pen.beginPath();
    for (let i = 0; i < 8; i++) {
      for (const bit of [1, 2, 4]) {
        if (i & bit || (bit === 4 && !closed)) continue;
        pen.moveTo(...corners[i]);
        pen.lineTo(...corners[i | bit]);
      }
    }
    pen.stroke();
  }

  function draw() {
    const ratio = window.devicePixelRatio || 1;
    const width = canvas.clientWidth, height = canvas.clientHeight;
    if (!width) return;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const unit = scale(width, height);
    const toPixel = ([x, y, depth]) => [width / 2 + x * unit * near(depth), height / 2 + y * unit * near(depth)];
    context.lineWidth = 1;
    context.strokeStyle = colours.line;
    frame(context, [ex / 2, ey / 2, ez / 2], true, toPixel);
    context.setLineDash([4, 4]);
    for (const radius of [scene.atomistic, scene.outer]) {
      if (!scene.cores.length) frame(context, [radius, ey / 2, ez / 2], false, toPixel);
      for (const core of scene.cores) {
        const point = project(...core), [x, y] = toPixel(point);
        context.beginPath();
        context.arc(x, y, radius * unit * near(point[2]), 0, 2 * Math.PI);
        context.stroke();
      }
    }
    context.setLineDash([]);
    for (let i = 0; i < count; i++) {
      const point = project(xyz[3 * i], xyz[3 * i + 1], xyz[3 * i + 2]);
      screen.set(point, 3 * i);
    }
    order.sort((a, b) => screen[3 * a + 2] - screen[3 * b + 2]);
    for (const i of order) {
      const level = scene.level[i];
      if (!shown[level]) continue;
      const depth = screen[3 * i + 2];
      const [x, y] = toPixel([screen[3 * i], screen[3 * i + 1], depth]);
      const radius = scene.radii[scene.kind[i]] * unit * near(depth);
      // Distant spheres fade into the page.
      context.globalAlpha = 0.45 + 0.55 * Math.min(1, Math.max(0, (depth / reach + 0.75) / 1.2));
      context.drawImage(sprites[level][scene.kind[i]], x - radius, y - radius, 2 * radius, 2 * radius);
    }
    context.globalAlpha = 1;
  }

  let waiting = false;
  function redraw() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; draw(); });
  }

  function turn(yaw, pitch) {
    view.yaw += yaw;
    view.pitch = Math.max(-Math.PI / 2, Math.min(Math.PI / 2, view.pitch + pitch));
    redraw();
  }
  function zoom(factor) {
    view.zoom = Math.max(0.4, Math.min(8, view.zoom * factor));
    redraw();
  }

  let drag = null;
  canvas.addEventListener("pointerdown", (event) => {
    drag = [event.clientX, event.clientY];
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!drag) return;
    turn((event.clientX - drag[0]) * 0.008, (event.clientY - drag[1]) * 0.008);
    drag = [event.clientX, event.clientY];
  });
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => { drag = null; });
  // The wheel scrolls the page until the view has been clicked or reached by keyboard.
  canvas.addEventListener("wheel", (event) => {
    if (document.activeElement !== canvas) return;
    event.preventDefault();
    zoom(Math.exp(-0.0015 * event.deltaY));
  }, { passive: false });

  const actions = {
    in: () => zoom(1.25),
    out: () => zoom(0.8),
    reset: () => { Object.assign(view, first); redraw(); },
    front: () => { Object.assign(view, { yaw: 0, pitch: 0 }); redraw(); },
    end: () => { Object.assign(view, { yaw: Math.PI / 2, pitch: 0 }); redraw(); },
  };
  const keys = {
    ArrowLeft: () => turn(-0.12, 0), ArrowRight: () => turn(0.12, 0), ArrowUp: () => turn(0, -0.12), ArrowDown: () => turn(0, 0.12),
    "+": actions.in, "=": actions.in, "-": actions.out, "0": actions.reset,
  };
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in keys)) return;
    event.preventDefault();
    keys[event.key]();
  });
  for (const button of figure.querySelectorAll("[data-action]")) button.addEventListener("click", actions[button.dataset.action]);
  for (const box of figure.querySelectorAll("[data-level]")) {
    box.hidden = false;
    box.addEventListener("change", () => { shown[Number(box.dataset.level)] = box.checked; redraw(); });
  }

  figure.querySelector(".box-picture").style.display = "none"; // the print style shows it again
  canvas.hidden = false;
  figure.querySelector(".controls").hidden = false;
  figure.querySelector(".interactive").hidden = false;
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { makeSprites(); redraw(); });
  new ResizeObserver(redraw).observe(canvas);
  makeSprites();
  draw();
  document.documentElement.dataset.viewer = "ready";
})();
