"""The pictures of the benches."""

from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, fromstring

import pytest
import typer

from blogworker.bench.commands.app import app
from blogworker.bench.commands.plot import BARS_HEIGHT, Chart, drawn

SVG = "{http://www.w3.org/2000/svg}"


def parsed(charts: list[Chart]) -> Element:
    return fromstring(drawn(charts))  # noqa: S314 - our own text


def panels(charts: list[Chart]) -> dict[str, Element]:
    found = parsed(charts).iter(f"{SVG}g")
    return {panel.get("data-figure", ""): panel for panel in found}


def heights(panel: Element) -> list[float]:
    return [float(bar.get("height", "")) for bar in panel if bar.get("class") == "bar"]


def runs(**figures: tuple[Any, ...]) -> list[dict[str, Any]]:
    return [dict(zip(figures, values, strict=True)) for values in zip(*figures.values(), strict=True)]


def test_the_heights_of_the_bars_are_proportional_to_the_figures() -> None:
    chart = Chart("CPU", runs(worker=("ours", "bare"), done=(400, 300), cpu_ms=(80.4, 20.1)), ["worker"])

    found = panels([chart])

    assert list(found) == ["done", "cpu_ms"]
    assert heights(found["done"]) == pytest.approx([BARS_HEIGHT, BARS_HEIGHT * 3 / 4], abs=0.01)
    assert heights(found["cpu_ms"]) == pytest.approx([BARS_HEIGHT, BARS_HEIGHT / 4], abs=0.01)


def test_figures_with_one_unit_have_one_scale() -> None:
    """So that a median is smaller than its maximum also where there is one run only."""
    chart = Chart("Pickup", runs(jobs=(300,), p50_ms=(10.0,), max_ms=(40.0,), jobs_per_s=(250.0,)), ["jobs"])

    found = panels([chart])

    assert heights(found["p50_ms"]) == pytest.approx([BARS_HEIGHT / 4], abs=0.01)
    assert heights(found["max_ms"]) == heights(found["jobs_per_s"]) == [BARS_HEIGHT]


def test_bars_stand_on_their_line_and_inside_the_picture() -> None:
    figures = {f"figure_{n}": tuple(range(n, n + 20)) for n in range(9)}
    picture = parsed([Chart("Many", runs(run=tuple(range(20)), **figures), ["run"])] * 2)

    for panel in picture.iter(f"{SVG}g"):
        (base,) = (line for line in panel if line.get("class") == "base")
        for bar in (bar for bar in panel if bar.get("class") == "bar"):
            bottom = float(bar.get("y", "")) + float(bar.get("height", ""))
            assert bottom == pytest.approx(float(base.get("y", "")), abs=0.02)
            assert 0 <= float(bar.get("x", "")) <= float(picture.get("width", "")) - float(bar.get("width", ""))
            assert bottom < float(picture.get("height", ""))


def test_missing_and_negative_figures_have_no_bar() -> None:
    chart = Chart("Pickup", runs(run=("a", "b", "c"), p50_ms=(None, -0.5, 2.0), all_zero=(0, 0, None)), ["run"])

    found = panels([chart])

    assert heights(found["p50_ms"]) == [0, 0, BARS_HEIGHT]
    assert heights(found["all_zero"]) == [0, 0, 0]
    assert [label.text for label in found["p50_ms"].iter(f"{SVG}text")] == ["p50_ms", "-", "-0.5", "2"]


def test_a_figure_of_several_values_has_a_panel_for_each() -> None:
    chart = Chart("Headline", runs(fleet=("ours",), refused=({"openai": 3, "wix": 6},)), ["fleet"])

    assert list(panels([chart])) == ["openai refused", "wix refused"]


def test_texts_are_escaped() -> None:
    """The names of runs and figures come from options. XML cannot contain a control character at all."""
    nasty = "</text><script>\x1b\x00 & \"'"
    chart = Chart(nasty, runs(run=(nasty,), **{nasty: (1,)}), ["run"])

    picture = parsed([chart])

    assert not list(picture.iter(f"{SVG}script"))
    assert "</text><script>\\x1b\\x00 & \"'" in [label.text for label in picture.iter(f"{SVG}text")]


@pytest.mark.parametrize("command", typer.main.get_group(app).commands.values(), ids=lambda command: command.name)
def test_every_bench_prints_json_and_draws(command: Any) -> None:
    options = {option for parameter in command.params for option in parameter.opts}

    assert {"--json", "--plot"} <= options


def test_a_picture_in_a_missing_folder_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    missing, present = tmp_path / "missing" / "bench.svg", tmp_path / "bench.svg"

    assert typer.main.get_group(app).commands["io"].make_context("io", ["--plot", str(present)]).params["plot"]
    with pytest.raises(typer.BadParameter, match="is not a folder"):
        typer.main.get_group(app).commands["io"].make_context("io", ["--plot", str(missing)])
