import re
import shutil
import subprocess

import pytest
import synthetic_study as synthetic

from halocline.report.page import render

BROWSER = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--enable-logging=stderr",
    "--virtual-time-budget=5000",
    "--window-size=1200,900",
    "--dump-dom",
]


needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
PROBE = """
<script>
const canvas = document.querySelector("canvas");
const pictures = [];
const steps = [
  () => {},
  () => canvas.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowLeft", bubbles: true })),
  () => canvas.dispatchEvent(new KeyboardEvent("keydown", { key: "+", bubbles: true })),
  () => document.querySelector("[data-level='2']").click(),
  () => document.querySelector("[data-action='end']").click(),
];
// The viewer draws in the next frame, whenever a headless browser makes one.
const wait = (tries) => setTimeout(() => {
  const picture = canvas.toDataURL();
  if (picture === pictures[pictures.length - 1] && tries) { wait(tries - 1); return; }
  pictures.push(picture);
  next();
}, 50);
const next = () => {
  const step = steps.shift();
  if (!step) { document.body.dataset.different = new Set(pictures).size; return; }
  step();
  wait(20);
};
next();
</script>
"""


def _open(tmp_path, text):
    page = tmp_path / "report.html"
    page.write_text(text)
    command = [BROWSER, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", page.as_uri()]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=90)
    except subprocess.TimeoutExpired:
        pytest.skip("Chromium did not answer within 90 s")


@needs_browser
def test_page_runs_in_a_browser_without_errors_and_the_viewer_answers(tmp_path):
    done = _open(tmp_path, render(synthetic.content()).replace("</body>", PROBE + "</body>"))
    assert not re.findall(r"CONSOLE.*", done.stderr)
    assert 'data-viewer="ready"' in done.stdout
    assert 'aria-current="true"' in done.stdout
    canvas = re.search(r"<canvas[^>]*>", done.stdout).group()
    assert " hidden" not in canvas
    assert 'data-different="5"' in done.stdout


@needs_browser
def test_page_without_a_scene_runs_without_errors(tmp_path):
    done = _open(tmp_path, render(synthetic.content(scene=None, scene_note="No record.")))
    assert not re.findall(r"CONSOLE.*", done.stderr)
    assert "No record." in done.stdout
