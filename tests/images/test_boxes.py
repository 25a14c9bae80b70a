"""Boxes and polygons of an answer: the conventions, the frames, and whatever a model may write."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openmova.images.boxes import Box, Frame, Size, boxes_in, polygons_in

LANDSCAPE, PORTRAIT, SQUARE = (400, 200), (101, 300), (100, 100)
sizes = st.tuples(st.integers(1, 5000), st.integers(1, 5000))
frames = st.sampled_from(["pad", "image"])
numbers = st.one_of(
    st.floats(0, 1).map(lambda x: f"{x:.3f}"),
    st.sampled_from(["0", "1", "1.0", ".5", "0.", "2", "-0.1", "1e-3", "nan", "", " ", "٣", "1_0"]),
)
separators = st.sampled_from([",", ", ", ";", " ", "],[", ")", "\n"])
lists = st.lists(st.tuples(numbers, separators), max_size=12).map(
    lambda items: f"[{''.join(a + b for a, b in items)}]"
)
boxlike = st.lists(st.floats(0, 1), min_size=4, max_size=4).map(
    lambda x: f"[{x[0]:.3f}, {x[1]:.3f}, {x[2]:.3f}, {x[3]:.3f}]"
)
shapes = st.lists(st.floats(0, 1), min_size=6, max_size=30).map(
    lambda values: "[" + ",".join(f"{value:.2f}" for value in values) + "]"
)
texts = st.one_of(
    st.text(), st.lists(st.one_of(lists, boxlike, shapes, st.text(max_size=9))).map("".join)
)


class TestBoxes:
    @pytest.mark.parametrize(
        ("frame", "size", "expected"),
        [
            # 400 wide, 200 high: the square's side is 400, the picture begins 100 below its top.
            ("pad", LANDSCAPE, Box(100.0, 60.0, 300.0, 140.0)),
            # 101 wide, 300 high: the side is 300, the picture begins 99 to the right (199 // 2).
            ("pad", PORTRAIT, Box(0.0, 120.0, 101.0, 180.0)),
            ("pad", SQUARE, Box(25.0, 40.0, 75.0, 60.0)),
            ("image", LANDSCAPE, Box(100.0, 80.0, 300.0, 120.0)),
            ("image", PORTRAIT, Box(25.25, 120.0, 75.75, 180.0)),
            ("image", SQUARE, Box(25.0, 40.0, 75.0, 60.0)),
        ],
    )
    def test_are_fractions_of_their_frame(self, frame: Frame, size: Size, expected: Box) -> None:
        assert boxes_in("It is at [0.25, 0.40, 0.75, 0.60].", size, frame) == (expected,)

    @pytest.mark.parametrize(
        ("text", "corners"),
        [
            ("[0.1, 0.2, 0.3, 0.4]", [(10, 20, 30, 40)]),
            ("The man[0.100,0.200,0.300,0.400] holds it.", [(10, 20, 30, 40)]),
            ("[0.1,0.2,0.3,0.4;0.5,0.6,0.7,0.8]", [(10, 20, 30, 40), (50, 60, 70, 80)]),
            ("a [0.1, 0.2, 0.3, 0.4], b [.5, .6, .7, .8]", [(10, 20, 30, 40), (50, 60, 70, 80)]),
            ("[[0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1.0]]", [(10, 20, 30, 40), (0, 0, 100, 100)]),
            ("(0.1, 0.2, 0.3, 0.4)", [(10, 20, 30, 40)]),
            ("[ 0.1 ,\n0.2,0.3 , 0.4 ]", [(10, 20, 30, 40)]),
            ("wrong way round: [0.3, 0.4, 0.1, 0.2]", [(10, 20, 30, 40)]),
            ("thin: [0.1, 0.2, 0.1, 0.4]", [(10, 20, 10, 40)]),
        ],
    )
    def test_conventions(self, text: str, corners: list[tuple[float, ...]]) -> None:
        assert boxes_in(text, SQUARE) == tuple(Box(*map(float, box)) for box in corners)

    @pytest.mark.parametrize(
        "text",
        [
            *("", "red", "in [2019, 2020, 2021, 2022]", "[0.1, 0.2, 0.3]", "[0.1, 0.2, 0.3, 0.4"),
            *("[0.1, 0.2, 0.3, 1.2]", "[-0.1, 0.2, 0.3, 0.4]", "[nan, 0.2, 0.3, 0.4]"),
            *("[0.1, 0.2, 0.3, x]", "[0.1 0.2 0.3 0.4]", "[0.1, 0.2; 0.3, 0.4]"),
            *("[0.1,,0.3,0.4]", "[0.1, 0.2, 0.3, 0.4, 0.5]"),
        ],
    )
    def test_other_brackets_are_text(self, text: str) -> None:
        assert boxes_in(text, SQUARE) == polygons_in(text, SQUARE) == ()

    def test_in_the_padding_are_cut_or_left_out(self) -> None:
        assert boxes_in("[0, 0, 1, 1]", LANDSCAPE) == (Box(0.0, 0.0, 400.0, 200.0),)
        for outside in ("[0.1, 0.0, 0.9, 0.2]", "[0.1, 0.0, 0.9, 0.25]", "[0.1, 0.1, 0.9, 0.1]"):
            assert boxes_in(outside, LANDSCAPE) == ()

    def test_a_long_answer_takes_no_time(self) -> None:
        start = time.perf_counter()
        for text in ("[" * 50_000, "[0.1," * 50_000, "[" + "1" * 200_000, "[" + "0.1, " * 50_000):
            assert boxes_in(text, SQUARE) == polygons_in(text, SQUARE) == ()
        assert time.perf_counter() - start < 2


class TestPolygons:
    def test_are_points_in_their_order(self) -> None:
        text = "[0.25, 0.50, 0.75, 0.50, 0.50, 0.70]"
        (padded,) = polygons_in(text, LANDSCAPE)
        assert padded.points == ((100.0, 100.0), (300.0, 100.0), (200.0, 180.0))
        (whole,) = polygons_in(text, SQUARE, "image")
        assert whole.points == ((25.0, 50.0), (75.0, 50.0), (50.0, 70.0))
        assert boxes_in(text, LANDSCAPE) == ()

    def test_beside_boxes(self) -> None:
        text = "[0.1,0.2,0.3,0.4;0.1,0.1,0.2,0.1,0.2,0.2,0.1,0.2]"
        assert boxes_in(text, SQUARE) == (Box(10.0, 20.0, 30.0, 40.0),)
        (shape,) = polygons_in(text, SQUARE)
        assert shape.points == ((10.0, 10.0), (20.0, 10.0), (20.0, 20.0), (10.0, 20.0))

    def test_are_cut_where_they_leave_the_picture(self) -> None:
        # A triangle with its tip 100 pixels above the picture: the cut makes it a trapezium.
        (shape,) = polygons_in("[0.25, 0.50, 0.50, 0.00, 0.75, 0.50]", LANDSCAPE)
        assert set(shape.points) == {(100.0, 100.0), (150.0, 0.0), (250.0, 0.0), (300.0, 100.0)}
        assert polygons_in("[0.1, 0.0, 0.9, 0.0, 0.5, 0.2]", LANDSCAPE) == ()
        assert polygons_in("[0.5, 0.5, 0.5, 0.5, 0.5, 0.5]", LANDSCAPE) == ()


class TestAnyText:
    @given(texts, sizes, frames)
    def test_never_raises_and_stays_inside(self, text: str, size: Size, frame: Frame) -> None:
        width, height = size
        for box in boxes_in(text, size, frame):
            assert 0 <= box.x1 <= box.x2 <= width
            assert 0 <= box.y1 <= box.y2 <= height
        for shape in polygons_in(text, size, frame):
            assert len(shape.points) > 2
            assert all(0 <= x <= width and 0 <= y <= height for x, y in shape.points)

    @given(st.data(), sizes, frames, st.sampled_from([2, 3]))
    def test_a_box_comes_back_within_rounding(
        self, data: st.DataObject, size: Size, frame: Frame, decimals: int
    ) -> None:
        x1, x2 = sorted(data.draw(st.tuples(*[st.floats(0, size[0])] * 2)))
        y1, y2 = sorted(data.draw(st.tuples(*[st.floats(0, size[1])] * 2)))
        side = max(size)
        sides = size if frame == "image" else (side, side)
        left, top = ((whole - part) // 2 for whole, part in zip(sides, size, strict=True))
        corners = ((x1 + left, y1 + top), (x2 + left, y2 + top))
        numbers = [
            f"{c / s:.{decimals}f}" for at in corners for c, s in zip(at, sides, strict=True)
        ]
        found = boxes_in(f"[{', '.join(numbers)}]", size, frame)
        slack = 0.51 * 10**-decimals * side + 0.01
        if not found:  # a sliver at the edge, rounded into the padding
            assert min(x2 - x1, y2 - y1) <= 2 * slack
            return
        (box,) = found
        for is_, was in ((box.x1, x1), (box.y1, y1), (box.x2, x2), (box.y2, y2)):
            assert abs(is_ - was) <= slack

    @given(st.text(max_size=20), st.lists(st.floats(0, 1), min_size=4, max_size=4))
    def test_the_text_around_a_box_does_not_matter(self, around: str, values: list[float]) -> None:
        inner = "[" + ",".join(f"{value:.3f}" for value in values) + "]"
        plain = around.replace("[", "").replace("(", "")
        assert boxes_in(f"{plain}{inner}{plain}", SQUARE) == boxes_in(inner, SQUARE)
