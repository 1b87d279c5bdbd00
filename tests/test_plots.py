"""Pictures: what is drawn is what was given, and no global state is touched."""

import sys

import numpy as np
import pytest
import torch

import harmonium as hm
from harmonium import plots
from harmonium.plots import charts, letters
from harmonium.plots.charts import series
from harmonium.plots.style import colour_map
from harmonium.plots.tiles import Scale, along_first_component, scale_of

RECORDS = [
    {
        "step": 10 * k,
        "train_log_likelihood": -20.0 + k,
        "validation_log_likelihood": -21.0 + k - 0.06 * k * k,
        "validation_log_likelihood_stderr": 0.2,
        "singular_values": [0.5 * k, 0.2 * k],
        "gradient_norm": 1.0 / (k + 1),
        "free_energy_gap": float("nan"),
    }
    for k in range(12)
]


def texts(figure):
    """Every text that a figure shows."""
    from matplotlib.text import Text

    return " | ".join(t.get_text() for t in figure.findobj(Text) if t.get_text())


def table(rows, columns):
    """Numbers without a pattern, the same ones every time."""
    return np.random.Generator(np.random.Philox(1)).normal(size=(rows, columns))


def test_pictures_are_laid_out_in_reading_order():
    rows = np.arange(3 * 42).reshape(3, 42)
    grid = plots.mosaic(rows, (6, 7), columns=2)
    assert grid.shape == (13, 15)
    for k, (top, left) in enumerate([(0, 0), (0, 8), (7, 0)]):
        assert np.array_equal(grid[top : top + 6, left : left + 7], rows[k].reshape(6, 7))
    assert np.isnan(grid[6]).all() and np.isnan(grid[:, 7]).all() and np.isnan(grid[7:, 8:]).all()


@pytest.mark.parametrize("shape", [(2, 2), (1, 5), (4, 2), (6, 6), (28, 28)])
def test_lines_between_pictures_are_thinner_than_cells_of_small_ones(shape):
    height, width = shape
    rows = np.arange(1.0, 2 * height * width + 1).reshape(2, -1)
    grid = plots.mosaic(rows, shape, columns=2)
    lines, cell = int(np.isnan(grid[0]).sum()), int((grid[0] == 1.0).sum())
    assert 6 * lines <= min(height, width) * cell
    assert np.array_equal(grid[::cell, : width * cell : cell], rows[0].reshape(shape))


@pytest.mark.parametrize("rows", [np.ones((2, 5)), np.ones((0, 4)), np.ones(4)])
def test_rows_that_are_no_pictures_are_one_sentence(rows):
    with pytest.raises(ValueError, match=r"rows must have the shape \(n, 4\) for pictures of 2 x 2, got"):
        plots.mosaic(rows, (2, 2))


def test_the_scale_fits_the_values():
    assert scale_of(np.zeros((2, 2))) == Scale(0.0, 1.0)
    assert scale_of(np.array([[-1.0, 1.0]])) == Scale(-1.0, 1.0)
    assert scale_of(np.array([[-2.0, 1.0]] * 1000)) == Scale(-2.0, 2.0, True)
    assert scale_of(np.full((3, 3), 7.0)) == Scale(6.5, 7.5)
    assert scale_of(np.array([[3.0, 5.0]] * 1000)) == Scale(3.0, 5.0)
    assert scale_of(np.zeros((2, 2)), signed=True) == Scale(-1.0, 1.0, True)


def test_a_picture_file_shows_every_pixel():
    from io import BytesIO

    from matplotlib.image import imread

    rows = np.array([[0, 1, 1, 0], [1, 1, 1, 1]])
    pixels = imread(BytesIO(plots.tiles_png(rows, (2, 2))), format="png")
    size = pixels.shape[1] // 2  # the second picture stands below the first
    for row in range(2):
        for column in range(2):
            block = pixels[row * size : (row + 1) * size, column * size : (column + 1) * size, :3]
            assert (block == 1.0 - rows[0, 2 * row + column]).all()
    gap = pixels[2 * size : 2 * size + size // 3, :, :3]
    assert np.allclose(gap, colour_map(False).get_bad()[:3], atol=1 / 255)


def test_filters_come_largest_first_and_in_full_rows():
    weight = np.outer(np.ones(4), np.arange(20.0))
    figure = plots.filters(weight, (2, 2))
    (ax,) = figure.axes
    grid = np.ma.filled(ax.images[0].get_array(), np.nan)
    assert grid.shape == (6, 7 * 16 - 1)
    assert [grid[0, 7 * k] for k in range(16)] == list(range(19, 3, -1))
    low, high = ax.images[0].get_clim()
    assert low == -high


def test_side_by_side_shows_both_in_the_same_colours():
    figure = plots.side_by_side(np.zeros((4, 4)), np.ones((4, 4)), (2, 2))
    left, right = figure.axes
    assert left.images[0].get_clim() == right.images[0].get_clim() == (0.0, 1.0)
    assert np.nanmax(np.ma.filled(left.images[0].get_array(), 0)) == 0
    assert np.nanmin(np.ma.filled(right.images[0].get_array(), 1)) == 1
    assert "samples of the model" in texts(figure)


def test_rows_without_a_shape_are_a_heat_map_with_names_in_the_order_of_the_first_component():
    data = np.outer(np.linspace(-1, 1, 9), [2.0, 1.0])[[4, 0, 8, 2, 6, 1, 7, 3, 5]]
    figure = plots.side_by_side(data, data, None, ("length", "a name of many words"))
    shown = figure.axes[0].images[0].get_array()
    assert np.array_equal(shown, np.sort(data, axis=0))
    assert "length" in texts(figure) and "a name of many wo…" in texts(figure)
    assert np.allclose(along_first_component(data, data), data @ [2, 1] / 5**0.5)


def test_layers_that_learn_one_after_the_other_have_a_line_each():
    records = [
        {"layer": layer, "step": step, "train_log_likelihood": -value, "learning_rate": 1.0 / value}
        for layer, values in ((1, (20.0, 18.0, 17.0)), (2, (9.0, 8.5)))
        for step, value in zip((1, 10, 20), values, strict=False)
    ]
    for figure in (plots.learning_curve(records), plots.panels(records)):
        lines = figure.axes[0].lines
        assert [list(line.get_xdata()) for line in lines] == [[1, 10, 20], [1, 10]]
        assert len({str(line.get_linestyle()) for line in lines}) == 2


def test_the_learning_curve_has_its_band_its_best_point_and_the_baseline():
    figure = plots.learning_curve(RECORDS, baseline=-25.0)
    (ax,) = figure.axes
    train, valid, best, baseline = ax.lines
    assert np.array_equal(train.get_ydata(), [r["train_log_likelihood"] for r in RECORDS])
    top = max(RECORDS, key=lambda r: r["validation_log_likelihood"])
    assert (best.get_xdata()[0], best.get_ydata()[0]) == (top["step"], top["validation_log_likelihood"])
    band = ax.collections[0].get_paths()[0].vertices
    assert band[:, 1].max() == pytest.approx(top["validation_log_likelihood"] + 1.96 * 0.2)
    assert baseline.get_ydata()[0] == -25.0 and "independent units" in texts(figure)
    assert len(valid.get_xdata()) == len(RECORDS)
    kept = plots.learning_curve(RECORDS, kept=40)
    assert kept.axes[0].lines[2].get_xdata()[0] == 40 and "the model kept, −17.96" in texts(kept)


def test_rounding_does_not_look_like_a_course_of_learning():
    records = [{"step": k, "train_log_likelihood": -2.079441 + 1e-9 * (-1) ** k} for k in range(20)]
    (ax,) = plots.learning_curve(records).axes
    low, high = ax.get_ylim()
    assert high - low >= charts.LEAST_SPAN and not ax.yaxis.get_major_formatter().get_useOffset()


def test_what_is_drawn_may_be_tensors_with_gradients_and_frames():
    import pandas as pd

    rbm = hm.RBM(hm.Bernoulli(4), hm.Bernoulli(3))
    (ax, _) = plots.filters(rbm.weight).axes
    assert np.allclose(np.sort(ax.images[0].get_array(), axis=None), np.sort(rbm.weight.detach(), axis=None))
    frame, drawn = pd.DataFrame(table(20, 4) > 0), hm.sample(rbm, 20)
    for figure in (plots.moments(frame, drawn), plots.side_by_side(frame, drawn), plots.tiles(drawn)):
        assert figure.axes
    plots.free_energies({"training rows": rbm.free_energy(drawn)})
    with pytest.raises(TypeError, match="^data must hold numbers"):
        plots.moments(rbm, drawn)


def drawn_letters(ax):
    """(left, bottom, width, height) of the letters on axes, and their colours."""
    from matplotlib.colors import to_hex

    (drawn,) = ax.collections
    boxes = [path.get_extents().bounds for path in drawn.get_paths()]
    return np.array(boxes), [to_hex(colour) for colour in drawn.get_facecolors()]


def test_a_logo_stacks_letters_as_tall_as_their_weights_the_largest_outside():
    weight = np.zeros((2 * 4, 3))
    weight[:4, 1] = [1.0, 3.0, 0.5, -4.5]  # site 0 of hidden unit 1, sums to zero already
    weight[4:, 2] = [9.0, 5.0, 5.0, 5.0]  # A is +3 there in that gauge, the others -1
    ax, second = plots.logos(weight, "ACGT", most=2).axes
    boxes, colours = drawn_letters(ax)
    assert np.allclose(boxes[:, 1], [0.0, 0.5, 1.5, -4.5]) and np.allclose(boxes[:, 3], [0.5, 1.0, 3.0, 4.5])
    assert colours == [letters.NUCLEOTIDES[x].lower() for x in "GACT"]
    assert (np.abs(boxes[:, 0] + boxes[:, 2] / 2) < 0.05).all()  # within their site; a G isn't symmetric
    boxes, colours = drawn_letters(second)
    assert (np.abs(boxes[:, 0] + boxes[:, 2] / 2 - 1.0) < 0.05).all() and boxes[:, 1].min() == pytest.approx(
        -3.0
    )
    assert ax.get_ylim() == second.get_ylim()
    plots.png(plots.logos(np.zeros((8, 2)), "ACGT"))


def test_a_logo_needs_a_letter_for_each_state():
    for alphabet in ("", "A", "ACGTN"):
        with pytest.raises(
            ValueError, match=r"^letters must be one for each state of a site, got \d for weights"
        ):
            plots.logos(np.zeros((8, 2)), alphabet)


def test_a_first_record_far_below_does_not_flatten_the_curve():
    records = [{"step": 0, "train_log_likelihood": -1e6}, *RECORDS[1:]]
    low, _ = plots.learning_curve(records, baseline=-25.0).axes[0].get_ylim()
    assert -60 < low < -25


def test_numbers_that_are_missing_or_not_finite_are_left_out():
    steps, values = series([*RECORDS, {"step": 500}, {"gradient_norm": 1.0}], "gradient_norm")
    assert len(steps) == len(values) == len(RECORDS)
    assert len(series(RECORDS, "free_energy_gap")[0]) == 0
    figure = plots.panels(RECORDS)
    assert figure is not None and "norm of the gradient" in texts(figure)
    assert "gap" not in texts(figure)
    assert plots.panels([{"step": 1}]) is None


def test_what_the_recipe_records_is_shown_by_its_name_on_axes_that_do_not_exaggerate():
    x = torch.tensor(table(90, 12) > 0).float()  # so few rows that the run doesn't end early
    records = hm.fit(
        hm.RBM(hm.Bernoulli(12), hm.Bernoulli(4)), x, steps=1100, chains=32, negatives="pcd"
    ).records
    last = dict(records[-1])
    assert set(charts.PANELS) - {"reconstruction_error", "free_energy_gap"} <= set(last)
    figure = plots.panels([last | {"step": 1, "r_hat": 1.001}, last | {"learning_rate": 0.2}])
    axes = {ax.get_title(loc="left"): ax for ax in figure.axes if ax.get_visible()}
    assert set(axes) == {"R̂ of the chains", "step size"}  # what changed
    assert axes["R̂ of the chains"].get_ylim()[0] == 1.0 and axes["R̂ of the chains"].get_ylim()[1] >= 1.25
    assert axes["step size"].get_ylim()[0] == 0.0


def test_singular_values_are_those_of_the_weights_and_of_the_records():
    weight = table(6, 4)
    figure = plots.singular_values(RECORDS, weight)
    left, right = figure.axes
    assert np.allclose(right.lines[0].get_ydata(), np.linalg.svd(weight, compute_uv=False))
    assert np.allclose(left.lines[1].get_ydata(), [0.2 * k for k in range(12)])
    assert len(plots.singular_values([], weight, kept=20).axes) == 1
    assert "the model kept" in texts(plots.singular_values(RECORDS, weight, kept=20))


def test_moments_are_those_of_the_columns():
    data, samples = table(50, 3), 2.0 * table(50, 3)
    left, right = plots.moments(data, samples).axes
    assert np.allclose(left.collections[0].get_offsets(), np.stack([data.mean(0), samples.mean(0)], 1))
    pairs = [(np.cov(x[:, i], x[:, j])[0, 1]) for x in (data, samples) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert np.allclose(right.collections[0].get_offsets(), np.reshape(pairs, (2, 3)).T)
    assert not plots.moments(table(9, 1), table(9, 1)).axes[1].get_visible()


def test_free_energies_are_densities_with_a_legend():
    values = {"training rows": table(500, 1)[:, 0], "test rows": np.full(30, 0.25)}
    figure = plots.free_energies(values)
    assert "training rows" in texts(figure) and "test rows" in texts(figure)
    plots.png(plots.free_energies({"training rows": np.full(3, 1.0)}))


@pytest.mark.parametrize("shape", [(2, 3), None])
def test_a_model_at_a_glance(shape):
    figure = plots.picture(table(70, 6) > 0, table(70, 6) > 0, table(6, 80), shape)
    assert len(figure.axes) == 3 and plots.png(figure).startswith(b"\x89PNG")


def test_an_svg_takes_the_colours_of_the_page_and_is_the_same_every_time():
    texts = [plots.svg(plots.learning_curve(RECORDS), "a <curve> & more") for _ in range(2)]
    assert texts[0] == texts[1]
    assert texts[0].startswith('<svg role="img" aria-label="a &lt;curve&gt; &amp; more"')
    assert "var(--ink" in texts[0] and "var(--muted" in texts[0] and "var(--line" in texts[0]
    assert "<metadata>" not in texts[0] and "<?xml" not in texts[0] and texts[0].rstrip().endswith("</svg>")


def test_nothing_is_left_in_matplotlib_s_global_state():
    import matplotlib

    before = dict(matplotlib.rcParams)
    plots.svg(plots.moments(table(9, 3), table(9, 3)), "moments")
    assert dict(matplotlib.rcParams) == before
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []
