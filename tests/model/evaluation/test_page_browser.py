"""report.html in a real browser: playing, switching, both blind tests and their CSV files.

One browser and one page serve all tests. Without Chromium they are skipped.
"""

import csv
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.browser import Browser, Page, find_chromium, running_browser
from helpers.evaluation_folder import ODD_NAME, write_evaluation

from apollo_model.evaluation.page import write_page
from apollo_model.evaluation.page.listening import _FORMATS

pytestmark = pytest.mark.skipif(
    find_chromium() is None,
    reason="no Chromium on the PATH (or in APOLLO_CHROMIUM); apt-get install chromium",
)

MILLISECOND = 44  # samples

TEXTS = "[...document.querySelectorAll('%s')].map((one) => one.textContent)"

# Lag in samples at which two signals agree best, within 200; helpers for the page's own sounds.
HELPERS = """
window.lag = (heard, sound, from, length, at) => {
  let best = -Infinity, found = 0;
  for (let shift = -200; shift <= 200; shift += 1) {
    let sum = 0;
    for (let n = 0; n < length; n += 1) sum += heard[from + n] * (sound[at + n + shift] || 0);
    if (sum > best) { best = sum; found = shift; }
  }
  return found;
};
window.press = (element, key) =>
  element.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
window.button = (root, text) =>
  [...document.querySelectorAll(`${root} button`)].find((one) => one.textContent === text);
true
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with running_browser(str(find_chromium()), tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_page(write_evaluation(tmp_path_factory.mktemp("evaluation") / "small run"))


@pytest.fixture(scope="module")
def opened(browser: Browser, file: Path) -> Page:
    page = browser.new_page()
    page.size(1280, 900)
    page.open(file)
    page.run(HELPERS)
    page.run("document.getElementById('listen').scrollIntoView()")
    page.wait_until("Boolean(report.listening.buffers && report.listening.buttons)")
    return page


@pytest.fixture
def page(opened: Page) -> Iterator[Page]:
    """The open page; every test ends with a silent console."""
    yield opened
    # Chromium's advice to whoever reads a canvas back, as only the tests do.
    assert [line for line in opened.console if "willReadFrequently" not in line] == []


def download(browser: Browser, name: str) -> list[dict[str, str]]:
    path = browser.downloads / name
    end = time.monotonic() + 30
    while not path.exists() and time.monotonic() < end:
        time.sleep(0.05)
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_tables_show_all_rows_and_names_stay_text(page: Page) -> None:
    names = page.run(TEXTS % "#table-2 tbody .system")
    assert names[:2] == ["Codec, unrestored", ODD_NAME]
    assert names[-2:] == ["SR-GAN", "Apollo"]
    badges = page.run(TEXTS % "#table-2 .badge")
    assert badges == ["published, other data"] * 2
    assert page.run("document.querySelectorAll('img').length") == 0


def test_a_column_sorts_both_ways_and_keeps_missing_scores_last(page: Page) -> None:
    column = """(() => {
        const heads = [...document.querySelectorAll('#table-2 thead tr:last-child th')];
        const place = heads.length - 5;  // overall SDR; then SI-SNR, ViSQOL, parameters, time
        heads[place].querySelector('button').click();
        const cells = [...document.querySelectorAll('#table-2 tbody tr')].map(
            (row) => row.children[place].textContent);
        return [heads[place].getAttribute('aria-sort'), cells];
    })()"""
    (first, falling), (second, rising) = page.run(column), page.run(column)
    assert (first, second) == ("descending", "ascending")
    numbers = [float(cell) for cell in falling[:-1]]
    assert len(numbers) == 5
    assert numbers == sorted(numbers, reverse=True)
    assert rising == [*reversed(falling[:-1]), falling[-1]]
    assert falling[-1] == "\u2013"


def test_details_show_differences_and_the_hum_test(page: Page) -> None:
    cells = "[...document.querySelectorAll('#table-details tbody tr')].map((row) => row.innerText)"
    rows = page.run(cells)
    assert len(rows) == 6
    assert "passed" in rows[0]
    assert "failed" in rows[1]
    change = """{ const kind = document.getElementById('details-kind'); kind.value = '%s';
        kind.dispatchEvent(new Event('change')); } true"""
    page.run(change % "difference")
    rows = page.run(cells)
    assert len(rows) == 3
    assert "+1.25" in rows[0]
    assert "1.00 to 1.50" in rows[0]
    page.run(change % "values")
    notes = page.run(TEXTS % "#notes li")
    assert f"{ODD_NAME}, 2 pairs: shifted by 3 samples." in notes


def test_charts_follow_the_legend(page: Page) -> None:
    count = "document.querySelectorAll('#curve-charts .panel:first-child g.series').length"
    before = page.run(count)
    page.run("document.querySelectorAll('#legend input')[1].click()")
    assert page.run(count) == before - 1
    page.run("document.querySelectorAll('#legend input')[1].click()")
    assert page.run(count) == before
    assert page.run("document.querySelectorAll('#spread-chart g.series').length") == 3
    assert page.run("document.querySelectorAll('#clips-chart .cloud').length") == 2
    page.run("""{ const x = document.getElementById('clips-x'); x.value = 'visqol';
        x.dispatchEvent(new Event('change')); }""")
    assert page.run("document.querySelectorAll('#clips-chart .cloud').length") == 3


@pytest.mark.parametrize("level", [None, _FORMATS[2].level], ids=["FLAC", "Opus"])
def test_all_decoded_versions_are_in_time(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: float | None
) -> None:
    chosen = [form for form in _FORMATS if form.level == level]
    monkeypatch.setattr("apollo_model.evaluation.page.listening._FORMATS", chosen)
    page = browser.new_page()
    page.open(write_page(write_evaluation(tmp_path, clips=1)))
    page.run(HELPERS)
    lags = page.run("""report.clipBuffers(0).then((buffers) => {
        const target = buffers[0].getChannelData(0);
        return buffers.map((buffer) => [buffer.length, buffer.sampleRate,
            lag(buffer.getChannelData(0), target, 20000, 8000, 20000)]);
    })""")
    assert [own[:2] for own in lags] == [[66150, 44100]] * 4
    # 65 samples of Opus's 48 kHz are 1.4 ms; a decoder that kept its delay would be 312 late.
    assert max(abs(own[2]) for own in lags) <= 1
    assert page.console == []


# Runs on the audio thread and sends every block with its place on the context's clock.
TAP = """registerProcessor("tap", class extends AudioWorkletProcessor {
    process([input]) {
        if (input.length) this.port.postMessage([currentFrame, input[0].slice()]);
        return true;
    }
});"""


def test_switching_keeps_the_position_to_a_millisecond(browser: Browser, file: Path) -> None:
    """Record what is heard while versions are switched in a loop; find each part in its version."""
    page = browser.new_page()
    page.call("Page.setBypassCSP", enabled=True)  # for the recorder below
    page.open(file)
    page.run(HELPERS)
    page.run("document.getElementById('listen').scrollIntoView()")
    page.wait_until("Boolean(report.listening.buffers && report.listening.buttons)")
    page.run(f"window.TAP = {json.dumps(TAP)}; true")
    found = page.run("""(async () => {
        const { player } = report.listening;
        player.select(0);
        player.play();
        const { context } = player;
        await context.audioWorklet.addModule("data:text/javascript," + encodeURIComponent(TAP));
        const tap = new AudioWorkletNode(context, "tap");
        const rate = context.sampleRate;
        const first = Math.ceil(context.currentTime * rate);
        const blocks = [];
        let last = 0;
        tap.port.onmessage = ({ data: [frame, block] }) => {
            if (frame >= first) blocks.push([frame - first, block]);
            last = frame - first + block.length;
        };
        player.playing.master.connect(tap).connect(context.destination);
        const until = async (frame) => {
            while (last < frame) await new Promise((done) => setTimeout(done, 5));
        };
        await until(2048);
        const parts = [];
        for (const version of [1, 3, 0, 2, 1]) {
            player.select(version);
            // What is heard from 50 ms after the switch on is this version alone.
            const at = Math.ceil(context.currentTime * rate) - first + 0.05 * rate;
            await until(at + 4096);
            parts.push([version, Math.ceil(at)]);
        }
        player.pause();
        const heard = new Float32Array(last);
        blocks.forEach(([at, block]) => heard.set(block, at));
        const size = player.tracks[0].buffer.length;
        const place = ([version, at]) => {
            const sound = player.tracks[version].buffer.getChannelData(0);
            let [best, found] = [-Infinity, 0];
            for (let shift = 0; shift < size; shift += 1) {
                let [sum, power] = [0, 0];
                for (let n = 0; n < 256; n += 1) {
                    const sample = sound[(shift + n) % size];
                    sum += heard[at + n] * sample;
                    power += sample * sample;
                }
                const likeness = sum / Math.sqrt(power);
                if (likeness > best) [best, found] = [likeness, shift];
            }
            return [version, ((found - at) % size + size) % size];
        };
        return parts.map(place);
    })()""")
    assert [version for version, _ in found] == [1, 3, 0, 2, 1]
    places = [place for _, place in found]
    assert max(places) - min(places) <= MILLISECOND
    assert page.console == []


def test_a_switch_has_no_click_and_takes_a_few_milliseconds(page: Page) -> None:
    result = page.run("""(async () => {
        const context = new OfflineAudioContext(1, 44100, 44100);
        const flat = (value) => {
            const buffer = context.createBuffer(1, 44100, 44100);
            buffer.getChannelData(0).fill(value);
            return { buffer };
        };
        const play = { when: 0, offset: 0, loop: [0, 1], levels: [1, 0] };
        const nodes = report.connectTracks(context, [flat(0), flat(1)], play, context.destination);
        context.suspend(0.5).then(() => {
            report.setLevels(nodes, [0, 1], context.currentTime);
            context.resume();
        });
        const out = (await context.startRendering()).getChannelData(0);
        let step = 0;
        for (let n = 1; n < out.length; n += 1)
            step = Math.max(step, Math.abs(out[n] - out[n - 1]));
        return [out[22000], out[22050 + 441], step];
    })()""")
    before, after, step = result
    assert before == 0
    assert after > 0.99
    assert step < 0.05


def test_versions_are_equally_loud_and_never_clip(page: Page) -> None:
    levels = page.run("""(() => {
        const { player } = report.listening;
        return player.tracks.map((track, i) => {
            player.select(i);
            const gains = player.levels();
            const data = track.buffer.getChannelData(0);
            const power = data.reduce((sum, x) => sum + x * x, 0) / data.length;
            const rms = gains[i] * Math.sqrt(power);
            return [gains.filter(Boolean).length, gains[i] * track.peak, rms];
        });
    })()""")
    assert [audible for audible, _, _ in levels] == [1] * 4
    assert max(peak for _, peak, _ in levels) <= 1
    loud = [rms for _, _, rms in levels]
    assert max(loud) / min(loud) < 1.4  # loudness weighs treble more; without gains it is 2.2


def test_keys_play_switch_seek_and_loop(page: Page) -> None:
    page.run("document.activeElement.blur(); report.listening.player.seek(0); true")
    state = "({ on: Boolean(report.listening.player.playing), at: report.listening.player.position,"
    state += " which: report.listening.player.selected, region: report.listening.player.region })"
    page.press("3", "Digit3")
    assert page.run(state)["which"] == 2
    assert page.run("report.listening.heading.textContent") == ODD_NAME
    page.press("ArrowRight")
    assert page.run(state)["at"] == pytest.approx(0.5)
    page.press("[", "BracketLeft")
    assert page.run(state)["region"] == [0.5, 1.5]
    page.press(" ", "Space")
    page.wait_until("report.listening.player.position > 0.7")
    assert page.run(state)["on"]
    page.press(" ", "Space")
    stopped = page.run(state)
    assert not stopped["on"]
    assert 0.5 <= stopped["at"] <= 1.5
    page.press("w", "KeyW")
    assert page.run(state)["region"] is None
    page.press("n", "KeyN")
    page.wait_until("report.listening.song.textContent.startsWith('64')")
    page.wait_until("report.listening.player.selected === 2")  # the version stays chosen


def test_spectrograms_show_what_a_version_lacks(page: Page) -> None:
    bright = page.run("""(async () => {
        const { listening } = report;
        const rows = (version) => {
            listening.player.select(version);
            const { canvas } = listening;
            const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
            const at = (share) => {
                const y = Math.round(canvas.height * share);
                let sum = 0;
                for (let x = 80; x < canvas.width; x += 1)
                    for (let c = 0; c < 3; c += 1) sum += data.data[(y * canvas.width + x) * 4 + c];
                return sum / (canvas.width - 80);
            };
            return [at(0.35), at(0.9)];  // 14 and 2 kHz
        };
        return [rows(0), rows(1)];
    })()""")
    (clean_high, clean_low), (coded_high, coded_low) = bright
    assert clean_high > 150 > 60 > coded_high
    assert min(clean_low, coded_low) > 150


def test_the_anchor_is_a_low_pass_at_3500_hz_in_time(page: Page) -> None:
    gains = page.run("""(async () => {
        const tones = [1000, 3300, 4000, 4500, 8000];
        const context = new OfflineAudioContext(1, 1, 44100);
        const found = [];
        for (const hertz of tones) {
            const buffer = context.createBuffer(1, 44100, 44100);
            const data = buffer.getChannelData(0);
            data.forEach((_, n) => { data[n] = Math.sin(2 * Math.PI * hertz * n / 44100); });
            const out = (await report.lowPassed(buffer)).getChannelData(0);
            let [same, power, error] = [0, 0, 0];
            for (let n = 5000; n < 39000; n += 1) {
                power += data[n] ** 2; same += out[n] ** 2; error += (out[n] - data[n]) ** 2;
            }
            found.push([10 * Math.log10(same / power), 10 * Math.log10(error / power), out.length]);
        }
        return found;
    })()""")
    level = [own[0] for own in gains]
    assert level[:2] == pytest.approx([0, 0], abs=0.1)
    assert gains[0][1] < -60  # the same samples, so there is no delay
    assert level[2] < -25
    assert max(level[3:]) < -50
    assert {own[2] for own in gains} == {44100}


def test_an_abx_series_is_completed_and_saved(browser: Browser, page: Page) -> None:
    page.run("""{
        report.abx.seed.value = 'seed, 7';
        report.abx.count.value = 6;
        document.getElementById('abx').scrollIntoView();
        button('#abx', 'Start ABX').click();
    } true""")
    for number in range(6):
        page.wait_until(
            f"(report.abx.progress.textContent === 'Trial {number + 1} of 6')"
            " && !report.abx.answerButtons[0].disabled"
        )
        for key in "abx":
            page.press(key)
        assert page.run("Boolean(report.abx.bar.player.playing)")
        assert page.run("report.abx.bar.player.selected") == 2
        right = page.run(f"report.abx.trials[{number}].x")
        answer = right if number else "AB"[right == "A"]  # the first one wrong
        page.press(str("AB".index(answer) + 1))
    page.wait_until("Boolean(document.querySelector('#abx .outcome'))")
    assert page.run("document.querySelector('#abx .outcome b').textContent") == "5 of 6 correct"
    assert page.run("document.querySelector('#abx .outcome span').textContent") == "p = 0.109"
    page.run("button('#abx', 'Save as CSV').click()")
    rows = download(browser, "abx-seed__7.csv")
    assert [row["correct"] for row in rows] == ["0", "1", "1", "1", "1", "1"]
    assert float(rows[-1]["p_value_so_far"]) == pytest.approx(7 / 64, abs=1e-4)
    assert {row["version_b"] for row in rows} == {ODD_NAME}
    assert {row["seed"] for row in rows} == {"seed, 7"}
    drawn = page.run("report.drawAbx('seed, 7', 6, [0, 1, 2])")
    assert [row["x_is"] for row in rows] == [trial["x"] for trial in drawn]
    assert [row["clip"] for row in rows] == [f"clip-{trial['clip']}" for trial in drawn]


def test_abx_draws_depend_on_the_seed_and_are_fair(page: Page) -> None:
    draws = page.run("""[...Array(400).keys()].map((seed) =>
        report.drawAbx(String(seed), 10, [0]).map((trial) => trial.x).join(''))""")
    assert len(set(draws)) > 300
    share = sum(draw.count("A") for draw in draws) / 4000
    assert 0.46 < share < 0.54
    assert [page.run(f"report.guessingChance({k}, 10)") for k in (0, 9, 10)] == pytest.approx(
        [1, 11 / 1024, 1 / 1024]
    )


def test_a_rating_is_completed_and_saved(browser: Browser, page: Page) -> None:
    page.run("""{
        report.mushra.seed.value = '11';
        report.mushra.count.value = 2;
        button('#mushra', 'Start the rating').click();
    } true""")
    for screen in range(2):
        page.wait_until(
            "Boolean(document.querySelector('#mushra .ratings')) && document"
            f".querySelector('#mushra .hint').textContent.startsWith('Clip {screen + 1} of')"
        )
        assert page.run("report.mushra.nextButton.disabled")
        page.run(f"""{{
            const kinds = report.mushra.screens[{screen}].conditions.map((one) => one.kind);
            const marks = {{ reference: 100, anchor: 10, codec: 30, system: 60 + {screen} }};
            press(report.mushra.sliders[0].input, '2');
            report.mushra.sliders.forEach(({{ input }}, i) => {{
                input.value = marks[kinds[i]];
                input.dispatchEvent(new Event('input', {{ bubbles: true }}));
            }});
        }} true""")
        assert page.run("report.mushra.bar.player.selected") == 2
        page.run("report.mushra.nextButton.click()")
    page.wait_until("Boolean(document.querySelector('#mushra .outcome-table'))")
    cells = page.run("""[...document.querySelectorAll('#mushra .outcome-table tbody tr')].map(
        (row) => [...row.children].map((cell) => cell.textContent))""")
    assert cells[0][:2] == ["Hidden reference", "100.0"]
    assert cells[-1][:2] == ["Anchor, 3.5 kHz", "10.0"]
    assert [ODD_NAME, "60.5", "\u00b1 6.4"] in cells
    page.run("button('#mushra', 'Save as CSV').click()")
    rows = download(browser, "mushra-11.csv")
    assert len(rows) == 2 * 5
    assert {row["rating"] for row in rows if row["kind"] == "reference"} == {"100"}
    assert [row["plays"] for row in rows if row["letter"] == "B"] == ["1", "1"]
    orders = [[row["condition"] for row in rows if row["screen"] == screen] for screen in "12"]
    assert sorted(orders[0]) == sorted(orders[1])


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
@pytest.mark.parametrize("dark", [False, True])
def test_nothing_overflows_and_text_is_readable(page: Page, width: int, dark: bool) -> None:
    page.size(width, 800, dark)
    time.sleep(0.1)
    assert page.run("document.documentElement.scrollWidth") <= width
    assert (
        page.run("""(() => {
        const own = (element, name) =>
            getComputedStyle(element)[name].match(/[\\d.]+/g).map(Number);
        const light = (rgb) => rgb.slice(0, 3).map((v) => v / 255).map((v) =>
            v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
            .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
        const behind = light(own(document.body, 'backgroundColor'));
        const contrast = (element) => {
            const front = light(own(element, 'color'));
            return (Math.max(front, behind) + 0.05) / (Math.min(front, behind) + 0.05);
        };
        return Math.min(...['h1', '.lead', '.hint', 'nav a', '.badge', 'thead th', '.remark']
            .map((query) => document.querySelector(query)).filter(Boolean).map(contrast));
    })()""")
        >= 4.5
    )


def test_every_control_has_a_name(page: Page) -> None:
    nodes = page.call("Accessibility.getFullAXTree")["nodes"]
    roles = ("button", "checkbox", "combobox", "textbox", "spinbutton", "slider", "radio", "link")
    nameless: list[Any] = [
        node["role"]["value"]
        for node in nodes
        if node.get("role", {}).get("value") in roles
        and not node.get("ignored")
        and not node.get("name", {}).get("value")
    ]
    assert nameless == []


def test_a_page_without_clips_works(browser: Browser, tmp_path: Path) -> None:
    page = browser.new_page()
    page.open(write_page(write_evaluation(tmp_path, clips=0)))
    assert page.run("document.getElementById('blind').hidden")
    assert "no clips" in page.run("document.getElementById('listen-lead').textContent")
    assert page.console == []
